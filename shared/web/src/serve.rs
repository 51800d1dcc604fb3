//! Paths, methods, panics and headers: everything around a handler.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use lambda_http::Body;

use crate::{
    cors::CorsOrigins,
    edge::Edge,
    negotiation::{accepts_html, wants_page},
    pages::{Pages, Resource},
    path::{Target, redirect_well_known},
    problem::Problem,
    response::secured,
    theme::Theme,
};

/// Seconds for which a browser may cache the response to a preflight request.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What the functions have in common: who may call them, and the look of their pages.
pub struct Site {
    /// Origins that may call the API from a browser.
    pub cors: CorsOrigins,
    /// The edge through which every request must come.
    pub edge: Edge,
    /// Look of the pages.
    pub theme: Theme,
}

/// Responds to `request` with `handler`, which sees only GET, HEAD and POST of `resource` that came
/// through the edge, if there is one.
///
/// Every response, including that of a panic, gets the security and CORS headers.
pub async fn serve<F>(
    resource: Resource,
    site: &Site,
    request: Request<Body>,
    handler: impl FnOnce(Request<Body>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let origin = site.cors.allowed(request.headers()).cloned();
    let is_preflight = origin.is_some()
        && request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_head = request.method() == Method::HEAD;
    let mut response = match (Target::of(&request, resource), request.method()) {
        _ if !site.edge.admits(request.headers()) => forbidden(resource, site, &request),
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
    if site.cors.is_on() {
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

/// Refuses a request that did not come through the edge, with a page if a browser sent it.
fn forbidden(resource: Resource, site: &Site, request: &Request<Body>) -> Response<Body> {
    let headers = request.headers();
    let is_page = request.method() != Method::POST && accepts_html(headers);
    if is_page || wants_page(headers) {
        Pages::new(&site.theme, resource, request).forbidden()
    } else {
        Problem::Forbidden.into_response()
    }
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
