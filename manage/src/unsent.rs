//! `unsent`: emails that failed for hours and are in the dead-letter queue of the mail queue.

pub(crate) mod queue;
mod redrive;

use anyhow::{Context, Result};
use aws::tables::{OutboxRow, User, UserLookup, Users};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use rules::recovery::{DeliveryOutcome, EmailId};
use serde::Serialize;
use serde_json::Value;

use self::queue::Queue;
use crate::{
    exit::{ExitStatus, NotFound},
    now,
    output::{OutputArgs, OutputFormat, print_json, time},
    workspace::{DeployedArgs, Workspace},
};

/// The setting with the queue's URL, from the stack's output `UnsentMailQueueUrl`.
pub(crate) const QUEUE_URL: &str = "UNSENT_MAIL_QUEUE_URL";

/// A command about emails that could not be sent.
#[derive(Subcommand)]
pub enum UnsentCommand {
    /// List the emails in the queue, and why they could not be sent
    List(ListArgs),
    /// Move the messages back to the mail queue, to be sent
    Redrive(QueueArgs),
}

/// Options of `unsent list`.
#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    queue: QueueArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Options that choose the queue.
#[derive(Args)]
pub struct QueueArgs {
    /// URL of the queue [default: that of the stack]
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    #[command(flatten)]
    deployed: DeployedArgs,
}

/// A message of the queue.
#[derive(Debug, Serialize)]
struct UnsentMessage {
    #[serde(rename = "message")]
    id: String,
    /// When the message was first put into a queue. SQS deletes it 14 days later.
    queued_at: String,
    /// `None` for anything that is not a stream record of the outbox.
    email: Option<UnsentEmail>,
}

/// The email that a message asks for, without its address.
#[derive(Debug, Serialize)]
struct UnsentEmail {
    /// Digest of the address, as in the logs.
    account: String,
    kind: &'static str,
    requested_at: String,
    reason: String,
}

/// Lists or redrives the messages. Returns [`ExitStatus::Problems`] if a message is unreadable.
pub(crate) async fn run(command: UnsentCommand) -> Result<ExitStatus> {
    match command {
        UnsentCommand::List(ListArgs { queue, output }) => {
            let workspace = queue.deployed.open().await?;
            let messages = workspace
                .run(async |workspace| list(workspace, queue.queue_url).await)
                .await?;
            print(&messages, output.format)?;
            let is_readable = messages.iter().all(|message| message.email.is_some());
            Ok(ExitStatus::done_if(is_readable))
        }
        UnsentCommand::Redrive(args) => {
            let workspace = args.deployed.open().await?;
            redrive::run(&open_queue(&workspace, args.queue_url)?).await
        }
    }
}

fn open_queue(workspace: &Workspace, url: Option<String>) -> Result<Queue> {
    let url = url.or_else(|| workspace.setting(QUEUE_URL));
    let url = url.ok_or_else(|| {
        NotFound("no queue URL is known; pass --stack NAME or --queue-url URL".to_owned())
    })?;
    Ok(Queue::new(&workspace.connection.config, url))
}

async fn list(workspace: &Workspace, queue_url: Option<String>) -> Result<Vec<UnsentMessage>> {
    let received = open_queue(workspace, queue_url)?.peek().await?;
    let users = workspace.users().await?;
    let mut messages = Vec::new();
    for message in received {
        messages.push(UnsentMessage::read(message, &users).await);
    }
    messages.sort_by(|one, other| one.queued_at.cmp(&other.queued_at));
    Ok(messages)
}

impl UnsentMessage {
    async fn read(message: Message, users: &Users) -> Self {
        let email = match outbox_row(message.body().unwrap_or_default()) {
            Some(row) => Some(UnsentEmail::of(&row, users).await),
            None => None,
        };
        Self {
            queued_at: time(sent_at(&message)),
            id: message.message_id.unwrap_or_default(),
            email,
        }
    }
}

/// Reads the outbox row in the stream record `body`.
fn outbox_row(body: &str) -> Option<OutboxRow> {
    let record: Value = serde_json::from_str(body).ok()?;
    OutboxRow::from_image(&record["dynamodb"]["NewImage"], now())
}

fn sent_at(message: &Message) -> Option<DateTime<Utc>> {
    let attributes = message.attributes.as_ref()?;
    let millis = attributes.get(&MessageSystemAttributeName::SentTimestamp)?;
    DateTime::from_timestamp_millis(millis.parse().ok()?)
}

impl UnsentEmail {
    async fn of(row: &OutboxRow, users: &Users) -> Self {
        let reason = match users.find(&row.email).await {
            Ok(UserLookup::One(user)) => recorded_reason(&user, &row.email_id()),
            Ok(UserLookup::Unknown) => Some("no account has the address".to_owned()),
            Ok(UserLookup::Ambiguous) => Some("several accounts have the address".to_owned()),
            Err(error) => Some(format!("the account cannot be read: {error}")),
        };
        let account = row.email.digest();
        let reason = reason.unwrap_or_else(|| {
            format!("no reason is recorded; search the mailer's log for {account}")
        });
        Self {
            account,
            kind: row.kind.as_str(),
            requested_at: time(Some(row.at)),
            reason,
        }
    }
}

/// Returns the outcome that the user's row has for the email `id`.
fn recorded_reason(user: &User, id: &EmailId) -> Option<String> {
    let DeliveryOutcome { state, reason, .. } = user.recovery.outcome(id)?;
    let state = state.as_str();
    Some(match reason {
        Some(reason) => format!("{state}: {reason}"),
        None => state.to_owned(),
    })
}

fn print(messages: &[UnsentMessage], format: OutputFormat) -> Result<()> {
    if format == OutputFormat::Json {
        return print_json(&serde_json::to_value(messages).context("writing JSON")?);
    }
    if messages.is_empty() {
        println!("the queue is empty");
    }
    for message in messages {
        let (id, queued_at) = (&message.id, &message.queued_at);
        if let Some(email) = &message.email {
            let (account, kind, at) = (&email.account, email.kind, &email.requested_at);
            println!("{account}  {kind}, requested {at}, queued {queued_at}");
            println!("  {}", email.reason);
        } else {
            println!("message {id}, queued {queued_at}");
            println!("  unreadable: not a stream record of the outbox");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record() -> Value {
        json!({
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "SequenceNumber": "800000000003126276362",
                "NewImage": {
                    "id": { "S": "request#192.0.2.1#0" },
                    "kind": { "S": "reset_requested" },
                    "email": { "S": "ada@example.com" },
                },
            },
        })
    }

    #[test]
    fn a_stream_record_of_the_outbox_is_read() {
        let row = outbox_row(&record().to_string()).expect("a row");
        assert_eq!(row.email.as_str(), "ada@example.com");
    }

    #[test]
    fn any_other_message_is_unreadable() {
        let mut deletion = record();
        deletion["dynamodb"]["NewImage"] = Value::Null;
        for body in [
            deletion,
            json!({}),
            json!([record()]),
            json!({ "source": "aws.ses", "detail": {} }),
        ] {
            assert_eq!(outbox_row(&body.to_string()), None, "{body}");
        }
        assert_eq!(outbox_row("not JSON"), None);
    }
}
