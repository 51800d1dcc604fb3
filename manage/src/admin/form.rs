//! Form fields, cookies and random tokens of the panel.

use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::pages::Failure;

/// The field of every form that proves that the form came from the panel.
const FORM_TOKEN: &str = "form_token";

/// The fields of a query or a form. If a field is repeated, the last one counts.
pub(super) struct FormFields(HashMap<String, String>);

impl FormFields {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    pub(super) fn parse_query(query: Option<&str>) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    /// Returns the field `name`, or an empty string.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Removes and returns the field `name`.
    pub(super) fn take(&mut self, name: &str) -> String {
        self.0.remove(name).unwrap_or_default()
    }

    /// Returns an error unless the form has `token`, which must not be empty.
    pub(super) fn check_token(&self, token: &str) -> Result<(), Failure> {
        let received = self.get(FORM_TOKEN).as_bytes();
        if token.is_empty() || !bool::from(received.ct_eq(token.as_bytes())) {
            return Err(Failure::WrongForm);
        }
        Ok(())
    }
}

/// Returns the value of the cookie `name`.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Builds a cookie that only the panel receives, hidden from scripts and other sites; an empty
/// `value` deletes it. It cannot be `Secure`, since the panel is served on loopback without TLS.
pub(super) fn set_cookie(name: &str, value: &str) -> HeaderValue {
    let lifetime = if value.is_empty() { "; Max-Age=0" } else { "" };
    let text = format!("{name}={value}; Path=/admin; HttpOnly; SameSite=Strict{lifetime}");
    HeaderValue::try_from(text).expect("names and base64url are ASCII")
}

/// The digest of a cookie's value. The value itself is stored nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CookieDigest([u8; 32]);

impl CookieDigest {
    pub(super) fn of(value: &str) -> Self {
        Self(Sha256::digest(value).into())
    }
}

/// Returns 256 random bits in base64url.
pub(super) fn random_token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| Failure::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        let value = "x_admin_session=1; admin_session=two; other=admin_session=3";
        headers.insert(header::COOKIE, HeaderValue::from_static(value));
        assert_eq!(cookie(&headers, "admin_session"), Some("two"));
        assert_eq!(cookie(&headers, "missing"), None);
    }

    #[test]
    fn an_empty_token_is_refused() {
        let fields = FormFields::parse(b"form_token=");
        assert!(fields.check_token("").is_err());
        assert!(fields.check_token("x").is_err());
        assert!(FormFields::parse(b"form_token=x").check_token("x").is_ok());
    }
}
