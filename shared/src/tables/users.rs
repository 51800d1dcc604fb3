//! The users, and how many mails each may still be sent.

use aws_sdk_dynamodb::{Client as DynamoDb, types::AttributeValue};
use chrono::{DateTime, Utc};

use super::{
    Item, Kind, MailEvent, Outcome, Recovery, Suppression, get_bool, get_number, get_string,
    get_time, millis, number, recovery::is_same, string, written,
};
use crate::{address::EmailAddress, aws::AwsError, settings::MailBudget};

/// How often a write is tried whose row was changed by another since it was read.
const TRIES: usize = 3;
/// Rows in one read of a search, and the reads that one page of it may take.
const SEARCH_ROWS: i32 = 1000;
/// See [`SEARCH_ROWS`].
const SEARCH_READS: usize = 50;

/// A user's row.
#[derive(Clone)]
pub struct User {
    /// The key: the canonical address.
    pub email: EmailAddress,
    /// The address as it was registered; mail goes there, never to what somebody typed.
    pub mail_to: String,
    /// The application's own name for the user.
    pub user_id: String,
    /// What the mails call them.
    pub name: Option<String>,
    /// The language that they read, as a tag such as `pt-BR`.
    pub locale: Option<String>,
    /// A PHC string; `None` for somebody who has never set a password.
    pub password_hash: Option<String>,
    /// When the password was last set.
    pub password_changed_at: Option<DateTime<Utc>>,
    /// Grows by one with every change of the password; a session of an older epoch is over.
    pub session_epoch: i64,
    /// Whether the account may sign in and be recovered. A row without the attribute is active.
    pub is_active: bool,
    /// Whether they may use the admin panel.
    pub is_superuser: bool,
    /// When the row was made.
    pub created_at: Option<DateTime<Utc>>,
    /// The mails that they were sent, and what became of them.
    pub recovery: Recovery,
}

/// What became of a mail's claim on the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// The mail may be sent: for the first time, or again after a failure.
    Granted,
    /// There have been too many.
    Spent,
    /// The row has changed since it was read: read it again.
    Changed,
}

/// The users table.
#[derive(Debug, Clone)]
pub struct Users {
    client: DynamoDb,
    table: String,
}

impl Users {
    /// The users in `table`.
    #[must_use]
    pub fn new(client: DynamoDb, table: String) -> Self {
        Self { client, table }
    }

    /// The user under `email`, by a consistent read.
    pub async fn get(&self, email: &EmailAddress) -> Result<Option<User>, AwsError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("email", string(email.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new("GetItem users", &error))?;
        Ok(found.item.as_ref().and_then(User::from_item))
    }

    /// Adds `user`; `false` where the address is taken, and nothing is changed.
    pub async fn create(&self, user: &User) -> Result<bool, AwsError> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(user.to_item()))
            .condition_expression("attribute_not_exists(email)")
            .send()
            .await;
        written("PutItem users", answer)
    }

    /// One page of users of at most `limit`, in no order, and the address to go on from.
    pub async fn page(
        &self,
        after: Option<&EmailAddress>,
        limit: i32,
    ) -> Result<(Vec<User>, Option<EmailAddress>), AwsError> {
        self.scan(None, after, limit).await
    }

    /// One page of at most `limit` users whose canonical address begins with `prefix`, and the
    /// address to go on from.
    ///
    /// It gives up looking after a bounded number of rows, so that a page may hold fewer users,
    /// or none, and still have an address to go on from.
    pub async fn page_by_prefix(
        &self,
        prefix: &str,
        after: Option<&EmailAddress>,
        limit: usize,
    ) -> Result<(Vec<User>, Option<EmailAddress>), AwsError> {
        let (mut found, mut after) = (Vec::new(), after.cloned());
        for _ in 0..SEARCH_READS {
            let (users, next) = self.scan(Some(prefix), after.as_ref(), SEARCH_ROWS).await?;
            found.extend(users);
            if found.len() > limit {
                found.truncate(limit);
                let last = found.last().map(|user: &User| user.email.clone());
                return Ok((found, last));
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        Ok((found, after))
    }

    async fn scan(
        &self,
        prefix: Option<&str>,
        after: Option<&EmailAddress>,
        limit: i32,
    ) -> Result<(Vec<User>, Option<EmailAddress>), AwsError> {
        let start = after.map(|email| Item::from([("email".to_owned(), string(email.as_str()))]));
        let mut scan = self
            .client
            .scan()
            .table_name(&self.table)
            .limit(limit)
            .set_exclusive_start_key(start);
        if let Some(prefix) = prefix {
            scan = scan
                .filter_expression("begins_with(email, :prefix)")
                .expression_attribute_values(":prefix", string(prefix));
        }
        let scanned = scan
            .send()
            .await
            .map_err(|error| AwsError::new("Scan users", &error))?;
        let next = scanned
            .last_evaluated_key
            .as_ref()
            .and_then(|key| get_string(key, "email"));
        let users = scanned
            .items
            .unwrap_or_default()
            .iter()
            .filter_map(User::from_item)
            .collect();
        Ok((
            users,
            next.and_then(|email| EmailAddress::parse(&email).ok()),
        ))
    }

    /// Activates or deactivates the account; `false` where there is none.
    pub async fn set_active(
        &self,
        email: &EmailAddress,
        is_active: bool,
    ) -> Result<bool, AwsError> {
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("email", string(email.as_str()))
            .condition_expression("attribute_exists(email)")
            .update_expression("SET is_active = :is_active")
            .expression_attribute_values(":is_active", AttributeValue::Bool(is_active))
            .send()
            .await;
        written("UpdateItem users", answer)
    }

    /// Takes one mail of `kind`, the answer to `event`, from the budget of `user` as it was read;
    /// a notice is written down and costs nothing.
    ///
    /// Idempotent by event: an event that took its mail before is granted it again, or a mail
    /// whose sending failed would be lost to its own cool-down.
    pub async fn take_mail(
        &self,
        user: &User,
        event: &MailEvent,
        kind: Kind,
        budget: MailBudget,
        now: DateTime<Utc>,
    ) -> Result<Budget, AwsError> {
        if user.recovery.has(event) {
            return Ok(Budget::Granted);
        }
        let is_link = kind == Kind::ResetRequested;
        if is_link && user.recovery.is_spent(budget, now) {
            return Ok(Budget::Spent);
        }
        let mut recovery = user.recovery.clone();
        recovery.add(event.clone(), kind, now);
        if self.store(user, &recovery, is_link).await? {
            Ok(Budget::Granted)
        } else {
            Ok(Budget::Changed)
        }
    }

    /// Writes down what became of the mail `event`, which went to `address`, at the user under
    /// `email`; `None` where no mail of theirs is known by that name, `false` where it says
    /// nothing new.
    ///
    /// A bounce for good and a complaint stop all mail to the address, if it is still the
    /// user's.
    pub async fn record_outcome(
        &self,
        email: &EmailAddress,
        event: &MailEvent,
        address: &str,
        outcome: &Outcome,
    ) -> Result<Option<bool>, AwsError> {
        self.rewrite(email, |user| {
            let address = Some(address).filter(|address| is_same(address, &user.mail_to));
            let recovery = &mut user.recovery;
            recovery
                .has(event)
                .then(|| recovery.take_in(event, outcome, address))
        })
        .await
    }

    /// Lets mail go to the user again; `None` where there is no such user, `false` where mail
    /// was not stopped.
    pub async fn clear_suppression(&self, email: &EmailAddress) -> Result<Option<bool>, AwsError> {
        self.rewrite(email, |user| {
            Some(user.recovery.suppression.take().is_some())
        })
        .await
    }

    /// Reads the row, lets `change` say whether it changed anything, and writes it then; once
    /// more where another write came in between.
    async fn rewrite(
        &self,
        email: &EmailAddress,
        change: impl Fn(&mut User) -> Option<bool>,
    ) -> Result<Option<bool>, AwsError> {
        for _ in 0..TRIES {
            let Some(mut user) = self.get(email).await? else {
                return Ok(None);
            };
            let changed = change(&mut user);
            if changed != Some(true) || self.store(&user, &user.recovery, false).await? {
                return Ok(changed);
            }
        }
        Err(AwsError::of(
            "UpdateItem users",
            "other writes to the account came in between",
        ))
    }

    /// Writes `recovery`, made of what `user` was read with; `false` where the row is gone, is not active
    /// though it has to be, or has been written since.
    async fn store(
        &self,
        user: &User,
        recovery: &Recovery,
        has_to_be_active: bool,
    ) -> Result<bool, AwsError> {
        let mut condition = "attribute_exists(email) \
             AND (attribute_not_exists(recovery_version) OR recovery_version = :seen)"
            .to_owned();
        let mut update = "SET recovery_mails = :mails, recovery_mail_count = :count, \
             recovery_version = :next"
            .to_owned();
        let mut values = Item::from([
            (":mails".to_owned(), recovery.mails_value()),
            (":count".to_owned(), number(recovery.mail_count)),
            (":seen".to_owned(), number(recovery.version)),
            (":next".to_owned(), number(recovery.version + 1)),
        ]);
        if has_to_be_active {
            condition += " AND (attribute_not_exists(is_active) OR is_active = :true)";
            values.insert(":true".to_owned(), AttributeValue::Bool(true));
        }
        match recovery.suppression_value() {
            None => update += " REMOVE recovery_suppression",
            Some(suppression) => {
                update += ", recovery_suppression = :suppression";
                values.insert(":suppression".to_owned(), suppression);
            }
        }
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("email", string(user.email.as_str()))
            .condition_expression(condition)
            .update_expression(update)
            .set_expression_attribute_values(Some(values))
            .send()
            .await;
        written("UpdateItem users", answer)
    }
}

impl User {
    /// Why no mail is sent to the user, if so. It belongs to the address that it was made for:
    /// once the application has another one, it does not hold any more.
    #[must_use]
    pub fn suppression(&self) -> Option<&Suppression> {
        let suppression = self.recovery.suppression.as_ref();
        suppression.filter(|suppression| is_same(&suppression.address, &self.mail_to))
    }

    fn from_item(item: &Item) -> Option<Self> {
        let email = get_string(item, "email")?;
        Some(Self {
            email: EmailAddress::parse(&email).ok()?,
            mail_to: get_string(item, "mail_to").unwrap_or(email),
            user_id: get_string(item, "user_id").unwrap_or_default(),
            name: get_string(item, "name").filter(|name| !name.is_empty()),
            locale: get_string(item, "locale"),
            password_hash: get_string(item, "password_hash"),
            password_changed_at: get_time(item, "password_changed_at"),
            session_epoch: get_number(item, "session_epoch").unwrap_or(0),
            is_active: get_bool(item, "is_active").unwrap_or(true),
            is_superuser: get_bool(item, "is_superuser").unwrap_or(false),
            created_at: get_time(item, "created_at"),
            recovery: Recovery::from_item(item),
        })
    }

    fn to_item(&self) -> Item {
        let mut item: Item = [
            ("email".to_owned(), string(self.email.as_str())),
            ("mail_to".to_owned(), string(&self.mail_to)),
            ("user_id".to_owned(), string(&self.user_id)),
            ("session_epoch".to_owned(), number(self.session_epoch)),
            ("is_active".to_owned(), AttributeValue::Bool(self.is_active)),
            (
                "is_superuser".to_owned(),
                AttributeValue::Bool(self.is_superuser),
            ),
        ]
        .into();
        let optional = [
            ("name", &self.name),
            ("locale", &self.locale),
            ("password_hash", &self.password_hash),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                item.insert(name.to_owned(), string(value));
            }
        }
        for (name, at) in [
            ("created_at", self.created_at),
            ("password_changed_at", self.password_changed_at),
        ] {
            if let Some(at) = at {
                item.insert(name.to_owned(), millis(at));
            }
        }
        item
    }
}
