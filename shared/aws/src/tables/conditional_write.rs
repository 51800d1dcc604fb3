//! The result of a conditional write.

use std::error::Error;

use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

use crate::sdk::AwsError;

/// Returns whether a conditional write was applied; `false` if its condition failed.
pub(super) fn is_applied<T, E>(
    operation: &'static str,
    response: Result<T, SdkError<E>>,
) -> Result<bool, AwsError>
where
    E: ProvideErrorMetadata + RequestId + Error + 'static,
{
    match response {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(AwsError::new(operation, &error)),
    }
}
