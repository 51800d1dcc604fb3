//! HTTP as both functions speak it: what comes in, what goes out, and who is asking.

mod body;
mod client;
mod problem;

use std::{fmt::Write as _, panic::AssertUnwindSafe};

use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use lambda_http::Body;

pub use body::{Field, Fields, MAX_BODY_BYTES, read_fields, required};
pub use client::{Client, client};
pub use problem::{Problem, WeaknessDetail};

/// On every answer: it is nobody else's to keep, to pass on or to guess the type of.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
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
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=63072000; includeSubDomains"),
    ),
];

/// Seconds for which a browser may remember the answer to a preflight.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Answers `request` with `handler`, which is given GET, HEAD and POST alone, and gives every
/// answer, be it a success, a problem or a panic, the headers that all have in common.
pub async fn serve<F>(
    cors: &CorsOrigins,
    request: Request<Body>,
    handler: impl FnOnce(Request<Body>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let origin = cors.allowed(request.headers()).cloned();
    let is_preflight = origin.is_some()
        && request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_head = request.method() == Method::HEAD;
    let mut response = match *request.method() {
        Method::GET | Method::HEAD | Method::POST => {
            let answer = AssertUnwindSafe(handler(request)).catch_unwind().await;
            answer.unwrap_or_else(|_| Problem::Panicked.into_response())
        }
        _ if is_preflight => preflight(),
        _ => Problem::MethodNotAllowed("GET, HEAD, POST").into_response(),
    };
    if is_head {
        *response.body_mut() = Body::Empty;
    }
    response = secured(response);
    let headers = response.headers_mut();
    if cors.is_on() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("retry-after"),
        );
    }
    response
}

/// `response` with the headers that every answer has.
#[must_use]
pub fn secured<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().extend(SECURITY_HEADERS);
    response
}

/// `200 {"worked": true}`, what the first clients of this interface look for.
#[must_use]
pub fn worked() -> Response<Body> {
    respond("application/json", r#"{"worked": true}"#)
}

/// 200 with `body`.
pub(crate) fn respond(content_type: &'static str, body: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::Text(body.into()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().extend([
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("content-type"),
        ),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
    ]);
    response
}

/// The origins whose pages may call the interface from a browser; none is off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(Vec<HeaderValue>);

impl CorsOrigins {
    /// Reads a list separated by commas. `*` is no origin: the pages that may call are known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',')
            .map(|origin| parse_origin(origin.trim()))
            .collect::<Option<_>>()
            .map(Self)
    }

    fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers
            .get(header::ORIGIN)
            .filter(|origin| self.0.contains(origin))
    }
}

/// An origin as a browser sends it (RFC 6454 §6.2): scheme, host and port, and nothing behind.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))?;
    (url.origin().ascii_serialization() == text).then(|| HeaderValue::from_str(text).ok())?
}

/// What may be logged of an error: each error of its chain, in a line.
///
/// Errors of AWS services are passed through [`crate::aws::describe`] instead, since their
/// messages may quote an address.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact() {
        assert!(CorsOrigins::parse("https://app.example.com, http://localhost:3000").is_some());
        for wrong in [
            "*",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/x",
            "null",
            "https://a.example,,",
        ] {
            assert_eq!(CorsOrigins::parse(wrong), None, "{wrong}");
        }
    }
}
