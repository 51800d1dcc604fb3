//! What stands in front of every page: the right host, the right origin, a session that still
//! holds, and the headers that all answers have.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use rules::address::EmailAddress;
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::{
    Panel,
    pages::{self, Failure},
};

/// The cookie of a session.
pub(super) const SESSION_COOKIE: &str = "admin_session";
/// The field of every form that shows where the form comes from.
const FORM_TOKEN: &str = "form_token";

/// Refuses what comes by another name or from another site, and gives every answer its headers.
///
/// The name is what keeps other sites out that resolve to this machine (DNS rebinding): to a
/// browser their pages and the panel would be of one origin.
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

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_own_host(panel: &Panel, headers: &HeaderMap) -> bool {
    let host = text(headers, "host").unwrap_or_default();
    panel.hosts.iter().any(|own| own == host)
        // A browser leaves the port of `http:` out.
        || panel.hosts.iter().any(|own| own.strip_suffix(":80") == Some(host))
}

/// Whether a form comes from a page of the panel, as far as the browser says so. Browsers send
/// `Origin: null` from pages whose policy is `no-referrer`; there `Sec-Fetch-Site` tells, and the
/// form's token in any case.
fn is_own_page(headers: &HeaderMap) -> bool {
    let host = text(headers, "host").unwrap_or_default();
    let is_own_origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        origin == "null" || origin.as_bytes() == format!("http://{host}").as_bytes()
    });
    let is_own_site = headers
        .get("sec-fetch-site")
        .is_none_or(|site| site == "same-origin" || site == "none");
    is_own_origin && is_own_site
}

/// Who is signed in; an extractor that sends everybody else to the sign-in page.
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
        // The row says each time whether they still may.
        let user = panel.users.get(&session.email).await;
        let user = user.map_err(|error| Failure::from(error).into_response())?;
        let may_stay = user.is_some_and(|user| {
            user.is_active && user.is_superuser && user.session_epoch == session.epoch
        });
        if !may_stay {
            panel.sessions().end(cookie);
            return Err(sign_in());
        }
        Ok(Self {
            email: session.email,
            form_token: session.form_token,
        })
    }
}

/// The value of the cookie `name`.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// A cookie for the panel alone, out of reach of scripts and of other sites. It cannot be
/// `Secure`, since the panel is served over loopback without TLS.
pub(super) fn set_cookie(name: &str, value: &str) -> HeaderValue {
    let lifetime = if value.is_empty() { "; Max-Age=0" } else { "" };
    let text = format!("{name}={value}; Path=/admin; HttpOnly; SameSite=Strict{lifetime}");
    HeaderValue::try_from(text).expect("names and base64url are ASCII")
}

/// 256 random bits in base64url.
pub(super) fn random_text() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| Failure::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The fields of a query or of a form's body; of a repeated one the last.
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    pub(super) fn query(query: Option<&str>) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// The field `name`, empty where it is missing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Takes the field `name` out.
    pub(super) fn take(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_default()
    }

    /// An error where the form was not made for whoever holds `token`.
    pub(super) fn check_token(&self, token: &str) -> Result<(), Failure> {
        let held = self.get(FORM_TOKEN).as_bytes();
        if token.is_empty() || !bool::from(held.ct_eq(token.as_bytes())) {
            return Err(Failure::WrongForm);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        let value = "x_admin_session=1; admin_session=two; other=admin_session=3";
        headers.insert(header::COOKIE, HeaderValue::from_static(value));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("two"));
        assert_eq!(cookie(&headers, "missing"), None);
    }

    #[test]
    fn an_empty_token_opens_no_form() {
        let fields = Fields::parse(b"form_token=");
        assert!(fields.check_token("").is_err());
        assert!(fields.check_token("x").is_err());
        assert!(Fields::parse(b"form_token=x").check_token("x").is_ok());
    }
}
