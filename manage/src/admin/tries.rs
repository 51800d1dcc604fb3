//! How often a sign-in may fail.
//!
//! Whoever guesses waits ever longer, up to a minute a try: a thousand and a half tries a day,
//! against passwords that take a hundred million. A minute is also the longest that somebody who
//! fails on purpose can make an administrator wait, and not even that in a browser that has
//! signed in before, whose tries count by themselves.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, TimeDelta, Utc};
use rules::address::EmailAddress;
use sha2::{Digest, Sha256};

/// The first wait, which doubles with every failure, and the longest.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(15);
/// See [`FIRST_WAIT`].
const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(60);
/// Failures are forgotten after this time without another one.
const MEMORY: TimeDelta = TimeDelta::minutes(15);

/// What a try counts against.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// The address that was typed, in a browser that has not signed in with it.
    Account(EmailAddress),
    /// Where such a browser is: there are other addresses to guess for.
    Client(IpAddr),
    /// The digest of the cookie of a browser that has.
    Browser([u8; 32]),
}

impl Key {
    /// Failures that cost no wait. Behind one client may be many people.
    fn free(&self) -> u32 {
        match self {
            Self::Account(_) | Self::Browser(_) => 5,
            Self::Client(_) => 50,
        }
    }
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: DateTime<Utc>,
}

/// The recent tries, and the browsers that are known. A panel is one process, so that memory
/// does.
#[derive(Default)]
pub(super) struct Tries {
    failures: HashMap<Key, Failures>,
    browsers: HashMap<[u8; 32], EmailAddress>,
}

impl Tries {
    /// What a try for `email` counts against, from `client` in the browser with the cookie
    /// `browser`.
    pub(super) fn keys(
        &self,
        email: Option<&EmailAddress>,
        client: IpAddr,
        browser: Option<&str>,
    ) -> Vec<Key> {
        let known = browser.map(digest).filter(|browser| {
            let owner = self.browsers.get(browser);
            owner.is_some() && owner == email
        });
        match known {
            Some(browser) => vec![Key::Browser(browser)],
            None => email
                .cloned()
                .map(Key::Account)
                .into_iter()
                .chain([Key::Client(client)])
                .collect(),
        }
    }

    /// Counts a try against each of `keys` before its password is looked at, so that many at
    /// once are no way around the wait; or says in how many seconds the next may come.
    pub(super) fn begin(&mut self, keys: &[Key], now: DateTime<Utc>) -> Result<(), i64> {
        self.failures
            .retain(|_, failures| now - failures.last < MEMORY);
        let ready = keys.iter().filter_map(|key| self.ready_at(key)).max();
        if let Some(ready) = ready.filter(|ready| *ready > now) {
            return Err((ready - now).num_seconds().max(1));
        }
        for key in keys {
            let none = Failures {
                count: 0,
                last: now,
            };
            let failures = self.failures.entry(key.clone()).or_insert(none);
            failures.count += 1;
            failures.last = now;
        }
        Ok(())
    }

    fn ready_at(&self, key: &Key) -> Option<DateTime<Utc>> {
        let failures = self.failures.get(key)?;
        let doublings = failures.count.checked_sub(key.free())?;
        let wait = FIRST_WAIT * 2_i32.pow(doublings.min(8));
        Some(failures.last + wait.min(LONGEST_WAIT))
    }

    /// Takes back what a try counted whose sign-in was good, and knows the browser by `cookie`
    /// from now on.
    pub(super) fn succeed(&mut self, keys: &[Key], email: &EmailAddress, cookie: &str) {
        for key in keys {
            // Somebody's own sign-in is no way to guess on for others.
            match (key, self.failures.get_mut(key)) {
                (Key::Client(_), Some(failures)) => failures.count -= 1,
                _ => drop(self.failures.remove(key)),
            }
        }
        self.browsers.insert(digest(cookie), email.clone());
    }
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    fn email(name: &str) -> EmailAddress {
        EmailAddress::parse(&format!("{name}@example.com")).expect("an address")
    }

    fn begin(tries: &mut Tries, name: &str, browser: Option<&str>, second: i64) -> Result<(), i64> {
        let keys = tries.keys(Some(&email(name)), CLIENT, browser);
        tries.begin(&keys, at(second))
    }

    #[test]
    fn the_wait_grows_to_a_minute_and_no_further() {
        let mut tries = Tries::default();
        for _ in 0..5 {
            assert_eq!(begin(&mut tries, "ada", None, 0), Ok(()));
        }
        assert_eq!(begin(&mut tries, "ada", None, 0), Err(15));
        assert_eq!(begin(&mut tries, "bob", None, 0), Ok(()));
        assert_eq!(begin(&mut tries, "ada", None, 14), Err(1));
        assert_eq!(begin(&mut tries, "ada", None, 15), Ok(()));
        assert_eq!(begin(&mut tries, "ada", None, 15), Err(30));
        assert_eq!(begin(&mut tries, "ada", None, 45), Ok(()));
        for minute in 1..100 {
            let second = 45 + minute * 60;
            assert_eq!(begin(&mut tries, "ada", None, second - 1), Err(1));
            assert_eq!(begin(&mut tries, "ada", None, second), Ok(()));
        }
        let later = 45 + 99 * 60 + 900;
        for _ in 0..5 {
            assert_eq!(begin(&mut tries, "ada", None, later), Ok(()), "forgotten");
        }
    }

    #[test]
    fn a_known_browser_does_not_wait_for_what_others_fail() {
        let mut tries = Tries::default();
        let keys = tries.keys(Some(&email("ada")), CLIENT, Some("cookie"));
        assert_eq!(keys.len(), 2, "not known yet");
        tries.succeed(&keys, &email("ada"), "cookie");
        while begin(&mut tries, "ada", None, 0).is_ok() {}
        assert_eq!(begin(&mut tries, "ada", Some("another"), 0), Err(15));
        assert_eq!(begin(&mut tries, "ada", Some("cookie"), 0), Ok(()));
        for _ in 0..4 {
            assert_eq!(begin(&mut tries, "ada", Some("cookie"), 0), Ok(()));
        }
        assert_eq!(
            begin(&mut tries, "ada", Some("cookie"), 0),
            Err(15),
            "nor guess"
        );
        // It is known for one account alone.
        while begin(&mut tries, "bob", None, 0).is_ok() {}
        assert_eq!(begin(&mut tries, "bob", Some("cookie"), 0), Err(15));
    }

    #[test]
    fn a_client_cannot_go_from_account_to_account() {
        let mut tries = Tries::default();
        let mut accounts = 0;
        while begin(&mut tries, &format!("user{accounts}"), None, 0).is_ok() {
            accounts += 1;
            // The guesser's own sign-in in between changes nothing.
            let own = tries.keys(Some(&email("own")), CLIENT, None);
            if tries.begin(&own, at(0)).is_ok() {
                tries.succeed(&own, &email("own"), "own cookie");
            }
        }
        assert_eq!(accounts, 50);
    }
}
