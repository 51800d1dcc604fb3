//! `…/forgot-password/`: somebody asks for a mail.
//!
//! One conditional write of a fixed shape into the outbox, then the answer. Whether the account
//! exists is the mailer's question: this function cannot read the users table, so that neither
//! status, body, headers nor time can depend on it.

use chrono::{DateTime, Utc};
use lambda_http::{Body, Request, Response, http::Method};
use shared::{
    DynamoDb,
    address::EmailAddress,
    http::{self, Client, CorsOrigins, Fields, Problem},
    log,
    pages::{self, Look, Pages, Resource},
    settings::RequestSettings,
    tables::{Asked, ClientLimit, Outbox},
};

const RESOURCE: Resource = Resource::ForgotPassword;

/// What the handler needs, made once at the start.
pub struct App {
    outbox: Outbox,
    limit: ClientLimit,
    cors: CorsOrigins,
    look: Look,
}

impl App {
    /// Puts the settings and the client to use.
    #[must_use]
    pub fn new(settings: RequestSettings, dynamodb: DynamoDb) -> Self {
        Self {
            outbox: Outbox::new(dynamodb, settings.outbox_table),
            limit: ClientLimit {
                requests: settings.client_limit,
                window_seconds: settings.client_window_seconds,
            },
            cors: settings.cors,
            look: Look::new(settings.brand),
        }
    }
}

/// Answers one HTTP request: with the page, or with what became of the form or the call.
pub async fn handle(app: &App, request: Request, now: DateTime<Utc>) -> Response<Body> {
    http::serve(&app.cors, request, async |request| {
        if let Some(redirect) = pages::from_well_known(&request) {
            return redirect;
        }
        if request.method() != Method::POST {
            return Pages::new(&app.look, RESOURCE, &request).ask("", None);
        }
        let pages = pages::is_from_page(request.headers())
            .then(|| Pages::new(&app.look, RESOURCE, &request));
        let (client, locale) = (http::client(&request), pages::language(&request).tag);
        let fields = http::read_fields(request, ["email"]).await;
        let typed = fields.typed("email");
        match (ask(app, client, locale, fields, now).await, pages) {
            (Ok(()), None) => http::worked(),
            (Ok(()), Some(pages)) => pages.sent(),
            (Err(problem), None) => problem.into_response(),
            (Err(problem), Some(pages)) => pages.ask(&typed, Some(&problem)),
        }
    })
    .await
}

async fn ask(
    app: &App,
    client: Client,
    locale: &str,
    fields: Fields<1>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    log::count("requests", 1);
    let [email] = fields.finish()?;
    let email = EmailAddress::parse(&http::required("email", email)?)?;
    match app
        .outbox
        .ask(client, &email, locale, app.limit, now)
        .await?
    {
        Asked::Accepted => {
            tracing::info!(account = email.digest(), "a mail was asked for");
            Ok(())
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
