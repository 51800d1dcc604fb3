//! The edge: a CDN in front of the API that proves itself with a secret header.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use lambda_http::Body;
use rules::{
    client::ClientNetwork,
    environment::{Environment, SettingError},
};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::client;

/// Header in which the edge sends the secret.
const SECRET_HEADER: HeaderName = HeaderName::from_static("x-origin-verify");

/// Number of secrets that are valid at once. A rotation needs two.
const MAX_SECRETS: usize = 2;

/// The edge in front of the API. By default there is none, and anyone may call the API.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    secrets: Vec<OriginSecret>,
    client_address_header: Option<HeaderName>,
}

impl Edge {
    /// Reads `ORIGIN_SECRET`, and `CLIENT_ADDRESS_HEADER`, which requires it: without the secret, the
    /// caller could have written the header.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let expected = "one secret, or two separated by a comma, each of 32 to 128 letters, \
             digits, hyphens and underscores";
        let secrets = env.secret("ORIGIN_SECRET", expected, parse_secrets)?;
        let secrets = secrets.unwrap_or_default();
        let expected = if secrets.is_empty() {
            "empty unless ORIGIN_SECRET is set"
        } else {
            "the name of a header"
        };
        let parse = |name: &str| name.parse().ok().filter(|_| !secrets.is_empty());
        let client_address_header = env.optional("CLIENT_ADDRESS_HEADER", expected, parse)?;
        Ok(Self {
            secrets,
            client_address_header,
        })
    }

    /// Returns whether `headers` contain one of the secrets, or there is no edge.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        self.secrets.is_empty() || self.is_proven_by(headers)
    }

    /// Returns the client of `request` as the edge saw it, or as the gateway saw it if the request
    /// did not come through the edge.
    pub(crate) fn client_network(&self, request: &Request<Body>) -> ClientNetwork {
        let headers = request.headers();
        match &self.client_address_header {
            Some(name) if self.is_proven_by(headers) => only_value(headers, name)
                .and_then(|value| value.to_str().ok())
                .and_then(|address| client::parse_edge_address(name, address))
                .into(),
            _ => client::gateway_client(request),
        }
    }

    fn is_proven_by(&self, headers: &HeaderMap) -> bool {
        only_value(headers, &SECRET_HEADER).is_some_and(|value| {
            let matches = |secret: &OriginSecret| secret.ct_eq(value);
            let any = |found: Choice, one: Choice| found | one;
            self.secrets
                .iter()
                .map(matches)
                .fold(Choice::from(0), any)
                .into()
        })
    }
}

/// A secret that the edge and the functions share.
#[derive(Clone)]
struct OriginSecret(Zeroizing<String>);

impl OriginSecret {
    fn parse(text: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_secret = (32..=128).contains(&text.len()) && text.bytes().all(is_allowed);
        is_secret.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Compares in constant time. Only the length may leak.
    fn ct_eq(&self, value: &HeaderValue) -> Choice {
        self.0.as_bytes().ct_eq(value.as_bytes())
    }
}

impl fmt::Debug for OriginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginSecret(_)")
    }
}

fn parse_secrets(text: &str) -> Option<Vec<OriginSecret>> {
    let secrets: Vec<_> = text
        .split(',')
        .map(OriginSecret::parse)
        .collect::<Option<_>>()?;
    (secrets.len() <= MAX_SECRETS).then_some(secrets)
}

/// Returns the value of the header `name`, unless it is repeated.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old-4f1c8a9e2b7d6035c1e8f4a9b2d7065e";
    const NEW: &str = "new_9b2d7065e4f1c8a9e2b7d6035c1e8f4a";

    fn read(secret: &str, header: &str) -> Result<Edge, String> {
        let lookup = |name: &str| match name {
            "ORIGIN_SECRET" => Some(secret.to_owned()),
            "CLIENT_ADDRESS_HEADER" => Some(header.to_owned()),
            _ => None,
        };
        let edge = Edge::read(&Environment::new(&lookup));
        edge.map_err(|error| error.to_string())
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let header = |value: &&str| (SECRET_HEADER, value.parse().expect("a value"));
        values.iter().map(header).collect()
    }

    #[test]
    fn without_a_secret_everyone_is_admitted() {
        let edge = read("", "").expect("no edge");
        for values in [&[][..], &[OLD], &[""]] {
            assert!(edge.admits(&headers(values)));
        }
    }

    #[test]
    fn either_of_two_secrets_is_admitted_and_nothing_else() {
        let both = format!("{OLD},{NEW}");
        let edge = read(&both, "").expect("two secrets");
        for values in [[OLD], [NEW]] {
            assert!(edge.admits(&headers(&values)), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &[&OLD[1..]],
            &[&OLD.to_uppercase()],
            &[&both],
            &[OLD, OLD],
            &[OLD, "other"],
        ] {
            assert!(!edge.admits(&headers(values)), "{values:?}");
        }
    }

    #[test]
    fn a_weak_secret_is_an_error_that_does_not_contain_it() {
        let long = "x".repeat(129);
        for secret in [
            &OLD[..31],
            &long,
            "with spaces in it, and otherwise long enough",
            &format!("{OLD},"),
            &format!("{OLD}, {NEW}"),
            &format!("{OLD},{NEW},{OLD}"),
        ] {
            let error = read(secret, "").expect_err(secret);
            assert!(
                error.starts_with("ORIGIN_SECRET is invalid; it must be one secret"),
                "{error}"
            );
            assert!(!error.contains(secret), "{error}");
        }
    }

    #[test]
    fn a_client_address_header_requires_a_secret() {
        assert_eq!(
            read("", "X-Real-IP").expect_err("no secret"),
            "CLIENT_ADDRESS_HEADER is \"X-Real-IP\"; it must be empty unless ORIGIN_SECRET is set"
        );
        assert_eq!(
            read(OLD, "no header").expect_err("a space"),
            "CLIENT_ADDRESS_HEADER is \"no header\"; it must be the name of a header"
        );
        assert!(read(OLD, "CloudFront-Viewer-Address").is_ok());
    }

    #[test]
    fn debug_shows_no_secret() {
        let edge = format!("{:?}", read(OLD, "").expect("a secret"));
        assert!(
            edge.contains("OriginSecret(_)") && !edge.contains(&OLD[4..]),
            "{edge}"
        );
    }
}
