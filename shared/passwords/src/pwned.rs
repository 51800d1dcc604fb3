//! The Pwned Passwords range API: whether a password is known from a breach.
//!
//! Only the first five hexadecimal digits of the password's SHA-1 leave this machine, and the
//! answer is padded, so that neither the service nor a listener learns the password.

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

use crate::Password;

/// Hexadecimal digits of the hash that are sent.
const PREFIX_DIGITS: usize = 5;
/// A padded answer has about 40 KiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// The question runs beside the hashing; a person waits no longer than this for it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The service could not be asked. The reset goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum PwnedError {
    /// No answer, or one that broke off.
    #[error("no answer from the range API: {0}")]
    Transport(String),
    /// Another status than 200.
    #[error("the range API answered {0}")]
    Status(StatusCode),
    /// No answer in two seconds.
    #[error("the range API took too long")]
    Timeout,
}

/// A client of the range API.
pub struct PwnedPasswords {
    base: Url,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl PwnedPasswords {
    /// A client for the API under `base`, such as `https://api.pwnedpasswords.com/range/`. Where
    /// only the host is given, the range API is where that one has it.
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

    /// Whether the password occurs in a breach.
    pub async fn contains(&self, password: &Password) -> Result<bool, PwnedError> {
        tokio::time::timeout(TIMEOUT, self.ask(password))
            .await
            .map_err(|_| PwnedError::Timeout)?
    }

    async fn ask(&self, password: &Password) -> Result<bool, PwnedError> {
        let mut digest = Zeroizing::new(hex::encode(&Sha1::digest(password.as_bytes())));
        digest.make_ascii_uppercase();
        let (prefix, suffix) = digest.split_at(PREFIX_DIGITS);
        let uri = format!("{}/{prefix}", self.base.as_str().trim_end_matches('/'));
        let request = Request::get(uri)
            .header("add-padding", "true")
            .header("user-agent", "account-recovery")
            .body(Empty::new())
            .map_err(|error| PwnedError::Transport(error.to_string()))?;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| PwnedError::Transport(error.to_string()))?;
        if answer.status() != StatusCode::OK {
            return Err(PwnedError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await;
        let body = body
            .map_err(|error| PwnedError::Transport(error.to_string()))?
            .to_bytes();
        Ok(lists(&body, suffix))
    }
}

/// Whether a line of `body` is `suffix` with a count over zero; padding has a count of zero.
fn lists(body: &[u8], suffix: &str) -> bool {
    body.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok()?.trim().split_once(':'))
        .any(|(listed, count)| listed.eq_ignore_ascii_case(suffix) && count.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_suffix_counts_and_padding_does_not() {
        let body =
            b"0018A45C4D1DEF81644B54AB7F969B88D65:3\r\n00D4F6E8FA6EECAD2A3AA415EEC418D38EC:0\r\n";
        assert!(lists(body, "0018A45C4D1DEF81644B54AB7F969B88D65"));
        assert!(!lists(body, "00D4F6E8FA6EECAD2A3AA415EEC418D38EC"));
        assert!(!lists(body, "11111111111111111111111111111111111"));
        assert!(!lists(b"", "0018A45C4D1DEF81644B54AB7F969B88D65"));
    }
}
