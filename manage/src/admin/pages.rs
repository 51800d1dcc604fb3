//! Parts that the panel's pages share, and its error pages.

use std::sync::LazyLock;

use askama::Template;
use aws::AwsError;
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use url::form_urlencoded;

use crate::output::format_time;
use web::{SECURITY_HEADERS, source_hash};

pub(super) const STYLE: &str = include_str!("../../templates/admin/admin.css");

/// Content security policy: allows only the pages' style, by its hash, and forms to the panel.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
        source_hash(STYLE)
    );
    HeaderValue::try_from(policy).expect("a hash is ASCII")
});

/// The frame of the pages of a signed-in administrator.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Token of the sign-out form.
    pub(super) form_token: &'a str,
    /// Name of the system that the panel shows.
    pub(super) system_name: &'a str,
    /// Whether the inbox is served next to the panel.
    pub(super) has_inbox: bool,
}

/// Returns the headers of every response.
pub(super) fn headers() -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let own = [
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    own.into_iter().chain(SECURITY_HEADERS)
}

/// Renders `page` as a response.
pub(super) fn render(page: &impl Template) -> Response {
    Html(page.render().expect("writing to a string does not fail")).into_response()
}

/// Formats a time.
pub(super) fn time(at: Option<DateTime<Utc>>) -> String {
    format_time(at, "%Y-%m-%d %H:%M UTC")
}

/// Builds a link to `path` with `fields` as its query.
pub(super) fn href(path: &str, fields: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    format!("{path}?{query}")
}

/// The reason why a request is refused.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request names a host that is not the panel's.
    WrongHost,
    /// Another site sent the form.
    WrongOrigin,
    /// The form lacks the token of its session.
    WrongForm,
    NoSuchPage,
    NoSuchUser,
    /// The action is unavailable for this user, for this reason.
    NotPossible(&'static str),
    /// The system's random generator failed.
    Random,
    Database,
}

impl From<AwsError> for Failure {
    fn from(error: AwsError) -> Self {
        tracing::error!(%error, "the admin panel cannot access its tables");
        Self::Database
    }
}

impl Failure {
    fn describe(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::WrongHost => (
                StatusCode::FORBIDDEN,
                "Another host",
                "The panel answers as 127.0.0.1 and localhost alone, on its own port.",
            ),
            Self::WrongOrigin => (
                StatusCode::FORBIDDEN,
                "Another site",
                "This form was sent by another site, so nothing was done.",
            ),
            Self::WrongForm => (
                StatusCode::FORBIDDEN,
                "This form is out of date",
                "Nothing was done. Go back, reload the page, and send it again.",
            ),
            Self::NoSuchPage => (
                StatusCode::NOT_FOUND,
                "No such page",
                "There is nothing under this address.",
            ),
            Self::NoSuchUser => (
                StatusCode::NOT_FOUND,
                "No such user",
                "There is no user with this address.",
            ),
            Self::NotPossible(reason) => (StatusCode::CONFLICT, "Not possible", reason),
            Self::Random | Self::Database => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not at the moment",
                "The database does not answer. Nothing was shown or done; try again.",
            ),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title, text) = self.describe();
        let page = MessagePage {
            frame: None,
            title,
            text,
        };
        (status, render(&page)).into_response()
    }
}

#[derive(Template)]
#[template(path = "admin/message.html")]
struct MessagePage<'a> {
    /// Always `None`: the request may not come from an administrator.
    frame: Option<Frame<'a>>,
    title: &'a str,
    text: &'a str,
}
