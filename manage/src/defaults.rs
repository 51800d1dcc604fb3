//! Defaults of the local system that both its parts and the operator's commands need.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Port of the API, its pages, the inbox and the admin panel.
pub const API_PORT: u16 = 8000;
/// Port of the embedded DynamoDB.
pub const DYNAMODB_PORT: u16 = 8001;
/// Port of the local SES endpoint.
pub const SES_PORT: u16 = 8002;
/// Sender of the local system's emails.
pub(crate) const MAIL_FROM: &str = "Account recovery <no-reply@example.com>";

/// Returns the folder of the local data: under `target/`, independent of the working directory.
#[must_use]
pub fn data_folder() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).join("target/local")
}

/// Region and credentials for endpoints on this machine, which do not check them.
const AWS: [(&str, &str); 3] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
];

/// Returns the default of an AWS setting for endpoints on this machine.
pub(crate) fn aws_setting(name: &str) -> Option<String> {
    let setting = AWS.iter().find(|(known, _)| *known == name);
    setting.map(|(_, value)| (*value).to_owned())
}

/// Returns the default settings of a local system with its API and SES on these ports.
#[must_use]
pub fn settings(api_port: u16, ses_port: u16) -> BTreeMap<String, String> {
    let ses = format!("http://127.0.0.1:{ses_port}");
    let page = format!("http://127.0.0.1:{api_port}/core/user/change-forgotten-password/");
    let settings = [
        ("AWS_ENDPOINT_URL_SESV2", ses.as_str()),
        ("RESET_URL", &page),
        ("MAIL_FROM", MAIL_FROM),
        ("APP_NAME", "Example"),
    ];
    AWS.into_iter()
        .chain(settings)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
