//! The SQS queue of unsent mail.

use anyhow::Result;
use aws::AwsError;
use aws_sdk_sqs::{Client, types::Message};
use aws_types::SdkConfig;

/// Messages per response, the most that SQS returns.
const BATCH_SIZE: i32 = 10;
/// Time for which a received message is hidden from other consumers.
const VISIBILITY_TIMEOUT_SECONDS: i32 = 300;

/// The queue.
pub(super) struct Queue {
    sqs: Client,
    url: String,
}

impl Queue {
    pub(super) fn new(config: &SdkConfig, url: String) -> Self {
        let sqs = Client::new(config);
        Self { sqs, url }
    }

    /// Receives all visible messages, which hides them from other consumers for a while.
    pub(super) async fn receive_all(&self) -> Result<Vec<Message>> {
        let mut all = Vec::new();
        loop {
            let response = self
                .sqs
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(BATCH_SIZE)
                .visibility_timeout(VISIBILITY_TIMEOUT_SECONDS)
                .wait_time_seconds(1)
                .send()
                .await;
            let response = response.map_err(|error| AwsError::new("ReceiveMessage", &error))?;
            let messages = response.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(all);
            }
            all.extend(messages);
        }
    }

    /// Deletes `message`.
    pub(super) async fn delete(&self, message: &Message) -> Result<()> {
        let delete = self.sqs.delete_message().queue_url(&self.url);
        delete
            .set_receipt_handle(message.receipt_handle.clone())
            .send()
            .await
            .map_err(|error| AwsError::new("DeleteMessage", &error))?;
        Ok(())
    }

    /// Makes `message` visible to other consumers again.
    pub(super) async fn release(&self, message: &Message) -> Result<()> {
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
