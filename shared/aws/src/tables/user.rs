//! A user's row.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use rules::{
    address::EmailAddress,
    recovery::{Recovery, Suppression, is_same_address},
};

use super::{
    attributes::{Item, get_bool, get_number, get_string, get_time, millis, number, string},
    names::UsersTable,
    primary_key::PrimaryKey,
    recovery,
};

/// Condition that an account is active, in terms of `#active`, `:true` and `:one`.
///
/// A row without the attribute is active. Any other value counts as inactive, because an email must
/// not reopen a closed account. [`is_true`] reads the attribute in the same way.
pub(super) const IS_ACTIVE: &str =
    "(attribute_not_exists(#active) OR #active = :true OR #active = :one)";

/// A user's row.
#[derive(Clone)]
pub struct User {
    /// Primary key, if that is not the address.
    pub key: Option<PrimaryKey>,
    /// Canonical address.
    pub email: EmailAddress,
    /// Address as registered. Email goes there, never to what a caller typed.
    pub mail_to: String,
    /// The application's ID for the user.
    pub user_id: String,
    /// Name used in emails.
    pub name: Option<String>,
    /// Preferred language, as a tag such as `pt-BR`.
    pub locale: Option<String>,
    /// Stored hash, such as a PHC string; `None` if no password was ever set.
    pub password_hash: Option<String>,
    /// When the password was last set.
    pub password_changed_at: Option<DateTime<Utc>>,
    /// Each password change adds one. A session of an older epoch must end.
    pub session_epoch: i64,
    /// Whether the account may sign in and be recovered.
    pub is_active: bool,
    /// Whether the user may use the admin panel.
    pub is_superuser: bool,
    /// When the row was created.
    pub created_at: Option<DateTime<Utc>>,
    /// Emails sent to the user, and their outcomes.
    pub recovery: Recovery,
}

impl User {
    /// Returns why email to the user is suppressed, if it is. A suppression applies to one address
    /// and ends once the application stores another one.
    #[must_use]
    pub fn suppression(&self) -> Option<&Suppression> {
        let suppression = self.recovery.suppression.as_ref();
        suppression.filter(|suppression| is_same_address(&suppression.address, &self.mail_to))
    }

    /// Reads a row. `None` if it has no address, or one that is not canonical and therefore cannot
    /// be looked up.
    pub(super) fn from_item(item: &Item, table: &UsersTable, key_names: &[String]) -> Option<Self> {
        let email = get_string(item, &table.email)?;
        let canonical = EmailAddress::parse(&email).ok()?;
        if canonical.as_str() != email {
            return None;
        }
        Some(Self {
            key: table
                .email_index
                .is_some()
                .then(|| PrimaryKey::of(item, key_names)),
            email: canonical,
            mail_to: get_string(item, "mail_to").unwrap_or(email),
            user_id: get_string(item, "user_id").unwrap_or_default(),
            name: get_string(item, "name").filter(|name| !name.is_empty()),
            locale: get_string(item, "locale"),
            password_hash: get_string(item, &table.password),
            password_changed_at: get_time(item, "password_changed_at"),
            session_epoch: get_number(item, "session_epoch").unwrap_or(0),
            is_active: item.get(&table.active).is_none_or(is_true),
            is_superuser: get_bool(item, "is_superuser").unwrap_or(false),
            created_at: get_time(item, "created_at"),
            recovery: recovery::from_item(item),
        })
    }

    /// Builds a new row, without recovery state. Attributes with configurable names come last, so a
    /// fixed name never overwrites one of them.
    pub(super) fn to_item(&self, table: &UsersTable) -> Item {
        let mut item: Item = [
            ("mail_to".to_owned(), string(&self.mail_to)),
            ("user_id".to_owned(), string(&self.user_id)),
            ("session_epoch".to_owned(), number(self.session_epoch)),
            (
                "is_superuser".to_owned(),
                AttributeValue::Bool(self.is_superuser),
            ),
        ]
        .into();
        let mut insert = |name: &str, value: Option<AttributeValue>| {
            item.extend(value.map(|value| (name.to_owned(), value)));
        };
        insert("name", self.name.as_ref().map(string));
        insert("locale", self.locale.as_ref().map(string));
        insert("created_at", self.created_at.map(millis));
        insert("password_changed_at", self.password_changed_at.map(millis));
        insert(&table.email, Some(string(self.email.as_str())));
        insert(&table.active, Some(AttributeValue::Bool(self.is_active)));
        insert(&table.password, self.password_hash.as_ref().map(string));
        item
    }
}

/// Reads the active flag as [`IS_ACTIVE`] does.
fn is_true(flag: &AttributeValue) -> bool {
    match flag {
        AttributeValue::Bool(is_true) => *is_true,
        AttributeValue::N(number) => number == "1",
        _ => false,
    }
}
