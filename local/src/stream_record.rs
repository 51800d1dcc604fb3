//! A DynamoDB stream record in the JSON form that Lambda delivers.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::types::{AttributeValue, OperationType, Record};
use serde_json::{Value, json};

/// Converts `record` to the JSON form.
#[must_use]
pub fn lambda_record(record: &Record) -> Value {
    let change = record.dynamodb.as_ref();
    let image = |image: Option<&HashMap<String, AttributeValue>>| -> Value {
        image
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), attribute(value)))
            .collect()
    };
    json!({
        "eventID": record.event_id,
        "eventName": record.event_name.as_ref().map(OperationType::as_str),
        "eventVersion": record.event_version,
        "eventSource": record.event_source,
        "awsRegion": record.aws_region,
        "dynamodb": {
            "Keys": image(change.and_then(|change| change.keys.as_ref())),
            "NewImage": image(change.and_then(|change| change.new_image.as_ref())),
            "SequenceNumber": change.and_then(|change| change.sequence_number.as_ref()),
            "StreamViewType": "NEW_IMAGE",
        },
    })
}

/// Converts the types that outbox rows use; any other becomes null, which every reader rejects.
fn attribute(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(flag) => json!({ "BOOL": flag }),
        _ => Value::Null,
    }
}
