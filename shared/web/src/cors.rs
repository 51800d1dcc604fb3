//! Cross-origin resource sharing.

use http::{HeaderMap, HeaderValue, header};
use rules::environment::{Environment, SettingError};

/// Origins whose pages may call the API from a browser; an empty list turns CORS off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(Vec<HeaderValue>);

impl CorsOrigins {
    /// Reads `CORS_ORIGINS`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let expected = "origins such as https://app.example.com, separated by commas";
        let origins = env.optional("CORS_ORIGINS", expected, Self::parse)?;
        Ok(origins.unwrap_or_default())
    }

    /// Parses a comma-separated list. `*` is rejected: the calling pages are known.
    fn parse(text: &str) -> Option<Self> {
        text.split(',')
            .map(|origin| parse_origin(origin.trim()))
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Returns the listed origins.
    #[must_use]
    pub fn list(&self) -> &[HeaderValue] {
        &self.0
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn allowed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers
            .get(header::ORIGIN)
            .filter(|origin| self.0.contains(origin))
    }
}

/// Parses an origin as browsers send it (RFC 6454 §6.2): scheme, host and port only.
fn parse_origin(text: &str) -> Option<HeaderValue> {
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))?;
    (url.origin().ascii_serialization() == text).then(|| HeaderValue::from_str(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact() {
        assert!(CorsOrigins::parse("https://app.example.com, http://localhost:3000").is_some());
        for wrong in [
            "*",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/x",
            "null",
            "https://a.example,,",
        ] {
            assert_eq!(CorsOrigins::parse(wrong), None, "{wrong}");
        }
    }
}
