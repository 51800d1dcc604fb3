//! The outbox: what is owed a mail. Its stream feeds the mailer, its TTL cleans up.

use aws_sdk_dynamodb::{Client as DynamoDb, types::Put};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Item, get_number, get_string, get_time, millis, number, string, written};
use crate::{address::EmailAddress, aws::AwsError, http::Client, token::TokenDigest};

/// How long a row outlives its purpose: as long as the stream keeps its record.
const RETENTION: TimeDelta = TimeDelta::hours(24);
/// Rows in one read of [`Outbox::for_each_since`]: few enough for the time limit of a call.
pub const READ_ROWS: i32 = 1000;

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
        let answer = self
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
        if written("UpdateItem outbox", answer)? {
            Ok(Asked::Accepted)
        } else {
            Ok(Asked::Limited {
                retry_after_seconds: (window_end - now.timestamp()).max(1),
            })
        }
    }

    /// Records that `email` is owed a link that an operator asked for. `nonce` is random: every
    /// call is an event of its own, so that the account's budget counts it.
    pub async fn ask_as_operator(
        &self,
        nonce: &str,
        email: &EmailAddress,
        now: DateTime<Utc>,
    ) -> Result<(), AwsError> {
        let id = format!("admin#{nonce}");
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row(id, Kind::ResetRequested, email, None, now)))
            .condition_expression("attribute_not_exists(id)")
            .send()
            .await
            .map_err(|error| AwsError::new("PutItem outbox", &error))?;
        Ok(())
    }

    /// Puts what `record`, one of the outbox's stream, owes into the outbox once more: the name of
    /// the new row, or `None` for a record that owes no mail.
    ///
    /// The row is named after the record, so that a record is put there once however often this
    /// is called; and it says which event it answers, so that the account's budget is charged
    /// once.
    pub async fn redrive(
        &self,
        record: &serde_json::Value,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, AwsError> {
        let Some((id, item)) = redriven(record, now) else {
            return Ok(None);
        };
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(id)")
            .send()
            .await;
        written("PutItem outbox", answer).map(|_| Some(id))
    }

    /// Calls `each` with the kind, count and time of every row written since `since`. After
    /// `max_reads` reads of [`READ_ROWS`] rows it gives up: whether it has seen the whole table.
    pub async fn for_each_since(
        &self,
        since: DateTime<Utc>,
        max_reads: usize,
        mut each: impl FnMut(Kind, i64, DateTime<Utc>),
    ) -> Result<bool, AwsError> {
        let mut start = None;
        for _ in 0..max_reads {
            let page = self
                .client
                .scan()
                .table_name(&self.table)
                .limit(READ_ROWS)
                .filter_expression("#at >= :since")
                .projection_expression("#kind, #count, #at")
                .expression_attribute_names("#kind", "kind")
                .expression_attribute_names("#count", "count")
                .expression_attribute_names("#at", "at")
                .expression_attribute_values(":since", millis(since))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| AwsError::new("Scan outbox", &error))?;
            for item in page.items() {
                let kind = get_string(item, "kind").and_then(|kind| Kind::parse(&kind));
                if let (Some(kind), Some(at)) = (kind, get_time(item, "at")) {
                    each(kind, get_number(item, "count").unwrap_or(1), at);
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
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
        let id = format!("changed#{}", token.as_str());
        let item = row(id, Kind::PasswordChanged, email, Some(locale), now);
        Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .build()
            .expect("a put has a table and an item")
    }
}

/// The row that puts a record of the stream into the outbox once more, and its name.
fn redriven(record: &serde_json::Value, now: DateTime<Utc>) -> Option<(String, Item)> {
    if record["eventName"] == "REMOVE" {
        return None;
    }
    let image = &record["dynamodb"]["NewImage"];
    let text = |name: &str| image[name]["S"].as_str();
    let whole = |name: &str| image[name]["N"].as_str()?.parse::<i64>().ok();
    let id = format!("redrive#{}", record["dynamodb"]["SequenceNumber"].as_str()?);
    let (kind, email) = (
        Kind::parse(text("kind")?)?,
        EmailAddress::parse(text("email")?).ok()?,
    );
    let mut item = row(id.clone(), kind, &email, text("locale"), now);
    let event_id = text("event_id").or(text("id"))?;
    item.insert("event_id".to_owned(), string(event_id));
    item.insert("count".to_owned(), number(whole("count").unwrap_or(1)));
    item.insert(
        "at".to_owned(),
        number(whole("at").unwrap_or(now.timestamp_millis())),
    );
    Some((id, item))
}

/// A row that owes one mail.
fn row(
    id: String,
    kind: Kind,
    email: &EmailAddress,
    locale: Option<&str>,
    now: DateTime<Utc>,
) -> Item {
    let mut item: Item = [
        ("id".to_owned(), string(id)),
        ("kind".to_owned(), string(kind.as_str())),
        ("email".to_owned(), string(email.as_str())),
        ("count".to_owned(), number(1)),
        ("at".to_owned(), millis(now)),
        (
            "expires_at".to_owned(),
            number((now + RETENTION).timestamp()),
        ),
    ]
    .into();
    if let Some(locale) = locale {
        item.insert("locale".to_owned(), string(locale));
    }
    item
}
