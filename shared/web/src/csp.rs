//! Content-Security-Policy of the pages.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use sha2::{Digest, Sha256};
use url::Url;

/// Builds the policy: the page's own style and script by their hashes, the logo from its origin,
/// and nothing else.
pub(crate) fn policy(style: &str, script: &str, logo: Option<&str>) -> HeaderValue {
    let origin = logo
        .and_then(|logo| Url::parse(logo).ok())
        .filter(|url| url.scheme() == "https")
        .map(|url| format!(" {}", url.origin().ascii_serialization()));
    let text = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; \
         img-src data:{}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        source_hash(style),
        source_hash(script),
        origin.unwrap_or_default()
    );
    HeaderValue::from_str(&text).expect("hashes and an origin are ASCII")
}

/// Returns the policy source that allows exactly the inline style or script `text`.
#[must_use]
pub fn source_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
