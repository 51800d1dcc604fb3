//! How the functions reach AWS.
//!
//! A reset usually meets a cold function, so the configuration comes straight from the variables
//! that Lambda sets rather than from a chain of providers, and TLS trusts the few roots that AWS
//! documents for its endpoints rather than the system's hundred and more.

use std::{error::Error, fmt, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::{
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;

use crate::settings::{Environment, SettingError};

/// Amazon Root CA 1 to 4 and Starfield Services Root CA G2, as
/// <https://www.amazontrust.com/repository/> lists them. To renew the file, take what is missing
/// from there; a test compares it with Mozilla's list, which drops what is no longer trusted.
const AWS_ROOTS: &[u8] = include_bytes!("../roots/aws.pem");

/// How long one operation may take with all its retries. `confirm` makes two and a hash, and
/// still answers 503 by itself well before its own timeout of 15 seconds.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long one attempt may take: far over DynamoDB's slowest tenth of a percent, and short
/// enough for a second and a third attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Region, credentials, transport, retries and time limits, for the clients of every service.
///
/// Reads `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, where it is set,
/// `AWS_SESSION_TOKEN`, as Lambda sets them; and `SSL_CERT_FILE`, which replaces the roots.
pub fn config(env: &Environment<'_>) -> Result<SdkConfig, AwsConfigError> {
    let text = |held: &str| Some(held.to_owned());
    let credential = |name| {
        env.required(
            name,
            "a credential; Lambda sets it, locally any word will do",
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

/// A DynamoDB client, of `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL` where one is set.
#[must_use]
pub fn dynamodb(config: &SdkConfig, env: &Environment<'_>) -> aws_sdk_dynamodb::Client {
    let endpoint = endpoint(env, "AWS_ENDPOINT_URL_DYNAMODB");
    let mut builder = aws_sdk_dynamodb::config::Builder::from(config);
    builder.set_endpoint_url(endpoint);
    aws_sdk_dynamodb::Client::from_conf(builder.build())
}

/// The endpoint that `name` holds, else the one for all services; `None` is AWS itself.
#[must_use]
pub fn endpoint(env: &Environment<'_>, name: &str) -> Option<String> {
    env.get(name).or_else(|| env.get("AWS_ENDPOINT_URL"))
}

/// The time limits of every DynamoDB call.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// The SDK's own connector with rustls and ring over a fixed set of roots.
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

/// The configuration for AWS stops the start.
#[derive(Debug, thiserror::Error)]
pub enum AwsConfigError {
    /// A variable is missing.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// `SSL_CERT_FILE` cannot be read.
    #[error(
        "SSL_CERT_FILE holds {path:?}, which cannot be read; it should hold the path of a PEM file"
    )]
    Roots {
        /// What the variable holds.
        path: String,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// A call to AWS that failed, without anything that the service said about the data: its
/// messages may quote an address.
#[derive(Debug)]
pub struct AwsError {
    operation: &'static str,
    reason: String,
}

impl AwsError {
    /// Keeps of `error` what may be logged.
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

    /// An error of our own making, with a reason that holds no data.
    #[must_use]
    pub fn of(operation: &'static str, reason: impl Into<String>) -> Self {
        Self {
            operation,
            reason: reason.into(),
        }
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
                .unwrap_or("an error without a name");
            format!(
                "{code} (request {})",
                error.request_id().unwrap_or("without an id")
            )
        }
        SdkError::DispatchFailure(failure) => failure
            .as_connector_error()
            .map_or_else(|| "not sent".to_owned(), |error| crate::http::chain(error)),
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::ResponseError(_) => "an answer that is none of the service's".to_owned(),
        _ => "the request could not be built".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
    use rustls_pki_types::{CertificateDer, pem::PemObject};

    #[test]
    fn every_root_is_one_that_mozilla_still_trusts() {
        let roots: Vec<_> = CertificateDer::pem_slice_iter(AWS_ROOTS)
            .collect::<Result<_, _>>()
            .expect("certificates");
        assert_eq!(roots.len(), 5);
        for root in &roots {
            assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.contains(root));
        }
    }

    /// The end of a certificate, whose validity is two times in two digits of years (RFC 5280
    /// §4.1.2.5: all before 2050).
    fn not_after(certificate: &[u8]) -> DateTime<Utc> {
        const VALIDITY: [u8; 4] = [0x30, 30, 0x17, 13];
        let start = certificate
            .windows(VALIDITY.len())
            .position(|part| part == VALIDITY)
            .expect("a validity");
        let end = &certificate[start + 2 + 15 + 2..][..13];
        let text = std::str::from_utf8(end).expect("ASCII");
        let time = NaiveDateTime::parse_from_str(text, "%y%m%d%H%M%SZ");
        time.expect("a time").and_utc()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is about today")]
    fn no_root_ends_within_a_year() {
        let roots = CertificateDer::pem_slice_iter(AWS_ROOTS).map(|root| root.expect("a root"));
        let ends: Vec<_> = roots.map(|root| not_after(&root)).collect();
        let soon = Utc::now() + TimeDelta::days(365);
        assert!(ends.iter().all(|end| *end > soon), "{ends:?}");
        // Amazon Root CA 1, as its page says.
        assert_eq!(ends[0].to_rfc3339(), "2038-01-17T00:00:00+00:00");
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
