//! Who is signed in: sessions in the memory of this process, each under the digest of its
//! cookie.

use std::collections::HashMap;

use aws::tables::User;
use chrono::{DateTime, TimeDelta, Utc};
use rules::address::EmailAddress;
use sha2::{Digest, Sha256};

/// A session that nobody uses ends after this time.
const IDLE: TimeDelta = TimeDelta::minutes(30);

/// What a session is known to be.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Whose it is.
    pub(super) email: EmailAddress,
    /// The user's epoch at sign-in; a password that is set anew ends the session.
    pub(super) epoch: i64,
    /// What every form of the session has to bring along.
    pub(super) form_token: String,
    seen: DateTime<Utc>,
}

/// The sessions. A cookie's own text is kept nowhere.
#[derive(Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Session>);

impl Sessions {
    /// Begins a session for `user` under `cookie`, a new random text, and forgets those that
    /// have ended.
    pub(super) fn begin(
        &mut self,
        cookie: &str,
        form_token: String,
        user: &User,
        now: DateTime<Utc>,
    ) {
        self.0.retain(|_, session| session.is_alive(now));
        let session = Session {
            email: user.email.clone(),
            epoch: user.session_epoch,
            form_token,
            seen: now,
        };
        self.0.insert(digest(cookie), session);
    }

    /// The session of `cookie`, which has been used now.
    pub(super) fn touch(&mut self, cookie: &str, now: DateTime<Utc>) -> Option<Session> {
        let key = digest(cookie);
        let session = self.0.get_mut(&key)?;
        if !session.is_alive(now) {
            self.0.remove(&key);
            return None;
        }
        session.seen = now;
        Some(session.clone())
    }

    /// Ends the session of `cookie`.
    pub(super) fn end(&mut self, cookie: &str) {
        self.0.remove(&digest(cookie));
    }
}

impl Session {
    fn is_alive(&self, now: DateTime<Utc>) -> bool {
        now - self.seen < IDLE
    }
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time") + TimeDelta::minutes(minutes)
    }

    fn user() -> User {
        User {
            key: None,
            email: EmailAddress::parse("root@example.com").expect("an address"),
            mail_to: "root@example.com".to_owned(),
            user_id: String::new(),
            name: None,
            locale: None,
            password_hash: None,
            password_changed_at: None,
            session_epoch: 3,
            is_active: true,
            is_superuser: true,
            created_at: None,
            recovery: rules::recovery::Recovery::default(),
        }
    }

    #[test]
    fn a_session_ends_after_half_an_hour_without_use() {
        let mut sessions = Sessions::default();
        sessions.begin("cookie", "form".to_owned(), &user(), at(0));
        assert!(sessions.touch("cookie", at(29)).is_some());
        let session = sessions.touch("cookie", at(58)).expect("it was used");
        assert_eq!((session.epoch, session.form_token.as_str()), (3, "form"));
        assert!(sessions.touch("cookie", at(88)).is_none());
        assert!(sessions.touch("cookie", at(58)).is_none(), "it is gone");
    }

    #[test]
    fn only_its_own_cookie_opens_a_session_and_its_end_closes_it() {
        let mut sessions = Sessions::default();
        sessions.begin("cookie", "form".to_owned(), &user(), at(0));
        assert!(sessions.touch("cookies", at(0)).is_none());
        assert!(sessions.touch("", at(0)).is_none());
        sessions.end("cookie");
        assert!(sessions.touch("cookie", at(0)).is_none());
    }

    #[test]
    fn sessions_that_have_ended_are_forgotten() {
        let mut sessions = Sessions::default();
        sessions.begin("one", "form".to_owned(), &user(), at(0));
        sessions.begin("two", "form".to_owned(), &user(), at(31));
        assert_eq!(sessions.0.len(), 1);
    }
}
