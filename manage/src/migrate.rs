//! `migrate`: creates missing tables.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws::{AwsError, tables::TableNames};
use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        StreamSpecification, StreamViewType, TableStatus, TimeToLiveSpecification,
    },
};
use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    database::OpenEmbedded,
    exit::ExitStatus,
    output::{OutputArgs, OutputFormat, print_json},
    schema::{self, TTL_ATTRIBUTE, TableSchema},
    workspace::DatabaseArgs,
};

/// Interval between checks of a new table. AWS takes about ten seconds to create one.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Checks before giving up, which is after a minute.
const MAX_POLLS: u32 = 120;

/// Options of `migrate`.
#[derive(Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A table after a migration.
pub struct MigratedTable {
    /// Name of the table.
    pub name: String,
    /// Whether the migration created it.
    pub is_new: bool,
}

/// Creates missing tables, and prints which tables were created and which existed.
pub(crate) async fn run(args: MigrateArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let workspace = args.database.open(open_embedded).await?;
    let tables = workspace
        .run(async |workspace| {
            create_missing_tables(&workspace.connection.client, &workspace.names).await
        })
        .await?;
    match args.output.format {
        OutputFormat::Json => {
            let row = |table: MigratedTable| json!({ "table": table.name, "made": table.is_new });
            print_json(&tables.into_iter().map(row).collect())?;
        }
        OutputFormat::Table => {
            for MigratedTable { name, is_new } in tables {
                println!("{name}: {}", if is_new { "created" } else { "exists" });
            }
        }
    }
    Ok(ExitStatus::Done)
}

/// Creates missing tables. An existing table with another key is an error, before
/// anything is created.
pub async fn create_missing_tables(
    client: &Client,
    names: &TableNames,
) -> Result<Vec<MigratedTable>> {
    let mut checked = Vec::new();
    for schema in schema::schemas(names) {
        let table = schema::describe(client, schema.table).await?;
        match &table {
            Some(table) => schema::check_key(&schema, table)?,
            None => check_can_create(&schema)?,
        }
        checked.push((schema, table.is_none()));
    }
    let mut tables = Vec::new();
    for (schema, is_new) in checked {
        if is_new {
            create(client, &schema)
                .await
                .with_context(|| format!("creating the table {}", schema.table))?;
        }
        tables.push(MigratedTable {
            name: schema.table.to_owned(),
            is_new,
        });
    }
    Ok(tables)
}

/// Returns an error if only the application knows the key of the table.
fn check_can_create(schema: &TableSchema<'_>) -> Result<()> {
    let index = schema.users.and_then(|users| users.email_index.as_ref());
    let Some(index) = index else { return Ok(()) };
    bail!(
        "there is no table {}, and it cannot be created here: USERS_EMAIL_INDEX is {index}, so \
         your application defines its key. Have the application create it, or set USERS_TABLE to \
         the name of its table.",
        schema.table
    );
}

async fn create(client: &Client, schema: &TableSchema<'_>) -> Result<()> {
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
        .map_err(|error| AwsError::new("CreateTable", &error))?;
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
            .map_err(|error| AwsError::new("UpdateTimeToLive", &error))?;
    }
    Ok(())
}

async fn wait_until_active(client: &Client, name: &str) -> Result<()> {
    for _ in 0..MAX_POLLS {
        let table = schema::describe(client, name).await?;
        if table.is_some_and(|table| table.table_status == Some(TableStatus::Active)) {
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
    bail!("the table is not ready after a minute; run `migrate` again later")
}
