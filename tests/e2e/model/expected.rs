//! The model: what the tables and mailboxes must contain.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use rules::recovery::EmailId;
use serde_json::Value;

/// The mailer's default settings, and the lifetime of a link.
const COOLDOWN: TimeDelta = TimeDelta::seconds(60);
const EMAILS_PER_HOUR: usize = 5;
const HOUR: TimeDelta = TimeDelta::hours(1);
const LINK_LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Accounts of a sequence. One further address is unknown.
pub(super) const ACCOUNTS: usize = 2;

/// Recovery state of an account.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Account {
    pub(super) is_active: bool,
    pub(super) password: Option<String>,
    pub(super) changed_at: Option<DateTime<Utc>>,
    pub(super) epoch: i64,
    /// Emails that were ever begun: id, whether it has a link, and time.
    pub(super) emails: Vec<(String, bool, DateTime<Utc>)>,
    pub(super) is_suppressed: bool,
    /// Emails that an attempt failed to send, and those that were sent after that.
    waiting: HashSet<String>,
    sent: HashSet<String>,
}

/// An email that is owed, with its stream record.
#[derive(Clone)]
pub(super) struct Owed {
    pub(super) who: usize,
    pub(super) is_link: bool,
    pub(super) id: EmailId,
    pub(super) record: Value,
}

/// A link in a mailbox.
#[derive(Debug, Clone)]
pub(super) struct SentLink {
    pub(super) who: usize,
    pub(super) token: String,
    pub(super) issued_at: DateTime<Utc>,
    pub(super) is_spent: bool,
}

/// The expected state of the system.
#[derive(Clone)]
pub(super) struct Model {
    pub(super) now: DateTime<Utc>,
    pub(super) accounts: [Option<Account>; ACCOUNTS],
    pub(super) owed: Vec<Owed>,
    pub(super) links: Vec<SentLink>,
}

impl Account {
    pub(super) fn new() -> Self {
        Self {
            is_active: true,
            ..Self::default()
        }
    }

    /// Returns whether an email is sent for `owed` at `now`, and records it.
    pub(super) fn begin(&mut self, owed: &Owed, now: DateTime<Utc>) -> bool {
        if self.is_suppressed || (owed.is_link && !self.is_active) {
            return false;
        }
        let id = owed.id.as_str();
        if self.sent.contains(id) {
            return false;
        }
        if self.emails.iter().any(|(known, ..)| known == id) {
            return true;
        }
        let ages = self
            .emails
            .iter()
            .filter(|(_, is_link, _)| *is_link)
            .map(|(.., at)| now - *at);
        let ages: Vec<_> = ages.filter(|age| *age < HOUR).collect();
        let is_spent = ages.len() >= EMAILS_PER_HOUR || ages.iter().any(|age| *age < COOLDOWN);
        if owed.is_link && is_spent {
            return false;
        }
        self.emails.push((id.to_owned(), owed.is_link, now));
        true
    }

    /// Records how an attempt to send `owed` ended. A success is only known to the row if the
    /// email had been waiting.
    pub(super) fn end(&mut self, owed: &Owed, is_accepted: bool) {
        let id = owed.id.as_str().to_owned();
        if !is_accepted {
            self.waiting.insert(id);
        } else if self.waiting.contains(&id) {
            self.sent.insert(id);
        }
    }
}

impl SentLink {
    /// Returns whether the token is stored and has not expired, to the second.
    pub(super) fn is_valid(&self, now: DateTime<Utc>) -> bool {
        !self.is_spent && (self.issued_at + LINK_LIFETIME).timestamp() > now.timestamp()
    }
}

impl Model {
    /// Changes the password with link `index`. Returns whether that works.
    pub(super) fn confirm(&mut self, index: usize, password: &str) -> bool {
        let link = &mut self.links[index];
        let Some(account) = &mut self.accounts[link.who] else {
            return false;
        };
        let is_newer = account.changed_at.is_none_or(|at| at < link.issued_at);
        if !(link.is_valid(self.now) && account.is_active && is_newer) {
            return false;
        }
        link.is_spent = true;
        account.password = Some(password.to_owned());
        account.changed_at = Some(self.now.max(link.issued_at));
        account.epoch += 1;
        true
    }
}
