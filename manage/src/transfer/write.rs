//! Into the table, a hundred rows in a transaction: `BatchWriteItem` would be cheaper, but it
//! replaces what is there without a word.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result};
use aws::{AwsError, tables::Item};
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, CancellationReason, Put, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem, Update,
    },
};
use chrono::{DateTime, Utc};
use tokio::{sync::mpsc, time::sleep};

use super::{
    Counts, Numbered, Report,
    row::{Row, differences},
};

/// Rows in a transaction; DynamoDB takes no more.
pub(super) const BATCH: usize = 100;
/// When a row came in: the same for all of one import, so that two rows with one address can be
/// told from a user who was there before.
const IMPORTED_AT: &str = "imported_at";
/// How often a transaction is tried that the table is too busy for, and the wait before the
/// second; it doubles with each.
const TRIES: u32 = 8;
/// See [`TRIES`].
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Writes rows, and counts what became of them.
pub(super) struct Writer {
    client: Client,
    table: String,
    overwrite: bool,
    imported_at: AttributeValue,
    pub(super) counts: Counts,
}

/// A row that can be written, and its line.
struct Ready {
    line: u64,
    row: Row,
}

impl Writer {
    pub(super) fn new(client: Client, table: String, overwrite: bool, now: DateTime<Utc>) -> Self {
        Self {
            client,
            table,
            overwrite,
            imported_at: AttributeValue::N(now.timestamp_millis().to_string()),
            counts: Counts::default(),
        }
    }

    /// Writes what comes, in its order.
    pub(super) async fn write_all(
        &mut self,
        rows: &mut mpsc::Receiver<Numbered<Row>>,
        report: &mut Report,
    ) -> Result<()> {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(Numbered { line, row }) = rows.recv().await {
            match row {
                Ok(row) => batch.push(Ready { line, row }),
                Err(reason) => self.refuse(report, line, &reason)?,
            }
            if batch.len() == BATCH {
                self.write(std::mem::take(&mut batch), report).await?;
            }
        }
        self.write(batch, report).await
    }

    fn refuse(&mut self, report: &mut Report, line: u64, reason: &str) -> Result<()> {
        self.counts.refused += 1;
        report.refuse(line, reason)
    }

    /// Writes one batch. The rows that their condition refuses are taken out, since one of them
    /// stops the others of its transaction.
    async fn write(&mut self, batch: Vec<Ready>, report: &mut Report) -> Result<()> {
        let mut batch = self.distinct(batch, report)?;
        let mut tries = 0;
        while !batch.is_empty() {
            let Err(error) = self.transact(&batch).await else {
                self.counts.added += batch.len() as u64;
                return Ok(());
            };
            let reasons = reasons(&error);
            let before = batch.len();
            let mut kept = Vec::with_capacity(before);
            for (index, ready) in batch.into_iter().enumerate() {
                match reasons.get(index).filter(|reason| is_refusal(reason)) {
                    Some(reason) => self.judge(&ready, reason.item(), report).await?,
                    None => kept.push(ready),
                }
            }
            batch = kept;
            if batch.len() == before {
                tries += 1;
                if tries == TRIES || !reasons.iter().any(is_passing) {
                    let (first, last) = (batch[0].line, batch[before - 1].line);
                    return Err(AwsError::new("TransactWriteItems users", &error))
                        .with_context(|| format!("writing lines {first} to {last}"));
                }
                sleep(FIRST_WAIT * 2_u32.pow(tries - 1)).await;
            }
        }
        Ok(())
    }

    /// The rows of a batch without those whose address an earlier one has.
    fn distinct(&mut self, batch: Vec<Ready>, report: &mut Report) -> Result<Vec<Ready>> {
        let (mut lines, mut kept) = (HashMap::new(), Vec::with_capacity(batch.len()));
        for ready in batch {
            if let Some(first) = lines.get(ready.row.email.as_str()) {
                let reason = format!("has the same address as line {first}");
                self.refuse(report, ready.line, &reason)?;
            } else {
                lines.insert(ready.row.email.as_str().to_owned(), ready.line);
                kept.push(ready);
            }
        }
        Ok(kept)
    }

    async fn transact(&self, batch: &[Ready]) -> Result<(), SdkError<TransactWriteItemsError>> {
        let puts = batch.iter().map(|ready| {
            TransactWriteItem::builder()
                .put(self.put(&ready.row))
                .build()
        });
        let transaction = self.client.transact_write_items();
        transaction
            .set_transact_items(Some(puts.collect()))
            .send()
            .await?;
        Ok(())
    }

    fn put(&self, row: &Row) -> Put {
        let mut item = row.given.clone();
        item.extend(row.key.clone());
        item.insert(IMPORTED_AT.to_owned(), self.imported_at.clone());
        let (key, _) = row.key.iter().next().expect("a key");
        Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", key)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("a put has a table and an item")
    }

    /// What becomes of a row whose address is taken by `stored`.
    async fn judge(
        &mut self,
        ready: &Ready,
        stored: Option<&Item>,
        report: &mut Report,
    ) -> Result<()> {
        let nothing = Item::new();
        let stored = stored.unwrap_or(&nothing);
        if stored.get(IMPORTED_AT) == Some(&self.imported_at) {
            return self.refuse(
                report,
                ready.line,
                "has the same address as an earlier line",
            );
        }
        let differing = differences(&ready.row.given, stored);
        if differing.is_empty() {
            self.counts.same += 1;
            return Ok(());
        }
        if self.overwrite {
            return self.change(ready, report).await;
        }
        let reason = format!(
            "there is a user with this address already, who differs in {}; --overwrite changes \
             that",
            differing.join(", ")
        );
        self.refuse(report, ready.line, &reason)
    }

    /// Changes what the file gives of a user who is there, and nothing else: their sessions'
    /// epoch and their mails are not in a file from elsewhere.
    async fn change(&mut self, ready: &Ready, report: &mut Report) -> Result<()> {
        let update = TransactWriteItem::builder()
            .update(self.update(&ready.row))
            .build();
        let transaction = self.client.transact_write_items().transact_items(update);
        match transaction.send().await {
            Ok(_) => self.counts.changed += 1,
            Err(error) if reasons(&error).iter().any(is_refusal) => {
                let reason = "the user was removed while they were changed; import the row again";
                self.refuse(report, ready.line, reason)?;
            }
            Err(error) => {
                return Err(AwsError::new("TransactWriteItems users", &error))
                    .with_context(|| format!("writing line {}", ready.line));
            }
        }
        Ok(())
    }

    fn update(&self, row: &Row) -> Update {
        let mut given: Vec<(&String, &AttributeValue)> = row.given.iter().collect();
        let imported_at = IMPORTED_AT.to_owned();
        given.push((&imported_at, &self.imported_at));
        let (key, _) = row.key.iter().next().expect("a key");
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(row.key.clone()))
            .condition_expression("attribute_exists(#key)")
            .expression_attribute_names("#key", key);
        let mut parts = Vec::new();
        for (index, (name, value)) in given.into_iter().enumerate() {
            parts.push(format!("#a{index} = :a{index}"));
            update = update
                .expression_attribute_names(format!("#a{index}"), name)
                .expression_attribute_values(format!(":a{index}"), value.clone());
        }
        update
            .update_expression(format!("SET {}", parts.join(", ")))
            .build()
            .expect("an update has a table, a key and an expression")
    }
}

fn reasons(error: &SdkError<TransactWriteItemsError>) -> Vec<CancellationReason> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons().to_vec()
        }
        _ => Vec::new(),
    }
}

fn is_refusal(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// The table is too busy, or somebody else writes to the row.
fn is_passing(reason: &CancellationReason) -> bool {
    matches!(
        reason.code(),
        Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
    )
}
