//! The DynamoDB that a command works on, and the connection to it.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    pin::Pin,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_types::{SdkConfig, region::Region};
use rules::environment::Environment;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::defaults;

/// The variable that points commands and the local system at another DynamoDB.
pub const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";
/// File of the embedded database in the data folder.
pub const EMBEDDED_FILE: &str = "dynamodb.sqlite";
/// Time limit for the response of a `runserver`.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A boxed future, as [`OpenEmbedded`] returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens the embedded database in a data folder and serves it. Only `local` can: `manage` is
/// built without `SQLite`.
pub type OpenEmbedded = for<'a> fn(&'a Path) -> BoxFuture<'a, Result<EmbeddedServer>>;

/// An embedded database that serves one command.
pub struct EmbeddedServer {
    /// Endpoint of the database.
    pub url: String,
    /// Completes pending requests and closes the database.
    pub stop: BoxFuture<'static, ()>,
}

/// The DynamoDB to work on.
pub(crate) enum Target {
    /// The embedded one: that of a running `runserver` on `port`, or else the file in `data`.
    Embedded { port: u16, data: PathBuf },
    /// The one at this endpoint.
    Endpoint(String),
    /// The one on AWS, with the credentials of the AWS tools.
    Aws,
}

impl Target {
    /// Returns AWS if `is_aws`, or else the endpoint of `AWS_ENDPOINT_URL_DYNAMODB` if it is set,
    /// or else the embedded database.
    pub(crate) fn choose(is_aws: bool, port: u16, data: PathBuf) -> Self {
        match Environment::process().get(ENDPOINT) {
            _ if is_aws => Self::Aws,
            Some(url) => Self::Endpoint(url),
            None => Self::Embedded { port, data },
        }
    }
}

/// A connection to DynamoDB.
pub(crate) struct Connection {
    pub(crate) client: DynamoDb,
    /// The SDK configuration, which the clients of other services use too.
    pub(crate) config: SdkConfig,
    /// Name of the database in messages.
    pub(crate) name: String,
    /// Whether the database is on AWS, where only `migrate` creates tables.
    pub(crate) is_aws: bool,
    embedded: Option<EmbeddedServer>,
}

impl Connection {
    /// Connects to `target`.
    pub(crate) async fn open(target: Target, open_embedded: OpenEmbedded) -> Result<Self> {
        match target {
            Target::Aws => Self::aws().await,
            Target::Endpoint(url) => Self::endpoint(&url, format!("DynamoDB on {url}"), None),
            Target::Embedded { port, data } => {
                let url = format!("http://127.0.0.1:{port}");
                if is_runserver(port).await {
                    return Self::endpoint(&url, format!("the running system on {url}"), None);
                }
                let embedded = open_embedded(&data).await?;
                let name = data.join(EMBEDDED_FILE).display().to_string();
                Self::endpoint(&embedded.url.clone(), name, Some(embedded))
            }
        }
    }

    /// Connects to AWS.
    pub(crate) async fn aws() -> Result<Self> {
        let config = aws_sdk_config().await?;
        Ok(Self {
            client: DynamoDb::new(&config),
            name: aws_name(&config, &Environment::process()),
            config,
            is_aws: true,
            embedded: None,
        })
    }

    fn endpoint(url: &str, name: String, embedded: Option<EmbeddedServer>) -> Result<Self> {
        let config = local_sdk_config(url, &Environment::process())?;
        Ok(Self {
            client: DynamoDb::new(&config),
            config,
            name,
            is_aws: false,
            embedded,
        })
    }

    /// Closes the embedded database, if there is one, which writes everything to disk.
    pub(crate) async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.stop.await;
        }
    }
}

/// Names the region, and the endpoint if it is not the region's own.
fn aws_name(config: &SdkConfig, env: &Environment<'_>) -> String {
    let region = config.region().map_or("no region", Region::as_ref);
    match aws::endpoint(env, ENDPOINT) {
        None => format!("DynamoDB of AWS in {region}"),
        Some(url) => format!("DynamoDB on {url} in {region}"),
    }
}

/// Returns the configuration for a DynamoDB on this machine at `url`, with placeholder
/// credentials unless the environment has some.
pub fn local_sdk_config(url: &str, env: &Environment<'_>) -> Result<SdkConfig> {
    let variable = |name: &str| env.get(name).or_else(|| defaults::aws_setting(name));
    let config = aws::config(&Environment::new(&variable))?;
    Ok(config.into_builder().endpoint_url(url).build())
}

/// Returns the configuration of the AWS tools: profiles, SSO and so on.
async fn aws_sdk_config() -> Result<SdkConfig> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws::http_client(&Environment::process())?)
        .timeout_config(aws::timeouts())
        .load()
        .await;
    if config.region().is_none() {
        return Err(anyhow!(
            "no AWS region is set; set AWS_REGION or choose a profile with AWS_PROFILE"
        ));
    }
    check_credentials(&config).await?;
    Ok(config)
}

/// Reports missing credentials with advice, before the first call fails with the SDK's own message.
async fn check_credentials(config: &SdkConfig) -> Result<()> {
    let advice = "no AWS credentials found; sign in (`aws sso login`), choose a profile with \
                  AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    let provider = config.credentials_provider().context(advice)?;
    provider.provide_credentials().await.context(advice)?;
    Ok(())
}

/// Returns whether the embedded database of a `runserver` responds on `port`.
async fn is_runserver(port: u16) -> bool {
    let probe = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .ok()?;
        let mut response = String::new();
        stream.take(4096).read_to_string(&mut response).await.ok()?;
        Some(response.to_ascii_lowercase().contains("server: dynoxide"))
    };
    timeout(PROBE_TIMEOUT, probe)
        .await
        .ok()
        .flatten()
        .unwrap_or(false)
}
