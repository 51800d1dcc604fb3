//! The queue of unsent mail: what Lambda put there once it gave up on records of the outbox's
//! stream. A message says where the records are, not what they hold; the stream keeps them for a
//! day.

use anyhow::{Context, Result};
use aws::{AwsError, tables::Outbox};
use aws_sdk_dynamodbstreams::{
    Client as Streams,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    types::ShardIteratorType,
};
use aws_sdk_sqs::{Client as Sqs, types::Message};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    database::OpenEmbedded,
    exit::{ExitStatus, NotFound},
    now,
    output::{OutputArgs, OutputFormat, print_json},
    stream_record::lambda_record,
    workspace::{DatabaseArgs, Workspace},
};

/// Where the stack's queue is, from its output `UnsentMailQueueUrl`.
const QUEUE_URL: &str = "UNSENT_MAIL_QUEUE_URL";
/// Messages in one answer, the most that SQS gives.
const BATCH: i32 = 10;
/// How long a message is hidden from others while it is worked on.
const HIDDEN_SECONDS: i32 = 300;

/// What to do about mail that could not be sent.
#[derive(Subcommand)]
pub enum UnsentCommand {
    /// List what is in the queue of unsent mail
    List(UnsentArgs),
    /// Put what the queue names into the outbox again, and take it off the queue
    Redrive(UnsentArgs),
}

#[derive(Args)]
pub struct UnsentArgs {
    /// The queue; else that of the stack
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The part of a message that Lambda writes for a stream of `DynamoDB`.
#[derive(Debug, Deserialize)]
struct Notice {
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: Batch,
}

/// Records of a stream that were given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    stream_arn: String,
    shard_id: String,
    start_sequence_number: String,
    end_sequence_number: String,
    #[serde(rename = "batchSize")]
    size: u32,
    #[serde(default)]
    approximate_arrival_of_first_record: String,
}

/// What became of a message, and of its records.
#[derive(Debug, Serialize)]
struct Line {
    message: String,
    state: State,
    batch: Option<Batch>,
    /// The rows that were put into the outbox.
    rows: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Waiting,
    Redriven,
    Gone,
    Unreadable,
}

impl State {
    fn describe(self) -> &'static str {
        match self {
            Self::Waiting => "waits for `unsent redrive`",
            Self::Redriven => "redriven",
            Self::Gone => {
                "gone: the stream keeps records for 24 hours. Whoever asked has to ask again; the \
                 message was taken off the queue"
            }
            Self::Unreadable => {
                "not a message of the outbox's mapping; it was left, look at it in the queue"
            }
        }
    }
}

/// Does it; not all is well where a mail cannot be sent any more.
pub(crate) async fn run(command: UnsentCommand, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let (args, is_redrive) = match command {
        UnsentCommand::List(args) => (args, false),
        UnsentCommand::Redrive(args) => (args, true),
    };
    let workspace = args.database.open(open_embedded).await?;
    let work =
        workspace.run(async |workspace| work(workspace, args.queue_url, is_redrive, now()).await);
    let lines = work.await?;
    print(&lines, args.output.format)?;
    let is_well = |line: &Line| matches!(line.state, State::Waiting | State::Redriven);
    Ok(ExitStatus::done_if(lines.iter().all(is_well)))
}

async fn work(
    workspace: &Workspace,
    queue_url: Option<String>,
    is_redrive: bool,
    now: DateTime<Utc>,
) -> Result<Vec<Line>> {
    let url = queue_url.or_else(|| workspace.setting(QUEUE_URL));
    let url = url.ok_or_else(|| {
        NotFound("no queue is named; give the stack's name with --stack, or --queue-url".to_owned())
    })?;
    let queue = Queue {
        sqs: Sqs::new(&workspace.connection.config),
        url,
    };
    let messages = queue.receive().await?;
    let redrive = Redrive {
        streams: Streams::new(&workspace.connection.config),
        outbox: Outbox::new(
            workspace.connection.client.clone(),
            workspace.names.outbox.clone(),
        ),
        now,
    };
    let mut lines = Vec::new();
    for message in &messages {
        let line = if is_redrive {
            redrive.message(message).await?
        } else {
            Line::of(message)
        };
        if matches!(line.state, State::Redriven | State::Gone) {
            queue.delete(message).await?;
        } else {
            queue.release(message).await?;
        }
        lines.push(line);
    }
    Ok(lines)
}

struct Queue {
    sqs: Sqs,
    url: String,
}

impl Queue {
    /// All messages that nobody else works on; they are hidden from others for a while.
    async fn receive(&self) -> Result<Vec<Message>> {
        let mut all = Vec::new();
        loop {
            let answer = self
                .sqs
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(BATCH)
                .visibility_timeout(HIDDEN_SECONDS)
                .wait_time_seconds(1)
                .send()
                .await;
            let answer = answer.map_err(|error| AwsError::new("ReceiveMessage", &error))?;
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(all);
            }
            all.extend(messages);
        }
    }

    async fn delete(&self, message: &Message) -> Result<()> {
        let delete = self.sqs.delete_message().queue_url(&self.url);
        delete
            .set_receipt_handle(message.receipt_handle.clone())
            .send()
            .await
            .map_err(|error| AwsError::new("DeleteMessage", &error))?;
        Ok(())
    }

    /// Lets others see it again.
    async fn release(&self, message: &Message) -> Result<()> {
        let change = self.sqs.change_message_visibility().queue_url(&self.url);
        change
            .set_receipt_handle(message.receipt_handle.clone())
            .visibility_timeout(0)
            .send()
            .await
            .map_err(|error| AwsError::new("ChangeMessageVisibility", &error))?;
        Ok(())
    }
}

impl Line {
    fn of(message: &Message) -> Self {
        let body = message.body.as_deref().unwrap_or_default();
        let batch = serde_json::from_str(body)
            .ok()
            .map(|notice: Notice| notice.batch);
        Self {
            message: message.message_id.clone().unwrap_or_default(),
            state: batch.as_ref().map_or(State::Unreadable, |_| State::Waiting),
            batch,
            rows: Vec::new(),
        }
    }
}

struct Redrive {
    streams: Streams,
    outbox: Outbox,
    now: DateTime<Utc>,
}

impl Redrive {
    async fn message(&self, message: &Message) -> Result<Line> {
        let mut line = Line::of(message);
        let Some(batch) = &line.batch else {
            return Ok(line);
        };
        let Some(records) = self.read(batch).await? else {
            line.state = State::Gone;
            return Ok(line);
        };
        for record in &records {
            if let Some(row) = self.outbox.redrive(record, self.now).await? {
                line.rows.push(row);
            }
        }
        line.state = State::Redriven;
        Ok(line)
    }

    /// The records from the batch's first to its last; `None` where the stream has them no more.
    async fn read(&self, batch: &Batch) -> Result<Option<Vec<Value>>> {
        let iterator = self
            .streams
            .get_shard_iterator()
            .stream_arn(&batch.stream_arn)
            .shard_id(&batch.shard_id)
            .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
            .sequence_number(&batch.start_sequence_number)
            .send()
            .await;
        let Some(answer) = unless_gone("GetShardIterator", iterator)? else {
            return Ok(None);
        };
        let (mut iterator, mut records) = (answer.shard_iterator, Vec::new());
        while let Some(current) = iterator {
            let read = self.streams.get_records().shard_iterator(current).send();
            let Some(answer) = unless_gone("GetRecords", read.await)? else {
                return Ok(None);
            };
            let read: Vec<Value> = answer.records().iter().map(lambda_record).collect();
            let is_past = |record: &Value| number(record) > order(&batch.end_sequence_number);
            // An open shard has no end, and the batch's records lie together.
            let is_over = read.is_empty() || read.iter().any(is_past);
            records.extend(read.into_iter().filter(|record| !is_past(record)));
            let last = records.last().map(number);
            if is_over || last == Some(order(&batch.end_sequence_number)) {
                break;
            }
            iterator = answer.next_shard_iterator;
        }
        let is_whole = records.first().map(number) == Some(order(&batch.start_sequence_number));
        Ok(is_whole.then_some(records))
    }
}

/// `None` where the stream, its shard or its records have gone.
fn unless_gone<T, E>(
    operation: &'static str,
    answer: Result<T, SdkError<E>>,
) -> Result<Option<T>, AwsError>
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
{
    let gone = ["TrimmedDataAccessException", "ResourceNotFoundException"];
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code().is_some_and(|code| gone.contains(&code)) => Ok(None),
        Err(error) => Err(AwsError::new(operation, &error)),
    }
}

fn number(record: &Value) -> (usize, String) {
    order(
        record["dynamodb"]["SequenceNumber"]
            .as_str()
            .unwrap_or_default(),
    )
}

/// Sequence numbers are decimal, and too long for a machine's numbers.
fn order(number: &str) -> (usize, String) {
    let digits = number.trim_start_matches('0');
    (digits.len(), digits.to_owned())
}

fn print(lines: &[Line], output: OutputFormat) -> Result<()> {
    if output == OutputFormat::Json {
        return print_json(&serde_json::to_value(lines).context("writing JSON")?);
    }
    if lines.is_empty() {
        println!("the queue is empty");
    }
    for line in lines {
        println!("{}: {}", line.message, line.state.describe());
        if let Some(batch) = &line.batch {
            println!(
                "  {} records since {}, from {} on",
                batch.size, batch.approximate_arrival_of_first_record, batch.start_sequence_number
            );
        }
        for row in &line.rows {
            println!("  in the outbox as {row}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(body: &Value) -> Message {
        Message::builder()
            .message_id("m")
            .body(body.to_string())
            .build()
    }

    #[test]
    fn a_message_of_the_mapping_is_read() {
        let line = Line::of(&message(&json!({
            "requestContext": { "condition": "RecordAgeExceeded", "approximateInvokeCount": 7 },
            "responseContext": { "statusCode": 200 },
            "version": "1.0",
            "timestamp": "2026-01-05T15:31:00.000Z",
            "DDBStreamBatchInfo": {
                "shardId": "shardId-00000001573689847184-864758bb",
                "startSequenceNumber": "800000000003126276362",
                "endSequenceNumber": "800000000003126276363",
                "approximateArrivalOfFirstRecord": "2026-01-05T09:30:12Z",
                "approximateArrivalOfLastRecord": "2026-01-05T09:30:12Z",
                "batchSize": 2,
                "streamArn": "arn:aws:dynamodb:eu-central-1:123456789012:table/outbox/stream/2026-01-05T09:00:00.000"
            }
        })));
        assert_eq!(line.state, State::Waiting);
        assert_eq!(line.batch.map(|batch| batch.size), Some(2));
    }

    #[test]
    fn any_other_message_is_left() {
        for body in [
            json!({}),
            json!("x"),
            json!({ "source": "aws.ses", "detail": {} }),
        ] {
            assert_eq!(Line::of(&message(&body)).state, State::Unreadable);
        }
    }

    #[test]
    fn sequence_numbers_are_ordered_as_numbers() {
        assert!(order("9") < order("10") && order("0010") == order("10"));
        assert!(order("800000000003126276362000000000000000000000") > order("8"));
    }
}
