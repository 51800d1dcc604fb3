//! The fields that every log line of a request has.

use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use lambda_http::{Body, RequestExt, request::RequestContext};
use rules::{
    client::ClientNetwork,
    environment::{Environment, SettingError},
    hex,
};
use sha2::Sha256;
use tracing::Span;

/// Maximum length of a logged request ID. Those of AWS have up to 36 characters.
const MAX_ID_CHARS: usize = 64;
/// Minimum length of the key for [`LogClient::Digest`].
const MIN_KEY_CHARS: usize = 32;
/// Length of a client's digest in bytes. Eight tell a million clients apart.
const DIGEST_BYTES: usize = 8;

/// How log lines identify the client.
#[derive(Debug, Clone)]
pub enum LogClient {
    /// Not at all.
    Off,
    /// By a network of 256 IPv4 addresses (/24) or an IPv6 site (/48).
    Network,
    /// By a digest under a secret key, without which the digests of all IPv4 addresses could be
    /// computed in minutes.
    Digest(Hmac<Sha256>),
}

impl LogClient {
    /// Reads `LOG_CLIENT` and the key that `digest` requires, `LOG_CLIENT_KEY`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let expected = format!("a secret of at least {MIN_KEY_CHARS} characters");
        let key = env.secret("LOG_CLIENT_KEY", &expected, parse_key)?;
        let kinds = "off, network or digest";
        match env.with_default("LOG_CLIENT", "network", kinds, parse_kind)? {
            "off" => Ok(Self::Off),
            "network" => Ok(Self::Network),
            _ => key
                .map(Self::Digest)
                .ok_or_else(|| SettingError::missing("LOG_CLIENT_KEY", &expected)),
        }
    }

    /// Returns the field `client`, if any.
    fn field(&self, client: ClientNetwork) -> Option<String> {
        match self {
            Self::Off => None,
            Self::Network => Some(client.wider_network()),
            Self::Digest(key) => {
                let digest = key.clone().chain_update(client.to_string()).finalize();
                Some(hex::encode(&digest.into_bytes()[..DIGEST_BYTES]))
            }
        }
    }
}

fn parse_kind(text: &str) -> Option<&'static str> {
    let mut kinds = ["off", "network", "digest"].into_iter();
    kinds.find(|kind| *kind == text)
}

fn parse_key(text: &str) -> Option<Hmac<Sha256>> {
    let is_long = text.chars().count() >= MIN_KEY_CHARS;
    is_long.then(|| Hmac::new_from_slice(text.as_bytes()).ok())?
}

/// Creates the span of `request`, whose fields are part of each line that is logged within it.
pub(crate) fn span(request: &Request<Body>, client: ClientNetwork, log_client: &LogClient) -> Span {
    // A span below the level of the log would add no fields.
    tracing::error_span!(
        "request",
        request_id = request_id(request),
        lambda_request_id = lambda_request_id(request),
        client = log_client.field(client),
    )
}

/// Returns the ID that the gateway gave `request`, if it can be logged. Behind a load balancer,
/// which gives none, it is Lambda's ID.
pub(crate) fn request_id(request: &Request<Body>) -> Option<&str> {
    let id = match request.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.request_id.as_deref(),
        RequestContext::ApiGatewayV1(context) => context.request_id.as_deref(),
        RequestContext::Alb(_) => lambda_request_id(request),
        _ => None,
    };
    id.filter(|id| is_plain(id))
}

fn lambda_request_id(request: &Request<Body>) -> Option<&str> {
    let context = request.lambda_context_ref()?;
    Some(&context.request_id)
}

/// Returns whether `id` is short and has only the characters of UUIDs and base64.
fn is_plain(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+/=".contains(&byte);
    (1..=MAX_ID_CHARS).contains(&id.len()) && id.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientNetwork {
        address.parse().ok().into()
    }

    fn read(mode: &str, key: &str) -> Result<LogClient, SettingError> {
        LogClient::read(&Environment::new(&|name| {
            Some(if name == "LOG_CLIENT" { mode } else { key }.to_owned())
        }))
    }

    #[test]
    fn the_client_is_off_a_network_or_a_digest() {
        let key = "0123456789abcdef0123456789abcdef";
        let field = |mode: &str, address| read(mode, key).expect("valid").field(client(address));
        assert_eq!(field("off", "192.0.2.7"), None);
        assert_eq!(field("", "192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(
            field("network", "2001:db8:1:2:3::4").as_deref(),
            Some("2001:db8:1::/48")
        );
        assert_eq!(field("network", "").as_deref(), Some("unknown"));
        // printf 192.0.2.7 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        assert_eq!(
            field("digest", "192.0.2.7").as_deref(),
            Some("53db62d6a946d0fa")
        );
        assert_eq!(
            field("digest", "::ffff:192.0.2.7"),
            field("digest", "192.0.2.7")
        );
        assert_eq!(
            field("digest", "2001:db8::1"),
            field("digest", "2001:db8::2")
        );
        assert_ne!(field("digest", "192.0.2.8"), field("digest", "192.0.2.7"));
    }

    #[test]
    fn a_digest_requires_a_long_key() {
        let error = |mode: &str, key| read(mode, key).expect_err("invalid").to_string();
        assert!(error("digest", "").starts_with("LOG_CLIENT_KEY is not set"));
        assert!(error("digest", "short").starts_with("LOG_CLIENT_KEY is invalid"));
        assert!(error("ip", "").starts_with("LOG_CLIENT is \"ip\""));
        assert!(read("network", "").is_ok());
    }

    #[test]
    fn only_short_plain_ids_are_logged() {
        for id in ["JKJaXmPLvHcESHA=", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"] {
            assert!(is_plain(id), "{id}");
        }
        for id in [
            "",
            "a b",
            "a\"b",
            "a\nb",
            "<b>",
            "ada@example.com",
            "é",
            &"a".repeat(65),
        ] {
            assert!(!is_plain(id), "{id}");
        }
    }
}
