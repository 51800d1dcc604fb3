//! Parts that responses share.

use http::{HeaderName, HeaderValue, Response, header};
use lambda_http::Body;

/// Sent with every response: no caching, no referrer, no MIME sniffing. The admin panel and the
/// local inbox send them too.
pub const SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
];

/// Requires HTTPS for two years.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000; includeSubDomains");

/// Adds the security headers to `response`, including `Strict-Transport-Security`.
#[must_use]
pub fn secured<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.extend(SECURITY_HEADERS);
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
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
