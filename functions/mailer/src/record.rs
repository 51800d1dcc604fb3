//! Records of the outbox's stream, as Lambda delivers them.

use aws::tables::OutboxRow;
use chrono::{DateTime, Utc};
use serde_json::Value;

/// Reads the row that a record writes; `None` for a deletion or anything else that is not a row of
/// the outbox.
pub(crate) fn outbox_row(record: &Value, now: DateTime<Utc>) -> Option<OutboxRow> {
    match record["eventName"].as_str()? {
        "INSERT" | "MODIFY" => OutboxRow::from_image(&record["dynamodb"]["NewImage"], now),
        _ => None,
    }
}

/// Returns the identifier by which a record is reported for another delivery.
pub(crate) fn sequence_number(record: &Value) -> Option<String> {
    Some(record["dynamodb"]["SequenceNumber"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(event_name: &Value) -> Value {
        json!({
            "eventName": event_name,
            "dynamodb": {
                "SequenceNumber": "100",
                "NewImage": {
                    "id": { "S": "request#192.0.2.1#0" },
                    "kind": { "S": "reset_requested" },
                    "email": { "S": "ada@example.com" },
                },
            },
        })
    }

    #[test]
    fn only_inserted_and_modified_rows_are_read() {
        let is_read = |record: &Value| outbox_row(record, DateTime::UNIX_EPOCH).is_some();
        for name in ["INSERT", "MODIFY"] {
            assert!(is_read(&record(&json!(name))), "{name}");
        }
        for name in [json!("REMOVE"), json!(null)] {
            assert!(!is_read(&record(&name)), "{name}");
        }
        for other in [json!(null), json!(1), json!([]), json!({})] {
            assert!(!is_read(&other), "{other}");
        }
    }

    #[test]
    fn a_record_is_reported_by_its_sequence_number() {
        let record = record(&json!("INSERT"));
        assert_eq!(sequence_number(&record).as_deref(), Some("100"));
    }
}
