//! Puts the records of the outbox's stream on the mail queue, as the pipe does on AWS.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use aws::AwsError;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodbstreams::{
    Client as Streams,
    error::ProvideErrorMetadata,
    types::{Record, Shard, ShardIteratorType},
};
use rules::recovery::EmailKind;
use serde_json::Value;
use tokio::time::sleep;

use crate::{mail_queue::MailQueue, stream_record::lambda_record};

/// Pause after a read that returned nothing new.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Pause after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Records per read.
const READ_RECORDS: i32 = 100;

/// Iterators by shard; `None` at the end of a closed shard.
type ShardIterators = HashMap<String, Option<String>>;

/// Reads the stream of one table.
pub struct Pipe {
    streams: Streams,
    stream_arn: String,
    queue: Arc<MailQueue>,
}

impl Pipe {
    /// Builds a pipe from the stream of `table` to `queue`.
    pub async fn new(
        dynamodb: &DynamoDb,
        streams: Streams,
        table: &str,
        queue: Arc<MailQueue>,
    ) -> Result<Self> {
        let described = dynamodb.describe_table().table_name(table).send().await;
        let described = described.map_err(|error| AwsError::new("DescribeTable", &error))?;
        let stream_arn = described.table.and_then(|table| table.latest_stream_arn);
        let stream_arn = stream_arn.with_context(|| {
            format!(
                "the table {table} has no stream; enable one with the view NEW_IMAGE, or let \
                 `migrate` create the table"
            )
        })?;
        Ok(Self {
            streams,
            stream_arn,
            queue,
        })
    }

    /// Runs until it is dropped. Failures are logged and retried.
    pub async fn run(self) {
        let mut iterators = HashMap::new();
        loop {
            match self.drain(&mut iterators).await {
                Ok(()) => sleep(POLL_INTERVAL).await,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "cannot read the stream; retrying"
                    );
                    iterators.clear();
                    sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    /// Reads all available records.
    async fn drain(&self, iterators: &mut ShardIterators) -> Result<()> {
        self.add_shards(iterators).await?;
        let mut closed = 0;
        while self.poll(iterators).await? {
            // A shard that has just closed has successors. Listing the shards on every poll would be
            // too much: AWS allows ten calls a second, and the embedded DynamoDB reads the whole
            // stream for each.
            let closed_now = iterators.values().filter(|next| next.is_none()).count();
            if closed_now > closed {
                closed = closed_now;
                self.add_shards(iterators).await?;
            }
        }
        Ok(())
    }

    /// Reads every shard once. Returns whether there were any records.
    async fn poll(&self, iterators: &mut ShardIterators) -> Result<bool> {
        let mut has_records = false;
        for (shard, iterator) in iterators.iter_mut() {
            let Some(current) = iterator.clone() else {
                continue;
            };
            let request = self.streams.get_records().shard_iterator(current);
            let response = request.limit(READ_RECORDS).send().await;
            let response = response.map_err(|error| AwsError::new("GetRecords", &error))?;
            let records = response.records.unwrap_or_default();
            if !records.is_empty() {
                has_records = true;
                self.send(shard, &records)?;
            }
            *iterator = response.next_shard_iterator;
        }
        Ok(has_records)
    }

    /// Adds the shards that `iterators` lacks.
    async fn add_shards(&self, iterators: &mut ShardIterators) -> Result<()> {
        for shard in self.list_shards().await? {
            let Some(id) = shard.shard_id else { continue };
            if let Entry::Vacant(shard) = iterators.entry(id) {
                let iterator = self.iterator(shard.key()).await?;
                shard.insert(iterator);
            }
        }
        Ok(())
    }

    async fn list_shards(&self) -> Result<Vec<Shard>> {
        let request = self.streams.describe_stream().stream_arn(&self.stream_arn);
        let response = request.send().await;
        let response = response.map_err(|error| AwsError::new("DescribeStream", &error))?;
        let stream = response.stream_description;
        Ok(stream.and_then(|stream| stream.shards).unwrap_or_default())
    }

    /// Returns an iterator that starts after the last record read from `shard`, or at the shard's
    /// start if none was read or the stream has trimmed that record.
    async fn iterator(&self, shard: &str) -> Result<Option<String>> {
        let request = || {
            self.streams
                .get_shard_iterator()
                .stream_arn(&self.stream_arn)
                .shard_id(shard)
        };
        if let Some(last) = self.queue.place(shard) {
            let after = request()
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(last);
            match after.send().await {
                Ok(response) => return Ok(response.shard_iterator),
                Err(error) if error.code() == Some("TrimmedDataAccessException") => {}
                Err(error) => return Err(AwsError::new("GetShardIterator", &error).into()),
            }
        }
        let start = request().shard_iterator_type(ShardIteratorType::TrimHorizon);
        let response = start.send().await;
        let response = response.map_err(|error| AwsError::new("GetShardIterator", &error))?;
        Ok(response.shard_iterator)
    }

    /// Puts the records that pass the filter on the queue.
    fn send(&self, shard: &str, records: &[Record]) -> Result<()> {
        for record in records.iter().map(lambda_record) {
            let sequence_number = record["dynamodb"]["SequenceNumber"].as_str();
            let body = passes_filter(&record).then(|| record.to_string());
            self.queue
                .send(shard, sequence_number.unwrap_or_default(), body)?;
        }
        Ok(())
    }
}

/// The filter of the template's pipe: rows of a known kind that were inserted or modified.
#[must_use]
pub fn passes_filter(record: &Value) -> bool {
    let kind = record["dynamodb"]["NewImage"]["kind"]["S"].as_str();
    matches!(record["eventName"].as_str(), Some("INSERT" | "MODIFY"))
        && kind.and_then(EmailKind::parse).is_some()
}
