//! Sessions of administrators, in memory, by the digests of their cookies.

use std::collections::HashMap;

use aws::tables::User;
use chrono::{DateTime, TimeDelta, Utc};
use rules::address::EmailAddress;

use super::form::CookieDigest;

/// Idle time after which a session ends.
const IDLE_TIMEOUT: TimeDelta = TimeDelta::minutes(30);

/// A session of an administrator.
#[derive(Debug, Clone)]
pub(super) struct AdminSession {
    /// The administrator's address.
    pub(super) email: EmailAddress,
    /// The user's session epoch at sign-in. A password reset increases it, which ends the session.
    pub(super) epoch: i64,
    /// The token that every form of the session must have.
    pub(super) form_token: String,
    last_used_at: DateTime<Utc>,
}

/// All sessions.
#[derive(Default)]
pub(super) struct AdminSessions(HashMap<CookieDigest, AdminSession>);

impl AdminSessions {
    /// Starts a session of `user` with `cookie`, a new random token, and removes ended sessions.
    pub(super) fn start(
        &mut self,
        cookie: &str,
        form_token: String,
        user: &User,
        now: DateTime<Utc>,
    ) {
        self.0.retain(|_, session| session.is_alive(now));
        let session = AdminSession {
            email: user.email.clone(),
            epoch: user.session_epoch,
            form_token,
            last_used_at: now,
        };
        self.0.insert(CookieDigest::of(cookie), session);
    }

    /// Returns the session of `cookie` and restarts its idle timeout.
    pub(super) fn touch(&mut self, cookie: &str, now: DateTime<Utc>) -> Option<AdminSession> {
        let key = CookieDigest::of(cookie);
        let session = self.0.get_mut(&key)?;
        if !session.is_alive(now) {
            self.0.remove(&key);
            return None;
        }
        session.last_used_at = now;
        Some(session.clone())
    }

    /// Ends the session of `cookie`.
    pub(super) fn end(&mut self, cookie: &str) {
        self.0.remove(&CookieDigest::of(cookie));
    }
}

impl AdminSession {
    fn is_alive(&self, now: DateTime<Utc>) -> bool {
        now - self.last_used_at < IDLE_TIMEOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time in range")
            + TimeDelta::minutes(minutes)
    }

    fn user() -> User {
        User {
            key: None,
            email: EmailAddress::parse("root@example.com").expect("a valid address"),
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
        let mut sessions = AdminSessions::default();
        sessions.start("cookie", "form".to_owned(), &user(), at(0));
        assert!(sessions.touch("cookie", at(29)).is_some());
        let session = sessions.touch("cookie", at(58)).expect("an active session");
        assert_eq!((session.epoch, session.form_token.as_str()), (3, "form"));
        assert!(sessions.touch("cookie", at(88)).is_none());
        assert!(
            sessions.touch("cookie", at(58)).is_none(),
            "the session was removed"
        );
    }

    #[test]
    fn a_session_is_found_only_by_its_cookie_until_it_ends() {
        let mut sessions = AdminSessions::default();
        sessions.start("cookie", "form".to_owned(), &user(), at(0));
        assert!(sessions.touch("cookies", at(0)).is_none());
        assert!(sessions.touch("", at(0)).is_none());
        sessions.end("cookie");
        assert!(sessions.touch("cookie", at(0)).is_none());
    }

    #[test]
    fn ended_sessions_are_removed() {
        let mut sessions = AdminSessions::default();
        sessions.start("one", "form".to_owned(), &user(), at(0));
        sessions.start("two", "form".to_owned(), &user(), at(31));
        assert_eq!(sessions.0.len(), 1);
    }
}
