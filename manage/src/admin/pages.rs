//! What the panel's pages have in common, and what it says where it cannot do as asked.

use std::sync::LazyLock;

use askama::Template;
use aws::AwsError;
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use url::form_urlencoded;
use web::pages::source_hash;

pub(super) const STYLE: &str = include_str!("../../templates/admin/admin.css");

/// The pages' own style by its hash, forms to the panel itself, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
        source_hash(STYLE)
    );
    HeaderValue::try_from(policy).expect("a hash is ASCII")
});

/// What the pages of somebody who is signed in have around them.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// For the sign-out button.
    pub(super) form_token: &'a str,
    /// Which system the panel is about.
    pub(super) place: &'a str,
    /// Whether there is an inbox beside the panel.
    pub(super) has_inbox: bool,
}

/// On every answer.
pub(super) fn headers() -> [(HeaderName, HeaderValue); 5] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ]
}

/// The answer that `page` is.
pub(super) fn render(page: &impl Template) -> Response {
    Html(page.render().expect("writing to a string does not fail")).into_response()
}

/// A time for people.
pub(super) fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "never".to_owned(),
        |at| at.format("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

pub(super) fn yes(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}

/// The address of `path` with a query of `fields`.
pub(super) fn href(path: &str, fields: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    format!("{path}?{query}")
}

/// Why a request is not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It names a host that the panel is not known by.
    WrongHost,
    /// A form that another site sends.
    WrongOrigin,
    /// A form without the token of its session.
    WrongForm,
    NoSuchPage,
    NoSuchUser,
    /// The action is not to be had for this user, and why.
    NotPossible(&'static str),
    /// The system gives no random numbers.
    Random,
    Database,
}

impl From<AwsError> for Failure {
    fn from(error: AwsError) -> Self {
        tracing::error!(%error, "the admin panel cannot reach its tables");
        Self::Database
    }
}

impl Failure {
    fn say(&self) -> (StatusCode, &'static str, &'static str) {
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
            Self::NotPossible(why) => (StatusCode::CONFLICT, "Not possible", why),
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
        let (status, title, text) = self.say();
        let page = Message {
            frame: None,
            title,
            text,
        };
        (status, render(&page)).into_response()
    }
}

#[derive(Template)]
#[template(path = "admin/message.html")]
struct Message<'a> {
    /// Nobody is known to be signed in here.
    frame: Option<Frame<'a>>,
    title: &'a str,
    text: &'a str,
}
