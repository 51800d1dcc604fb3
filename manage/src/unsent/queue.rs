//! The dead-letter queue of the mail queue.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use aws::AwsError;
use aws_sdk_sqs::{
    Client,
    types::{
        ChangeMessageVisibilityBatchRequestEntry as Release,
        ListMessageMoveTasksResultEntry as Move, Message, MessageSystemAttributeName,
        QueueAttributeName,
    },
};
use aws_types::SdkConfig;

/// Messages per request, the most that SQS allows.
const BATCH_SIZE: u8 = 10;
/// Time for which a received message is hidden unless it is released earlier.
const VISIBILITY_TIMEOUT_SECONDS: i32 = 60;

/// The queue of emails that could not be sent.
pub(crate) struct Queue {
    sqs: Client,
    url: String,
}

impl Queue {
    pub(crate) fn new(config: &SdkConfig, url: String) -> Self {
        let sqs = Client::new(config);
        Self { sqs, url }
    }

    /// Returns the queue's messages, and leaves them in it.
    pub(super) async fn peek(&self) -> Result<Vec<Message>> {
        let mut messages = BTreeMap::new();
        loop {
            let known = messages.len();
            for message in self.receive().await? {
                messages.insert(message.message_id.clone(), message);
            }
            // A message that returns while others are read is not new.
            if messages.len() == known {
                break;
            }
        }
        let messages: Vec<_> = messages.into_values().collect();
        for batch in messages.chunks(BATCH_SIZE.into()) {
            self.release(batch).await?;
        }
        Ok(messages)
    }

    async fn receive(&self) -> Result<Vec<Message>, AwsError> {
        let response = self
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH_SIZE.into())
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .visibility_timeout(VISIBILITY_TIMEOUT_SECONDS)
            .wait_time_seconds(1)
            .send()
            .await;
        let response = response.map_err(|error| AwsError::new("ReceiveMessage", &error))?;
        Ok(response.messages.unwrap_or_default())
    }

    /// Makes `messages` visible to other consumers again.
    async fn release(&self, messages: &[Message]) -> Result<()> {
        let entries = messages.iter().enumerate().map(|(index, message)| {
            Release::builder()
                .id(index.to_string())
                .set_receipt_handle(message.receipt_handle.clone())
                .visibility_timeout(0)
                .build()
        });
        let entries = entries.collect::<Result<_, _>>()?;
        let request = self.sqs.change_message_visibility_batch();
        let request = request.queue_url(&self.url).set_entries(Some(entries));
        let response = request.send().await;
        response.map_err(|error| AwsError::new("ChangeMessageVisibilityBatch", &error))?;
        Ok(())
    }

    /// Returns the approximate number of messages, including those that a consumer has received.
    pub(crate) async fn count(&self) -> Result<u64> {
        let attributes = self.attributes().await?;
        let count = |name| -> Option<u64> { attributes.get(&name)?.parse().ok() };
        let visible = count(QueueAttributeName::ApproximateNumberOfMessages);
        let received = count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
        let total = visible.zip(received).map(|(one, other)| one + other);
        total.context("GetQueueAttributes: the response has no number of messages")
    }

    /// Returns the queue's ARN.
    pub(super) async fn arn(&self) -> Result<String> {
        let arn = self
            .attributes()
            .await?
            .remove(&QueueAttributeName::QueueArn);
        arn.context("GetQueueAttributes: the response has no ARN")
    }

    async fn attributes(&self) -> Result<HashMap<QueueAttributeName, String>, AwsError> {
        let request = self.sqs.get_queue_attributes().queue_url(&self.url);
        let response = request
            .attribute_names(QueueAttributeName::All)
            .send()
            .await;
        let response = response.map_err(|error| AwsError::new("GetQueueAttributes", &error))?;
        Ok(response.attributes.unwrap_or_default())
    }

    /// Returns whether messages of another queue end up here.
    pub(super) async fn is_dead_letter_queue(&self) -> Result<bool, AwsError> {
        let request = self.sqs.list_dead_letter_source_queues();
        let response = request.queue_url(&self.url).send().await;
        let response =
            response.map_err(|error| AwsError::new("ListDeadLetterSourceQueues", &error))?;
        Ok(!response.queue_urls.is_empty())
    }

    /// Starts to move the messages of the queue `arn` back to the queues that they came from.
    pub(super) async fn start_move(&self, arn: &str) -> Result<(), AwsError> {
        let response = self
            .sqs
            .start_message_move_task()
            .source_arn(arn)
            .send()
            .await;
        response.map_err(|error| AwsError::new("StartMessageMoveTask", &error))?;
        Ok(())
    }

    /// Returns the move of the queue `arn` that was started last.
    pub(super) async fn latest_move(&self, arn: &str) -> Result<Option<Move>, AwsError> {
        let response = self
            .sqs
            .list_message_move_tasks()
            .source_arn(arn)
            .send()
            .await;
        let response = response.map_err(|error| AwsError::new("ListMessageMoveTasks", &error))?;
        Ok(response.results.unwrap_or_default().into_iter().next())
    }
}
