//! The whole system in one process: gateway, functions, DynamoDB and its stream, SES.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_types::SdkConfig;
use axum::Router;
use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::settings::{
    self, ConfirmSettings, Environment, MailerSettings, RequestSettings, TableNames,
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    admin,
    database::{self, Embedded, Target},
    gateway::{self, Functions},
    inbox::Inbox,
    pump::Pump,
    refusals::Refusals,
    ses, tables,
};

/// How long open connections may take to end when the system stops.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// How to start the system.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the API, its pages, the inbox and the admin panel listen; 0 is any free port, here and below.
    pub api_port: u16,
    /// Where DynamoDB listens.
    pub dynamodb_port: u16,
    /// Where SES listens.
    pub ses_port: u16,
    /// The folder that the data outlives the process in; `None` keeps them in memory.
    pub data: Option<PathBuf>,
    /// A DynamoDB to use instead of the embedded one.
    pub external: Option<Target>,
    /// Settings, before those of the environment.
    pub settings: BTreeMap<String, String>,
    /// Whether the settings of this process's environment hold too.
    pub inherit_env: bool,
    /// Whether the outbox's stream feeds the mailer in this process.
    pub pump: bool,
    /// What was refused, for the panel to show.
    pub refusals: Option<Refusals>,
}

impl Options {
    /// A system of its own, in memory and on free ports, untouched by the environment.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            api_port: 0,
            dynamodb_port: 0,
            ses_port: 0,
            data: None,
            external: None,
            settings: BTreeMap::new(),
            inherit_env: false,
            pump: true,
            refusals: None,
        }
    }
}

/// The running system.
pub struct Local {
    api: SocketAddr,
    ses: SocketAddr,
    dynamodb_url: Option<String>,
    dynamodb: DynamoDb,
    names: TableNames,
    environment: BTreeMap<String, String>,
    inbox: Inbox,
    embedded: Option<Embedded>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    pump: Option<JoinHandle<()>>,
}

impl Local {
    /// Starts everything; the tables are made where they are missing.
    pub async fn start(options: Options) -> Result<Self> {
        let api = bind(options.api_port, "--port").await?;
        let ses = bind(options.ses_port, "--ses-port").await?;
        let (api_address, ses_address) = (api.local_addr()?, ses.local_addr()?);
        let embedded = start_database(&options).await?;
        let dynamodb_url = match (&embedded, &options.external) {
            (Some(embedded), _) => Some(embedded.url()),
            (None, Some(Target::Endpoint(url))) => Some(url.clone()),
            (None, _) => None,
        };
        let environment = environment(&options, api_address, ses_address, dynamodb_url.as_deref());
        let lookup = |name: &str| environment.get(name).cloned();
        let env = Environment::new(&lookup);

        let config = match &dynamodb_url {
            Some(url) => database::local_sdk_config(url, &env)?,
            None => database::aws_sdk_config().await?,
        };
        let dynamodb = DynamoDb::new(&config);
        let names = TableNames::read(&env)?;
        tables::migrate(&dynamodb, &names).await?;

        let inbox = open_inbox(&options)?;
        let functions = functions(&env, &dynamodb)?;
        let records = admin::Records {
            inbox: inbox.clone(),
            refusals: options.refusals.clone(),
        };
        let admin = admin_settings(&env, &dynamodb, api_address.port(), records)?;
        let mailer = Arc::new(mailer::App::new(
            MailerSettings::read(&env)?,
            dynamodb.clone(),
            &config,
            &env,
        ));
        let (events, reports) = mpsc::unbounded_channel();
        tokio::spawn(hand_over(reports, mailer.clone()));
        let pump = start_pump(&options, &config, &dynamodb, &names, mailer).await?;

        let (stop, stopped) = watch::channel(false);
        let pages = crate::inbox::router(inbox.clone()).merge(admin::router(admin));
        let api_router = gateway::router(functions, pages);
        let servers = vec![
            serve(api, api_router, stopped.clone()),
            serve(ses, ses::router(inbox.clone(), events, now), stopped),
        ];
        Ok(Self {
            api: api_address,
            ses: ses_address,
            dynamodb_url,
            dynamodb,
            names,
            environment,
            inbox,
            embedded,
            stop,
            servers,
            pump,
        })
    }

    /// Where the API listens: `http://127.0.0.1:PORT`, without a slash at the end.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Where SES listens.
    #[must_use]
    pub fn ses_url(&self) -> String {
        format!("http://{}", self.ses)
    }

    /// Where DynamoDB listens; that of AWS has no such address.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        self.dynamodb_url
            .clone()
            .unwrap_or_else(|| "DynamoDB of AWS".to_owned())
    }

    /// What a function's process needs in its environment to work on this system.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    /// A client of its DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> &DynamoDb {
        &self.dynamodb
    }

    /// The names of its tables.
    #[must_use]
    pub fn tables(&self) -> &TableNames {
        &self.names
    }

    /// Its inbox.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Whether its DynamoDB is the embedded one.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Ends everything in order: nothing new comes in, what is under way is answered, the
    /// database is closed.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Some(pump) = self.pump {
            pump.abort();
        }
        for server in self.servers {
            let _ = timeout(GRACE, server).await;
        }
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

pub(crate) async fn bind(port: u16, option: &str) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("port {port} cannot be used; stop what listens there, or choose another with {option}"))
}

async fn start_database(options: &Options) -> Result<Option<Embedded>> {
    if options.external.is_some() {
        return Ok(None);
    }
    let listener = bind(options.dynamodb_port, "--dynamodb-port").await?;
    Embedded::start(listener, options.data.as_deref()).map(Some)
}

/// The settings given, before those of the process, before what fits the local system.
fn environment(
    options: &Options,
    api: SocketAddr,
    ses: SocketAddr,
    dynamodb_url: Option<&str>,
) -> BTreeMap<String, String> {
    let mut environment = defaults(api.port(), ses.port());
    if options.inherit_env {
        environment.extend(std::env::vars().filter(|(_, value)| !value.is_empty()));
    }
    if let Some(url) = dynamodb_url {
        environment.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url.to_owned());
    }
    environment.extend(options.settings.clone());
    environment
}

/// What fits a local system whose API and SES listen on these ports.
pub(crate) fn defaults(api_port: u16, ses_port: u16) -> BTreeMap<String, String> {
    let mut defaults: BTreeMap<String, String> = database::local_defaults()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    defaults.extend([
        (
            "AWS_ENDPOINT_URL_SESV2".to_owned(),
            format!("http://127.0.0.1:{ses_port}"),
        ),
        (
            "RESET_URL".to_owned(),
            format!("http://127.0.0.1:{api_port}/core/user/change-forgotten-password/"),
        ),
        (
            "MAIL_FROM".to_owned(),
            "Account recovery <no-reply@example.com>".to_owned(),
        ),
        ("APP_NAME".to_owned(), "Example".to_owned()),
    ]);
    defaults
}

fn functions(env: &Environment<'_>, dynamodb: &DynamoDb) -> Result<Functions> {
    Ok(Functions {
        request: Arc::new(request::App::new(
            RequestSettings::read(env)?,
            dynamodb.clone(),
        )),
        confirm: Arc::new(confirm::App::new(
            ConfirmSettings::read(env)?,
            dynamodb.clone(),
        )?),
        now,
    })
}

fn admin_settings(
    env: &Environment<'_>,
    dynamodb: &DynamoDb,
    port: u16,
    records: admin::Records,
) -> Result<admin::Settings> {
    Ok(admin::Settings {
        dynamodb: dynamodb.clone(),
        tables: TableNames::read(env)?,
        budget: settings::mail_budget(env)?,
        hashing: settings::hash_params(env)?,
        port,
        place: "this machine".to_owned(),
        local: Some(records),
        now,
    })
}

fn open_inbox(options: &Options) -> Result<Inbox> {
    match &options.data {
        None => Ok(Inbox::default()),
        Some(data) => {
            database::make_folder(data)?;
            Inbox::open(&data.join("inbox.jsonl"))
        }
    }
}

async fn start_pump(
    options: &Options,
    config: &SdkConfig,
    dynamodb: &DynamoDb,
    names: &TableNames,
    mailer: Arc<mailer::App>,
) -> Result<Option<JoinHandle<()>>> {
    if !options.pump {
        return Ok(None);
    }
    let streams = aws_sdk_dynamodbstreams::Client::new(config);
    let places = options
        .data
        .as_ref()
        .map(|data| data.join("stream-places.json"));
    let pump = Pump::new(dynamodb, streams, &names.outbox, mailer, now, places).await?;
    Ok(Some(tokio::spawn(pump.run())))
}

/// Hands what SES tells to the mailer, as `EventBridge` does, until the endpoint has ended.
async fn hand_over(mut reports: mpsc::UnboundedReceiver<Value>, mailer: Arc<mailer::App>) {
    while let Some(report) = reports.recv().await {
        if let Err(error) = mailer::handle_report(&mailer, &report).await {
            tracing::warn!(%error, "what became of a mail could not be written down");
        }
    }
}

pub(crate) fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    });
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "a server has stopped");
        }
    })
}
