//! Invokes the mailer with the messages of the mail queue, as Lambda's event source mapping does.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::Result;
use chrono::{DateTime, Utc};
use mailer::{App, Batch};
use rand::rngs::SysRng;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::mail_queue::{MailQueue, Received};

/// Concurrent invocations, as `MailerConcurrency` is by default.
pub(crate) const CONCURRENCY: usize = 2;
/// Pause after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Delivers messages until it is dropped. Failures are logged and retried.
pub async fn run(queue: Arc<MailQueue>, mailer: Arc<App>, now: fn() -> DateTime<Utc>) {
    loop {
        if let Err(error) = deliver(&queue, &mailer, now).await {
            let error = format!("{error:#}");
            tracing::warn!(error, "cannot use the mail queue; retrying");
            sleep(RETRY_INTERVAL).await;
        }
    }
}

/// Waits for messages, invokes the mailer once and deletes the messages that are done.
async fn deliver(queue: &MailQueue, mailer: &App, now: fn() -> DateTime<Utc>) -> Result<()> {
    let received = queue.receive().await?;
    let records: Vec<Value> = received.iter().map(Received::to_record).collect();
    let batch = Batch::read(&json!({ "Records": records }))?;
    let response = mailer.handle_batch(batch, now(), None, &mut SysRng).await;
    let failures = response.batch_item_failures.into_iter();
    let failed: HashSet<String> = failures.map(|failure| failure.item_identifier).collect();
    let done = received
        .iter()
        .filter(|message| !failed.contains(&message.id()));
    let done: Vec<u64> = done.map(|message| message.number).collect();
    queue.complete(&received, &done)
}
