//! How often a sign-in may fail.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

/// Failures that one address or one client may have in [`SPAN`].
const LIMIT: usize = 5;
const SPAN: TimeDelta = TimeDelta::minutes(15);

/// The recent tries by what they count against. A panel is one process, so that memory does.
#[derive(Default)]
pub(super) struct Tries(HashMap<String, Vec<DateTime<Utc>>>);

impl Tries {
    /// Counts a try against each of `keys` before its password is looked at, so that many at
    /// once are no way around the limit; or says in how many seconds the next may come.
    pub(super) fn begin(&mut self, keys: &[String], now: DateTime<Utc>) -> Result<(), i64> {
        self.0.retain(|_, times| {
            times.retain(|time| now - *time < SPAN);
            !times.is_empty()
        });
        let wait = keys
            .iter()
            .filter_map(|key| self.0.get(key).filter(|times| times.len() >= LIMIT))
            .filter_map(|times| times.first())
            .map(|oldest| (*oldest + SPAN - now).num_seconds().max(1))
            .max();
        if let Some(seconds) = wait {
            return Err(seconds);
        }
        for key in keys {
            self.0.entry(key.clone()).or_default().push(now);
        }
        Ok(())
    }

    /// Forgets what counted against `keys`: their sign-in was good.
    pub(super) fn succeed(&mut self, keys: &[String]) {
        for key in keys {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    fn keys(address: &str, client: &str) -> [String; 2] {
        [address.to_owned(), client.to_owned()]
    }

    #[test]
    fn the_sixth_try_waits_for_the_first_to_be_a_quarter_of_an_hour_old() {
        let mut tries = Tries::default();
        for second in 0..5 {
            assert_eq!(tries.begin(&keys("ada", "here"), at(second)), Ok(()));
        }
        assert_eq!(tries.begin(&keys("ada", "here"), at(5)), Err(895));
        assert_eq!(tries.begin(&keys("ada", "elsewhere"), at(5)), Err(895));
        assert_eq!(tries.begin(&keys("bob", "here"), at(5)), Err(895));
        assert_eq!(tries.begin(&keys("bob", "elsewhere"), at(5)), Ok(()));
        assert_eq!(tries.begin(&keys("ada", "here"), at(900)), Ok(()));
    }

    #[test]
    fn a_good_sign_in_starts_the_count_anew() {
        let mut tries = Tries::default();
        for _ in 0..20 {
            assert_eq!(tries.begin(&keys("ada", "here"), at(0)), Ok(()));
            tries.succeed(&keys("ada", "here"));
        }
        assert!(tries.0.is_empty());
    }
}
