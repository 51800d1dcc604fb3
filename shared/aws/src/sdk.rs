//! SDK configuration and errors.
//!
//! Most resets hit a cold function. So the configuration comes from the variables that Lambda sets
//! instead of a chain of providers, and TLS trusts only the few roots that AWS documents for its
//! endpoints instead of the system's hundred or more.

use std::{error::Error, fmt, fmt::Write as _, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::{
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;

use rules::environment::{Environment, SettingError};

/// Amazon Root CA 1 to 4 and Starfield Services Root CA G2, from
/// <https://www.amazontrust.com/repository/>. A test fails if Mozilla no longer trusts one of them
/// or if one expires within a year; then download its successor from there.
const AWS_ROOTS: &[u8] = include_bytes!("../roots/aws.pem");

/// Time limit of one operation with all its retries. `confirm` makes two and a hash, and still
/// responds with 503 well before its own timeout of 15 seconds.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(4);
/// Time limit of one attempt: well above DynamoDB's 99.9th percentile, and short enough for a
/// second and a third attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Builds the SDK configuration: region, credentials, transport, retries and timeouts.
///
/// Reads `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and the optional
/// `AWS_SESSION_TOKEN`, all of which Lambda sets, and `SSL_CERT_FILE`, which replaces the roots.
pub fn config(env: &Environment<'_>) -> Result<SdkConfig, AwsConfigError> {
    let text = |value: &str| Some(value.to_owned());
    let credential = |name| {
        env.required(
            name,
            "a credential; Lambda sets it, and any text works locally",
            text,
        )
    };
    let region = env.required("AWS_REGION", "a region such as eu-central-1", text)?;
    let credentials = Credentials::new(
        credential("AWS_ACCESS_KEY_ID")?,
        credential("AWS_SECRET_ACCESS_KEY")?,
        env.get("AWS_SESSION_TOKEN"),
        None,
        "environment",
    );
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client(env)?)
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts())
        .build())
}

/// Creates a DynamoDB client. `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL` sets its endpoint.
#[must_use]
pub fn dynamodb(config: &SdkConfig, env: &Environment<'_>) -> aws_sdk_dynamodb::Client {
    let endpoint = endpoint(env, "AWS_ENDPOINT_URL_DYNAMODB");
    let mut builder = aws_sdk_dynamodb::config::Builder::from(config);
    builder.set_endpoint_url(endpoint);
    aws_sdk_dynamodb::Client::from_conf(builder.build())
}

/// Returns the endpoint in the variable `name` or in `AWS_ENDPOINT_URL`; `None` means AWS itself.
#[must_use]
pub fn endpoint(env: &Environment<'_>, name: &str) -> Option<String> {
    env.get(name).or_else(|| env.get("AWS_ENDPOINT_URL"))
}

/// Returns the timeouts of DynamoDB calls.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// Creates the SDK's HTTP connector with rustls, ring and a fixed set of roots.
pub fn http_client(env: &Environment<'_>) -> Result<SharedHttpClient, AwsConfigError> {
    let roots = match env.get("SSL_CERT_FILE") {
        None => AWS_ROOTS.to_vec(),
        Some(path) => {
            std::fs::read(&path).map_err(|source| AwsConfigError::Roots { path, source })?
        }
    };
    let trust = TrustStore::empty().with_pem_certificate(roots);
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| AwsConfigError::Tls(error.to_string()))?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}

/// The reason why the SDK cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum AwsConfigError {
    /// A setting is missing.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// `SSL_CERT_FILE` cannot be read.
    #[error("SSL_CERT_FILE is {path:?}, which cannot be read; it must be the path of a PEM file")]
    Roots {
        /// Value of the variable.
        path: String,
        /// Why the file cannot be read.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// A failed call to AWS, without the service's message, which may quote an address.
#[derive(Debug)]
pub struct AwsError {
    operation: &'static str,
    reason: String,
}

impl AwsError {
    /// Keeps the parts of `error` that may be logged.
    pub fn new<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
        R: fmt::Debug,
    {
        Self {
            operation,
            reason: describe(error),
        }
    }

    /// Creates an error that no SDK error causes; `reason` must not contain user data.
    #[must_use]
    pub fn of(operation: &'static str, reason: impl Into<String>) -> Self {
        Self {
            operation,
            reason: reason.into(),
        }
    }

    /// Adds what the error means; `meaning` must not contain user data.
    #[must_use]
    pub fn explained(mut self, meaning: &str) -> Self {
        let _ = write!(self.reason, ": {meaning}");
        self
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.reason)
    }
}

impl Error for AwsError {}

fn describe<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + RequestId + Error + 'static,
    R: fmt::Debug,
{
    match error {
        SdkError::ServiceError(context) => {
            let error = context.err();
            let is_name = |code: &&str| code.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let code = error
                .code()
                .filter(is_name)
                .unwrap_or("an error without a code");
            format!(
                "{code} (request {})",
                error.request_id().unwrap_or("without an id")
            )
        }
        SdkError::DispatchFailure(failure) => failure
            .as_connector_error()
            .map_or_else(|| "not sent".to_owned(), |error| error_chain(error)),
        SdkError::TimeoutError(_) => "no response in time".to_owned(),
        SdkError::ResponseError(_) => "an unreadable response".to_owned(),
        _ => "the request could not be built".to_owned(),
    }
}

/// Formats an error for the log: each message of its source chain, on one line.
///
/// Service errors go through [`AwsError`] instead, because their messages may quote an address.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeDelta, Utc};
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::parse_x509_certificate;

    #[test]
    fn mozilla_trusts_every_root() {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(AWS_ROOTS)
            .collect::<Result<_, _>>()
            .expect("certificates");
        assert_eq!(roots.len(), 5);
        for root in &roots {
            assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.contains(root));
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the test compares with the current date"
    )]
    fn no_root_expires_within_a_year() {
        let soon = (Utc::now() + TimeDelta::days(365)).timestamp();
        let roots: Vec<_> = CertificateDer::pem_slice_iter(AWS_ROOTS)
            .map(|root| root.expect("a certificate"))
            .collect();
        let not_after = |der: &CertificateDer<'_>| {
            let (_, certificate) = parse_x509_certificate(der).expect("X.509");
            certificate.validity().not_after.timestamp()
        };
        assert!(roots.iter().all(|root| not_after(root) > soon));
        // 2038-01-17, as the repository's page says of Amazon Root CA 1.
        assert_eq!(not_after(&roots[0]), 2_147_299_200);
    }

    #[test]
    fn a_missing_credential_is_named() {
        let env = |name: &str| (name == "AWS_REGION").then(|| "eu-central-1".to_owned());
        let error = config(&Environment::new(&env)).expect_err("no key");
        assert!(
            error
                .to_string()
                .starts_with("AWS_ACCESS_KEY_ID is not set"),
            "{error}"
        );
    }

    #[test]
    fn an_unreadable_root_file_is_named() {
        let env = |name: &str| (name == "SSL_CERT_FILE").then(|| "/nowhere/roots.pem".to_owned());
        let error = http_client(&Environment::new(&env)).expect_err("no file");
        assert!(error.to_string().contains("/nowhere/roots.pem"), "{error}");
    }
}
