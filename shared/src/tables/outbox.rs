//! The outbox: what is owed a mail. Its stream feeds the mailer, its TTL cleans up.

use aws_sdk_dynamodb::{Client as DynamoDb, operation::update_item::UpdateItemError, types::Put};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Item, millis, number, string};
use crate::{address::EmailAddress, aws::AwsError, http::Client, token::TokenDigest};

/// How long a row outlives its purpose: as long as the stream keeps its record.
const RETENTION: TimeDelta = TimeDelta::hours(24);

/// The attribute that says what kind of mail a row is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody asked for a reset link.
    ResetRequested,
    /// A password was changed; its owner is told.
    PasswordChanged,
}

impl Kind {
    /// The text in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResetRequested => "reset_requested",
            Self::PasswordChanged => "password_changed",
        }
    }

    /// The kind that `text` names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ResetRequested, Self::PasswordChanged]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// How many requests one client may make in a window of time.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimit {
    /// Requests in a window.
    pub requests: u32,
    /// The window's length in seconds.
    pub window_seconds: u32,
}

/// What became of a request for a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is in the outbox.
    Accepted,
    /// The client has spent its requests; seconds until the window ends.
    Limited {
        /// At least 1.
        retry_after_seconds: i64,
    },
}

/// The outbox table.
#[derive(Debug, Clone)]
pub struct Outbox {
    client: DynamoDb,
    table: String,
}

impl Outbox {
    /// The outbox in `table`.
    #[must_use]
    pub fn new(client: DynamoDb, table: String) -> Self {
        Self { client, table }
    }

    /// Counts the request against its client and records that `email` is owed a mail, in one
    /// write of the same shape for every address.
    pub async fn ask(
        &self,
        from: Client,
        email: &EmailAddress,
        locale: &str,
        limit: ClientLimit,
        now: DateTime<Utc>,
    ) -> Result<Asked, AwsError> {
        let window = i64::from(limit.window_seconds);
        let window_start = now.timestamp().div_euclid(window) * window;
        let window_end = window_start + window;
        let written = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", string(format!("request#{from}#{window_start}")))
            .condition_expression("attribute_not_exists(id) OR #count < :limit")
            .update_expression("ADD #count :one SET email = :email, #kind = :kind, #at = :at, expires_at = :expires_at, locale = :locale")
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#kind", "kind")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":locale", string(locale))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":limit", number(limit.requests))
            .expression_attribute_values(":email", string(email.as_str()))
            .expression_attribute_values(":kind", string(Kind::ResetRequested.as_str()))
            .expression_attribute_values(":at", millis(now))
            .expression_attribute_values(":expires_at", number(window_end + RETENTION.num_seconds()))
            .send()
            .await;
        match written {
            Ok(_) => Ok(Asked::Accepted),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(Asked::Limited {
                    retry_after_seconds: (window_end - now.timestamp()).max(1),
                })
            }
            Err(error) => Err(AwsError::new("UpdateItem outbox", &error)),
        }
    }

    /// The row that owes `email` the notice of a change; for a transaction. It is named after
    /// the token that was spent, so that one token is one notice.
    pub(super) fn password_changed(
        table: &str,
        token: &TokenDigest,
        email: &EmailAddress,
        locale: &str,
        now: DateTime<Utc>,
    ) -> Put {
        let item: Item = [
            (
                "id".to_owned(),
                string(format!("changed#{}", token.as_str())),
            ),
            ("kind".to_owned(), string(Kind::PasswordChanged.as_str())),
            ("email".to_owned(), string(email.as_str())),
            ("locale".to_owned(), string(locale)),
            ("count".to_owned(), number(1)),
            ("at".to_owned(), millis(now)),
            (
                "expires_at".to_owned(),
                number((now + RETENTION).timestamp()),
            ),
        ]
        .into();
        Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .build()
            .expect("a put has a table and an item")
    }
}
