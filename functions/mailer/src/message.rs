//! Messages of the mail queue, as Lambda delivers them. The body of each is a record of the
//! outbox's stream, which the pipe passes on as it is.

use aws::tables::OutboxRow;
use chrono::{DateTime, Utc};
use rules::{address::EmailAddress, recovery::EmailId};
use serde_json::Value;

use crate::UnknownEvent;

/// A message of the mail queue.
pub(crate) struct Message {
    /// Identifies the message if it must return to the queue.
    pub id: String,
    body: String,
}

/// The content of a message's body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// An email is due.
    Email(OutboxRow),
    /// A row was deleted, which needs no email.
    Deletion,
    /// Not a record of the outbox's stream.
    Unreadable,
}

impl Content {
    /// Returns the address of the account.
    pub(crate) fn account(&self) -> Option<&EmailAddress> {
        match self {
            Self::Email(row) => Some(&row.email),
            Self::Deletion | Self::Unreadable => None,
        }
    }

    /// Returns the ID of the email that is due.
    pub(crate) fn email_id(&self) -> Option<EmailId> {
        match self {
            Self::Email(row) => Some(row.email_id()),
            Self::Deletion | Self::Unreadable => None,
        }
    }
}

impl Message {
    /// Reads one of an event's `Records`. The body is parsed later, so a malformed one stops only
    /// its own message, and its contents stay out of errors that the runtime logs.
    pub(crate) fn read(record: &Value) -> Result<Self, UnknownEvent> {
        let text = |name: &str| record[name].as_str().map(str::to_owned);
        Ok(Self {
            id: text("messageId").ok_or(UnknownEvent)?,
            body: text("body").unwrap_or_default(),
        })
    }

    /// Parses the body.
    pub(crate) fn content(&self, now: DateTime<Utc>) -> Content {
        let record: Value = serde_json::from_str(&self.body).unwrap_or_default();
        match record["eventName"].as_str() {
            Some("REMOVE") => Content::Deletion,
            Some("INSERT" | "MODIFY") => {
                OutboxRow::from_image(&record["dynamodb"]["NewImage"], now)
                    .map_or(Content::Unreadable, Content::Email)
            }
            _ => Content::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(body: &str) -> Content {
        let record = json!({ "messageId": "m", "body": body });
        let message = Message::read(&record).expect("a message");
        message.content(DateTime::UNIX_EPOCH)
    }

    fn record(event_name: &Value) -> String {
        json!({
            "eventName": event_name,
            "dynamodb": {
                "NewImage": {
                    "id": { "S": "request#192.0.2.1#0" },
                    "kind": { "S": "reset_requested" },
                    "email": { "S": "ada@example.com" },
                },
            },
        })
        .to_string()
    }

    #[test]
    fn inserted_and_modified_rows_need_an_email() {
        for name in ["INSERT", "MODIFY"] {
            assert!(
                matches!(content(&record(&json!(name))), Content::Email(_)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_deleted_row_needs_none() {
        assert_eq!(content(&record(&json!("REMOVE"))), Content::Deletion);
    }

    #[test]
    fn any_other_body_is_unreadable() {
        let nested = format!("[{}]", record(&json!("INSERT")));
        let unnamed = record(&json!(null));
        for body in ["", "garbage", "null", "1", "[]", "{}", &nested, &unnamed] {
            assert_eq!(content(body), Content::Unreadable, "{body}");
        }
    }

    #[test]
    fn a_record_without_an_id_is_not_a_message() {
        for record in [
            json!(null),
            json!({}),
            json!({ "body": "{}" }),
            json!({ "messageId": 1, "body": "{}" }),
            json!({ "eventSource": "aws:dynamodb", "dynamodb": {} }),
        ] {
            assert!(Message::read(&record).is_err(), "{record}");
        }
    }
}
