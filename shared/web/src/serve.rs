//! Paths, methods, panics and headers: everything around a handler.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use lambda_http::Body;

use crate::{
    cors::CorsOrigins,
    pages::Resource,
    path::{Target, redirect_well_known},
    problem::Problem,
    response::secured,
};

/// Seconds for which a browser may cache the response to a preflight request.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Responds to `request` with `handler`, which sees only GET, HEAD and POST of `resource`.
///
/// Every response, including that of a panic, gets the security and CORS headers.
pub async fn serve<F>(
    resource: Resource,
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
    let mut response = match (Target::of(&request, resource), request.method()) {
        // Without it, a page could not read why its request fails.
        _ if is_preflight => preflight(),
        (Target::Unknown, _) => Problem::NotFound.into_response(),
        (Target::WellKnown, &Method::GET | &Method::HEAD) => redirect_well_known(),
        (Target::WellKnown, _) => Problem::MethodNotAllowed("GET, HEAD").into_response(),
        (Target::Resource, &Method::GET | &Method::HEAD | &Method::POST) => {
            let response = AssertUnwindSafe(handler(request)).catch_unwind().await;
            response.unwrap_or_else(|_| Problem::Panicked.into_response())
        }
        (Target::Resource, _) => Problem::MethodNotAllowed("GET, HEAD, POST").into_response(),
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
