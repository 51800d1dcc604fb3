//! The three tables: that they are what the functions expect, and what the operator may do.

use anyhow::Result;
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::Blob,
    types::{
        AttributeDefinition, AttributeValue, PointInTimeRecoveryStatus, ScalarAttributeType,
        StreamViewType, TableDescription, TableStatus, TimeToLiveStatus,
    },
};
use shared::aws::AwsError;

use super::Finding;
use crate::{
    schema::{self, TableSchema},
    workspace::Workspace,
};

/// A key that no row has, and that is no address.
const NOBODY: &str = "doctor";

pub(super) async fn examine(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for schema in schema::schemas(&workspace.names) {
        findings.extend(table(workspace, &schema).await);
    }
    findings
}

async fn table(workspace: &Workspace, schema: &TableSchema<'_>) -> Vec<Finding> {
    let what = format!("table {}", schema.table);
    let found = match schema::describe(&workspace.connection.client, schema.table).await {
        Err(error) => {
            let advice = "look whether DynamoDB can be reached, and give your credentials \
                          dynamodb:DescribeTable";
            return vec![Finding::problem(what, format!("{error:#}"), advice)];
        }
        Ok(None) => {
            let advice = "make it with `migrate`, or name another one";
            return vec![Finding::problem(what, "is not there", advice)];
        }
        Ok(Some(found)) => found,
    };
    let mut findings = vec![shape(&what, schema, &found)];
    if schema.has_ttl {
        findings.push(time_to_live(workspace, &what, schema.table).await);
    }
    if schema.has_stream {
        findings.push(stream(&what, &found));
    }
    if workspace.connection.is_aws && !schema.has_ttl {
        findings.extend(safety(workspace, &what, schema.table, &found).await);
    }
    findings.push(permissions(workspace, &what, schema.table, &found).await);
    findings
}

fn shape(what: &str, schema: &TableSchema<'_>, found: &TableDescription) -> Finding {
    if let Err(error) = schema::check_key(schema, found) {
        let advice = "name another table or its index, or remove it and make it with `migrate`";
        return Finding::problem(what, error.to_string(), advice);
    }
    match found.table_status() {
        None | Some(TableStatus::Active) => Finding::ok(what, "is there, with the right key"),
        Some(status) => Finding::problem(
            what,
            format!("is {status}"),
            "wait until it is ACTIVE, then ask again",
        ),
    }
}

async fn time_to_live(workspace: &Workspace, table: &str, name: &str) -> Finding {
    let what = format!("{table}, TTL");
    let described = workspace
        .connection
        .client
        .describe_time_to_live()
        .table_name(name)
        .send()
        .await;
    let described = match described {
        Ok(described) => described.time_to_live_description,
        Err(error) => return unknown(&what, "DescribeTimeToLive", &error),
    };
    let (status, attribute) = described.map_or((None, None), |ttl| {
        (ttl.time_to_live_status, ttl.attribute_name)
    });
    let is_on = matches!(
        status,
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    );
    match attribute.filter(|_| is_on) {
        Some(attribute) if attribute == schema::TTL_ATTRIBUTE => {
            Finding::ok(what, "removes expired rows")
        }
        other => Finding::problem(
            what,
            other.map_or_else(
                || "is off: rows with addresses stay for ever".to_owned(),
                |other| format!("is by the attribute {other}: rows with addresses stay for ever"),
            ),
            format!(
                "`aws dynamodb update-time-to-live --table-name {name} \
                 --time-to-live-specification Enabled=true,AttributeName={}`",
                schema::TTL_ATTRIBUTE
            ),
        ),
    }
}

fn stream(table: &str, found: &TableDescription) -> Finding {
    let what = format!("{table}, stream");
    let view = found
        .stream_specification()
        .filter(|stream| stream.stream_enabled())
        .and_then(|stream| stream.stream_view_type());
    match view {
        Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages) => {
            Finding::ok(what, "feeds the mailer")
        }
        other => Finding::problem(
            what,
            other.map_or_else(
                || "is off, so that no mail is ever sent".to_owned(),
                |other| format!("holds {other}, in which the mailer finds no address"),
            ),
            "the stream has to hold NEW_IMAGE; deploy the stack anew, or make the table with \
             `migrate`",
        ),
    }
}

/// What protects the users from a slip of the hand.
async fn safety(
    workspace: &Workspace,
    table: &str,
    name: &str,
    found: &TableDescription,
) -> Vec<Finding> {
    let what = format!("{table}, deletion protection");
    let protection = if found.deletion_protection_enabled() == Some(true) {
        Finding::ok(what, "is on")
    } else {
        Finding::advice(
            what,
            "is off",
            format!(
                "`aws dynamodb update-table --table-name {name} --deletion-protection-enabled`"
            ),
        )
    };
    vec![protection, backups(workspace, table, name).await]
}

async fn backups(workspace: &Workspace, table: &str, name: &str) -> Finding {
    let what = format!("{table}, point-in-time recovery");
    let described = workspace
        .connection
        .client
        .describe_continuous_backups()
        .table_name(name)
        .send()
        .await;
    let status = match &described {
        Err(error) => return unknown(&what, "DescribeContinuousBackups", error),
        Ok(described) => described
            .continuous_backups_description()
            .and_then(|backups| backups.point_in_time_recovery_description())
            .and_then(|recovery| recovery.point_in_time_recovery_status()),
    };
    if status == Some(&PointInTimeRecoveryStatus::Enabled) {
        return Finding::ok(what, "is on");
    }
    Finding::advice(
        what,
        "is off",
        format!(
            "`aws dynamodb update-continuous-backups --table-name {name} \
             --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true`"
        ),
    )
}

/// Whether the operator's own credentials may read and write; the functions have their own.
async fn permissions(
    workspace: &Workspace,
    table: &str,
    name: &str,
    found: &TableDescription,
) -> Finding {
    let what = format!("{table}, your permissions");
    let read = read(workspace, name).await;
    let written = write(workspace, name, found).await;
    match read.and(written) {
        Ok(()) => Finding::ok(what, "are to read and to write"),
        Err(error) => Finding::problem(
            what,
            error.to_string(),
            "give your credentials dynamodb:Scan, GetItem, PutItem and UpdateItem on the table",
        ),
    }
}

async fn read(workspace: &Workspace, table: &str) -> Result<(), AwsError> {
    let client = &workspace.connection.client;
    let scanned = client.scan().table_name(table).limit(1).send().await;
    scanned.map_err(|error| AwsError::new("Scan", &error))?;
    Ok(())
}

/// A write that cannot be, since no row both has and lacks its key.
async fn write(
    workspace: &Workspace,
    name: &str,
    found: &TableDescription,
) -> Result<(), AwsError> {
    let keys = found.key_schema().iter();
    let keys = keys.map(|key| key.attribute_name().to_owned());
    let nobody = keys.map(|key| (key.clone(), nobody(&key, found)));
    let answer = workspace
        .connection
        .client
        .update_item()
        .table_name(name)
        .set_key(Some(nobody.collect()))
        .condition_expression("attribute_exists(#key) AND attribute_not_exists(#key)")
        .expression_attribute_names("#key", found.key_schema()[0].attribute_name())
        .send()
        .await;
    match answer {
        Err(error) if error.code() != Some("ConditionalCheckFailedException") => {
            Err(AwsError::new("UpdateItem", &error))
        }
        _ => Ok(()),
    }
}

/// A value for the attribute `key` that no row has.
fn nobody(key: &str, found: &TableDescription) -> AttributeValue {
    let mut definitions = found.attribute_definitions().iter();
    let definition = definitions.find(|definition| definition.attribute_name() == key);
    match definition.map(AttributeDefinition::attribute_type) {
        Some(ScalarAttributeType::N) => AttributeValue::N("-1".to_owned()),
        Some(ScalarAttributeType::B) => AttributeValue::B(Blob::new(NOBODY)),
        _ => AttributeValue::S(NOBODY.to_owned()),
    }
}

fn unknown<E>(what: &str, operation: &'static str, error: &SdkError<E>) -> Finding
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
{
    Finding::problem(
        what,
        format!(
            "could not be looked at: {}",
            AwsError::new(operation, error)
        ),
        format!("give your credentials dynamodb:{operation}"),
    )
}
