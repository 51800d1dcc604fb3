//! Feeds the mailer from the outbox's stream, as Lambda's event source mapping does.
//!
//! Its checkpoints are in a file, so an email that is due when the process stops is sent after the
//! next start, and no email is sent twice.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use aws::AwsError;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodbstreams::{
    Client as Streams,
    types::{Record, Shard, ShardIteratorType},
};
use chrono::{DateTime, Utc};
use manage::stream_record::lambda_record;
use rand::rngs::SysRng;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::atomic_file;

/// Pause after a read that returned nothing new.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Pause after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Records per batch, as in the template.
const BATCH_SIZE: i32 = 10;

/// Iterators by shard; `None` at the end of a closed shard.
type ShardIterators = HashMap<String, Option<String>>;

/// Feeds a mailer from the stream of one table.
pub struct StreamPoller {
    streams: Streams,
    stream_arn: String,
    mailer: Arc<mailer::App>,
    now: fn() -> DateTime<Utc>,
    checkpoints: Checkpoints,
}

impl StreamPoller {
    /// Builds a poller of the stream of `table`. `checkpoints` is the file for its checkpoints.
    pub async fn new(
        dynamodb: &DynamoDb,
        streams: Streams,
        table: &str,
        mailer: Arc<mailer::App>,
        now: fn() -> DateTime<Utc>,
        checkpoints: Option<PathBuf>,
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
            mailer,
            now,
            checkpoints: Checkpoints::open(checkpoints),
        })
    }

    /// Runs until it is dropped. Failures are logged and retried.
    pub async fn run(mut self) {
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

    /// Delivers all available records.
    async fn drain(&mut self, iterators: &mut ShardIterators) -> Result<()> {
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
    async fn poll(&mut self, iterators: &mut ShardIterators) -> Result<bool> {
        let mut has_records = false;
        for (shard, iterator) in iterators.iter_mut() {
            let Some(current) = iterator.clone() else {
                continue;
            };
            let request = self.streams.get_records().shard_iterator(current);
            let response = request.limit(BATCH_SIZE).send().await;
            let response = response.map_err(|error| AwsError::new("GetRecords", &error))?;
            let records = response.records.unwrap_or_default();
            if !records.is_empty() {
                has_records = true;
                self.deliver(shard, &records).await?;
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

    /// Returns an iterator that starts after the checkpoint of `shard`, or at the shard's start if
    /// it has no checkpoint or the stream has trimmed that record.
    async fn iterator(&self, shard: &str) -> Result<Option<String>> {
        let request = || {
            self.streams
                .get_shard_iterator()
                .stream_arn(&self.stream_arn)
                .shard_id(shard)
        };
        if let Some(last) = self.checkpoints.last.get(shard) {
            let after = request()
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(last);
            if let Ok(response) = after.send().await {
                return Ok(response.shard_iterator);
            }
        }
        let start = request().shard_iterator_type(ShardIteratorType::TrimHorizon);
        let response = start.send().await;
        let response = response.map_err(|error| AwsError::new("GetShardIterator", &error))?;
        Ok(response.shard_iterator)
    }

    /// Passes `records` to the mailer until it has handled all of them.
    async fn deliver(&mut self, shard: &str, records: &[Record]) -> Result<()> {
        let mut rest: Vec<Value> = records.iter().map(lambda_record).collect();
        while !rest.is_empty() {
            let batch = mailer::Batch::read(json!({ "Records": rest }))?;
            let response = self
                .mailer
                .handle_batch(batch, (self.now)(), None, &mut SysRng)
                .await;
            let first_failed = response.batch_item_failures.first();
            let handled = rest
                .iter()
                .position(|record| {
                    first_failed
                        .is_some_and(|failed| failed.item_identifier == sequence_number(record))
                })
                .unwrap_or(rest.len());
            if let Some(last) = rest.drain(..handled).next_back() {
                self.checkpoints.set(shard, sequence_number(&last))?;
            }
            if !rest.is_empty() {
                sleep(RETRY_INTERVAL).await;
            }
        }
        Ok(())
    }
}

fn sequence_number(record: &Value) -> &str {
    record["dynamodb"]["SequenceNumber"]
        .as_str()
        .unwrap_or_default()
}

/// The last handled record of each shard.
#[derive(Default)]
struct Checkpoints {
    file: Option<PathBuf>,
    last: BTreeMap<String, String>,
}

impl Checkpoints {
    /// Reads the checkpoints in `file`, if it exists.
    fn open(file: Option<PathBuf>) -> Self {
        let text = file
            .as_ref()
            .and_then(|file| std::fs::read_to_string(file).ok());
        let last = text
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        Self { file, last }
    }

    fn set(&mut self, shard: &str, sequence_number: &str) -> Result<()> {
        self.last
            .insert(shard.to_owned(), sequence_number.to_owned());
        if let Some(file) = &self.file {
            let json = serde_json::to_string(&self.last)?;
            atomic_file::write(file, &json)
                .with_context(|| format!("writing the checkpoints to {}", file.display()))?;
        }
        Ok(())
    }
}
