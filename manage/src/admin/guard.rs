//! Checks that protect every page: the host, the origin and the session. Security headers.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use rules::address::EmailAddress;

use super::{
    form::cookie,
    pages::{self, Failure},
    panel::Panel,
};

/// The session cookie.
pub(super) const SESSION_COOKIE: &str = "admin_session";

/// Refuses requests for other hosts and from other sites, and adds the headers of every response.
///
/// The host check keeps out other names that resolve to this machine (DNS rebinding): to a
/// browser, their pages and the panel would share an origin.
pub(super) async fn guard(
    State(panel): State<Arc<Panel>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let mut response = if !is_own_host(&panel, headers) {
        Failure::WrongHost.into_response()
    } else if *request.method() == Method::POST && !is_own_page(headers) {
        Failure::WrongOrigin.into_response()
    } else {
        next.run(request).await
    };
    response.headers_mut().extend(pages::headers());
    response
}

fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(header::HOST);
    host.and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn is_own_host(panel: &Panel, headers: &HeaderMap) -> bool {
    let host = host(headers);
    panel.hosts.iter().any(|own| own == host)
        // Browsers omit the default port.
        || panel.hosts.iter().any(|own| own.strip_suffix(":80") == Some(host))
}

/// Returns whether, according to the browser, a page of the panel sent the form. Browsers send
/// `Origin: null` from pages with the policy `no-referrer`; then only `Sec-Fetch-Site` can show
/// another site. The form's token is checked in any case.
fn is_own_page(headers: &HeaderMap) -> bool {
    let host = host(headers);
    let is_own_origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        origin == "null" || origin.as_bytes() == format!("http://{host}").as_bytes()
    });
    let is_own_site = headers
        .get("sec-fetch-site")
        .is_none_or(|site| site == "same-origin" || site == "none");
    is_own_origin && is_own_site
}

/// The signed-in administrator. The extractor redirects everyone else to the sign-in page.
pub(super) struct Admin {
    pub(super) email: EmailAddress,
    pub(super) form_token: String,
}

impl FromRequestParts<Arc<Panel>> for Admin {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        panel: &Arc<Panel>,
    ) -> Result<Self, Self::Rejection> {
        let sign_in = || Redirect::to("/admin/sign-in/").into_response();
        let cookie = cookie(&parts.headers, SESSION_COOKIE).ok_or_else(sign_in)?;
        let session = panel
            .sessions()
            .touch(cookie, (panel.now)())
            .ok_or_else(sign_in)?;
        // The user may have been deactivated or lost their rights since.
        let user = panel.users.get(&session.email).await;
        let user = user.map_err(|error| Failure::from(error).into_response())?;
        let is_valid = user.is_some_and(|user| {
            user.is_active && user.is_superuser && user.session_epoch == session.epoch
        });
        if !is_valid {
            panel.sessions().end(cookie);
            return Err(sign_in());
        }
        Ok(Self {
            email: session.email,
            form_token: session.form_token,
        })
    }
}
