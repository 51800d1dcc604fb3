//! The pump: reads the outbox's stream and feeds the mailer, as Lambda's event source does.
//!
//! Its place in the stream is kept in a file, so that a mail that was owed when the process
//! stopped is sent when it starts again, and none is sent twice.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_dynamodbstreams::{
    Client as Streams,
    types::{Record, Shard, ShardIteratorType},
};
use chrono::{DateTime, Utc};
use manage::stream_record::lambda_record;
use rand::rngs::SysRng;
use serde_json::{Value, json};
use shared::aws::AwsError;
use tokio::time::sleep;

use crate::atomic_file;

/// How long the stream is left alone after it had nothing new.
const IDLE: Duration = Duration::from_millis(100);
/// How long a record waits after it failed.
const RETRY: Duration = Duration::from_secs(1);
/// Records in a batch, as the template has it.
const BATCH_SIZE: i32 = 10;

/// Feeds `mailer` from the stream of one table.
pub struct Pump {
    streams: Streams,
    stream_arn: String,
    mailer: Arc<mailer::App>,
    now: fn() -> DateTime<Utc>,
    places: Places,
}

/// The last record of each shard that is done with.
#[derive(Default)]
struct Places {
    file: Option<PathBuf>,
    last: BTreeMap<String, String>,
}

impl Pump {
    /// A pump of the stream of `table`. `places` is the file that holds its place.
    pub async fn new(
        dynamodb: &DynamoDb,
        streams: Streams,
        table: &str,
        mailer: Arc<mailer::App>,
        now: fn() -> DateTime<Utc>,
        places: Option<PathBuf>,
    ) -> Result<Self> {
        let described = dynamodb.describe_table().table_name(table).send().await;
        let described = described.map_err(|error| AwsError::new("DescribeTable", &error))?;
        let stream_arn = described.table.and_then(|table| table.latest_stream_arn);
        let stream_arn = stream_arn.with_context(|| {
            format!("the table {table} has no stream; turn one on with the view NEW_IMAGE, or let `migrate` make the table")
        })?;
        Ok(Self {
            streams,
            stream_arn,
            mailer,
            now,
            places: Places::open(places),
        })
    }

    /// Runs until it is dropped. What fails is logged and tried again.
    pub async fn run(mut self) {
        let mut iterators = HashMap::new();
        loop {
            match self.empty(&mut iterators).await {
                Ok(()) => sleep(IDLE).await,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the stream is read again");
                    iterators.clear();
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Delivers what there is.
    async fn empty(&mut self, iterators: &mut HashMap<String, Option<String>>) -> Result<()> {
        self.add_shards(iterators).await?;
        let mut ended = 0;
        while self.turn(iterators).await? {
            // Behind a shard that has just ended there are new ones. Not asked for every time: AWS
            // answers ten times a second, and the embedded DynamoDB reads the whole stream for it.
            let now = iterators.values().filter(|next| next.is_none()).count();
            if now > ended {
                ended = now;
                self.add_shards(iterators).await?;
            }
        }
        Ok(())
    }

    /// One look at every shard of `iterators`; whether there was anything.
    async fn turn(&mut self, iterators: &mut HashMap<String, Option<String>>) -> Result<bool> {
        let mut any = false;
        for (shard, iterator) in iterators.iter_mut() {
            let Some(current) = iterator.clone() else {
                continue;
            };
            let answer = self
                .streams
                .get_records()
                .shard_iterator(current)
                .limit(BATCH_SIZE)
                .send()
                .await;
            let answer = answer.map_err(|error| AwsError::new("GetRecords", &error))?;
            let records = answer.records.unwrap_or_default();
            if !records.is_empty() {
                any = true;
                self.deliver(shard, &records).await?;
            }
            *iterator = answer.next_shard_iterator;
        }
        Ok(any)
    }

    /// Adds the shards that are not in `iterators` yet.
    async fn add_shards(&self, iterators: &mut HashMap<String, Option<String>>) -> Result<()> {
        for shard in self.shards().await? {
            let Some(id) = shard.shard_id else { continue };
            if let Entry::Vacant(shard) = iterators.entry(id) {
                let iterator = self.iterator(shard.key()).await?;
                shard.insert(iterator);
            }
        }
        Ok(())
    }

    async fn shards(&self) -> Result<Vec<Shard>> {
        let answer = self
            .streams
            .describe_stream()
            .stream_arn(&self.stream_arn)
            .send()
            .await;
        let answer = answer.map_err(|error| AwsError::new("DescribeStream", &error))?;
        Ok(answer
            .stream_description
            .and_then(|stream| stream.shards)
            .unwrap_or_default())
    }

    /// An iterator from where the pump left off in `shard`; from its start where it never was,
    /// or where the stream no longer reaches back so far.
    async fn iterator(&self, shard: &str) -> Result<Option<String>> {
        let request = || {
            self.streams
                .get_shard_iterator()
                .stream_arn(&self.stream_arn)
                .shard_id(shard)
        };
        if let Some(last) = self.places.last.get(shard) {
            let after = request()
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(last);
            if let Ok(answer) = after.send().await {
                return Ok(answer.shard_iterator);
            }
        }
        let start = request()
            .shard_iterator_type(ShardIteratorType::TrimHorizon)
            .send()
            .await;
        Ok(start
            .map_err(|error| AwsError::new("GetShardIterator", &error))?
            .shard_iterator)
    }

    /// Hands `records` to the mailer until it is done with all of them.
    async fn deliver(&mut self, shard: &str, records: &[Record]) -> Result<()> {
        let mut rest: Vec<Value> = records.iter().map(lambda_record).collect();
        while !rest.is_empty() {
            let batch = mailer::Batch::read(json!({ "Records": rest }))?;
            let response =
                mailer::handle(&self.mailer, batch, (self.now)(), None, &mut SysRng).await;
            let number = |record: &Value| {
                record["dynamodb"]["SequenceNumber"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let failed = response
                .batch_item_failures
                .first()
                .map(|failure| failure.item_identifier.clone());
            let done = rest
                .iter()
                .position(|record| Some(number(record)) == failed)
                .unwrap_or(rest.len());
            if let Some(last) = rest.drain(..done).next_back() {
                self.places.set(shard, number(&last))?;
            }
            if !rest.is_empty() {
                sleep(RETRY).await;
            }
        }
        Ok(())
    }
}

impl Places {
    /// The places in `file`; none where there is no such file yet.
    fn open(file: Option<PathBuf>) -> Self {
        let text = file
            .as_ref()
            .and_then(|file| std::fs::read_to_string(file).ok());
        let last = text
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        Self { file, last }
    }

    fn set(&mut self, shard: &str, sequence_number: String) -> Result<()> {
        self.last.insert(shard.to_owned(), sequence_number);
        if let Some(file) = &self.file {
            atomic_file::write(file, &serde_json::to_string(&self.last)?).with_context(|| {
                format!("writing the position in the stream to {}", file.display())
            })?;
        }
        Ok(())
    }
}
