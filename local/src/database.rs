//! The embedded DynamoDB.

use std::{
    fs::DirBuilder,
    future::IntoFuture,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use dynoxide::Database;
use manage::database::{BoxFuture, EMBEDDED_FILE, EmbeddedServer};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

/// Interval between removals of expired rows, which DynamoDB's TTL does on AWS.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// Time limit for open requests after a stop.
const GRACE: Duration = Duration::from_secs(2);

/// Opens the database in the folder `data` for one command of `manage`.
#[must_use]
pub fn open(data: &Path) -> BoxFuture<'_, Result<EmbeddedServer>> {
    Box::pin(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let embedded = EmbeddedDynamoDb::start(listener, Some(data))?;
        Ok(EmbeddedServer {
            url: embedded.url(),
            stop: Box::pin(embedded.stop()),
        })
    })
}

/// The embedded DynamoDB, served over HTTP.
pub(crate) struct EmbeddedDynamoDb {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl EmbeddedDynamoDb {
    /// Serves the database in the folder `data`, or a new one in memory, on `listener`.
    pub(crate) fn start(listener: TcpListener, data: Option<&Path>) -> Result<Self> {
        let database = match data {
            None => Database::memory()
                .map_err(|error| anyhow!("starting the embedded database: {error}"))?,
            Some(data) => open_file(data)?,
        };
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let serving = dynoxide::server::serve_with_shutdown(listener, database.clone(), async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(async move {
            if let Err(error) = serving.into_future().await {
                tracing::error!(error, "the embedded database failed");
            }
        });
        Ok(Self {
            address,
            stop,
            server,
            sweeper: tokio::spawn(sweep(database)),
        })
    }

    /// Returns the endpoint.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Completes open requests and closes the database.
    pub(crate) async fn stop(self) {
        self.sweeper.abort();
        let _ = self.stop.send(());
        // A client that keeps a request open must not keep the process running.
        let _ = timeout(GRACE, self.server).await;
    }
}

/// Creates the folder `data` unless it exists. Only its owner can open it: it contains emails
/// with links.
pub(crate) fn create_folder(data: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("creating the folder {}", data.display()))
}

fn open_file(data: &Path) -> Result<Database> {
    create_folder(data)?;
    let file = data.join(EMBEDDED_FILE);
    let path = file
        .to_str()
        .with_context(|| format!("the path {} is not UTF-8", file.display()))?;
    Database::new(path).map_err(|error| {
        anyhow!(
            "opening {path}: {error}. Stop the process that uses it, or delete it to start over"
        )
    })
}

async fn sweep(database: Database) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        let database = database.clone();
        let swept = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
        if !matches!(swept, Ok(Ok(_))) {
            tracing::warn!("cannot remove expired rows");
        }
    }
}
