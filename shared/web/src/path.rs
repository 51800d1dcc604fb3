//! The paths of a function.

use http::{HeaderValue, Request, Response, StatusCode, header};
use lambda_http::{Body, RequestExt, request::RequestContext};

use crate::pages::Resource;

/// Path of the W3C's well-known URL for changing passwords
/// (<https://w3c.github.io/webappsec-change-password-url/>).
const WELL_KNOWN: &str = "/.well-known/change-password";

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The function's own resource.
    Resource,
    /// The well-known URL.
    WellKnown,
    /// Nothing.
    Unknown,
}

impl Target {
    /// Returns what `request` to the function of `resource` names.
    ///
    /// The gateway chose the function by its own routes, and a stage, a mapping or a balancer's
    /// rule may prefix the path, so any path names the resource. Only an HTTP API's route that also
    /// matches other paths requires the resource's own, with or without a prefix.
    pub(crate) fn of(request: &Request<Body>, resource: Resource) -> Self {
        let path = request.raw_http_path();
        if resource == Resource::ForgotPassword && path.ends_with(WELL_KNOWN) {
            return Self::WellKnown;
        }
        let own = resource.path();
        let is_own = path.strip_suffix('/').unwrap_or(path).ends_with(own);
        if is_own || !is_catch_all(route_key(request), own) {
            Self::Resource
        } else {
            Self::Unknown
        }
    }
}

/// Returns the key of the route of an HTTP API.
fn route_key(request: &Request<Body>) -> Option<&str> {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.as_deref(),
        _ => None,
    }
}

/// Returns whether the route matches more than the path `own`.
fn is_catch_all(route_key: Option<&str>, own: &str) -> bool {
    route_key.is_some_and(|key| {
        let below = key.strip_suffix("/{proxy+}");
        key == "$default" || below.is_some_and(|path| path.ends_with(own))
    })
}

/// Redirects the well-known URL to the page.
pub(crate) fn redirect_well_known() -> Response<Body> {
    let mut redirect = Response::new(Body::Empty);
    *redirect.status_mut() = StatusCode::FOUND;
    let page = HeaderValue::from_static("../core/user/forgot-password/");
    redirect.headers_mut().insert(header::LOCATION, page);
    redirect
}
