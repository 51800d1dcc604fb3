//! The three tables, and the one transaction across all of them.
//!
//! Times are numbers in epoch milliseconds, except `expires_at`, which DynamoDB's TTL requires in
//! epoch seconds.

mod attributes;
mod conditional_write;
mod names;
mod outbox;
mod password_change;
mod primary_key;
mod recovery;
mod tokens;
mod user;
mod users;

pub use attributes::Item;
pub use names::{TableNames, UsersTable, table_name};
pub use outbox::{Admission, ClientLimit, Outbox, OutboxRow, READ_ROWS as OUTBOX_READ_ROWS};
pub use password_change::{ChangeResult, PasswordChange, change_password};
pub use primary_key::PrimaryKey;
pub use tokens::{TokenRow, Tokens};
pub use user::User;
pub use users::{BudgetClaim, OutcomeUpdate, SuppressionClearing, UserLookup, UserPage, Users};
