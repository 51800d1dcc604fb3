//! What every HTTP response has in common.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use lambda_http::Body;

use crate::{CorsOrigins, Problem};

/// Sent with every response: no caching, no referrer, no MIME sniffing, HTTPS only.
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

/// Seconds for which a browser may cache the response to a preflight request.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Responds to `request` with `handler`, which sees only GET, HEAD and POST.
///
/// Every response, including that of a panic, gets the security and CORS headers.
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
            let response = AssertUnwindSafe(handler(request)).catch_unwind().await;
            response.unwrap_or_else(|_| Problem::Panicked.into_response())
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

/// Adds the security headers to `response`.
#[must_use]
pub fn secured<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().extend(SECURITY_HEADERS);
    response
}

/// Returns `200 {"worked": true}`, the success response of both resources.
#[must_use]
pub fn worked() -> Response<Body> {
    respond("application/json", r#"{"worked": true}"#)
}

/// Returns 200 with `body`.
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
