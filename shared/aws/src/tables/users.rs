//! The users table.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::{
    Client as DynamoDb,
    types::{AttributeValue, TableDescription},
};
use chrono::{DateTime, Utc};
use rules::{
    address::EmailAddress,
    recovery::{DeliveryOutcome, EmailBudget, EmailId, EmailKind, Recovery, is_same_address},
};
use tokio::sync::OnceCell;

use super::{
    attributes::{Item, get_string, number, string},
    conditional_write::is_applied,
    names::UsersTable,
    primary_key::PrimaryKey,
    recovery,
    user::{IS_ACTIVE, User},
};
use crate::sdk::AwsError;

/// Maximum number of attempts at a write while other writers change the row.
const MAX_WRITE_ATTEMPTS: usize = 3;
/// Rows per read of a search.
const SEARCH_ROWS: i32 = 1000;
/// Maximum number of reads for one page of a search.
const MAX_SEARCH_READS: usize = 20;

/// The result of claiming an email from a user's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetClaim {
    /// The email may be sent: for the first time, or again after a failure.
    Granted,
    /// The budget allows no email now.
    Spent,
    /// The row has changed since it was read; read it again.
    Conflict,
}

/// The result of recording a delivery outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeUpdate {
    /// The outcome was written.
    Recorded,
    /// The outcome, or a later one, is already known.
    AlreadyKnown,
    /// No such user, or no such email among the user's recent ones.
    UnknownEmail,
}

/// The result of clearing a suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionClearing {
    /// Email is sent to the address again.
    Cleared,
    /// Email was not suppressed.
    NotSuppressed,
    /// No such user.
    UnknownUser,
}

/// The result of looking up an address.
pub enum UserLookup {
    /// No user has the address.
    Unknown,
    /// Exactly one user has it.
    One(Box<User>),
    /// Several rows of the index have it, so the recipient is ambiguous.
    Ambiguous,
}

/// A page of users, in no particular order.
#[derive(Default)]
pub struct UserPage {
    /// The users.
    pub users: Vec<User>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<PrimaryKey>,
    /// Number of rows whose address is not canonical, so no lookup finds them.
    pub unreadable: usize,
}

/// The result of applying a change to a user's recovery state.
enum Rewrite {
    Written,
    Unchanged(Box<User>),
    UnknownUser,
}

/// The users table.
#[derive(Debug, Clone)]
pub struct Users {
    client: DynamoDb,
    table: UsersTable,
    /// Attribute names of the primary key, once known.
    key_names: Arc<OnceCell<Vec<String>>>,
}

impl Users {
    /// Creates a client of `table`.
    #[must_use]
    pub fn new(client: DynamoDb, table: impl Into<UsersTable>) -> Self {
        let table = table.into();
        let own_key = table
            .email_index
            .is_none()
            .then(|| vec![table.email.clone()]);
        Self {
            client,
            table,
            key_names: Arc::new(OnceCell::new_with(own_key)),
        }
    }

    /// Reads the user with `email`; `None` if no user has it, or several have.
    pub async fn get(&self, email: &EmailAddress) -> Result<Option<User>, AwsError> {
        Ok(match self.find(email).await? {
            UserLookup::One(user) => Some(*user),
            UserLookup::Unknown | UserLookup::Ambiguous => None,
        })
    }

    /// Looks up `email`. An index may lag slightly behind; the row itself is always read
    /// consistently.
    pub async fn find(&self, email: &EmailAddress) -> Result<UserLookup, AwsError> {
        let mut keys = self.keys(email).await?;
        let key = match keys.len() {
            0 => return Ok(UserLookup::Unknown),
            1 => keys.swap_remove(0),
            _ => return Ok(UserLookup::Ambiguous),
        };
        let response = self
            .client
            .get_item()
            .table_name(&self.table.name)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new("GetItem users", &error))?;
        let key_names = self.key_names().await?;
        let user = response
            .item
            .and_then(|item| User::from_item(&item, &self.table, key_names))
            .filter(|user| user.email == *email);
        Ok(user.map_or(UserLookup::Unknown, |user| UserLookup::One(Box::new(user))))
    }

    /// Returns the primary keys of the rows with `email`, at most two.
    async fn keys(&self, email: &EmailAddress) -> Result<Vec<Item>, AwsError> {
        let Some(index) = &self.table.email_index else {
            return Ok(vec![self.own_key(email)]);
        };
        // Boxed, because few tables need it and every caller's future would grow by it.
        Box::pin(self.query(index, email)).await
    }

    async fn query(&self, index: &str, email: &EmailAddress) -> Result<Vec<Item>, AwsError> {
        let key_names = self.key_names().await?;
        let mut query = self
            .client
            .query()
            .table_name(&self.table.name)
            .index_name(index)
            .key_condition_expression("#email = :email")
            .expression_attribute_names("#email", &self.table.email)
            .expression_attribute_values(":email", string(email.as_str()))
            .limit(2);
        let mut placeholders = Vec::new();
        for (number, name) in key_names.iter().enumerate() {
            placeholders.push(format!("#key{number}"));
            query = query.expression_attribute_names(&placeholders[number], name);
        }
        let response = query
            .projection_expression(placeholders.join(", "))
            .send()
            .await
            .map_err(|error| AwsError::new("Query users", &error))?;
        Ok(response.items.unwrap_or_default())
    }

    /// Builds the key of a table whose primary key is the address.
    fn own_key(&self, email: &EmailAddress) -> Item {
        [(self.table.email.clone(), string(email.as_str()))].into()
    }

    /// Returns the attribute names of the primary key. If that is not the address, the table is
    /// described once.
    async fn key_names(&self) -> Result<&[String], AwsError> {
        if let Some(names) = self.key_names.get() {
            return Ok(names);
        }
        let names = Box::pin(self.key_names.get_or_try_init(|| self.describe_key()));
        names.await.map(Vec::as_slice)
    }

    async fn describe_key(&self) -> Result<Vec<String>, AwsError> {
        let described = self
            .client
            .describe_table()
            .table_name(&self.table.name)
            .send()
            .await
            .map_err(|error| AwsError::new("DescribeTable users", &error))?;
        let table = described.table;
        let names = table.iter().flat_map(TableDescription::key_schema);
        Ok(names.map(|key| key.attribute_name().to_owned()).collect())
    }

    /// Adds `user`. Returns `false`, and changes nothing, if the address is taken. The table's
    /// primary key must be the address.
    pub async fn create(&self, user: &User) -> Result<bool, AwsError> {
        let response = self
            .client
            .put_item()
            .table_name(&self.table.name)
            .set_item(Some(user.to_item(&self.table)))
            .condition_expression("attribute_not_exists(#email)")
            .expression_attribute_names("#email", &self.table.email)
            .send()
            .await;
        is_applied("PutItem users", response)
    }

    /// Reads a page of users from at most `limit` rows.
    pub async fn page(&self, after: Option<&PrimaryKey>, limit: i32) -> Result<UserPage, AwsError> {
        self.scan(None, after, limit).await
    }

    /// Reads a page of at most `limit` users whose canonical address starts with `prefix`.
    ///
    /// The search stops after a bounded number of rows, so a page may have fewer users, or none,
    /// and still be followed by another page.
    pub async fn page_by_prefix(
        &self,
        prefix: &str,
        after: Option<&PrimaryKey>,
        limit: usize,
    ) -> Result<UserPage, AwsError> {
        let mut result = UserPage {
            next: after.cloned(),
            ..UserPage::default()
        };
        for _ in 0..MAX_SEARCH_READS {
            let page = self
                .scan(Some(prefix), result.next.as_ref(), SEARCH_ROWS)
                .await?;
            result.users.extend(page.users);
            result.unreadable += page.unreadable;
            if result.users.len() > limit {
                result.users.truncate(limit);
                result.next = result.users.last().map(|user| self.key_of(user));
                return Ok(result);
            }
            result.next = page.next;
            if result.next.is_none() {
                break;
            }
        }
        Ok(result)
    }

    async fn scan(
        &self,
        prefix: Option<&str>,
        after: Option<&PrimaryKey>,
        limit: i32,
    ) -> Result<UserPage, AwsError> {
        let mut scan = self
            .client
            .scan()
            .table_name(&self.table.name)
            .limit(limit)
            .set_exclusive_start_key(after.map(|key| key.0.clone()));
        if let Some(prefix) = prefix {
            scan = scan
                .filter_expression("begins_with(#email, :prefix)")
                .expression_attribute_names("#email", &self.table.email)
                .expression_attribute_values(":prefix", string(prefix));
        }
        let response = scan
            .send()
            .await
            .map_err(|error| AwsError::new("Scan users", &error))?;
        let key_names = self.key_names().await?;
        let mut page = UserPage {
            next: response.last_evaluated_key.map(PrimaryKey),
            ..UserPage::default()
        };
        for item in response.items.unwrap_or_default() {
            match User::from_item(&item, &self.table, key_names) {
                Some(user) => page.users.push(user),
                // A row without an address is not a user; a table may hold other items too.
                None if get_string(&item, &self.table.email).is_some() => page.unreadable += 1,
                None => {}
            }
        }
        Ok(page)
    }

    fn key_of(&self, user: &User) -> PrimaryKey {
        let own = || PrimaryKey(self.own_key(&user.email));
        user.key.clone().unwrap_or_else(own)
    }

    /// Activates or deactivates the account. Returns `false` if it does not exist, or if its
    /// active flag is not a boolean.
    pub async fn set_active(
        &self,
        email: &EmailAddress,
        is_active: bool,
    ) -> Result<bool, AwsError> {
        let keys = self.keys(email).await?;
        let [key] = keys.as_slice() else {
            return Ok(false);
        };
        let response = self
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(key.clone()))
            .condition_expression(
                "#email = :email AND \
                 (attribute_not_exists(#active) OR attribute_type(#active, :bool))",
            )
            .update_expression("SET #active = :active")
            .expression_attribute_names("#email", &self.table.email)
            .expression_attribute_names("#active", &self.table.active)
            .expression_attribute_values(":email", string(email.as_str()))
            .expression_attribute_values(":bool", string("BOOL"))
            .expression_attribute_values(":active", AttributeValue::Bool(is_active))
            .send()
            .await;
        is_applied("UpdateItem users", response)
    }

    /// Claims the email `id` from the budget of `user` and records it in the row.
    ///
    /// An email that is recorded already is granted again: it failed, and must not be lost to its
    /// own cool-down. Notices are not limited.
    pub async fn claim_email(
        &self,
        user: &User,
        id: &EmailId,
        kind: EmailKind,
        budget: EmailBudget,
        now: DateTime<Utc>,
    ) -> Result<BudgetClaim, AwsError> {
        if user.recovery.contains(id) {
            return Ok(BudgetClaim::Granted);
        }
        let is_link = kind == EmailKind::ResetRequested;
        if is_link && user.recovery.is_spent(budget, now) {
            return Ok(BudgetClaim::Spent);
        }
        let mut recovery = user.recovery.clone();
        recovery.add(id.clone(), kind, now);
        if self.store(user, &recovery, is_link).await? {
            Ok(BudgetClaim::Granted)
        } else {
            Ok(BudgetClaim::Conflict)
        }
    }

    /// Records the outcome of the email `id`, which was sent to `address`, for the user with
    /// `email`.
    ///
    /// A permanent bounce or a complaint suppresses the address if it is still the user's.
    pub async fn record_outcome(
        &self,
        email: &EmailAddress,
        id: &EmailId,
        address: &str,
        outcome: &DeliveryOutcome,
    ) -> Result<OutcomeUpdate, AwsError> {
        let rewritten = self
            .rewrite(email, |user| {
                let address =
                    Some(address).filter(|address| is_same_address(address, &user.mail_to));
                user.recovery.record_outcome(id, outcome, address)
            })
            .await?;
        Ok(match rewritten {
            Rewrite::Written => OutcomeUpdate::Recorded,
            Rewrite::Unchanged(user) if user.recovery.contains(id) => OutcomeUpdate::AlreadyKnown,
            Rewrite::Unchanged(_) | Rewrite::UnknownUser => OutcomeUpdate::UnknownEmail,
        })
    }

    /// Resumes email to a suppressed address.
    pub async fn clear_suppression(
        &self,
        email: &EmailAddress,
    ) -> Result<SuppressionClearing, AwsError> {
        let rewritten = self.rewrite(email, |user| user.recovery.suppression.take().is_some());
        Ok(match rewritten.await? {
            Rewrite::Written => SuppressionClearing::Cleared,
            Rewrite::Unchanged(_) => SuppressionClearing::NotSuppressed,
            Rewrite::UnknownUser => SuppressionClearing::UnknownUser,
        })
    }

    /// Reads the user's row, applies `change`, and writes the recovery state if `change` returns
    /// `true`. Starts over if the row has changed in the meantime.
    async fn rewrite(
        &self,
        email: &EmailAddress,
        change: impl Fn(&mut User) -> bool,
    ) -> Result<Rewrite, AwsError> {
        for _ in 0..MAX_WRITE_ATTEMPTS {
            let Some(mut user) = self.get(email).await? else {
                return Ok(Rewrite::UnknownUser);
            };
            if !change(&mut user) {
                return Ok(Rewrite::Unchanged(Box::new(user)));
            }
            if self.store(&user, &user.recovery, false).await? {
                return Ok(Rewrite::Written);
            }
        }
        Err(AwsError::of(
            "UpdateItem users",
            "other writes keep changing the account",
        ))
    }

    /// Writes `recovery` to the row of `user`. Returns `false` if the row is gone, is inactive
    /// and `must_be_active` is set, or was written since `user` was read.
    async fn store(
        &self,
        user: &User,
        recovery: &Recovery,
        must_be_active: bool,
    ) -> Result<bool, AwsError> {
        let mut condition = "#email = :email \
             AND (attribute_not_exists(recovery_version) OR recovery_version = :seen)"
            .to_owned();
        let mut update = "SET recovery_mails = :mails, recovery_mail_count = :count, \
             recovery_version = :next"
            .to_owned();
        let mut names = HashMap::from([("#email".to_owned(), self.table.email.clone())]);
        let mut values = Item::from([
            (":email".to_owned(), string(user.email.as_str())),
            (":mails".to_owned(), recovery::emails_value(recovery)),
            (":count".to_owned(), number(recovery.email_count)),
            (":seen".to_owned(), number(recovery.version)),
            (":next".to_owned(), number(recovery.version + 1)),
        ]);
        if must_be_active {
            condition = format!("{condition} AND {IS_ACTIVE}");
            names.insert("#active".to_owned(), self.table.active.clone());
            values.insert(":true".to_owned(), AttributeValue::Bool(true));
            values.insert(":one".to_owned(), number(1));
        }
        match recovery::suppression_value(recovery) {
            None => update += " REMOVE recovery_suppression",
            Some(suppression) => {
                update += ", recovery_suppression = :suppression";
                values.insert(":suppression".to_owned(), suppression);
            }
        }
        let response = self
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(self.key_of(user).0))
            .condition_expression(condition)
            .update_expression(update)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .send()
            .await;
        is_applied("UpdateItem users", response)
    }
}
