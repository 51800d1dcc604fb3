//! The three tables, and the one transaction over all of them.
//!
//! Times are numbers in epoch milliseconds, except `expires_at`, which is TTL's and in epoch
//! seconds.

mod change;
mod outbox;
mod tokens;
mod users;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};

pub use change::{Change, PasswordChange, change_password};
pub use outbox::{Asked, ClientLimit, Kind, Outbox};
pub use tokens::{TokenRow, Tokens};
pub use users::{Budget, MailEvent, SentMail, User, Users};

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

fn string(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: impl Into<i64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

fn millis(at: DateTime<Utc>) -> AttributeValue {
    number(at.timestamp_millis())
}

fn get_string(item: &Item, name: &str) -> Option<String> {
    item.get(name)?.as_s().ok().cloned()
}

fn get_number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn get_bool(item: &Item, name: &str) -> Option<bool> {
    item.get(name)?.as_bool().ok().copied()
}

fn get_time(item: &Item, name: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(get_number(item, name)?)
}
