//! The whole system in one process: gateway, functions, DynamoDB with its stream, mail queue, SES.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use aws::tables::TableNames;
use aws_sdk_dynamodb::Client as DynamoDb;
use confirm::settings::ConfirmSettings;
use mailer::settings::MailerSettings;
use manage::{
    admin::{self, LocalRecords, refusals::Refusals},
    database::{self, ENDPOINT},
    defaults, migrate, now,
    server::{self, bind, serve},
};
use passwords::HashParams;
use request::settings::RequestSettings;
use rules::{environment::Environment, recovery::EmailBudget};
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    database::{EmbeddedDynamoDb, create_folder},
    demo_account, event_source,
    gateway::{self, Functions},
    inbox::{self, Inbox},
    mail_queue::MailQueue,
    pipe::Pipe,
    ses,
};

/// Start options of the system. A port of 0 means any free one.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the API, its pages, the inbox and the admin panel.
    pub api_port: u16,
    /// Port of DynamoDB.
    pub dynamodb_port: u16,
    /// Port of SES.
    pub ses_port: u16,
    /// Folder in which data persists; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// Endpoint of a DynamoDB to use instead of the embedded one.
    pub dynamodb_url: Option<String>,
    /// Settings, which override those of the environment.
    pub settings: BTreeMap<String, String>,
    /// Whether the settings in this process's environment apply.
    pub inherit_env: bool,
    /// Whether the embedded database gets the demo account.
    pub demo_account: bool,
    /// Whether this process sends the emails that are due in the outbox.
    pub send_email: bool,
    /// Refused requests, for the admin panel.
    pub refusals: Option<Refusals>,
}

impl Options {
    /// Returns the options of a system in memory, on free ports, independent of the environment.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            api_port: 0,
            dynamodb_port: 0,
            ses_port: 0,
            data: None,
            dynamodb_url: None,
            settings: BTreeMap::new(),
            inherit_env: false,
            demo_account: false,
            send_email: true,
            refusals: None,
        }
    }
}

/// The running system.
pub struct LocalSystem {
    api: SocketAddr,
    ses: SocketAddr,
    dynamodb_url: String,
    dynamodb: DynamoDb,
    names: TableNames,
    environment: BTreeMap<String, String>,
    inbox: Inbox,
    embedded: Option<EmbeddedDynamoDb>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    mail_queue: Arc<MailQueue>,
    deliveries: Vec<JoinHandle<()>>,
}

impl LocalSystem {
    /// Starts everything and creates missing tables.
    pub async fn start(options: Options) -> Result<Self> {
        let api_listener = bind(options.api_port, "--port").await?;
        let ses_listener = bind(options.ses_port, "--ses-port").await?;
        let (api, ses) = (api_listener.local_addr()?, ses_listener.local_addr()?);
        let (dynamodb_url, embedded) = start_database(&options).await?;
        let environment = environment(&options, api, ses, &dynamodb_url);
        let lookup = |name: &str| environment.get(name).cloned();
        let env = Environment::new(&lookup);

        let config = database::local_sdk_config(&dynamodb_url, &env)?;
        let dynamodb = DynamoDb::new(&config);
        let names = TableNames::read(&env)?;
        migrate::create_missing_tables(&dynamodb, &names).await?;
        if options.demo_account && embedded.is_some() {
            demo_account::add(&dynamodb, &names.users, &env).await?;
        }

        let inbox = open_inbox(options.data.as_deref())?;
        let functions = functions(&env, &dynamodb)?;
        let refusals = options.refusals.clone();
        let admin = admin_settings(&env, &dynamodb, api.port(), &inbox, refusals)?;
        let settings = MailerSettings::read(&env)?;
        let mailer = mailer::App::new(settings, dynamodb.clone(), &config, &env);
        let mailer = Arc::new(mailer);
        let (events, received) = mpsc::unbounded_channel();
        tokio::spawn(deliver_events(received, mailer.clone()));
        let mail_queue = Arc::new(open_mail_queue(&options, &env)?);
        let mut deliveries = Vec::new();
        if options.send_email {
            let streams = aws_sdk_dynamodbstreams::Client::new(&config);
            let pipe = Pipe::new(&dynamodb, streams, &names.outbox, mail_queue.clone()).await?;
            deliveries.push(tokio::spawn(pipe.run()));
            for _ in 0..event_source::CONCURRENCY {
                let invocations = event_source::run(mail_queue.clone(), mailer.clone(), now);
                deliveries.push(tokio::spawn(invocations));
            }
        }

        let (stop, stopped) = watch::channel(false);
        let pages = inbox::router(inbox.clone()).merge(admin::router(admin));
        let api_router = gateway::router(functions, pages);
        let ses_router = ses::router(inbox.clone(), events, now);
        let servers = vec![
            serve(api_listener, api_router, stopped.clone()),
            serve(ses_listener, ses_router, stopped),
        ];
        Ok(Self {
            api,
            ses,
            dynamodb_url,
            dynamodb,
            names,
            environment,
            inbox,
            embedded,
            stop,
            servers,
            mail_queue,
            deliveries,
        })
    }

    /// Returns the URL of the API, without a trailing slash.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// Returns the endpoint of SES.
    #[must_use]
    pub fn ses_url(&self) -> String {
        format!("http://{}", self.ses)
    }

    /// Returns the endpoint of DynamoDB.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        self.dynamodb_url.clone()
    }

    /// Returns the environment with which a function in its own process uses this system.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.environment.clone()
    }

    /// Returns a client of the system's DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> &DynamoDb {
        &self.dynamodb
    }

    /// Returns the names of the tables.
    #[must_use]
    pub fn tables(&self) -> &TableNames {
        &self.names
    }

    /// Returns the inbox.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Returns the mail queue.
    #[must_use]
    pub fn mail_queue(&self) -> &MailQueue {
        &self.mail_queue
    }

    /// Returns whether the system's DynamoDB is the embedded one.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Stops everything in order: accepts no more requests, completes open ones, closes the
    /// database.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for delivery in self.deliveries {
            delivery.abort();
        }
        for server in self.servers {
            let _ = timeout(server::GRACE, server).await;
        }
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

/// Starts the embedded DynamoDB unless `options` choose another one, and returns the endpoint.
async fn start_database(options: &Options) -> Result<(String, Option<EmbeddedDynamoDb>)> {
    if let Some(url) = &options.dynamodb_url {
        return Ok((url.clone(), None));
    }
    let listener = bind(options.dynamodb_port, "--dynamodb-port").await?;
    let embedded = EmbeddedDynamoDb::start(listener, options.data.as_deref())?;
    Ok((embedded.url(), Some(embedded)))
}

/// Merges the settings: `options` override the environment, which overrides the defaults.
fn environment(
    options: &Options,
    api: SocketAddr,
    ses: SocketAddr,
    dynamodb_url: &str,
) -> BTreeMap<String, String> {
    let mut environment = defaults::settings(api.port(), ses.port());
    if options.inherit_env {
        environment.extend(std::env::vars().filter(|(_, value)| !value.is_empty()));
    }
    environment.insert(ENDPOINT.to_owned(), dynamodb_url.to_owned());
    environment.extend(options.settings.clone());
    environment
}

fn functions(env: &Environment<'_>, dynamodb: &DynamoDb) -> Result<Functions> {
    let request = request::App::new(RequestSettings::read(env)?, dynamodb.clone());
    let confirm = confirm::App::new(ConfirmSettings::read(env)?, dynamodb.clone())?;
    Ok(Functions {
        request: Arc::new(request),
        confirm: Arc::new(confirm),
        now,
    })
}

fn admin_settings(
    env: &Environment<'_>,
    dynamodb: &DynamoDb,
    port: u16,
    inbox: &Inbox,
    refusals: Option<Refusals>,
) -> Result<admin::Settings> {
    let inbox = inbox.clone();
    let records = LocalRecords {
        sent_at: Box::new(move || inbox.sent_at()),
        refusals,
    };
    Ok(admin::Settings {
        dynamodb: dynamodb.clone(),
        tables: TableNames::read(env)?,
        budget: EmailBudget::read(env)?,
        hashing: HashParams::read(env)?,
        port,
        system_name: "this machine".to_owned(),
        local: Some(records),
        now,
    })
}

fn open_inbox(data: Option<&Path>) -> Result<Inbox> {
    match data {
        None => Ok(Inbox::default()),
        Some(data) => {
            create_folder(data)?;
            Inbox::open(&data.join("inbox.jsonl"))
        }
    }
}

/// Opens the mail queue. Each DynamoDB has its own, because the accounts of one are unknown to
/// another.
fn open_mail_queue(options: &Options, env: &Environment<'_>) -> Result<MailQueue> {
    let name = match &options.dynamodb_url {
        None => "mail-queue.jsonl".to_owned(),
        Some(url) => format!("mail-queue-{}.jsonl", url.replace(['/', ':'], "-")),
    };
    let file = options.data.as_ref().map(|data| data.join(name));
    MailQueue::open(file.as_deref(), MailQueue::visibility_timeout(env)?)
}

/// Delivers SES's events to the mailer, as `EventBridge` does, until the endpoint stops.
async fn deliver_events(mut events: mpsc::UnboundedReceiver<Value>, mailer: Arc<mailer::App>) {
    while let Some(event) = events.recv().await {
        if let Err(error) = mailer.handle_ses_event(&event).await {
            tracing::warn!(%error, "cannot record a delivery outcome");
        }
    }
}
