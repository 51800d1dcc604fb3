//! AWS for the functions: SDK configuration, the three tables, logs and metrics, and start-up.

pub mod lambda;
pub mod log;
pub mod metrics;
mod sdk;
pub mod tables;

pub use aws_sdk_dynamodb::Client as DynamoDb;
pub use aws_types::SdkConfig;
pub use sdk::{
    AwsConfigError, AwsError, config, dynamodb, endpoint, error_chain, http_client, timeouts,
};
