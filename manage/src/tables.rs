//! The tables as they have to be, made where they are missing.

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::{
    Client,
    operation::describe_table::DescribeTableError,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        StreamSpecification, StreamViewType, TableDescription, TableStatus,
        TimeToLiveSpecification,
    },
};
use shared::settings::TableNames;
use tokio::time::{Duration, sleep};

/// How often a new table is looked at until it is there. AWS takes about ten seconds.
const WAIT: Duration = Duration::from_millis(500);
/// How often at most.
const MAX_LOOKS: u32 = 120;

/// The attribute by which rows expire.
pub(crate) const TTL_ATTRIBUTE: &str = "expires_at";

/// What a table has to be.
pub(crate) struct Schema<'a> {
    pub(crate) table: &'a str,
    pub(crate) key: &'static str,
    pub(crate) has_ttl: bool,
    pub(crate) has_stream: bool,
}

/// What each of the three tables has to be.
pub(crate) fn schemas(names: &TableNames) -> [Schema<'_>; 3] {
    [
        Schema {
            table: &names.users,
            key: "email",
            has_ttl: false,
            has_stream: false,
        },
        Schema {
            table: &names.tokens,
            key: "token_digest",
            has_ttl: true,
            has_stream: false,
        },
        Schema {
            table: &names.outbox,
            key: "id",
            has_ttl: true,
            has_stream: true,
        },
    ]
}

/// Makes the tables that are missing, and says of each whether it was made. One that is there
/// with another key is an error, before anything is made.
pub async fn migrate(client: &Client, names: &TableNames) -> Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    for schema in schemas(names) {
        let table = describe(client, schema.table).await?;
        if let Some(table) = &table {
            check_key(&schema, table)?;
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

/// The table `name`, or `None` where there is none.
pub(crate) async fn describe(client: &Client, name: &str) -> Result<Option<TableDescription>> {
    match client.describe_table().table_name(name).send().await {
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
    let keys: Vec<&str> = table
        .key_schema()
        .iter()
        .map(KeySchemaElement::attribute_name)
        .collect();
    if keys != [schema.key] {
        bail!(
            "the table {} is there, but its key is {}; it has to be {} alone. Use another name, or remove it.",
            schema.table,
            keys.join(" and "),
            schema.key
        );
    }
    Ok(())
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
