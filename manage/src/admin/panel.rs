//! The state of the panel.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aws::tables::{Outbox, TableNames, Tokens, User, UserLookup, Users};
use aws_sdk_dynamodb::Client as DynamoDb;
use chrono::{DateTime, Utc};
use passwords::HashParams;
use rules::{address::EmailAddress, recovery::EmailBudget};

use super::{
    pages::{Failure, Frame},
    refusals::Refusals,
    sessions::AdminSessions,
    sign_in_attempts::SignInAttempts,
};

/// Settings of the panel.
pub struct Settings {
    /// Client of the tables.
    pub dynamodb: DynamoDb,
    /// The tables.
    pub tables: TableNames,
    /// The mailer's budget for an account.
    pub budget: EmailBudget,
    /// Parameters of password hashes. Signing in with an unknown address costs the same hash.
    pub hashing: HashParams,
    /// The port on which browsers see the panel.
    pub port: u16,
    /// Name of the system that the panel shows.
    pub system_name: String,
    /// Records that only the local system has.
    pub local: Option<LocalRecords>,
    /// Returns the current time.
    pub now: fn() -> DateTime<Utc>,
}

/// Records that the local system keeps in addition to its tables.
pub struct LocalRecords {
    /// Returns when each email in the inbox was sent.
    pub sent_at: Box<dyn Fn() -> Vec<DateTime<Utc>> + Send + Sync>,
    /// Refused requests, if they are counted.
    pub refusals: Option<Refusals>,
}

/// State that the handlers share.
pub(super) struct Panel {
    pub(super) users: Users,
    pub(super) tokens: Tokens,
    pub(super) outbox: Outbox,
    pub(super) budget: EmailBudget,
    pub(super) hosts: [String; 2],
    pub(super) local: Option<LocalRecords>,
    pub(super) now: fn() -> DateTime<Utc>,
    /// A hash that no password matches, at the cost of a real one.
    pub(super) dummy_hash: String,
    system_name: String,
    sessions: Mutex<AdminSessions>,
    attempts: Mutex<SignInAttempts>,
}

impl Panel {
    pub(super) fn new(settings: Settings) -> Self {
        let Settings {
            dynamodb,
            tables,
            budget,
            hashing,
            port,
            system_name,
            local,
            now,
        } = settings;
        Self {
            users: Users::new(dynamodb.clone(), tables.users),
            tokens: Tokens::new(dynamodb.clone(), tables.tokens),
            outbox: Outbox::new(dynamodb, tables.outbox),
            budget,
            hosts: ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}")),
            local,
            now,
            system_name,
            dummy_hash: hashing.unusable_hash(),
            sessions: Mutex::default(),
            attempts: Mutex::default(),
        }
    }

    /// Returns the frame of a signed-in administrator's pages.
    pub(super) fn frame<'a>(&'a self, form_token: &'a str) -> Frame<'a> {
        Frame {
            form_token,
            system_name: &self.system_name,
            has_inbox: self.local.is_some(),
        }
    }

    /// Returns the user with the address `email`.
    pub(super) async fn find_user(&self, email: &str) -> Result<User, Failure> {
        let email = EmailAddress::parse(email).map_err(|_| Failure::NoSuchUser)?;
        match self.users.find(&email).await? {
            UserLookup::One(user) => Ok(*user),
            UserLookup::Unknown => Err(Failure::NoSuchUser),
            UserLookup::Ambiguous => Err(Failure::NotPossible(
                "More than one account has this address, so that none of them is shown, sent a mail \
                 or changed. Let the application give each an address of its own.",
            )),
        }
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, AdminSessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attempts(&self) -> MutexGuard<'_, SignInAttempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
