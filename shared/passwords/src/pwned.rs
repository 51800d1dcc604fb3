//! Client of the Pwned Passwords range API, which lists passwords from published breaches.
//!
//! Only the first five hexadecimal digits of the password's SHA-1 are sent, and the response is
//! padded, so neither the service nor an eavesdropper learns the password.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use sha1::{Digest, Sha1};
use url::Url;
use zeroize::Zeroizing;

use rules::hex;

use crate::password::Password;

/// Number of hexadecimal digits of the hash that are sent.
const PREFIX_DIGITS: usize = 5;
/// Maximum size of a response; a padded one is about 40 KiB.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;
/// Time limit of a lookup, which runs while the password is hashed.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A failed lookup. The reset continues without it.
#[derive(Debug, thiserror::Error)]
pub enum PwnedError {
    /// No response, or an incomplete one.
    #[error("no response from the range API: {0}")]
    Transport(String),
    /// A status other than 200.
    #[error("the range API returned {0}")]
    Status(StatusCode),
    /// No response within two seconds.
    #[error("the range API took too long")]
    Timeout,
}

/// Client of the range API.
pub struct PwnedPasswords {
    base: Url,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl PwnedPasswords {
    /// Creates a client of the API at `base`, such as `https://api.pwnedpasswords.com/range/`. The
    /// default path is `/range/`.
    #[must_use]
    pub fn new(mut base: Url) -> Self {
        if base.path() == "/" {
            base.set_path("/range/");
        }
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Self {
            base,
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Returns whether the password appears in a breach.
    pub async fn contains(&self, password: &Password) -> Result<bool, PwnedError> {
        tokio::time::timeout(TIMEOUT, self.look_up(password))
            .await
            .map_err(|_| PwnedError::Timeout)?
    }

    async fn look_up(&self, password: &Password) -> Result<bool, PwnedError> {
        let mut digest = Zeroizing::new(hex::encode(&Sha1::digest(password.as_bytes())));
        digest.make_ascii_uppercase();
        let (prefix, suffix) = digest.split_at(PREFIX_DIGITS);
        let uri = format!("{}/{prefix}", self.base.as_str().trim_end_matches('/'));
        let request = Request::get(uri)
            .header("add-padding", "true")
            .header("user-agent", "account-recovery")
            .body(Empty::new())
            .map_err(|error| PwnedError::Transport(error.to_string()))?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| PwnedError::Transport(error.to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(PwnedError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES)
            .collect()
            .await;
        let body = body
            .map_err(|error| PwnedError::Transport(error.to_string()))?
            .to_bytes();
        Ok(lists(&body, suffix))
    }
}

/// Returns whether `body` lists `suffix` with a count above zero; padding has a count of zero.
fn lists(body: &[u8], suffix: &str) -> bool {
    body.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok()?.trim().split_once(':'))
        .any(|(listed, count)| listed.eq_ignore_ascii_case(suffix) && count.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_suffix_matches_and_padding_does_not() {
        let body =
            b"0018A45C4D1DEF81644B54AB7F969B88D65:3\r\n00D4F6E8FA6EECAD2A3AA415EEC418D38EC:0\r\n";
        assert!(lists(body, "0018A45C4D1DEF81644B54AB7F969B88D65"));
        assert!(!lists(body, "00D4F6E8FA6EECAD2A3AA415EEC418D38EC"));
        assert!(!lists(body, "11111111111111111111111111111111111"));
        assert!(!lists(b"", "0018A45C4D1DEF81644B54AB7F969B88D65"));
    }
}
