//! The admin panel under `/admin/`: users, and what recovery did for them.
//!
//! It is for whoever runs the system on this machine, and answers on loopback alone. An
//! administrator can send a link and close an account, but never set a password: that stays with
//! whoever reads the mail.

mod account;
mod chart;
pub(crate) mod deployed;
mod guard;
mod list;
mod pages;
pub mod refusals;
mod sessions;
mod sign_in;
mod tries;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws::tables::{Outbox, TableNames, Tokens, Users};
use aws_sdk_dynamodb::Client as DynamoDb;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    response::Redirect,
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use passwords::HashParams;
use rules::recovery::EmailBudget;

use self::{guard::Admin, pages::Frame, refusals::Refusals, sessions::Sessions, tries::Tries};

/// No form of the panel is longer.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Settings of the panel.
pub struct Settings {
    /// Client of the tables.
    pub dynamodb: DynamoDb,
    /// The tables.
    pub tables: TableNames,
    /// The mailer's budget for an account.
    pub budget: EmailBudget,
    /// Parameters of password hashes, so that an unknown address costs as much as a known one.
    pub hashing: HashParams,
    /// The port on which browsers see the panel.
    pub port: u16,
    /// Name of the system that the panel shows.
    pub place: String,
    /// What only the local system records.
    pub local: Option<LocalRecords>,
    /// Returns the current time.
    pub now: fn() -> DateTime<Utc>,
}

/// What the local system records in addition to its tables.
pub struct LocalRecords {
    /// Returns when each email in the inbox was sent.
    pub sent_at: Box<dyn Fn() -> Vec<DateTime<Utc>> + Send + Sync>,
    /// Refused requests, if they are counted.
    pub refusals: Option<Refusals>,
}

/// What the handlers share.
struct Panel {
    users: Users,
    tokens: Tokens,
    outbox: Outbox,
    budget: EmailBudget,
    /// A hash that no password has, at the cost of a real one.
    dummy_hash: String,
    hosts: [String; 2],
    place: String,
    local: Option<LocalRecords>,
    now: fn() -> DateTime<Utc>,
    sessions: Mutex<Sessions>,
    tries: Mutex<Tries>,
}

impl Panel {
    fn new(settings: Settings) -> Self {
        let Settings {
            dynamodb,
            tables,
            budget,
            hashing,
            port,
            place,
            local,
            now,
        } = settings;
        Self {
            users: Users::new(dynamodb.clone(), tables.users),
            tokens: Tokens::new(dynamodb.clone(), tables.tokens),
            outbox: Outbox::new(dynamodb, tables.outbox),
            budget,
            dummy_hash: hashing.unusable_hash(),
            hosts: ["127.0.0.1", "localhost"].map(|host| format!("{host}:{port}")),
            place,
            local,
            now,
            sessions: Mutex::default(),
            tries: Mutex::default(),
        }
    }

    /// What every page of `admin` has around it.
    fn frame<'a>(&'a self, admin: &'a Admin) -> Frame<'a> {
        Frame {
            form_token: &admin.form_token,
            place: &self.place,
            has_inbox: self.local.is_some(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The panel.
pub fn router(settings: Settings) -> Router {
    let panel = Arc::new(Panel::new(settings));
    Router::new()
        .route("/admin", get(async || Redirect::to("/admin/")))
        .route("/admin/", get(list::show))
        .route("/admin/sign-in/", get(sign_in::show).post(sign_in::enter))
        .route("/admin/sign-out/", post(sign_in::leave))
        .route("/admin/users/", get(account::show))
        .route(
            "/admin/users/{action}/",
            get(account::ask).post(account::act),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(panel.clone(), guard::guard))
        .with_state(panel)
}
