//! The well-known URL for changing passwords
//! (<https://w3c.github.io/webappsec-change-password-url/>).

use http::{HeaderValue, Request, Response, StatusCode, header};
use lambda_http::{Body, RequestExt};

/// Redirects a request for `/.well-known/change-password` to the page. Returns `None` for any other
/// path.
#[must_use]
pub fn redirect_well_known(request: &Request<Body>) -> Option<Response<Body>> {
    let path = request.raw_http_path();
    path.ends_with("/.well-known/change-password").then(|| {
        let mut redirect = Response::new(Body::Empty);
        *redirect.status_mut() = StatusCode::FOUND;
        let page = HeaderValue::from_static("../core/user/forgot-password/");
        redirect.headers_mut().insert(header::LOCATION, page);
        redirect
    })
}
