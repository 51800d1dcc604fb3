//! The one transaction that spends a token and sets the password.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client as DynamoDb,
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Delete, TransactWriteItem, Update},
};
use chrono::{DateTime, Utc};

use super::{Item, Outbox, TokenRow, millis, number, string, users::IS_ACTIVE};
use crate::{
    address::hex,
    aws::AwsError,
    settings::{TableNames, UsersTable},
    token::TokenDigest,
};

/// How often a transaction that another one got in the way of is tried.
const TRIES: u32 = 6;
/// The least wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// How long all tries may take: a 503 has to come before the function's own timeout of 15 s.
const TIME_LIMIT: Duration = Duration::from_secs(6);

/// A change of a password: the token that allows it and the hash to store.
pub struct PasswordChange<'a> {
    /// The token's digest.
    pub digest: &'a TokenDigest,
    /// The token's row, as it was read.
    pub token: &'a TokenRow,
    /// The stored form of the new password.
    pub password_hash: String,
    /// The language of the page, for the notice to somebody whose own is not known.
    pub locale: &'a str,
    /// When it happens.
    pub now: DateTime<Utc>,
    /// A random name for the transaction, so that repeating one whose answer was lost answers
    /// what the first would have.
    pub request_token: [u8; 16],
}

/// What became of a [`PasswordChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The password is set, the token is spent and the notice is in the outbox.
    Done,
    /// The token was spent or has expired, a newer change made it void, or the user is gone or
    /// not active. Nothing was written.
    Refused,
}

/// Spends the token, sets the password and puts the notice into the outbox: all or nothing.
///
/// The token has to exist and hold still, the user has to exist and be active, and the password
/// must not have been changed since the token was mailed. So a token works once under any
/// concurrency, and one success ends every older link.
pub async fn change_password(
    client: &DynamoDb,
    tables: &TableNames,
    change: &PasswordChange<'_>,
) -> Result<Change, AwsError> {
    let Some(key) = user_key(&tables.users, change.token) else {
        return Ok(Change::Refused);
    };
    let tries = async {
        for attempt in 1..TRIES {
            match transact(client, tables, &key, change).await {
                Err(error) if is_conflict(&error) => {
                    tokio::time::sleep(wait(attempt, change)).await;
                }
                answer => return outcome(answer),
            }
        }
        outcome(transact(client, tables, &key, change).await)
    };
    let in_time = tokio::time::timeout(TIME_LIMIT, tries).await;
    in_time.unwrap_or_else(|_| Err(AwsError::of("TransactWriteItems", "no answer in time")))
}

type TransactError = SdkError<TransactWriteItemsError>;

fn outcome(answer: Result<(), TransactError>) -> Result<Change, AwsError> {
    match answer {
        Ok(()) => Ok(Change::Done),
        Err(error) if cancelled_by(&error, &["ConditionalCheckFailed"]) => Ok(Change::Refused),
        Err(error) => Err(AwsError::new("TransactWriteItems", &error)),
    }
}

/// Another transaction on the same items was in the way, which says nothing about the token.
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

/// Doubling, and spread over as much again by the transaction's own random bytes, so that those
/// who met once do not meet again.
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
    let notice = Outbox::password_changed(
        &tables.outbox,
        change.digest,
        &change.token.email,
        change.locale,
        change.now,
    );
    client
        .transact_write_items()
        .client_request_token(hex(&change.request_token))
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

/// The key of the row whose password the token may set. `None` for a token from before the users
/// got an index: where its row lies is not known.
fn user_key(table: &UsersTable, token: &TokenRow) -> Option<Item> {
    match (&token.user_key, &table.email_index) {
        (Some(key), _) => Some(key.item().clone()),
        (None, None) => Some([(table.email.clone(), string(token.email.as_str()))].into()),
        (None, Some(_)) => None,
    }
}

/// The address is part of the condition: where it is not the key, the account may have got
/// another one since the mail was sent, and whoever reads mail under the old one is nobody any
/// more.
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
        // Never before the link itself was made, whatever the clocks of two functions say.
        .expression_attribute_values(":now", millis(change.now.max(issued_at)))
        .expression_attribute_values(":one", number(1))
        .build()
        .expect("an update has a table, a key and an expression")
}
