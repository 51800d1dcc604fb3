//! Limits on failed sign-ins.
//!
//! The wait after each failure grows to a minute. That allows 1,500 guesses a day, while a
//! password takes a hundred million. A minute is also the longest that an attacker can make an
//! administrator wait. In a browser that has signed in before, the administrator does not wait at
//! all, because its attempts are counted separately.

use std::{collections::HashMap, net::IpAddr};

use chrono::{DateTime, TimeDelta, Utc};
use rules::address::EmailAddress;

use super::form::CookieDigest;

/// The first wait. It doubles with every failure.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(15);
/// The longest wait.
const LONGEST_WAIT: TimeDelta = TimeDelta::seconds(60);
/// Time without a failure after which earlier ones are forgotten.
const FORGET_AFTER: TimeDelta = TimeDelta::minutes(15);

/// A counter of attempts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum AttemptKey {
    /// The typed address, in a browser that has not signed in with it before.
    Account(EmailAddress),
    /// The client of such a browser, which may try many addresses.
    Client(IpAddr),
    /// A browser that has signed in with the address before.
    Browser(CookieDigest),
}

impl AttemptKey {
    /// Returns the number of failures without a wait. Many people may share one client address.
    fn free_failures(&self) -> u32 {
        match self {
            Self::Account(_) | Self::Browser(_) => 5,
            Self::Client(_) => 50,
        }
    }
}

/// The result of starting an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// The attempt is allowed, and counted.
    Allowed,
    /// The attempt is refused. The next one is allowed after this time.
    Wait { seconds: i64 },
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last_at: DateTime<Utc>,
}

/// Recent attempts, and known browsers. A panel is one process, so they are in memory.
#[derive(Default)]
pub(super) struct SignInAttempts {
    failures: HashMap<AttemptKey, Failures>,
    browsers: HashMap<CookieDigest, EmailAddress>,
}

impl SignInAttempts {
    /// Returns the counters of an attempt for `email` from `client`, in the browser with the cookie
    /// `browser`.
    pub(super) fn keys(
        &self,
        email: Option<&EmailAddress>,
        client: IpAddr,
        browser: Option<&str>,
    ) -> Vec<AttemptKey> {
        let known = browser.map(CookieDigest::of).filter(|browser| {
            let owner = self.browsers.get(browser);
            owner.is_some() && owner == email
        });
        match known {
            Some(browser) => vec![AttemptKey::Browser(browser)],
            None => email
                .cloned()
                .map(AttemptKey::Account)
                .into_iter()
                .chain([AttemptKey::Client(client)])
                .collect(),
        }
    }

    /// Counts an attempt against each of `keys`, unless one of them must wait. It counts before
    /// the password is checked, so parallel attempts do not get around the wait.
    pub(super) fn begin(&mut self, keys: &[AttemptKey], now: DateTime<Utc>) -> Attempt {
        self.failures
            .retain(|_, failures| now - failures.last_at < FORGET_AFTER);
        let ready = keys.iter().filter_map(|key| self.ready_at(key)).max();
        if let Some(ready) = ready.filter(|ready| *ready > now) {
            let seconds = (ready - now).num_seconds().max(1);
            return Attempt::Wait { seconds };
        }
        for key in keys {
            let none = Failures {
                count: 0,
                last_at: now,
            };
            let failures = self.failures.entry(key.clone()).or_insert(none);
            failures.count += 1;
            failures.last_at = now;
        }
        Attempt::Allowed
    }

    fn ready_at(&self, key: &AttemptKey) -> Option<DateTime<Utc>> {
        let failures = self.failures.get(key)?;
        let doublings = failures.count.checked_sub(key.free_failures())?;
        let wait = FIRST_WAIT * 2_i32.pow(doublings.min(8));
        Some(failures.last_at + wait.min(LONGEST_WAIT))
    }

    /// Uncounts a successful sign-in, and remembers the browser by `cookie`.
    pub(super) fn succeed(&mut self, keys: &[AttemptKey], email: &EmailAddress, cookie: &str) {
        for key in keys {
            // A successful sign-in must not reset the count of guesses at other accounts.
            match (key, self.failures.get_mut(key)) {
                (AttemptKey::Client(_), Some(failures)) => failures.count -= 1,
                _ => drop(self.failures.remove(key)),
            }
        }
        self.browsers
            .insert(CookieDigest::of(cookie), email.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time in range")
    }

    fn email(name: &str) -> EmailAddress {
        EmailAddress::parse(&format!("{name}@example.com")).expect("a valid address")
    }

    fn begin(
        attempts: &mut SignInAttempts,
        name: &str,
        browser: Option<&str>,
        second: i64,
    ) -> Attempt {
        let keys = attempts.keys(Some(&email(name)), CLIENT, browser);
        attempts.begin(&keys, at(second))
    }

    #[test]
    fn the_wait_grows_to_a_minute() {
        let mut attempts = SignInAttempts::default();
        for _ in 0..5 {
            assert_eq!(begin(&mut attempts, "ada", None, 0), Attempt::Allowed);
        }
        assert_eq!(
            begin(&mut attempts, "ada", None, 0),
            Attempt::Wait { seconds: 15 }
        );
        assert_eq!(begin(&mut attempts, "bob", None, 0), Attempt::Allowed);
        assert_eq!(
            begin(&mut attempts, "ada", None, 14),
            Attempt::Wait { seconds: 1 }
        );
        assert_eq!(begin(&mut attempts, "ada", None, 15), Attempt::Allowed);
        assert_eq!(
            begin(&mut attempts, "ada", None, 15),
            Attempt::Wait { seconds: 30 }
        );
        assert_eq!(begin(&mut attempts, "ada", None, 45), Attempt::Allowed);
        for minute in 1..100 {
            let second = 45 + minute * 60;
            assert_eq!(
                begin(&mut attempts, "ada", None, second - 1),
                Attempt::Wait { seconds: 1 }
            );
            assert_eq!(begin(&mut attempts, "ada", None, second), Attempt::Allowed);
        }
        let later = 45 + 99 * 60 + 900;
        for _ in 0..5 {
            assert_eq!(
                begin(&mut attempts, "ada", None, later),
                Attempt::Allowed,
                "forgotten"
            );
        }
    }

    #[test]
    fn a_known_browser_does_not_wait_for_failures_elsewhere() {
        let mut attempts = SignInAttempts::default();
        let keys = attempts.keys(Some(&email("ada")), CLIENT, Some("cookie"));
        assert_eq!(keys.len(), 2, "not known yet");
        attempts.succeed(&keys, &email("ada"), "cookie");
        while begin(&mut attempts, "ada", None, 0) == Attempt::Allowed {}
        assert_eq!(
            begin(&mut attempts, "ada", Some("another"), 0),
            Attempt::Wait { seconds: 15 }
        );
        assert_eq!(
            begin(&mut attempts, "ada", Some("cookie"), 0),
            Attempt::Allowed
        );
        for _ in 0..4 {
            assert_eq!(
                begin(&mut attempts, "ada", Some("cookie"), 0),
                Attempt::Allowed
            );
        }
        assert_eq!(
            begin(&mut attempts, "ada", Some("cookie"), 0),
            Attempt::Wait { seconds: 15 },
            "a known browser is limited too"
        );
        // The browser is known for one account only.
        while begin(&mut attempts, "bob", None, 0) == Attempt::Allowed {}
        assert_eq!(
            begin(&mut attempts, "bob", Some("cookie"), 0),
            Attempt::Wait { seconds: 15 }
        );
    }

    #[test]
    fn a_client_cannot_guess_at_any_number_of_accounts() {
        let mut attempts = SignInAttempts::default();
        let mut accounts = 0;
        while begin(&mut attempts, &format!("user{accounts}"), None, 0) == Attempt::Allowed {
            accounts += 1;
            // A successful sign-in with the guesser's own account changes nothing.
            let own = attempts.keys(Some(&email("own")), CLIENT, None);
            if attempts.begin(&own, at(0)) == Attempt::Allowed {
                attempts.succeed(&own, &email("own"), "own cookie");
            }
        }
        assert_eq!(accounts, 50);
    }
}
