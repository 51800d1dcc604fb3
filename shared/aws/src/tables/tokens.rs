//! The tokens table: outstanding reset tokens, by digest.

use aws_sdk_dynamodb::Client as DynamoDb;
use chrono::{DateTime, TimeDelta, Utc};
use rules::{address::EmailAddress, token::TokenDigest};

use super::{
    attributes::{Item, get_number, get_string, get_time, millis, number, string},
    primary_key::PrimaryKey,
};
use crate::sdk::AwsError;

/// A row of the tokens table, without its key.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Address of the account whose password the token may set.
    pub email: EmailAddress,
    /// The account's name. A new password is checked against it without reading the users table.
    pub name: Option<String>,
    /// Primary key of the account's row, if that is not its address.
    pub user_key: Option<PrimaryKey>,
    /// When the token was mailed.
    pub issued_at: DateTime<Utc>,
    /// Expiry time, with a resolution of seconds.
    pub expires_at: DateTime<Utc>,
}

impl TokenRow {
    /// Creates the row of a token that is mailed `now` and valid for `ttl`.
    #[must_use]
    pub fn new(
        email: EmailAddress,
        name: Option<String>,
        now: DateTime<Utc>,
        ttl: TimeDelta,
    ) -> Self {
        Self {
            email,
            name,
            user_key: None,
            issued_at: now,
            expires_at: now + ttl,
        }
    }

    /// Returns whether the token is valid. TTL deletes up to days late, so a row alone proves
    /// nothing.
    #[must_use]
    pub fn is_valid_at(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.timestamp() > now.timestamp()
    }

    fn from_item(item: &Item) -> Option<Self> {
        Some(Self {
            email: EmailAddress::parse(&get_string(item, "email")?).ok()?,
            name: get_string(item, "name"),
            user_key: item.get("user_key").and_then(PrimaryKey::from_value),
            issued_at: get_time(item, "issued_at")?,
            expires_at: DateTime::from_timestamp(get_number(item, "expires_at")?, 0)?,
        })
    }
}

/// The tokens table.
#[derive(Debug, Clone)]
pub struct Tokens {
    client: DynamoDb,
    table: String,
}

impl Tokens {
    /// Creates a client of `table`.
    #[must_use]
    pub fn new(client: DynamoDb, table: String) -> Self {
        Self { client, table }
    }

    /// Stores a token's digest. The token itself is stored nowhere.
    pub async fn put(&self, digest: &TokenDigest, row: &TokenRow) -> Result<(), AwsError> {
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(digest, row)))
            .send()
            .await
            .map_err(|error| AwsError::new("PutItem tokens", &error))?;
        Ok(())
    }

    /// Reads the row of `digest`; `None` if the token is unknown, used or deleted.
    ///
    /// The read is consistent, because the email may arrive within a second.
    pub async fn get(&self, digest: &TokenDigest) -> Result<Option<TokenRow>, AwsError> {
        let response = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("token_digest", string(digest.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| AwsError::new("GetItem tokens", &error))?;
        Ok(response.item.as_ref().and_then(TokenRow::from_item))
    }

    /// Returns the tokens of `email` that are valid at `now`, oldest first, without digests.
    ///
    /// No function needs an index by address, so this scans the whole table, a page at a time.
    pub async fn outstanding(
        &self,
        email: &EmailAddress,
        now: DateTime<Utc>,
    ) -> Result<Vec<TokenRow>, AwsError> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let page = self
                .client
                .scan()
                .table_name(&self.table)
                .filter_expression("email = :email AND expires_at > :now")
                .projection_expression("email, issued_at, expires_at")
                .expression_attribute_values(":email", string(email.as_str()))
                .expression_attribute_values(":now", number(now.timestamp()))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| AwsError::new("Scan tokens", &error))?;
            rows.extend(page.items().iter().filter_map(TokenRow::from_item));
            start = page.last_evaluated_key;
            if start.is_none() {
                rows.sort_by_key(|row| row.issued_at);
                return Ok(rows);
            }
        }
    }
}

fn item(digest: &TokenDigest, row: &TokenRow) -> Item {
    let mut item: Item = [
        ("token_digest".to_owned(), string(digest.as_str())),
        ("email".to_owned(), string(row.email.as_str())),
        ("issued_at".to_owned(), millis(row.issued_at)),
        ("expires_at".to_owned(), number(row.expires_at.timestamp())),
    ]
    .into();
    if let Some(name) = &row.name {
        item.insert("name".to_owned(), string(name));
    }
    if let Some(key) = &row.user_key {
        item.insert("user_key".to_owned(), key.to_value());
    }
    item
}
