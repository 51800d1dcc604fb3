//! Checks of the three tables, and of the operator's permissions.

use anyhow::Result;
use aws::AwsError;
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::Blob,
    types::{
        AttributeDefinition, AttributeValue, PointInTimeRecoveryStatus, ScalarAttributeType,
        StreamViewType, TableDescription, TableStatus, TimeToLiveStatus,
    },
};

use super::encryption;
use crate::{
    finding::Finding,
    schema::{self, TTL_ATTRIBUTE, TableSchema},
    workspace::Workspace,
};

/// A key that no row has; it is not an address.
const UNUSED_KEY: &str = "doctor";

/// Checks the tables.
pub(super) async fn check_tables(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for schema in schema::schemas(&workspace.names) {
        findings.extend(check_table(workspace, &schema).await);
    }
    findings
}

async fn check_table(workspace: &Workspace, schema: &TableSchema<'_>) -> Vec<Finding> {
    let subject = format!("table {}", schema.table);
    let table = match schema::describe(&workspace.connection.client, schema.table).await {
        Err(error) => {
            let advice = "check that DynamoDB is reachable, and grant your credentials \
                          dynamodb:DescribeTable";
            return vec![Finding::problem(subject, format!("{error:#}"), advice)];
        }
        Ok(None) => {
            let advice = "create it with `migrate`, or choose another one";
            return vec![Finding::problem(subject, "does not exist", advice)];
        }
        Ok(Some(table)) => table,
    };
    let mut findings = vec![check_key(&subject, schema, &table)];
    if schema.has_ttl {
        findings.push(check_ttl(workspace, &subject, schema.table).await);
    }
    if schema.has_stream {
        findings.push(check_stream(&subject, &table));
    }
    if workspace.connection.is_aws && schema.users.is_some() {
        findings.push(check_deletion_protection(&subject, schema.table, &table));
        findings.push(check_backups(workspace, &subject, schema.table).await);
        findings.extend(encryption::check(workspace, &subject, &table).await);
    }
    findings.push(check_permissions(workspace, &subject, schema.table, &table).await);
    findings
}

fn check_key(subject: &str, schema: &TableSchema<'_>, table: &TableDescription) -> Finding {
    if let Err(error) = schema::check_key(schema, table) {
        let advice = "choose another table or its index, or delete it and create it with `migrate`";
        return Finding::problem(subject, error.to_string(), advice);
    }
    match table.table_status() {
        None | Some(TableStatus::Active) => Finding::ok(subject, "exists and has the right key"),
        Some(status) => Finding::problem(
            subject,
            format!("is {status}"),
            "wait until it is ACTIVE, then check again",
        ),
    }
}

async fn check_ttl(workspace: &Workspace, table: &str, name: &str) -> Finding {
    let subject = format!("{table}, TTL");
    let client = &workspace.connection.client;
    let response = client.describe_time_to_live().table_name(name).send().await;
    let ttl = match response {
        Ok(response) => response.time_to_live_description,
        Err(error) => return call_failed(&subject, "DescribeTimeToLive", &error),
    };
    let (status, attribute) = ttl.map_or((None, None), |ttl| {
        (ttl.time_to_live_status, ttl.attribute_name)
    });
    let is_on = matches!(
        status,
        Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
    );
    let detail = match attribute.filter(|_| is_on) {
        Some(attribute) if attribute == TTL_ATTRIBUTE => {
            return Finding::ok(subject, "removes expired rows");
        }
        Some(other) => format!("uses the attribute {other}: rows with addresses stay forever"),
        None => "is off: rows with addresses stay forever".to_owned(),
    };
    Finding::problem(
        subject,
        detail,
        format!(
            "`aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification \
             Enabled=true,AttributeName={TTL_ATTRIBUTE}`"
        ),
    )
}

fn check_stream(table: &str, description: &TableDescription) -> Finding {
    let subject = format!("{table}, stream");
    let view = description
        .stream_specification()
        .filter(|stream| stream.stream_enabled())
        .and_then(|stream| stream.stream_view_type());
    let detail = match view {
        Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages) => {
            return Finding::ok(subject, "feeds the mailer");
        }
        Some(other) => format!("has the view {other}, which lacks the addresses"),
        None => "is off, so no email is ever sent".to_owned(),
    };
    let advice = "the stream must have the view NEW_IMAGE; deploy the stack again, or create the \
                  table with `migrate`";
    Finding::problem(subject, detail, advice)
}

fn check_deletion_protection(table: &str, name: &str, description: &TableDescription) -> Finding {
    let subject = format!("{table}, deletion protection");
    if description.deletion_protection_enabled() == Some(true) {
        return Finding::ok(subject, "is on");
    }
    let advice =
        format!("`aws dynamodb update-table --table-name {name} --deletion-protection-enabled`");
    Finding::advice(subject, "is off", advice)
}

async fn check_backups(workspace: &Workspace, table: &str, name: &str) -> Finding {
    let subject = format!("{table}, point-in-time recovery");
    let request = workspace.connection.client.describe_continuous_backups();
    let response = request.table_name(name).send().await;
    let status = match &response {
        Err(error) => return call_failed(&subject, "DescribeContinuousBackups", error),
        Ok(response) => response
            .continuous_backups_description()
            .and_then(|backups| backups.point_in_time_recovery_description())
            .and_then(|recovery| recovery.point_in_time_recovery_status()),
    };
    if status == Some(&PointInTimeRecoveryStatus::Enabled) {
        return Finding::ok(subject, "is on");
    }
    let advice = format!(
        "`aws dynamodb update-continuous-backups --table-name {name} \
         --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true`"
    );
    Finding::advice(subject, "is off", advice)
}

/// Returns whether the operator's credentials allow reads and writes. The functions have their own.
async fn check_permissions(
    workspace: &Workspace,
    table: &str,
    name: &str,
    description: &TableDescription,
) -> Finding {
    let subject = format!("{table}, your permissions");
    let read = try_read(workspace, name).await;
    let written = try_write(workspace, name, description).await;
    match read.and(written) {
        Ok(()) => Finding::ok(subject, "allow reads and writes"),
        Err(error) => Finding::problem(
            subject,
            error.to_string(),
            "grant your credentials dynamodb:Scan, GetItem, PutItem and UpdateItem on the table, and \
             kms:Decrypt on its key if that is your own",
        ),
    }
}

async fn try_read(workspace: &Workspace, table: &str) -> Result<(), AwsError> {
    let client = &workspace.connection.client;
    let scanned = client.scan().table_name(table).limit(1).send().await;
    scanned.map_err(|error| AwsError::new("Scan", &error))?;
    Ok(())
}

/// Attempts a write whose condition always fails: no row both has and lacks its key.
async fn try_write(
    workspace: &Workspace,
    name: &str,
    table: &TableDescription,
) -> Result<(), AwsError> {
    let keys = table.key_schema().iter();
    let keys = keys.map(|key| key.attribute_name().to_owned());
    let unused = keys.map(|key| (key.clone(), unused_key(&key, table)));
    let response = workspace
        .connection
        .client
        .update_item()
        .table_name(name)
        .set_key(Some(unused.collect()))
        .condition_expression("attribute_exists(#key) AND attribute_not_exists(#key)")
        .expression_attribute_names("#key", table.key_schema()[0].attribute_name())
        .send()
        .await;
    match response {
        Err(error) if error.code() != Some("ConditionalCheckFailedException") => {
            Err(AwsError::new("UpdateItem", &error))
        }
        _ => Ok(()),
    }
}

/// Returns a value of the key attribute `key` that no row has.
fn unused_key(key: &str, table: &TableDescription) -> AttributeValue {
    let mut definitions = table.attribute_definitions().iter();
    let definition = definitions.find(|definition| definition.attribute_name() == key);
    match definition.map(AttributeDefinition::attribute_type) {
        Some(ScalarAttributeType::N) => AttributeValue::N("-1".to_owned()),
        Some(ScalarAttributeType::B) => AttributeValue::B(Blob::new(UNUSED_KEY)),
        _ => AttributeValue::S(UNUSED_KEY.to_owned()),
    }
}

fn call_failed<E>(subject: &str, operation: &'static str, error: &SdkError<E>) -> Finding
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
{
    let error = AwsError::new(operation, error);
    Finding::problem(
        subject,
        format!("cannot be checked: {error}"),
        format!("grant your credentials dynamodb:{operation}"),
    )
}
