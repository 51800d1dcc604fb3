//! The schemas of the three tables, and the check of an existing table.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws::{
    AwsError,
    tables::{TableNames, UsersTable},
};
use aws_sdk_dynamodb::{
    Client, Config,
    config::timeout::TimeoutConfig,
    operation::describe_table::DescribeTableError,
    types::{KeySchemaElement, ScalarAttributeType, TableDescription},
};

/// Timeout of `DescribeTable`, for which the embedded database counts all rows.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// The attribute that holds the expiry time of rows.
pub(crate) const TTL_ATTRIBUTE: &str = "expires_at";

/// The schema that a table must have.
pub(crate) struct TableSchema<'a> {
    pub(crate) table: &'a str,
    pub(crate) key: &'a str,
    pub(crate) has_ttl: bool,
    pub(crate) has_stream: bool,
    /// Attribute names, for the users table only.
    pub(crate) users: Option<&'a UsersTable>,
}

/// Returns the schemas of the three tables.
pub(crate) fn schemas(names: &TableNames) -> [TableSchema<'_>; 3] {
    [
        TableSchema {
            table: &names.users.name,
            key: &names.users.email,
            has_ttl: false,
            has_stream: false,
            users: Some(&names.users),
        },
        TableSchema {
            table: &names.tokens,
            key: "token_digest",
            has_ttl: true,
            has_stream: false,
            users: None,
        },
        TableSchema {
            table: &names.outbox,
            key: "id",
            has_ttl: true,
            has_stream: true,
            users: None,
        },
    ]
}

/// Returns whether the table `name` exists.
pub(crate) async fn exists(client: &Client, name: &str) -> Result<bool> {
    Ok(describe(client, name).await?.is_some())
}

/// Describes the table `name`, if it exists.
pub(crate) async fn describe(client: &Client, name: &str) -> Result<Option<TableDescription>> {
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(DESCRIBE_TIMEOUT)
        .operation_timeout(DESCRIBE_TIMEOUT)
        .build();
    let config = Config::builder().timeout_config(timeouts);
    let describe = client.describe_table().table_name(name).customize();
    match describe.config_override(config).send().await {
        Ok(description) => Ok(description.table),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DescribeTableError::is_resource_not_found_exception) =>
        {
            Ok(None)
        }
        Err(error) => Err(AwsError::new("DescribeTable", &error))
            .with_context(|| format!("looking up the table {name}")),
    }
}

/// Returns an error if the users table exists with the wrong key.
pub(crate) async fn check_users(client: &Client, names: &TableNames) -> Result<()> {
    let [users, ..] = schemas(names);
    match describe(client, users.table).await? {
        Some(table) => check_key(&users, &table),
        None => Ok(()),
    }
}

/// Returns an error that names both keys if `table` has the wrong one.
pub(crate) fn check_key(schema: &TableSchema<'_>, table: &TableDescription) -> Result<()> {
    if let Some(users) = schema.users
        && let Some(index) = &users.email_index
    {
        return check_index(users, index, table);
    }
    let keys: Vec<&str> = table
        .key_schema()
        .iter()
        .map(KeySchemaElement::attribute_name)
        .collect();
    if keys == [schema.key] && is_string(table, schema.key) {
        return Ok(());
    }
    let advice = if schema.users.is_some() {
        "If it is your application's own table, set USERS_EMAIL_ATTRIBUTE to the attribute that \
         holds the address and, if that is not the key, USERS_EMAIL_INDEX to a global secondary \
         index on it. Otherwise choose another name, or delete the table."
    } else {
        "Choose another name, or delete the table."
    };
    bail!(
        "the table {} exists, but its key is {}; it must be only {}, a string. {advice}",
        schema.table,
        keys.join(" and "),
        schema.key
    );
}

fn check_index(users: &UsersTable, name: &str, table: &TableDescription) -> Result<()> {
    let (table_name, attribute) = (&users.name, &users.email);
    let indexes = table.global_secondary_indexes();
    let Some(index) = indexes
        .iter()
        .find(|index| index.index_name() == Some(name))
    else {
        let names: Vec<&str> = indexes
            .iter()
            .filter_map(|index| index.index_name())
            .collect();
        let existing = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        bail!(
            "the table {table_name} has no global secondary index {name} (it has {existing}). Add \
             one with the key {attribute}, or set USERS_EMAIL_INDEX to an existing one."
        );
    };
    let key = index
        .key_schema()
        .first()
        .map(KeySchemaElement::attribute_name);
    if key != Some(attribute) || !is_string(table, attribute) {
        bail!(
            "the index {name} of the table {table_name} has the key {}; it must be {attribute}, \
             a string. Set USERS_EMAIL_ATTRIBUTE and USERS_EMAIL_INDEX to an attribute and its \
             index.",
            key.unwrap_or("none")
        );
    }
    Ok(())
}

fn is_string(table: &TableDescription, attribute: &str) -> bool {
    table.attribute_definitions().iter().any(|definition| {
        definition.attribute_name() == attribute
            && *definition.attribute_type() == ScalarAttributeType::S
    })
}
