//! `…/forgot-password/`: requests an email with a reset link.
//!
//! One conditional write of a fixed shape into the outbox, then the response. Only the mailer finds
//! out whether the account exists: this function cannot read the users table, so neither status,
//! body, headers nor timing can depend on it.

pub mod settings;

use aws::{
    DynamoDb,
    metrics::{Metric, count},
    tables::{Admission, ClientLimit, Outbox},
};
use chrono::{DateTime, Utc};
use lambda_http::{Body, Request, Response, http::Method};
use rules::{address::EmailAddress, client::ClientNetwork};
use web::{
    Fields, Problem, Site, Theme,
    pages::{Pages, Resource},
};

use settings::RequestSettings;

const RESOURCE: Resource = Resource::ForgotPassword;

/// State of the handler, built once at start-up.
pub struct App {
    outbox: Outbox,
    client_limit: ClientLimit,
    site: Site,
}

impl App {
    /// Builds the handler's state.
    #[must_use]
    pub fn new(settings: RequestSettings, dynamodb: DynamoDb) -> Self {
        Self {
            outbox: Outbox::new(dynamodb, settings.outbox_table),
            client_limit: settings.client_limit,
            site: Site {
                cors: settings.cors,
                edge: settings.edge,
                log_client: settings.log_client,
                theme: Theme::new(settings.brand),
            },
        }
    }

    /// Responds to one HTTP request: with the page, or with the result of the form or API call.
    pub async fn handle(&self, request: Request, now: DateTime<Utc>) -> Response<Body> {
        web::serve(RESOURCE, &self.site, request, async |request, client| {
            if request.method() != Method::POST {
                return Ok(self.pages(&request).ask("", None));
            }
            let pages = web::wants_page(request.headers()).then(|| self.pages(&request));
            let locale = web::language(&request).tag;
            let fields = web::read_fields(request, ["email"]).await;
            let typed = fields.typed("email");
            match (self.record(client, locale, fields, now).await, pages) {
                (Ok(()), None) => Ok(web::worked()),
                (Ok(()), Some(pages)) => Ok(pages.sent()),
                (Err(problem), None) => Err(problem),
                (Err(problem), Some(pages)) => Ok(pages.ask(&typed, Some(&problem))),
            }
        })
        .await
    }

    fn pages(&self, request: &Request) -> Pages<'_> {
        Pages::new(&self.site.theme, RESOURCE, request)
    }

    /// Records the request in the outbox, unless the client is over its limit.
    async fn record(
        &self,
        client: ClientNetwork,
        locale: &str,
        fields: Fields<1>,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        count(Metric::Requests);
        let [email] = fields.finish()?;
        let email = EmailAddress::parse(&web::required("email", email)?)?;
        let admission = self
            .outbox
            .record_request(client, &email, locale, self.client_limit, now)
            .await?;
        match admission {
            Admission::Accepted => {
                tracing::info!(account = email.digest(), "reset email requested");
                Ok(())
            }
            Admission::Limited {
                retry_after_seconds,
            } => {
                count(Metric::RequestsLimited);
                Err(Problem::RateLimited {
                    retry_after_seconds,
                })
            }
        }
    }
}
