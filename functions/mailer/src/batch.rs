//! A batch of messages, and the response that says which of them must return to the queue.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::{
    UnknownEvent,
    message::{Content, Message},
};

/// Messages of the mail queue.
pub struct Batch(Vec<Message>);

/// The messages that must return to the queue (`ReportBatchItemFailures`).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Empty if every message is done.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that must return to the queue.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// ID of the message.
    pub item_identifier: String,
}

impl Batch {
    /// Reads the messages in `event`.
    pub fn read(event: &Value) -> Result<Self, UnknownEvent> {
        let records = event["Records"].as_array().ok_or(UnknownEvent)?;
        let messages: Result<_, _> = records.iter().map(Message::read).collect();
        messages.map(Self)
    }

    /// Parses the messages and groups them by account, each account's in order. A message without
    /// an account is a group of its own.
    pub(crate) fn accounts(&self, now: DateTime<Utc>) -> Vec<Vec<(&str, Content)>> {
        let mut accounts: BTreeMap<String, Vec<(&str, Content)>> = BTreeMap::new();
        for message in &self.0 {
            let content = message.content(now);
            let account = content
                .account()
                .map_or(&*message.id, |email| email.as_str());
            let messages = accounts.entry(account.to_owned()).or_default();
            messages.push((&message.id, content));
        }
        accounts.into_values().collect()
    }

    /// Returns the response that reports the messages with the IDs `failed`.
    pub(crate) fn response(&self, failed: &HashSet<&str>) -> BatchResponse {
        let failed = self
            .0
            .iter()
            .filter(|message| failed.contains(&*message.id));
        BatchResponse {
            batch_item_failures: failed
                .map(|message| BatchItemFailure {
                    item_identifier: message.id.clone(),
                })
                .collect(),
        }
    }
}
