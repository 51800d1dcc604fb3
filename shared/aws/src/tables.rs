//! The three tables, and the one transaction across all of them.
//!
//! Times are numbers in epoch milliseconds, except `expires_at`, which DynamoDB's TTL requires in
//! epoch seconds.

mod attributes;
mod names;
mod outbox;
mod password_change;
mod primary_key;
mod recovery;
mod tokens;
mod user;
mod users;

use std::error::Error;

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

use crate::AwsError;

pub use attributes::Item;
pub use names::{TableNames, UsersTable, table_name};
pub use outbox::{Admission, ClientLimit, Outbox, OutboxRow, READ_ROWS as OUTBOX_READ_ROWS};
pub use password_change::{ChangeResult, PasswordChange, change_password};
pub use primary_key::PrimaryKey;
pub use tokens::{TokenRow, Tokens};
pub use user::User;
pub use users::{BudgetClaim, OutcomeUpdate, SuppressionClearing, UserLookup, UserPage, Users};

/// Returns whether a conditional write was applied; `false` if its condition failed.
fn is_applied<T, E>(
    operation: &'static str,
    response: Result<T, SdkError<E>>,
) -> Result<bool, AwsError>
where
    E: ProvideErrorMetadata + RequestId + Error + 'static,
{
    match response {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(AwsError::new(operation, &error)),
    }
}
