//! Which DynamoDB a command works on, and how it gets there.

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    future::IntoFuture,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_types::{SdkConfig, region::Region};
use dynoxide::Database;
use shared::settings::Environment;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// The variable that points a command at a DynamoDB of its own.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";
/// The file of the embedded database in the data folder.
const FILE: &str = "dynamodb.sqlite";
/// How often expired rows are removed, as DynamoDB's TTL does.
const SWEEP: Duration = Duration::from_mins(1);
/// How long the question whether a `runserver` is there may take.
const PROBE: Duration = Duration::from_secs(1);

/// The folder for the local data: under `target/`, wherever the command was called from.
#[must_use]
pub fn default_data_folder() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).join("target/local")
}

/// Which DynamoDB to work on.
#[derive(Debug, Clone)]
pub enum Target {
    /// The embedded one: a running `runserver`'s on `port`, else the file in `data`.
    Embedded {
        /// The port on which a `runserver` would serve it.
        port: u16,
        /// The folder of the data.
        data: PathBuf,
    },
    /// The one at this address.
    Endpoint(String),
    /// AWS's, with the credentials that the AWS tools would use.
    Aws,
}

impl Target {
    /// AWS where that was asked for, else what `AWS_ENDPOINT_URL_DYNAMODB` points at, else the
    /// embedded one.
    #[must_use]
    pub fn choose(aws: bool, port: u16, data: PathBuf) -> Self {
        match Environment::process().get(ENDPOINT) {
            _ if aws => Self::Aws,
            Some(url) => Self::Endpoint(url),
            None => Self::Embedded { port, data },
        }
    }
}

/// A DynamoDB that can be worked on, and the embedded server behind it, if it is our own.
pub struct Connection {
    /// The client.
    pub client: DynamoDb,
    /// What it was made from; the clients of other services are made from it too.
    pub config: SdkConfig,
    /// Where it is, for messages.
    pub place: String,
    embedded: Option<Embedded>,
}

impl Connection {
    /// Connects to `target`.
    pub async fn open(target: &Target) -> Result<Self> {
        match target {
            Target::Aws => {
                let config = aws_sdk_config().await?;
                Ok(Self {
                    client: DynamoDb::new(&config),
                    place: aws_place(&config, &Environment::process()),
                    config,
                    embedded: None,
                })
            }
            Target::Endpoint(url) => Self::of_url(url, format!("DynamoDB on {url}"), None),
            Target::Embedded { port, data } => {
                let url = format!("http://127.0.0.1:{port}");
                if is_runserver(*port).await {
                    return Self::of_url(&url, format!("the running system on {url}"), None);
                }
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let embedded = Embedded::start(listener, Some(data))?;
                let place = data.join(FILE).display().to_string();
                Self::of_url(&embedded.url(), place, Some(embedded))
            }
        }
    }

    fn of_url(url: &str, place: String, embedded: Option<Embedded>) -> Result<Self> {
        let config = local_sdk_config(url, &Environment::process())?;
        Ok(Self {
            client: DynamoDb::new(&config),
            config,
            place,
            embedded,
        })
    }

    /// Closes the embedded database, if there is one, so that all is on disk.
    pub async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

/// The region, and the endpoint where it is another than the region's own.
fn aws_place(config: &SdkConfig, env: &Environment<'_>) -> String {
    let region = config.region().map_or("no region", Region::as_ref);
    match shared::aws::endpoint(env, ENDPOINT) {
        None => format!("DynamoDB of AWS in {region}"),
        Some(url) => format!("DynamoDB on {url} in {region}"),
    }
}

/// The configuration for `url`, with made-up credentials where the environment has none: what
/// listens on a laptop does not look at them.
pub(crate) fn local_sdk_config(url: &str, env: &Environment<'_>) -> Result<SdkConfig> {
    let defaults = local_defaults();
    let variable = |name: &str| {
        env.get(name)
            .or_else(|| defaults.get(name).map(|value| (*value).to_owned()))
    };
    let config = shared::aws::config(&Environment::new(&variable))?;
    Ok(config.into_builder().endpoint_url(url).build())
}

/// What a local function needs in its environment where nothing else is set.
pub(crate) fn local_defaults() -> BTreeMap<&'static str, &'static str> {
    [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
    ]
    .into()
}

/// The configuration that the AWS tools would use: profiles, SSO and the rest.
pub(crate) async fn aws_sdk_config() -> Result<SdkConfig> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(shared::aws::http_client(&Environment::process())?)
        .timeout_config(shared::aws::timeouts())
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

/// Says that there are no credentials before the first call does in words of its own.
async fn check_credentials(config: &SdkConfig) -> Result<()> {
    let advice = "no AWS credentials are found; sign in (`aws sso login`), choose a profile with \
                  AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    let provider = config.credentials_provider().context(advice)?;
    provider.provide_credentials().await.context(advice)?;
    Ok(())
}

/// Whether the embedded database of a `runserver` answers on `port`.
async fn is_runserver(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await
            .ok()?;
        let mut answer = String::new();
        stream.take(4096).read_to_string(&mut answer).await.ok()?;
        Some(answer.to_ascii_lowercase().contains("server: dynoxide"))
    };
    timeout(PROBE, ask).await.ok().flatten().unwrap_or(false)
}

/// The embedded DynamoDB, served over HTTP.
pub struct Embedded {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl Embedded {
    /// Serves the database in `data`, or a new one in memory, on `listener`.
    pub fn start(listener: TcpListener, data: Option<&Path>) -> Result<Self> {
        let database = match data {
            None => {
                Database::memory().map_err(|error| anyhow!("the embedded database: {error}"))?
            }
            Some(data) => open(data)?,
        };
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let serving = dynoxide::server::serve_with_shutdown(listener, database.clone(), async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move {
            if let Err(error) = serving.into_future().await {
                tracing::error!(error, "the embedded database has stopped");
            }
        });
        Ok(Self {
            address,
            stop,
            server,
            sweeper: tokio::spawn(sweep(database)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers what has been asked and closes the database.
    pub async fn stop(self) {
        self.sweeper.abort();
        let _ = self.stop.send(());
        // A client that keeps a request open must not keep the command from ending.
        let _ = timeout(Duration::from_secs(2), self.server).await;
    }
}

/// Makes the folder `data` where it is missing, for its owner alone: mails with links lie in it.
pub(crate) fn make_folder(data: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("making the folder {}", data.display()))
}

fn open(data: &Path) -> Result<Database> {
    make_folder(data)?;
    let file = data.join(FILE);
    let path = file
        .to_str()
        .with_context(|| format!("the path {} is not UTF-8", file.display()))?;
    Database::new(path).map_err(|error| {
        anyhow!("opening {path}: {error}. Stop what uses it, or remove it to begin anew")
    })
}

async fn sweep(database: Database) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        let database = database.clone();
        let swept = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
        if !matches!(swept, Ok(Ok(_))) {
            tracing::warn!("expired rows could not be removed");
        }
    }
}
