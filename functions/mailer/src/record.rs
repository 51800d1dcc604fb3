//! One record of the outbox's stream, as Lambda delivers it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::{
    address::EmailAddress,
    tables::{Kind, MailEvent},
};

/// What a record says is owed.
pub(crate) struct Owed {
    pub(crate) id: String,
    pub(crate) count: i64,
    pub(crate) kind: Kind,
    pub(crate) email: EmailAddress,
    pub(crate) at: DateTime<Utc>,
    /// The language of the page that the row comes from.
    pub(crate) locale: Option<String>,
}

impl Owed {
    /// Reads a record; a `count` or an `at` that is missing is 1 and `now`. `None` for one that owes no mail: a deletion, a row of another kind, or
    /// something else altogether.
    pub(crate) fn read(record: &Value, now: DateTime<Utc>) -> Option<Self> {
        if !matches!(record["eventName"].as_str()?, "INSERT" | "MODIFY") {
            return None;
        }
        let row = &record["dynamodb"]["NewImage"];
        let string = |name: &str| row[name]["S"].as_str();
        let number = |name: &str, missing: i64| match &row[name] {
            Value::Null => Some(missing),
            value => value["N"].as_str()?.parse().ok(),
        };
        Some(Self {
            // A row that was put there again is named after the record, not after the event.
            id: string("event_id").or(string("id"))?.to_owned(),
            count: number("count", 1)?,
            kind: Kind::parse(string("kind")?)?,
            email: EmailAddress::parse(string("email")?).ok()?,
            locale: string("locale").map(str::to_owned),
            at: DateTime::from_timestamp_millis(number("at", now.timestamp_millis())?)?,
        })
    }

    /// The name under which its mail is known.
    pub(crate) fn event(&self) -> MailEvent {
        MailEvent::new(&self.id, self.count)
    }
}

/// The name under which a record is reported for another delivery.
pub(crate) fn sequence_number(record: &Value) -> Option<String> {
    Some(record["dynamodb"]["SequenceNumber"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Value {
        json!({
            "eventName": "INSERT",
            "dynamodb": {
                "SequenceNumber": "100",
                "NewImage": {
                    "id": { "S": "request#192.0.2.1#0" },
                    "count": { "N": "1" },
                    "kind": { "S": "reset_requested" },
                    "email": { "S": "ada@example.com" },
                    "at": { "N": "1790000000000" },
                },
            },
        })
    }

    #[test]
    fn a_row_of_the_outbox_is_read() {
        let owed = Owed::read(&record(), DateTime::UNIX_EPOCH).expect("a row of the outbox");
        assert_eq!(
            (owed.id.as_str(), owed.count, owed.kind),
            ("request#192.0.2.1#0", 1, Kind::ResetRequested)
        );
        assert_eq!(owed.email.as_str(), "ada@example.com");
        assert_eq!(sequence_number(&record()).as_deref(), Some("100"));
    }

    #[test]
    fn a_row_that_was_redriven_answers_the_event_of_the_first() {
        let mut redriven = record();
        redriven["dynamodb"]["NewImage"]["event_id"] = json!({ "S": "request#192.0.2.1#0" });
        redriven["dynamodb"]["NewImage"]["id"] = json!({ "S": "redrive#100" });
        let read = |record| Owed::read(&record, DateTime::UNIX_EPOCH).map(|owed| owed.event());
        assert_eq!(read(redriven), read(record()));
    }

    #[test]
    fn what_a_row_need_not_have_has_a_default() {
        let mut record = record();
        let row = record["dynamodb"]["NewImage"].as_object_mut();
        row.expect("a row")
            .retain(|name, _| name != "count" && name != "at");
        let owed = Owed::read(&record, DateTime::UNIX_EPOCH).expect("a row of the outbox");
        assert_eq!((owed.count, owed.at), (1, DateTime::UNIX_EPOCH));
    }

    #[test]
    fn anything_else_is_none() {
        for (pointer, value) in [
            ("/eventName", json!("REMOVE")),
            ("/eventName", json!(null)),
            ("/dynamodb", json!([])),
            ("/dynamodb/NewImage", json!("row")),
            ("/dynamodb/NewImage/kind", json!({ "S": "greeting" })),
            ("/dynamodb/NewImage/kind", json!(null)),
            ("/dynamodb/NewImage/email", json!({ "N": "1" })),
            ("/dynamodb/NewImage/email", json!({ "S": "nobody" })),
            ("/dynamodb/NewImage/count", json!({ "N": "many" })),
            (
                "/dynamodb/NewImage/at",
                json!({ "N": "9223372036854775807" }),
            ),
        ] {
            let mut record = record();
            *record.pointer_mut(pointer).expect("is there") = value;
            assert!(
                Owed::read(&record, DateTime::UNIX_EPOCH).is_none(),
                "{pointer}"
            );
        }
        for record in [json!(null), json!(1), json!([]), json!({})] {
            assert!(Owed::read(&record, DateTime::UNIX_EPOCH).is_none());
        }
    }
}
