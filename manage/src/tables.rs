//! The tables as they have to be, made where they are missing.

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::{
    Client, Config,
    config::timeout::TimeoutConfig,
    operation::describe_table::DescribeTableError,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        StreamSpecification, StreamViewType, TableDescription, TableStatus,
        TimeToLiveSpecification,
    },
};
use shared::settings::{TableNames, UsersTable};
use tokio::time::{Duration, sleep};

/// How long a description may take: the embedded database counts the rows for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a new table is looked at until it is there. AWS takes about ten seconds.
const WAIT: Duration = Duration::from_millis(500);
/// How often at most.
const MAX_LOOKS: u32 = 120;

/// The attribute by which rows expire.
pub(crate) const TTL_ATTRIBUTE: &str = "expires_at";

/// What a table has to be.
pub(crate) struct Schema<'a> {
    pub(crate) table: &'a str,
    pub(crate) key: &'a str,
    pub(crate) has_ttl: bool,
    pub(crate) has_stream: bool,
    /// Of the users table alone: which of its attributes are which.
    users: Option<&'a UsersTable>,
}

/// What each of the three tables has to be.
pub(crate) fn schemas(names: &TableNames) -> [Schema<'_>; 3] {
    [
        Schema {
            table: &names.users.name,
            key: &names.users.email,
            has_ttl: false,
            has_stream: false,
            users: Some(&names.users),
        },
        Schema {
            table: &names.tokens,
            key: "token_digest",
            has_ttl: true,
            has_stream: false,
            users: None,
        },
        Schema {
            table: &names.outbox,
            key: "id",
            has_ttl: true,
            has_stream: true,
            users: None,
        },
    ]
}

/// Makes the tables that are missing, and says of each whether it was made. One that is there
/// with another key is an error, before anything is made.
pub async fn migrate(client: &Client, names: &TableNames) -> Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    for schema in schemas(names) {
        let table = describe(client, schema.table).await?;
        match &table {
            Some(table) => check_key(&schema, table)?,
            None => check_maker(&schema)?,
        }
        found.push((schema, table.is_some()));
    }
    let mut report = Vec::new();
    for (schema, exists) in found {
        if !exists {
            create(client, &schema)
                .await
                .with_context(|| format!("making the table {}", schema.table))?;
        }
        report.push((schema.table.to_owned(), !exists));
    }
    Ok(report)
}

/// An error where the users table is there and has another key than it should.
pub(crate) async fn check_users(client: &Client, names: &TableNames) -> Result<()> {
    let [users, ..] = schemas(names);
    match describe(client, users.table).await? {
        Some(table) => check_key(&users, &table),
        None => Ok(()),
    }
}

/// The table `name`, or `None` where there is none.
pub(crate) async fn describe(client: &Client, name: &str) -> Result<Option<TableDescription>> {
    let patient = Config::builder().timeout_config(
        TimeoutConfig::builder()
            .operation_attempt_timeout(PATIENCE)
            .operation_timeout(PATIENCE)
            .build(),
    );
    let describe = client.describe_table().table_name(name).customize();
    match describe.config_override(patient).send().await {
        Ok(answer) => Ok(answer.table),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DescribeTableError::is_resource_not_found_exception) =>
        {
            Ok(None)
        }
        Err(error) => Err(shared::aws::AwsError::new("DescribeTable", &error))
            .with_context(|| format!("looking for the table {name}")),
    }
}

/// An error that names both keys where the table has another than it should.
pub(crate) fn check_key(schema: &Schema<'_>, table: &TableDescription) -> Result<()> {
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
        "If it is your application's own, name the attribute that holds the address in \
         USERS_EMAIL_ATTRIBUTE and, where that is not the key, a global secondary index on it in \
         USERS_EMAIL_INDEX; else use another name, or remove it."
    } else {
        "Use another name, or remove it."
    };
    bail!(
        "the table {} is there, but its key is {}; it has to be {} alone, a string. {advice}",
        schema.table,
        keys.join(" and "),
        schema.key
    );
}

/// A table whose key is not known here can only be made by the application.
fn check_maker(schema: &Schema<'_>) -> Result<()> {
    let index = schema.users.and_then(|users| users.email_index.as_ref());
    let Some(index) = index else { return Ok(()) };
    bail!(
        "there is no table {}, and it cannot be made here: USERS_EMAIL_INDEX is {index}, so that \
         its key is your application's. Let the application make it, or set USERS_TABLE to the \
         name of its table.",
        schema.table
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
        let there = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        bail!(
            "the table {table_name} has no global secondary index {name} (it has {there}). Add \
             one whose key is {attribute}, or set USERS_EMAIL_INDEX to the one that there is."
        );
    };
    let key = index
        .key_schema()
        .first()
        .map(KeySchemaElement::attribute_name);
    if key != Some(attribute) || !is_string(table, attribute) {
        bail!(
            "the index {name} of the table {table_name} has the key {}; it has to be {attribute}, \
             a string. Set USERS_EMAIL_ATTRIBUTE and USERS_EMAIL_INDEX to what belongs together.",
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

async fn create(client: &Client, schema: &Schema<'_>) -> Result<()> {
    let key = KeySchemaElement::builder()
        .attribute_name(schema.key)
        .key_type(KeyType::Hash)
        .build()?;
    let attribute = AttributeDefinition::builder()
        .attribute_name(schema.key)
        .attribute_type(ScalarAttributeType::S)
        .build()?;
    let stream = schema.has_stream.then(|| {
        StreamSpecification::builder()
            .stream_enabled(true)
            .stream_view_type(StreamViewType::NewImage)
            .build()
    });
    client
        .create_table()
        .table_name(schema.table)
        .key_schema(key)
        .attribute_definitions(attribute)
        .billing_mode(BillingMode::PayPerRequest)
        .set_stream_specification(stream.transpose()?)
        .send()
        .await
        .map_err(|error| shared::aws::AwsError::new("CreateTable", &error))?;
    wait_until_active(client, schema.table).await?;
    if schema.has_ttl {
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL_ATTRIBUTE)
            .build()?;
        client
            .update_time_to_live()
            .table_name(schema.table)
            .time_to_live_specification(ttl)
            .send()
            .await
            .map_err(|error| shared::aws::AwsError::new("UpdateTimeToLive", &error))?;
    }
    Ok(())
}

async fn wait_until_active(client: &Client, name: &str) -> Result<()> {
    for _ in 0..MAX_LOOKS {
        let table = describe(client, name).await?;
        if table.is_some_and(|table| table.table_status == Some(TableStatus::Active)) {
            return Ok(());
        }
        sleep(WAIT).await;
    }
    bail!("the table is not ready after a minute; run `migrate` again later")
}

/// Whether there is a table `name`.
pub async fn exists(client: &Client, name: &str) -> Result<bool> {
    Ok(describe(client, name).await?.is_some())
}
