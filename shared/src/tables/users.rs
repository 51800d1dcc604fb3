//! The users, and how many mails each may still be sent.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use aws_sdk_dynamodb::{
    Client as DynamoDb,
    primitives::Blob,
    types::{AttributeValue, TableDescription},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

use super::{
    Item, Kind, MailEvent, Outcome, Recovery, Suppression, get_bool, get_number, get_string,
    get_time, millis, number, recovery::is_same, string, written,
};
use crate::{
    address::EmailAddress,
    aws::AwsError,
    settings::{MailBudget, UsersTable},
};

/// How often a write is tried whose row was changed by another since it was read.
const TRIES: usize = 3;
/// Rows in one read of a search, and the reads that one page of it may take.
const SEARCH_ROWS: i32 = 1000;
/// See [`SEARCH_ROWS`].
const SEARCH_READS: usize = 20;

/// The condition that an account is active, in terms of `#active` and `:true` and `:one`: a row
/// without the attribute is; of the others only one that says so, since a mail must not open an
/// account that somebody closed in words that are not known here.
pub(super) const IS_ACTIVE: &str =
    "(attribute_not_exists(#active) OR #active = :true OR #active = :one)";

/// A user's row.
#[derive(Clone)]
pub struct User {
    /// The primary key, where that is not the address.
    pub key: Option<RowKey>,
    /// The canonical address.
    pub email: EmailAddress,
    /// The address as it was registered; mail goes there, never to what somebody typed.
    pub mail_to: String,
    /// The application's own name for the user.
    pub user_id: String,
    /// What the mails call them.
    pub name: Option<String>,
    /// The language that they read, as a tag such as `pt-BR`.
    pub locale: Option<String>,
    /// A hash, such as a PHC string; `None` for somebody who has never set a password.
    pub password_hash: Option<String>,
    /// When the password was last set.
    pub password_changed_at: Option<DateTime<Utc>>,
    /// Grows by one with every change of the password; a session of an older epoch is over.
    pub session_epoch: i64,
    /// Whether the account may sign in and be recovered. A row without the attribute is active,
    /// and so is one that holds true or the number 1 there.
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

/// The primary key of a user's row. Its `Debug` shows nothing, since it may hold an address.
#[derive(Clone, PartialEq)]
pub struct RowKey(Item);

/// Who has an address.
pub enum Found {
    /// Nobody.
    Nobody,
    /// One user.
    One(Box<User>),
    /// More than one row of the index, so that nobody can say whose mail it would be.
    Several,
}

/// Some of the users, in no order.
#[derive(Default)]
pub struct Page {
    /// The users.
    pub users: Vec<User>,
    /// Where to go on; `None` at the end.
    pub next: Option<RowKey>,
    /// Rows whose address is not in the canonical form, so that nobody finds them by it.
    pub unreadable: usize,
}

/// The users table.
#[derive(Debug, Clone)]
pub struct Users {
    client: DynamoDb,
    table: UsersTable,
    /// The names of the attributes of the primary key, once they are known.
    key_names: Arc<OnceCell<Vec<String>>>,
}

impl Users {
    /// The users in `table`.
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

    /// The user under `email`, by a consistent read; `None`, too, where more than one has it.
    pub async fn get(&self, email: &EmailAddress) -> Result<Option<User>, AwsError> {
        Ok(match self.find(email).await? {
            Found::One(user) => Some(*user),
            Found::Nobody | Found::Several => None,
        })
    }

    /// Who has `email`. An index is asked first, and its answer may be a moment old; the row
    /// itself is read consistently in any case.
    pub async fn find(&self, email: &EmailAddress) -> Result<Found, AwsError> {
        let mut keys = self.keys(email).await?;
        let key = match keys.len() {
            0 => return Ok(Found::Nobody),
            1 => keys.swap_remove(0),
            _ => return Ok(Found::Several),
        };
        let found = self
            .client
            .get_item()
            .table_name(&self.table.name)
            .set_key(Some(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new("GetItem users", &error))?;
        let key_names = self.key_names().await?;
        let user = found
            .item
            .and_then(|item| User::from_item(&item, &self.table, key_names))
            .filter(|user| user.email == *email);
        Ok(user.map_or(Found::Nobody, |user| Found::One(Box::new(user))))
    }

    /// The primary keys of the rows with `email`, at most two.
    async fn keys(&self, email: &EmailAddress) -> Result<Vec<Item>, AwsError> {
        let Some(index) = &self.table.email_index else {
            return Ok(vec![self.own_key(email)]);
        };
        // Boxed, since few tables need it and every future above would carry it along.
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
        let answer = query
            .projection_expression(placeholders.join(", "))
            .send()
            .await
            .map_err(|error| AwsError::new("Query users", &error))?;
        Ok(answer.items.unwrap_or_default())
    }

    /// The key of a table that has the address for its key.
    fn own_key(&self, email: &EmailAddress) -> Item {
        [(self.table.email.clone(), string(email.as_str()))].into()
    }

    /// The names of the attributes of the primary key. Where it is not the address, only the
    /// table itself knows them; it is asked once.
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

    /// Adds `user`; `false` where the address is taken, and nothing is changed. The table has to
    /// have the address for its key.
    pub async fn create(&self, user: &User) -> Result<bool, AwsError> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.table.name)
            .set_item(Some(user.to_item(&self.table)))
            .condition_expression("attribute_not_exists(#email)")
            .expression_attribute_names("#email", &self.table.email)
            .send()
            .await;
        written("PutItem users", answer)
    }

    /// One page of users, of at most `limit` rows.
    pub async fn page(&self, after: Option<&RowKey>, limit: i32) -> Result<Page, AwsError> {
        self.scan(None, after, limit).await
    }

    /// One page of at most `limit` users whose canonical address begins with `prefix`.
    ///
    /// It gives up looking after a bounded number of rows, so that a page may hold fewer users,
    /// or none, and still have a place to go on from.
    pub async fn page_by_prefix(
        &self,
        prefix: &str,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Page, AwsError> {
        let mut found = Page {
            next: after.cloned(),
            ..Page::default()
        };
        for _ in 0..SEARCH_READS {
            let page = self
                .scan(Some(prefix), found.next.as_ref(), SEARCH_ROWS)
                .await?;
            found.users.extend(page.users);
            found.unreadable += page.unreadable;
            if found.users.len() > limit {
                found.users.truncate(limit);
                found.next = found.users.last().map(|user| self.key_of(user));
                return Ok(found);
            }
            found.next = page.next;
            if found.next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    async fn scan(
        &self,
        prefix: Option<&str>,
        after: Option<&RowKey>,
        limit: i32,
    ) -> Result<Page, AwsError> {
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
        let scanned = scan
            .send()
            .await
            .map_err(|error| AwsError::new("Scan users", &error))?;
        let key_names = self.key_names().await?;
        let mut page = Page {
            next: scanned.last_evaluated_key.map(RowKey),
            ..Page::default()
        };
        for item in scanned.items.unwrap_or_default() {
            match User::from_item(&item, &self.table, key_names) {
                Some(user) => page.users.push(user),
                // A row without an address is no user: a table may hold other things, too.
                None if get_string(&item, &self.table.email).is_some() => page.unreadable += 1,
                None => {}
            }
        }
        Ok(page)
    }

    fn key_of(&self, user: &User) -> RowKey {
        let own = || RowKey(self.own_key(&user.email));
        user.key.clone().unwrap_or_else(own)
    }

    /// Activates or deactivates the account; `false` where there is none, and where the row says
    /// in another way than true or false whether it is active.
    pub async fn set_active(
        &self,
        email: &EmailAddress,
        is_active: bool,
    ) -> Result<bool, AwsError> {
        let keys = self.keys(email).await?;
        let [key] = keys.as_slice() else {
            return Ok(false);
        };
        let answer = self
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
        let mut condition = "#email = :email \
             AND (attribute_not_exists(recovery_version) OR recovery_version = :seen)"
            .to_owned();
        let mut update = "SET recovery_mails = :mails, recovery_mail_count = :count, \
             recovery_version = :next"
            .to_owned();
        let mut names = HashMap::from([("#email".to_owned(), self.table.email.clone())]);
        let mut values = Item::from([
            (":email".to_owned(), string(user.email.as_str())),
            (":mails".to_owned(), recovery.mails_value()),
            (":count".to_owned(), number(recovery.mail_count)),
            (":seen".to_owned(), number(recovery.version)),
            (":next".to_owned(), number(recovery.version + 1)),
        ]);
        if has_to_be_active {
            condition = format!("{condition} AND {IS_ACTIVE}");
            names.insert("#active".to_owned(), self.table.active.clone());
            values.insert(":true".to_owned(), AttributeValue::Bool(true));
            values.insert(":one".to_owned(), number(1));
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
            .table_name(&self.table.name)
            .set_key(Some(self.key_of(user).0))
            .condition_expression(condition)
            .update_expression(update)
            .set_expression_attribute_names(Some(names))
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

    /// `None` for a row without an address, and for one whose address is not in the canonical
    /// form: nobody finds that by its address, so that it is nobody's account here.
    fn from_item(item: &Item, table: &UsersTable, key_names: &[String]) -> Option<Self> {
        let email = get_string(item, &table.email)?;
        let canonical = EmailAddress::parse(&email).ok()?;
        if canonical.as_str() != email {
            return None;
        }
        Some(Self {
            key: table
                .email_index
                .is_some()
                .then(|| RowKey::of(item, key_names)),
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
            recovery: Recovery::from_item(item),
        })
    }

    /// The row in `table`. What the settings name comes last: it must not be overwritten by an
    /// attribute of ours whose name they use.
    fn to_item(&self, table: &UsersTable) -> Item {
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
        let optional = [("name", &self.name), ("locale", &self.locale)];
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
        item.extend([
            (table.email.clone(), string(self.email.as_str())),
            (table.active.clone(), AttributeValue::Bool(self.is_active)),
        ]);
        if let Some(hash) = &self.password_hash {
            item.insert(table.password.clone(), string(hash));
        }
        item
    }
}

/// See [`IS_ACTIVE`].
fn is_true(flag: &AttributeValue) -> bool {
    match flag {
        AttributeValue::Bool(is_true) => *is_true,
        AttributeValue::N(number) => number == "1",
        _ => false,
    }
}

impl RowKey {
    /// The key in `item`, whose attributes are `names`.
    fn of(item: &Item, names: &[String]) -> Self {
        let attribute = |name: &String| Some((name.clone(), item.get(name)?.clone()));
        Self(names.iter().filter_map(attribute).collect())
    }

    /// The key as it goes into a request.
    pub(super) fn item(&self) -> &Item {
        &self.0
    }

    pub(super) fn to_value(&self) -> AttributeValue {
        AttributeValue::M(self.0.clone())
    }

    pub(super) fn from_value(value: &AttributeValue) -> Option<Self> {
        value.as_m().ok().cloned().map(Self)
    }

    /// The key as a text that [`parse`](Self::parse) reads, for the link to a next page.
    #[must_use]
    pub fn to_text(&self) -> String {
        let typed = |value: &AttributeValue| match value {
            AttributeValue::S(text) => ("S", text.clone()),
            AttributeValue::N(number) => ("N", number.clone()),
            AttributeValue::B(bytes) => ("B", STANDARD.encode(bytes)),
            _ => unreachable!("a key is a string, a number or bytes"),
        };
        let attributes: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(name, value)| (name, typed(value)))
            .collect();
        serde_json::to_string(&attributes).unwrap_or_default()
    }

    /// The key that [`to_text`](Self::to_text) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let attributes: BTreeMap<String, (String, String)> = serde_json::from_str(text).ok()?;
        let value = |(kind, text): (String, String)| match kind.as_str() {
            "S" => Some(AttributeValue::S(text)),
            "N" => Some(AttributeValue::N(text)),
            "B" => Some(AttributeValue::B(Blob::new(STANDARD.decode(text).ok()?))),
            _ => None,
        };
        let attributes = attributes
            .into_iter()
            .map(|(name, typed)| Some((name, value(typed)?)));
        attributes.collect::<Option<Item>>().map(Self)
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey")
    }
}
