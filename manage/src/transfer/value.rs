//! Conversion of one field of a row to an attribute of the users table.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use rules::address::EmailAddress;
use serde_json::Value;

/// Maximum length of a text: a hundred rows must fit into one transaction of 4 MB.
pub(super) const MAX_TEXT_BYTES: usize = 2048;

/// Prefixes of the names of Django's hash algorithms.
const DJANGO_ALGORITHMS: [&str; 6] = ["argon2", "bcrypt", "md5", "pbkdf2", "scrypt", "sha1"];

/// The type of a field's content.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Address,
    MailTo,
    Text,
    Hash,
    Time,
    Number,
    Flag,
}

/// Parses `value`. Returns `None` for Django's marker of an unusable password. The error says what
/// the field must be; it never quotes the value, which may be a password.
pub(super) fn parse(
    kind: FieldKind,
    value: &Value,
    now: DateTime<Utc>,
) -> Result<Option<AttributeValue>, &'static str> {
    let number = |number: i64| AttributeValue::N(number.to_string());
    let parsed = match kind {
        FieldKind::Address | FieldKind::Text => AttributeValue::S(text(value)?),
        FieldKind::MailTo => {
            let address = text(value)?;
            EmailAddress::parse(&address).map_err(|_| "an address")?;
            AttributeValue::S(address)
        }
        FieldKind::Hash if value.as_str().is_some_and(|hash| hash.starts_with('!')) => {
            return Ok(None);
        }
        FieldKind::Hash => AttributeValue::S(hash(value)?),
        FieldKind::Time => number(time(value, now)?),
        FieldKind::Number => number(integer(value).ok_or("a whole number")?),
        FieldKind::Flag => AttributeValue::Bool(flag(value).ok_or("true or false")?),
    };
    Ok(Some(parsed))
}

fn text(value: &Value) -> Result<String, &'static str> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err("text"),
    };
    if text.len() > MAX_TEXT_BYTES {
        return Err("text of at most 2048 bytes");
    }
    Ok(text)
}

/// Parses a hash in the form `$algorithm$…` (PHC and crypt) or `algorithm$…$…` (Django). Anything
/// else may be a password in clear, which must not be stored.
fn hash(value: &Value) -> Result<String, &'static str> {
    let expected = "a hash such as $argon2id$… or pbkdf2_sha256$…, never a password";
    let hash = text(value).map_err(|_| expected)?;
    let (algorithm, rest) = hash.split_once('$').ok_or(expected)?;
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let is_hash = if algorithm.is_empty() {
        rest.split_once('$')
            .is_some_and(|(name, rest)| is_name(name) && !rest.is_empty())
    } else {
        DJANGO_ALGORITHMS
            .iter()
            .any(|known| algorithm.starts_with(known))
            && rest.contains('$')
    };
    if is_hash { Ok(hash) } else { Err(expected) }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    }
}

fn flag(value: &Value) -> Option<bool> {
    let text = match value {
        Value::Bool(flag) => return Some(*flag),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        value => value.to_string(),
    };
    match text.as_str() {
        "true" | "t" | "1" | "yes" => Some(true),
        "false" | "f" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// Parses epoch milliseconds or ISO 8601, by default in UTC, into epoch milliseconds. A
/// `password_changed_at` in the future would invalidate every link.
fn time(value: &Value, now: DateTime<Utc>) -> Result<i64, &'static str> {
    let expected = "a time in ISO 8601, or in milliseconds since 1970";
    let parsed = match (integer(value), value) {
        (Some(millis), _) => DateTime::from_timestamp_millis(millis),
        (None, Value::String(text)) => iso_8601(text.trim()),
        _ => None,
    };
    let at = parsed.ok_or(expected)?;
    if at > now + TimeDelta::days(1) {
        return Err("a time in the past, in ISO 8601 or in milliseconds since 1970");
    }
    Ok(at.timestamp_millis())
}

fn iso_8601(text: &str) -> Option<DateTime<Utc>> {
    let with_offset = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"];
    let mut with_offset = with_offset.iter().filter_map(|form| {
        let parsed = DateTime::parse_from_str(text, form).ok()?;
        Some(parsed.to_utc())
    });
    let without = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let mut without = without.iter().filter_map(|form| {
        let parsed = NaiveDateTime::parse_from_str(text, form).ok()?;
        Some(parsed.and_utc())
    });
    with_offset.next().or_else(|| without.next())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn times_are_parsed_in_every_usual_format() {
        for (text, millis) in [
            ("1969-12-31T23:59:59Z", -1_000),
            ("1969-12-31T23:59:59.25Z", -750),
            ("1970-01-01T01:00:00+02:00", -3_600_000),
            ("1969-12-31 23:00:00+00", -3_600_000),
            ("1969-12-31T23:59:59.123456", -877),
            ("1969-12-31 23:59:59", -1_000),
            ("-1000", -1_000),
        ] {
            assert_eq!(time(&json!(text), NOW), Ok(millis), "{text}");
        }
        for value in [
            json!("31.12.1969"),
            json!(1.5),
            json!(true),
            json!("2100-01-01T00:00:00Z"),
        ] {
            assert!(time(&value, NOW).is_err(), "{value}");
        }
    }

    #[test]
    fn a_possible_password_is_not_a_hash() {
        for accepted in [
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
            "$2b$12$abcdefghijklmnopqrstuv",
            "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA",
            "pbkdf2_sha256$870000$salt$hash=",
            "bcrypt_sha256$$2b$12$abc",
        ] {
            assert_eq!(hash(&json!(accepted)).as_deref(), Ok(accepted));
        }
        for refused in [
            "hunter2",
            "",
            "$",
            "$$",
            "pa$$word",
            "$money",
            "my pass$word$1",
            "5f4dcc3b5aa765d6",
        ] {
            assert!(hash(&json!(refused)).is_err(), "{refused}");
        }
    }
}
