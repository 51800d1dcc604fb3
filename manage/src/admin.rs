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
mod sessions;
mod sign_in;
mod tries;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client as DynamoDb;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    response::Redirect,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use chrono::{DateTime, Utc};
use shared::{
    password::HashParams,
    settings::{MailBudget, TableNames},
    tables::{Outbox, Tokens, Users},
};

use self::{guard::Admin, pages::Frame, sessions::Sessions, tries::Tries};
use crate::{inbox::Inbox, refusals::Refusals};

/// No form of the panel is longer.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// What the panel works on and by.
pub(crate) struct Settings {
    pub(crate) dynamodb: DynamoDb,
    pub(crate) tables: TableNames,
    /// What the mailer lets an account have.
    pub(crate) budget: MailBudget,
    /// What a hash costs here, so that an address without one costs the same.
    pub(crate) hashing: HashParams,
    /// The port that browsers see it on.
    pub(crate) port: u16,
    /// Which system it is about, for people.
    pub(crate) place: String,
    /// What only the local system knows.
    pub(crate) local: Option<Records>,
    pub(crate) now: fn() -> DateTime<Utc>,
}

/// What the local system keeps beside its tables.
pub(crate) struct Records {
    pub(crate) inbox: Inbox,
    pub(crate) refusals: Option<Refusals>,
}

/// What the handlers share.
struct Panel {
    users: Users,
    tokens: Tokens,
    outbox: Outbox,
    budget: MailBudget,
    /// A hash that no password has, at the cost of a real one.
    dummy_hash: String,
    hosts: [String; 2],
    place: String,
    local: Option<Records>,
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
            dummy_hash: dummy_hash(hashing),
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

fn dummy_hash(costs: HashParams) -> String {
    let HashParams {
        memory_kib,
        iterations,
        parallelism,
        ..
    } = costs;
    let (salt, hash) = (
        STANDARD_NO_PAD.encode([0; 16]),
        STANDARD_NO_PAD.encode([0; 32]),
    );
    format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${salt}${hash}")
}

/// The panel.
pub(crate) fn router(settings: Settings) -> Router {
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
