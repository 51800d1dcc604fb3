//! The check of the key that encrypts an existing users table.

use aws::AwsError;
use aws_sdk_dynamodb::types::TableDescription;
use aws_sdk_kms::{Client, types::KeyManagerType};

use crate::{finding::Finding, workspace::Workspace};

/// Settings from the stack's parameters `UsersTableName` and `UsersTableKmsKeyArn`.
const TABLE_NAME: &str = "USERS_TABLE_NAME";
const KEY_ARN: &str = "USERS_TABLE_KMS_KEY_ARN";

/// Checks whether the stack's functions may use the key of the users table. Returns `None` for a
/// table that the stack created, because AWS's own key encrypts it.
pub(super) async fn check(
    workspace: &Workspace,
    table: &str,
    description: &TableDescription,
) -> Option<Finding> {
    workspace
        .setting(TABLE_NAME)
        .filter(|name| !name.is_empty())?;
    let subject = format!("{table}, encryption");
    let allowed = workspace.setting(KEY_ARN).unwrap_or_default();
    let encryption = description.sse_description();
    let key = encryption.and_then(|encryption| encryption.kms_master_key_arn());
    Some(match key {
        Some(key) if key == allowed => {
            Finding::ok(subject, "the functions may use the table's key")
        }
        Some(key) => match manager(workspace, key).await {
            Ok(KeyManagerType::Customer) => refused_key(subject, key),
            Ok(_) => key_of_aws(subject, &allowed),
            Err(error) => Finding::problem(
                subject,
                format!("cannot be checked: {error}"),
                format!("grant your credentials kms:DescribeKey on {key}"),
            ),
        },
        None => key_of_aws(subject, &allowed),
    })
}

/// Returns who manages `key`: AWS or the customer.
async fn manager(workspace: &Workspace, key: &str) -> Result<KeyManagerType, AwsError> {
    let kms = Client::new(&workspace.connection.config);
    let response = kms.describe_key().key_id(key).send().await;
    let described = response.map_err(|error| AwsError::new("DescribeKey", &error))?;
    let manager = described
        .key_metadata
        .and_then(|metadata| metadata.key_manager);
    Ok(manager.unwrap_or(KeyManagerType::Customer))
}

fn refused_key(subject: String, key: &str) -> Finding {
    Finding::problem(
        subject,
        format!("the functions may not use the customer managed key {key}, so every reset fails"),
        format!("deploy the stack with UsersTableKmsKeyArn={key}"),
    )
}

fn key_of_aws(subject: String, allowed: &str) -> Finding {
    if allowed.is_empty() {
        return Finding::ok(subject, "uses a key of AWS, which needs no permission");
    }
    Finding::advice(
        subject,
        format!("uses a key of AWS, but the functions may use {allowed}"),
        "deploy the stack with an empty UsersTableKmsKeyArn",
    )
}
