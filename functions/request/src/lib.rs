//! `POST …/forgot-password/`: somebody asks for a mail.
//!
//! One conditional write of a fixed shape into the outbox, then the answer. Whether the account
//! exists is the mailer's question: this function cannot read the users table, so that neither
//! status, body, headers nor time can depend on it.

use chrono::{DateTime, Utc};
use lambda_http::{Body, Request, Response};
use shared::{
    DynamoDb,
    address::EmailAddress,
    http::{self, CorsOrigins, Problem},
    log,
    settings::RequestSettings,
    tables::{Asked, ClientLimit, Outbox},
};

/// What the handler needs, made once at the start.
pub struct App {
    outbox: Outbox,
    limit: ClientLimit,
    cors: CorsOrigins,
}

impl App {
    /// Puts the settings and the client to use.
    #[must_use]
    pub fn new(settings: RequestSettings, dynamodb: DynamoDb) -> Self {
        let RequestSettings {
            outbox_table,
            client_limit,
            client_window_seconds,
            cors,
        } = settings;
        Self {
            outbox: Outbox::new(dynamodb, outbox_table),
            limit: ClientLimit {
                requests: client_limit,
                window_seconds: client_window_seconds,
            },
            cors,
        }
    }
}

/// Answers one HTTP request.
pub async fn handle(app: &App, request: Request, now: DateTime<Utc>) -> Response<Body> {
    http::serve(&app.cors, request, |request| ask(app, request, now)).await
}

async fn ask(app: &App, request: Request, now: DateTime<Utc>) -> Result<Response<Body>, Problem> {
    log::count("requests", 1);
    let client = http::client(&request);
    let [email] = http::read_fields(request, ["email"]).await?;
    let email = EmailAddress::parse(&http::required("email", email)?)?;
    match app.outbox.ask(client, &email, app.limit, now).await? {
        Asked::Accepted => {
            tracing::info!(account = email.digest(), "a mail was asked for");
            Ok(http::worked())
        }
        Asked::Limited {
            retry_after_seconds,
        } => {
            log::count("requests_limited", 1);
            Err(Problem::RateLimited {
                retry_after_seconds,
            })
        }
    }
}
