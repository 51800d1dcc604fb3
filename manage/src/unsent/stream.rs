//! Reading records of a DynamoDB stream by their sequence numbers.

use std::fmt;

use anyhow::Result;
use aws::AwsError;
use aws_sdk_dynamodbstreams::{
    Client as Streams,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    types::ShardIteratorType,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stream_record::lambda_record;

/// Consecutive records of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamRange {
    stream_arn: String,
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    #[serde(rename = "batchSize")]
    size: u32,
    #[serde(default)]
    approximate_arrival_of_first_record: String,
}

impl fmt::Display for StreamRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            size,
            approximate_arrival_of_first_record: arrival,
            start_sequence_number: start,
            ..
        } = self;
        write!(f, "{size} records since {arrival}, starting at {start}")
    }
}

impl StreamRange {
    /// Reads the records; `None` if the stream no longer has all of them.
    pub(super) async fn read(&self, streams: &Streams) -> Result<Option<Vec<Value>>> {
        let start = SequenceNumber::parse(&self.start_sequence_number);
        let end = SequenceNumber::parse(&self.end_sequence_number);
        let response = streams
            .get_shard_iterator()
            .stream_arn(&self.stream_arn)
            .shard_id(&self.shard_id)
            .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
            .sequence_number(&self.start_sequence_number)
            .send()
            .await;
        let Some(response) = unless_trimmed("GetShardIterator", response)? else {
            return Ok(None);
        };
        let (mut iterator, mut records) = (response.shard_iterator, Vec::new());
        while let Some(current) = iterator {
            let response = streams.get_records().shard_iterator(current).send().await;
            let Some(response) = unless_trimmed("GetRecords", response)? else {
                return Ok(None);
            };
            let read: Vec<Value> = response.records().iter().map(lambda_record).collect();
            let is_past_end = |record: &Value| SequenceNumber::of(record) > end;
            // An open shard never ends. The records are adjacent, so an empty read comes after them.
            let is_complete = read.is_empty() || read.iter().any(is_past_end);
            records.extend(read.into_iter().filter(|record| !is_past_end(record)));
            if is_complete || records.last().map(SequenceNumber::of).as_ref() == Some(&end) {
                break;
            }
            iterator = response.next_shard_iterator;
        }
        let has_start = records.first().map(SequenceNumber::of) == Some(start);
        Ok(has_start.then_some(records))
    }
}

/// Returns `None` if the stream, its shard or its records no longer exist.
fn unless_trimmed<T, E>(
    operation: &'static str,
    response: Result<T, SdkError<E>>,
) -> Result<Option<T>, AwsError>
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
{
    let trimmed = ["TrimmedDataAccessException", "ResourceNotFoundException"];
    match response {
        Ok(response) => Ok(Some(response)),
        Err(error) if error.code().is_some_and(|code| trimmed.contains(&code)) => Ok(None),
        Err(error) => Err(AwsError::new(operation, &error)),
    }
}

/// A sequence number: decimal, and too long for an integer type. It compares by its count of
/// digits, then by the digits.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SequenceNumber(usize, String);

impl SequenceNumber {
    fn parse(text: &str) -> Self {
        let digits = text.trim_start_matches('0');
        Self(digits.len(), digits.to_owned())
    }

    fn of(record: &Value) -> Self {
        let number = record["dynamodb"]["SequenceNumber"].as_str();
        Self::parse(number.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::SequenceNumber;

    #[test]
    fn sequence_numbers_compare_as_numbers() {
        let number = SequenceNumber::parse;
        assert!(number("9") < number("10"));
        assert!(number("0010") == number("10"));
        assert!(number("800000000003126276362000000000000000000000") > number("8"));
    }
}
