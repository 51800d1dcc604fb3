//! Writing rows into the table, a hundred in a transaction. `BatchWriteItem` would be cheaper, but
//! silently replaces existing rows.

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
    refused_rows::RefusedRows,
    row::{ImportRow, NumberedRow},
};

/// Rows in a transaction, the most that DynamoDB allows.
pub(super) const BATCH_SIZE: usize = 100;
/// Attribute with the time of the import. It is the same for all rows of one import, which
/// distinguishes a duplicate address in the file from an existing user.
const IMPORTED_AT: &str = "imported_at";
/// Maximum number of attempts at a transaction while the table is too busy.
const MAX_ATTEMPTS: u32 = 8;
/// Pause before the second attempt. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Number of rows by result.
#[derive(Default)]
pub(super) struct ImportCounts {
    pub(super) added: u64,
    pub(super) changed: u64,
    pub(super) unchanged: u64,
    pub(super) refused: u64,
}

/// Writes rows into the users table.
pub(super) struct ImportWriter {
    client: Client,
    table: String,
    overwrite: bool,
    imported_at: AttributeValue,
    counts: ImportCounts,
    refused: RefusedRows,
}

/// A valid row and its line in the file.
struct ValidRow {
    line: u64,
    row: ImportRow,
}

impl ImportWriter {
    pub(super) fn new(
        client: Client,
        table: String,
        overwrite: bool,
        now: DateTime<Utc>,
        refused: RefusedRows,
    ) -> Self {
        Self {
            client,
            table,
            overwrite,
            imported_at: AttributeValue::N(now.timestamp_millis().to_string()),
            counts: ImportCounts::default(),
            refused,
        }
    }

    /// Writes the received rows, in their order.
    pub(super) async fn write_all(&mut self, rows: &mut mpsc::Receiver<NumberedRow>) -> Result<()> {
        let mut batch = Vec::with_capacity(BATCH_SIZE);
        while let Some(NumberedRow { line, row }) = rows.recv().await {
            match row {
                Ok(row) => batch.push(ValidRow { line, row }),
                Err(reason) => self.refused.add(line, &reason)?,
            }
            if batch.len() == BATCH_SIZE {
                self.write_batch(std::mem::take(&mut batch)).await?;
            }
        }
        self.write_batch(batch).await
    }

    /// Completes the file of the refused rows and returns the counts.
    pub(super) fn finish(self) -> Result<ImportCounts> {
        Ok(ImportCounts {
            refused: self.refused.finish()?,
            ..self.counts
        })
    }

    /// Writes one batch. A row whose condition fails cancels the whole transaction, so it is
    /// removed before the next attempt.
    async fn write_batch(&mut self, batch: Vec<ValidRow>) -> Result<()> {
        let mut batch = self.without_duplicates(batch)?;
        let mut attempts = 0;
        while !batch.is_empty() {
            let Err(error) = self.transact(&batch).await else {
                self.counts.added += batch.len() as u64;
                return Ok(());
            };
            let reasons = cancellation_reasons(&error);
            let before = batch.len();
            batch = self.without_existing(batch, &reasons).await?;
            if batch.len() == before {
                attempts += 1;
                if attempts == MAX_ATTEMPTS || !reasons.iter().any(is_transient) {
                    let (first, last) = (batch[0].line, batch[before - 1].line);
                    return Err(AwsError::new("TransactWriteItems users", &error))
                        .with_context(|| format!("writing lines {first} to {last}"));
                }
                sleep(FIRST_PAUSE * 2_u32.pow(attempts - 1)).await;
            }
        }
        Ok(())
    }

    /// Refuses and removes the rows whose address occurs earlier in the batch.
    fn without_duplicates(&mut self, batch: Vec<ValidRow>) -> Result<Vec<ValidRow>> {
        let (mut lines, mut kept) = (HashMap::new(), Vec::with_capacity(batch.len()));
        for valid in batch {
            if let Some(first) = lines.get(valid.row.email.as_str()) {
                let reason = format!("has the same address as line {first}");
                self.refused.add(valid.line, &reason)?;
            } else {
                lines.insert(valid.row.email.as_str().to_owned(), valid.line);
                kept.push(valid);
            }
        }
        Ok(kept)
    }

    /// Handles and removes the rows whose condition failed because their user exists.
    async fn without_existing(
        &mut self,
        batch: Vec<ValidRow>,
        reasons: &[CancellationReason],
    ) -> Result<Vec<ValidRow>> {
        let mut kept = Vec::with_capacity(batch.len());
        for (index, valid) in batch.into_iter().enumerate() {
            match reasons
                .get(index)
                .filter(|reason| is_failed_condition(reason))
            {
                Some(reason) => self.handle_existing(&valid, reason.item()).await?,
                None => kept.push(valid),
            }
        }
        Ok(kept)
    }

    async fn transact(&self, batch: &[ValidRow]) -> Result<(), SdkError<TransactWriteItemsError>> {
        let puts = batch.iter().map(|valid| {
            TransactWriteItem::builder()
                .put(self.put(&valid.row))
                .build()
        });
        let transaction = self.client.transact_write_items();
        transaction
            .set_transact_items(Some(puts.collect()))
            .send()
            .await?;
        Ok(())
    }

    fn put(&self, row: &ImportRow) -> Put {
        let mut item = row.attributes.clone();
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

    /// Handles a row whose user exists, as `stored`.
    async fn handle_existing(&mut self, valid: &ValidRow, stored: Option<&Item>) -> Result<()> {
        let empty = Item::new();
        let stored = stored.unwrap_or(&empty);
        if stored.get(IMPORTED_AT) == Some(&self.imported_at) {
            let reason = "has the same address as an earlier line";
            return self.refused.add(valid.line, reason);
        }
        let differences = valid.row.differences(stored);
        if differences.is_empty() {
            self.counts.unchanged += 1;
            return Ok(());
        }
        if self.overwrite {
            return self.change(valid).await;
        }
        let reason = format!(
            "a user with this address exists and differs in {}; --overwrite changes them",
            differences.join(", ")
        );
        self.refused.add(valid.line, &reason)
    }

    /// Updates the attributes that the file has, and no others: the session epoch and the recovery
    /// state are not in a file from another system.
    async fn change(&mut self, valid: &ValidRow) -> Result<()> {
        let update = TransactWriteItem::builder()
            .update(self.update(&valid.row))
            .build();
        let transaction = self.client.transact_write_items().transact_items(update);
        match transaction.send().await {
            Ok(_) => self.counts.changed += 1,
            Err(error) if cancellation_reasons(&error).iter().any(is_failed_condition) => {
                let reason = "the user was deleted during the import; import the row again";
                self.refused.add(valid.line, reason)?;
            }
            Err(error) => {
                return Err(AwsError::new("TransactWriteItems users", &error))
                    .with_context(|| format!("writing line {}", valid.line));
            }
        }
        Ok(())
    }

    fn update(&self, row: &ImportRow) -> Update {
        let mut attributes: Vec<(&String, &AttributeValue)> = row.attributes.iter().collect();
        let imported_at = IMPORTED_AT.to_owned();
        attributes.push((&imported_at, &self.imported_at));
        let (key, _) = row.key.iter().next().expect("a key");
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(row.key.clone()))
            .condition_expression("attribute_exists(#key)")
            .expression_attribute_names("#key", key);
        let mut parts = Vec::new();
        for (index, (name, value)) in attributes.into_iter().enumerate() {
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

fn cancellation_reasons(error: &SdkError<TransactWriteItemsError>) -> Vec<CancellationReason> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons().to_vec()
        }
        _ => Vec::new(),
    }
}

/// Returns whether the row's condition failed.
fn is_failed_condition(reason: &CancellationReason) -> bool {
    reason.code() == Some("ConditionalCheckFailed")
}

/// Returns whether the table is too busy, or the row is being written by another process.
fn is_transient(reason: &CancellationReason) -> bool {
    matches!(
        reason.code(),
        Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
    )
}
