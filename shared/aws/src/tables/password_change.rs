//! The transaction that spends a token and sets the password.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client as DynamoDb,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Delete, TransactWriteItem, Update},
};
use chrono::{DateTime, Utc};
use rules::{hex, token::TokenDigest};

use super::{
    attributes::{Item, millis, number, string},
    names::{TableNames, UsersTable},
    outbox::Outbox,
    tokens::TokenRow,
    user::IS_ACTIVE,
};
use crate::sdk::AwsError;

/// Maximum number of attempts at a transaction that conflicts with another one.
const MAX_ATTEMPTS: u32 = 6;
/// Minimum wait before the second attempt; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// Time limit of all attempts: a 503 must come before the function's own timeout of 15 s.
const TIME_LIMIT: Duration = Duration::from_secs(6);

/// A password change: the token that allows it and the hash to store.
pub struct PasswordChange<'a> {
    /// The token's digest.
    pub digest: &'a TokenDigest,
    /// The token's row as read.
    pub token: &'a TokenRow,
    /// Hash of the new password.
    pub password_hash: String,
    /// Language of the page, for the notice to a user without a preferred one.
    pub locale: &'a str,
    /// Time of the change.
    pub now: DateTime<Utc>,
    /// Random idempotency token: repeating a transaction whose response was lost returns the
    /// result of the first.
    pub request_token: [u8; 16],
}

/// The result of a [`PasswordChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeResult {
    /// The password is set, the token is spent, and the notice is in the outbox.
    Changed,
    /// Nothing was written: the token is spent, expired or superseded by a later change, or the
    /// user is gone or inactive.
    Refused,
}

/// Spends the token, sets the password and puts the notice into the outbox: all or nothing.
///
/// The token must exist and not have expired, the user must exist and be active, and the password
/// must not have been changed since the token was mailed. Therefore a token works once under any
/// concurrency, and one success invalidates every older link.
pub async fn change_password(
    client: &DynamoDb,
    tables: &TableNames,
    change: &PasswordChange<'_>,
) -> Result<ChangeResult, AwsError> {
    let Some(key) = user_key(&tables.users, change.token) else {
        return Ok(ChangeResult::Refused);
    };
    let attempts = async {
        for attempt in 1..MAX_ATTEMPTS {
            match transact(client, tables, &key, change).await {
                Err(error) if is_conflict(&error) => {
                    tokio::time::sleep(wait(attempt, change)).await;
                }
                response => return result_of(response),
            }
        }
        result_of(transact(client, tables, &key, change).await)
    };
    let result = tokio::time::timeout(TIME_LIMIT, attempts).await;
    result.unwrap_or_else(|_| Err(AwsError::of("TransactWriteItems", "no response in time")))
}

type TransactError = SdkError<TransactWriteItemsError>;

fn result_of(response: Result<(), TransactError>) -> Result<ChangeResult, AwsError> {
    match response {
        Ok(()) => Ok(ChangeResult::Changed),
        Err(error) if cancelled_by(&error, &["ConditionalCheckFailed"]) => {
            Ok(ChangeResult::Refused)
        }
        Err(error) => Err(AwsError::new("TransactWriteItems", &error)),
    }
}

/// Returns whether the transaction failed only because of another one on the same items, which
/// says nothing about the token.
fn is_conflict(error: &TransactError) -> bool {
    let in_progress = error
        .as_service_error()
        .is_some_and(TransactWriteItemsError::is_transaction_in_progress_exception);
    let transient = [
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
    ];
    in_progress
        || (cancelled_by(error, &transient) && !cancelled_by(error, &["ConditionalCheckFailed"]))
}

fn cancelled_by(error: &TransactError, codes: &[&str]) -> bool {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return false;
    };
    cancelled
        .cancellation_reasons()
        .iter()
        .any(|reason| reason.code().is_some_and(|code| codes.contains(&code)))
}

/// Returns the wait after `attempt`: doubling, with jitter from the transaction's random bytes,
/// which keeps two conflicting callers from colliding again.
fn wait(attempt: u32, change: &PasswordChange<'_>) -> Duration {
    let spread = f64::from(change.request_token[attempt as usize]) / 256.0;
    (FIRST_WAIT * 2_u32.pow(attempt - 1)).mul_f64(1.0 + spread)
}

async fn transact(
    client: &DynamoDb,
    tables: &TableNames,
    key: &Item,
    change: &PasswordChange<'_>,
) -> Result<(), TransactError> {
    let notice = Outbox::put_notice(
        &tables.outbox,
        change.digest,
        &change.token.email,
        change.locale,
        change.now,
    );
    client
        .transact_write_items()
        .client_request_token(hex::encode(&change.request_token))
        .transact_items(
            TransactWriteItem::builder()
                .delete(spend_token(&tables.tokens, change))
                .build(),
        )
        .transact_items(
            TransactWriteItem::builder()
                .update(set_password(&tables.users, key, change))
                .build(),
        )
        .transact_items(TransactWriteItem::builder().put(notice).build())
        .send()
        .await?;
    Ok(())
}

fn spend_token(table: &str, change: &PasswordChange<'_>) -> Delete {
    Delete::builder()
        .table_name(table)
        .key("token_digest", string(change.digest.as_str()))
        .condition_expression("attribute_exists(token_digest) AND expires_at > :now")
        .expression_attribute_values(":now", number(change.now.timestamp()))
        .build()
        .expect("a delete has a table and a key")
}

/// Returns the key of the row whose password the token may set. `None` for a token from before the
/// users table got an index, whose key is unknown.
fn user_key(table: &UsersTable, token: &TokenRow) -> Option<Item> {
    match (&token.user_key, &table.email_index) {
        (Some(key), _) => Some(key.0.clone()),
        (None, None) => Some([(table.email.clone(), string(token.email.as_str()))].into()),
        (None, Some(_)) => None,
    }
}

/// Builds the update of the user.
///
/// The address is part of the condition: if it is not the key, the account may have a new address
/// since the email was sent, and the reader of the old mailbox must not take it over.
fn set_password(table: &UsersTable, key: &Item, change: &PasswordChange<'_>) -> Update {
    let issued_at = change.token.issued_at;
    Update::builder()
        .table_name(&table.name)
        .set_key(Some(key.clone()))
        .condition_expression(format!(
            "#email = :email AND {IS_ACTIVE} \
             AND (attribute_not_exists(password_changed_at) OR password_changed_at < :issued_at)",
        ))
        .update_expression(
            "SET #password = :hash, password_changed_at = :now ADD session_epoch :one",
        )
        .expression_attribute_names("#email", &table.email)
        .expression_attribute_names("#active", &table.active)
        .expression_attribute_names("#password", &table.password)
        .expression_attribute_values(":email", string(change.token.email.as_str()))
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .expression_attribute_values(":issued_at", millis(issued_at))
        .expression_attribute_values(":hash", string(&change.password_hash))
        // Never earlier than the link, even if the functions' clocks differ.
        .expression_attribute_values(":now", millis(change.now.max(issued_at)))
        .expression_attribute_values(":one", number(1))
        .build()
        .expect("an update has a table, a key and an expression")
}
