//! What the functions `request`, `confirm` and `mailer` have in common.
//!
//! Each module is one noun of the flow. A function's own `lib.rs` puts them in order; `manage`
//! and the tests use the same ones.

pub mod address;
pub mod aws;
pub mod brand;
pub mod http;
pub mod lambda;
pub mod log;
pub mod mail;
pub mod messages;
pub mod pages;
pub mod password;
pub mod pwned;
pub mod settings;
pub mod tables;
pub mod token;

pub use aws_sdk_dynamodb::Client as DynamoDb;
pub use aws_types::SdkConfig;
