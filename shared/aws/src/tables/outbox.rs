//! The outbox: emails that are due. Its stream feeds the mailer, and TTL removes old rows.

use aws_sdk_dynamodb::{Client as DynamoDb, types::Put};
use chrono::{DateTime, TimeDelta, Utc};
use rules::{
    address::EmailAddress,
    client::ClientNetwork,
    recovery::{EmailId, EmailKind},
    token::TokenDigest,
};
use serde_json::Value;

use super::{
    attributes::{Item, get_number, get_string, get_time, millis, number, string},
    conditional_write::is_applied,
};
use crate::sdk::AwsError;

/// Time for which a row is kept once it is no longer needed: as long as the stream keeps its
/// record.
const RETENTION: TimeDelta = TimeDelta::hours(24);
/// Rows per read of [`Outbox::for_each_since`]: few enough for the timeout of a call.
pub const READ_ROWS: i32 = 1000;

/// Limit on the requests of one client.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimit {
    /// Requests per window.
    pub requests: u32,
    /// Length of the window, in seconds.
    pub window_seconds: u32,
}

/// The result of recording a request for a reset email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The request is in the outbox.
    Accepted,
    /// The client has used up its requests.
    Limited {
        /// Seconds until the window ends, at least 1.
        retry_after_seconds: i64,
    },
}

/// A row of the outbox: one email that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Primary key.
    pub id: String,
    /// Which email is due.
    pub kind: EmailKind,
    /// Canonical address of the account.
    pub email: EmailAddress,
    /// Number of times the row was written. Each write makes another email due.
    pub count: i64,
    /// When the email was requested.
    pub at: DateTime<Utc>,
    /// Language of the page that the request came from.
    pub locale: Option<String>,
}

impl OutboxRow {
    /// Reads the new image of a stream record, in the JSON that Lambda delivers. A missing `count`
    /// is 1 and a missing `at` is `now`; `None` for anything that is not a row of the outbox.
    #[must_use]
    pub fn from_image(image: &Value, now: DateTime<Utc>) -> Option<Self> {
        let string = |name: &str| image[name]["S"].as_str();
        let number = |name: &str, default: i64| match &image[name] {
            Value::Null => Some(default),
            value => value["N"].as_str()?.parse().ok(),
        };
        Some(Self {
            id: string("id")?.to_owned(),
            kind: EmailKind::parse(string("kind")?)?,
            email: EmailAddress::parse(string("email")?).ok()?,
            count: number("count", 1)?,
            at: DateTime::from_timestamp_millis(number("at", now.timestamp_millis())?)?,
            locale: string("locale").map(str::to_owned),
        })
    }

    /// Builds the item to write at `now`.
    fn to_item(&self, now: DateTime<Utc>) -> Item {
        let expires_at = (now + RETENTION).timestamp();
        let mut item = Item::from([
            ("id".to_owned(), string(&self.id)),
            ("kind".to_owned(), string(self.kind.as_str())),
            ("email".to_owned(), string(self.email.as_str())),
            ("count".to_owned(), number(self.count)),
            ("at".to_owned(), millis(self.at)),
            ("expires_at".to_owned(), number(expires_at)),
        ]);
        let locale = self.locale.as_ref();
        item.extend(locale.map(|locale| ("locale".to_owned(), string(locale))));
        item
    }

    /// Returns the ID of the email.
    #[must_use]
    pub fn email_id(&self) -> EmailId {
        EmailId::new(&self.id, self.count)
    }
}

/// The outbox table.
#[derive(Debug, Clone)]
pub struct Outbox {
    client: DynamoDb,
    table: String,
}

impl Outbox {
    /// Creates a client of `table`.
    #[must_use]
    pub fn new(client: DynamoDb, table: String) -> Self {
        Self { client, table }
    }

    /// Counts a request against its client and records that an email to `email` is due, in one
    /// write of the same shape for every address.
    pub async fn record_request(
        &self,
        client: ClientNetwork,
        email: &EmailAddress,
        locale: &str,
        limit: ClientLimit,
        now: DateTime<Utc>,
    ) -> Result<Admission, AwsError> {
        let window = i64::from(limit.window_seconds);
        let window_start = now.timestamp().div_euclid(window) * window;
        let window_end = window_start + window;
        let expires_at = window_end + RETENTION.num_seconds();
        let response = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", string(format!("request#{client}#{window_start}")))
            .condition_expression("attribute_not_exists(id) OR #count < :limit")
            .update_expression(
                "ADD #count :one SET email = :email, #kind = :kind, #at = :at, \
                 expires_at = :expires_at, locale = :locale",
            )
            .expression_attribute_names("#count", "count")
            .expression_attribute_names("#kind", "kind")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":locale", string(locale))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":limit", number(limit.requests))
            .expression_attribute_values(":email", string(email.as_str()))
            .expression_attribute_values(":kind", string(EmailKind::ResetRequested.as_str()))
            .expression_attribute_values(":at", millis(now))
            .expression_attribute_values(":expires_at", number(expires_at))
            .send()
            .await;
        if is_applied("UpdateItem outbox", response)? {
            Ok(Admission::Accepted)
        } else {
            Ok(Admission::Limited {
                retry_after_seconds: (window_end - now.timestamp()).max(1),
            })
        }
    }

    /// Records that a reset email to `email` is due because an operator requested it. `nonce` is
    /// random, so each call is a new event that the account's budget counts.
    pub async fn record_operator_request(
        &self,
        nonce: &str,
        email: &EmailAddress,
        now: DateTime<Utc>,
    ) -> Result<(), AwsError> {
        let row = OutboxRow {
            id: format!("admin#{nonce}"),
            kind: EmailKind::ResetRequested,
            email: email.clone(),
            count: 1,
            at: now,
            locale: None,
        };
        let response = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row.to_item(now)))
            .condition_expression("attribute_not_exists(id)")
            .send()
            .await;
        is_applied("PutItem outbox", response).map(drop)
    }

    /// Calls `each` with kind, count and time of every row written since `since`. Stops after
    /// `max_reads` reads of [`READ_ROWS`] rows; returns whether it reached the end of the table.
    pub async fn for_each_since(
        &self,
        since: DateTime<Utc>,
        max_reads: usize,
        mut each: impl FnMut(EmailKind, i64, DateTime<Utc>),
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
                let kind = get_string(item, "kind").and_then(|kind| EmailKind::parse(&kind));
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

    /// Builds the write of the notice that a password was changed, for a transaction. The row is
    /// named after the token that was spent, so each token causes one notice.
    pub(super) fn put_notice(
        table: &str,
        token: &TokenDigest,
        email: &EmailAddress,
        locale: &str,
        now: DateTime<Utc>,
    ) -> Put {
        let row = OutboxRow {
            id: format!("changed#{}", token.as_str()),
            kind: EmailKind::PasswordChanged,
            email: email.clone(),
            count: 1,
            at: now,
            locale: Some(locale.to_owned()),
        };
        Put::builder()
            .table_name(table)
            .set_item(Some(row.to_item(now)))
            .build()
            .expect("a put has a table and an item")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image() -> Value {
        json!({
            "id": { "S": "request#192.0.2.1#0" },
            "count": { "N": "2" },
            "kind": { "S": "reset_requested" },
            "email": { "S": "ada@example.com" },
            "at": { "N": "1790000000000" },
        })
    }

    fn read(image: &Value) -> Option<OutboxRow> {
        OutboxRow::from_image(image, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_row_is_read_from_its_image() {
        let row = read(&image()).expect("a row");
        assert_eq!(
            (row.id.as_str(), row.count, row.kind),
            ("request#192.0.2.1#0", 2, EmailKind::ResetRequested)
        );
        assert_eq!(row.email.as_str(), "ada@example.com");
        assert_eq!(row.at.timestamp_millis(), 1_790_000_000_000);
    }

    #[test]
    fn a_missing_count_or_time_has_a_default() {
        let mut image = image();
        let row = image.as_object_mut().expect("an object");
        row.retain(|name, _| name != "count" && name != "at");
        let row = read(&image).expect("a row");
        assert_eq!((row.count, row.at), (1, DateTime::UNIX_EPOCH));
    }

    #[test]
    fn anything_else_is_rejected() {
        for (name, value) in [
            ("id", json!(null)),
            ("kind", json!({ "S": "greeting" })),
            ("kind", json!(null)),
            ("email", json!({ "N": "1" })),
            ("email", json!({ "S": "nobody" })),
            ("count", json!({ "N": "many" })),
            ("at", json!({ "N": "9223372036854775807" })),
        ] {
            let mut image = image();
            image[name] = value;
            assert_eq!(read(&image), None, "{name}");
        }
        for image in [json!(null), json!(1), json!([]), json!({}), json!("row")] {
            assert_eq!(read(&image), None);
        }
    }
}
