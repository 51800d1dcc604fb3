//! The three tables, and the one transaction over all of them.
//!
//! Times are numbers in epoch milliseconds, except `expires_at`, which is TTL's and in epoch
//! seconds.

mod change;
mod outbox;
mod recovery;
mod tokens;
mod users;

use std::{collections::HashMap, error::Error};

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    types::AttributeValue,
};
use chrono::{DateTime, Utc};

use crate::aws::AwsError;

pub use change::{Change, PasswordChange, change_password};
pub use outbox::{Asked, ClientLimit, Kind, Outbox, READ_ROWS as OUTBOX_READ_ROWS};
pub use recovery::{MailEvent, MailState, Outcome, Recovery, SentMail, Suppression};
pub use tokens::{TokenRow, Tokens};
pub use users::{Budget, Found, Page, RowKey, User, Users};

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// Whether a conditional write went through: `false` where its condition did not hold.
fn written<T, E>(operation: &'static str, answer: Result<T, SdkError<E>>) -> Result<bool, AwsError>
where
    E: ProvideErrorMetadata + RequestId + Error + 'static,
{
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(AwsError::new(operation, &error)),
    }
}

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
