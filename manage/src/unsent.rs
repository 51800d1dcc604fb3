//! `unsent`: the queue of stream records that Lambda gave up on.
//!
//! A message says where the records are in the outbox's stream, not what they contain. The stream
//! keeps them for a day.

mod queue;
mod stream;

use anyhow::{Context, Result};
use aws::tables::Outbox;
use aws_sdk_dynamodbstreams::Client as Streams;
use aws_sdk_sqs::types::Message;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use self::{queue::Queue, stream::StreamRange};
use crate::{
    database::OpenEmbedded,
    exit::{ExitStatus, NotFound},
    now,
    output::{OutputArgs, OutputFormat, print_json},
    workspace::{DatabaseArgs, Workspace},
};

/// The setting with the queue's URL, from the stack's output `UnsentMailQueueUrl`.
const QUEUE_URL: &str = "UNSENT_MAIL_QUEUE_URL";

/// A command about emails that could not be sent.
#[derive(Subcommand)]
pub enum UnsentCommand {
    /// List the messages in the queue
    List(UnsentArgs),
    /// Put the emails back into the outbox, and delete the messages
    Redrive(UnsentArgs),
}

/// Options of `unsent`.
#[derive(Args)]
pub struct UnsentArgs {
    /// URL of the queue [default: that of the stack]
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The part of Lambda's invocation record that locates the stream records.
#[derive(Debug, Deserialize)]
struct InvocationRecord {
    #[serde(rename = "DDBStreamBatchInfo")]
    range: StreamRange,
}

/// A message of the queue, and the result of redriving it.
#[derive(Debug, Serialize)]
struct UnsentMessage {
    #[serde(rename = "message")]
    id: String,
    state: MessageState,
    #[serde(rename = "batch")]
    range: Option<StreamRange>,
    /// Keys of the rows that were put into the outbox.
    rows: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum MessageState {
    Waiting,
    Redriven,
    Gone,
    Unreadable,
}

impl MessageState {
    fn describe(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for `unsent redrive`",
            Self::Redriven => "redriven",
            Self::Gone => {
                "too late: the stream keeps records for 24 hours. The user must request another \
                 email; the message was deleted"
            }
            Self::Unreadable => {
                "not a message of the outbox's event source mapping; it was left in the queue"
            }
        }
    }
}

impl UnsentMessage {
    fn parse(message: &Message) -> Self {
        let body = message.body.as_deref().unwrap_or_default();
        let record: Option<InvocationRecord> = serde_json::from_str(body).ok();
        let state = match record {
            Some(_) => MessageState::Waiting,
            None => MessageState::Unreadable,
        };
        Self {
            id: message.message_id.clone().unwrap_or_default(),
            state,
            range: record.map(|record| record.range),
            rows: Vec::new(),
        }
    }
}

/// Lists or redrives the messages. Returns [`ExitStatus::Problems`] if an email can no longer be
/// sent.
pub(crate) async fn run(command: UnsentCommand, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let (args, is_redrive) = match command {
        UnsentCommand::List(args) => (args, false),
        UnsentCommand::Redrive(args) => (args, true),
    };
    let workspace = args.database.open(open_embedded).await?;
    let messages = workspace.run(async |workspace| {
        let queue = open_queue(workspace, args.queue_url)?;
        if is_redrive {
            redrive_all(workspace, &queue).await
        } else {
            list(&queue).await
        }
    });
    let messages = messages.await?;
    print(&messages, args.output.format)?;
    let is_ok = messages.iter().all(|message| {
        matches!(
            message.state,
            MessageState::Waiting | MessageState::Redriven
        )
    });
    Ok(ExitStatus::done_if(is_ok))
}

fn open_queue(workspace: &Workspace, url: Option<String>) -> Result<Queue> {
    let url = url.or_else(|| workspace.setting(QUEUE_URL));
    let url = url.ok_or_else(|| {
        NotFound("no queue URL is known; pass --stack NAME or --queue-url URL".to_owned())
    })?;
    Ok(Queue::new(&workspace.connection.config, url))
}

async fn list(queue: &Queue) -> Result<Vec<UnsentMessage>> {
    let received = queue.receive_all().await?;
    for message in &received {
        queue.release(message).await?;
    }
    Ok(received.iter().map(UnsentMessage::parse).collect())
}

async fn redrive_all(workspace: &Workspace, queue: &Queue) -> Result<Vec<UnsentMessage>> {
    let received = queue.receive_all().await?;
    let redrive = Redrive {
        streams: Streams::new(&workspace.connection.config),
        outbox: Outbox::new(
            workspace.connection.client.clone(),
            workspace.names.outbox.clone(),
        ),
        now: now(),
    };
    let mut messages = Vec::new();
    for message in &received {
        let redriven = redrive.message(message).await?;
        if redriven.state == MessageState::Unreadable {
            queue.release(message).await?;
        } else {
            queue.delete(message).await?;
        }
        messages.push(redriven);
    }
    Ok(messages)
}

struct Redrive {
    streams: Streams,
    outbox: Outbox,
    now: DateTime<Utc>,
}

impl Redrive {
    /// Puts the records that `message` locates back into the outbox.
    async fn message(&self, message: &Message) -> Result<UnsentMessage> {
        let mut message = UnsentMessage::parse(message);
        let Some(range) = &message.range else {
            return Ok(message);
        };
        let Some(records) = range.read(&self.streams).await? else {
            message.state = MessageState::Gone;
            return Ok(message);
        };
        for record in &records {
            if let Some(row) = self.outbox.redrive(record, self.now).await? {
                message.rows.push(row);
            }
        }
        message.state = MessageState::Redriven;
        Ok(message)
    }
}

fn print(messages: &[UnsentMessage], format: OutputFormat) -> Result<()> {
    if format == OutputFormat::Json {
        return print_json(&serde_json::to_value(messages).context("writing JSON")?);
    }
    if messages.is_empty() {
        println!("the queue is empty");
    }
    for message in messages {
        println!("{}: {}", message.id, message.state.describe());
        if let Some(range) = &message.range {
            println!("  {range}");
        }
        for row in &message.rows {
            println!("  in the outbox as {row}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn message(body: &Value) -> Message {
        Message::builder()
            .message_id("m")
            .body(body.to_string())
            .build()
    }

    #[test]
    fn an_invocation_record_is_parsed() {
        let message = UnsentMessage::parse(&message(&json!({
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
        assert_eq!(message.state, MessageState::Waiting);
        let range = message.range.expect("a range");
        assert_eq!(
            range.to_string(),
            "2 records since 2026-01-05T09:30:12Z, starting at 800000000003126276362"
        );
    }

    #[test]
    fn any_other_message_is_unreadable() {
        for body in [
            json!({}),
            json!("x"),
            json!({ "source": "aws.ses", "detail": {} }),
        ] {
            let message = UnsentMessage::parse(&message(&body));
            assert_eq!(message.state, MessageState::Unreadable);
        }
    }
}
