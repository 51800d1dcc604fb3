//! Settings from environment variables.
//!
//! Each program reads its settings once at start-up into one typed value. A missing or invalid
//! setting stops the start with a sentence that names the variable, its value and what is
//! expected. An empty variable counts as unset, because a SAM parameter that was left out arrives
//! as an empty string.

use std::{fmt, ops::RangeInclusive};

use url::{Host, Url};

/// A missing or invalid setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    name: &'static str,
    found: Found,
    expected: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    Value(String),
    Secret,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            found,
            expected,
        } = self;
        match found {
            Found::Nothing => write!(f, "{name} is not set; it must be {expected}"),
            Found::Value(value) => write!(f, "{name} is {value:?}; it must be {expected}"),
            Found::Secret => write!(f, "{name} is invalid; it must be {expected}"),
        }
    }
}

impl std::error::Error for SettingError {}

impl SettingError {
    /// Creates the error for a setting that is required and not set.
    #[must_use]
    pub fn missing(name: &'static str, expected: &str) -> Self {
        Self {
            name,
            found: Found::Nothing,
            expected: expected.to_owned(),
        }
    }
}

/// Source of settings: the process environment, or a table in a test.
pub struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl<'a> Environment<'a> {
    /// Creates an environment that looks up each variable with `variable`.
    pub fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(variable)
    }

    /// Returns the environment of this process.
    #[must_use]
    pub fn process() -> Self {
        Self(&|name| std::env::var(name).ok())
    }

    /// Returns the value of `name`, or `None` if it is unset or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Parses the value of `name`; `None` if it is unset.
    pub fn optional<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingError> {
        self.get(name)
            .map(|value| parse_value(name, value, expected, parse))
            .transpose()
    }

    /// Parses the value of `name`, which is secret: an error does not contain it. `None` if it is
    /// unset.
    pub fn secret<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingError> {
        self.optional(name, expected, parse)
            .map_err(|error| SettingError {
                found: Found::Secret,
                ..error
            })
    }

    /// Parses the value of `name`; an unset variable is an error.
    pub fn required<T>(
        &self,
        name: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingError> {
        self.optional(name, expected, parse)?
            .ok_or_else(|| SettingError::missing(name, expected))
    }

    /// Parses the value of `name`, or `default` if it is unset. The default is validated too.
    pub fn with_default<T>(
        &self,
        name: &'static str,
        default: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingError> {
        let value = self.get(name).unwrap_or_else(|| default.to_owned());
        parse_value(name, value, expected, parse)
    }

    /// Parses `name` as a whole number in `range`; `default` if it is unset.
    pub fn number(
        &self,
        name: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, SettingError> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |value: &str| value.parse().ok().filter(|number| range.contains(number));
        Ok(self.optional(name, &expected, parse)?.unwrap_or(default))
    }
}

fn parse_value<T>(
    name: &'static str,
    value: String,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, SettingError> {
    parse(&value).ok_or_else(|| SettingError {
        name,
        found: Found::Value(value),
        expected: expected.to_owned(),
    })
}

/// Parses an https URL, or an http URL of the local machine. Credentials in it are rejected.
#[must_use]
pub fn secure_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_secure = url.scheme() == "https" || (url.scheme() == "http" && is_local(&url));
    (is_secure && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// Returns whether the host of `url` is the local machine.
#[must_use]
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Accepts text without control characters, such as line breaks.
#[must_use]
pub fn one_line(text: &str) -> Option<String> {
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(value: Option<&'static str>) -> impl Fn(&str) -> Option<String> {
        move |_| value.map(str::to_owned)
    }

    #[test]
    fn a_missing_setting_is_named() {
        for unset in [None, Some("")] {
            let lookup = environment(unset);
            let error = Environment::new(&lookup)
                .required("RESET_URL", "an https:// URL", secure_url)
                .expect_err("required");
            assert_eq!(
                error.to_string(),
                "RESET_URL is not set; it must be an https:// URL"
            );
        }
    }

    #[test]
    fn an_invalid_setting_is_named_with_its_value() {
        let lookup = environment(Some("25"));
        let error = Environment::new(&lookup)
            .number("TOKEN_TTL_HOURS", 24, 1..=24)
            .expect_err("at most 24");
        assert_eq!(
            error.to_string(),
            "TOKEN_TTL_HOURS is \"25\"; it must be a whole number from 1 to 24"
        );
    }

    #[test]
    fn an_invalid_secret_is_named_without_its_value() {
        let lookup = environment(Some("hunter2"));
        let error = Environment::new(&lookup)
            .secret("LOG_CLIENT_KEY", "at least 32 characters", |_| None::<()>)
            .expect_err("too short");
        assert_eq!(
            error.to_string(),
            "LOG_CLIENT_KEY is invalid; it must be at least 32 characters"
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_default_is_validated_too() {
        let lookup = environment(None);
        let is_other = |value: &str| (value != "email").then(|| value.to_owned());
        let error = Environment::new(&lookup)
            .with_default("NAME", "email", "another name", is_other)
            .expect_err("taken");
        assert!(error.to_string().starts_with("NAME is \"email\""));
    }

    #[test]
    fn a_url_must_be_https_or_local() {
        for url in [
            "https://example.com/x?y=z",
            "http://127.0.0.1:8000/",
            "http://localhost/",
            "http://[::1]/",
        ] {
            assert!(secure_url(url).is_some(), "{url}");
        }
        for url in [
            "http://example.com/",
            "https://a:b@example.com/",
            "/reset",
            "javascript:alert(1)",
        ] {
            assert!(secure_url(url).is_none(), "{url}");
        }
    }
}
