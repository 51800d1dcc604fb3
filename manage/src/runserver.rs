//! `runserver`: the system until somebody stops it.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::Result;
use chrono::Utc;
use clap::Args;
use shared::{
    password::{Password, PasswordPolicy},
    settings::{self, Environment},
    tables::Users,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{
    database::{self, Target},
    local::{self, Local, Options},
    refusals::Refusals,
    users::{self, NewUser, PasswordRules},
};

/// Where the API listens unless told otherwise.
pub(crate) const API_PORT: u16 = 8000;
/// Where DynamoDB listens.
pub(crate) const DYNAMODB_PORT: u16 = 8001;
/// Where SES listens.
pub(crate) const SES_PORT: u16 = 8002;

/// The account that is there to try things on.
pub(crate) const DEMO_ADDRESS: &str = "ada@example.com";
const DEMO_NAME: &str = "Ada Lovelace";
pub(crate) const DEMO_PASSWORD: &str = "waltz mango orbit pickle";

/// The options of `runserver`.
#[derive(Args)]
pub struct RunserverArgs {
    /// The port of the API, its pages, the inbox and the admin panel
    #[arg(long, default_value_t = API_PORT, value_name = "PORT")]
    port: u16,
    /// The port of the embedded DynamoDB
    #[arg(long, default_value_t = DYNAMODB_PORT, value_name = "PORT")]
    dynamodb_port: u16,
    /// The port of the local SES
    #[arg(long, default_value_t = SES_PORT, value_name = "PORT")]
    ses_port: u16,
    /// Keep nothing: a new database and a new inbox, in memory
    #[arg(long, conflicts_with = "data")]
    memory: bool,
    /// The folder of the database and the inbox
    #[arg(long, value_name = "FOLDER", default_value_os_t = database::default_data_folder())]
    data: PathBuf,
    /// Work on the DynamoDB of AWS instead of the embedded one; mail stays here
    #[arg(long)]
    aws: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// What a server logs.
#[derive(Args)]
pub(crate) struct LogArgs {
    /// How much is logged to standard error: error, warn, info, debug or trace
    #[arg(
        long = "log-level",
        default_value = "info",
        value_name = "LEVEL",
        env = "AWS_LAMBDA_LOG_LEVEL"
    )]
    pub(crate) level: Level,
}

/// Starts the system, says where it is, and ends it on Ctrl-C or a signal to terminate.
pub async fn run(args: RunserverArgs) -> Result<()> {
    let refusals = Refusals::new(local::now);
    start_logging(args.log.level, Some(refusals.clone()));

    let target = Target::choose(args.aws, args.dynamodb_port, args.data.clone());
    let local = Local::start(Options {
        api_port: args.port,
        dynamodb_port: args.dynamodb_port,
        ses_port: args.ses_port,
        data: (!args.memory).then_some(args.data),
        external: (!matches!(target, Target::Embedded { .. })).then_some(target),
        settings: [].into(),
        inherit_env: true,
        pump: true,
        refusals: Some(refusals),
    })
    .await?;
    if local.is_embedded() {
        add_demo_user(&local).await?;
    }
    announce(&local);
    stopped().await?;
    println!("\nstopping");
    local.stop().await;
    Ok(())
}

/// Lines on standard error, of the same events that the functions log; and the counts of
/// `refusals`.
pub(crate) fn start_logging(level: Level, refusals: Option<Refusals>) {
    // The embedded database warns of every condition that fails, which is how the limits work.
    let no_noise = filter_fn(|event| {
        !event.target().starts_with("dynoxide") || *event.level() == Level::ERROR
    });
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_filter(shared::log::events_up_to(level).and(no_noise));
    tracing_subscriber::registry()
        .with(lines)
        .with(refusals)
        .init();
    shared::log::log_panics();
}

/// Adds the demo account where it is missing. It is not a superuser.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
pub(crate) async fn add_demo_user(local: &Local) -> Result<()> {
    let table = &local.tables().users;
    let users = Users::new(local.dynamodb().clone(), table.clone());
    if users.get(&demo_address()).await?.is_none() {
        let demo = NewUser {
            mail_to: DEMO_ADDRESS.to_owned(),
            name: Some(DEMO_NAME.to_owned()),
            locale: Some("en".to_owned()),
            password: Some(Password::new(DEMO_PASSWORD)),
            is_superuser: false,
            is_active: true,
        };
        let environment = local.environment();
        let hashing =
            settings::hash_params(&Environment::new(&|name| environment.get(name).cloned()))?;
        // The demo account is there under any policy.
        let policy = PasswordPolicy {
            min_length: 0,
            min_score: 0,
        };
        users::add(
            local.dynamodb(),
            table,
            demo,
            PasswordRules { policy, hashing },
            Utc::now(),
        )
        .await?;
    }
    Ok(())
}

/// The demo account's address.
pub(crate) fn demo_address() -> shared::address::EmailAddress {
    shared::address::EmailAddress::parse(DEMO_ADDRESS).expect("an address")
}

fn announce(local: &Local) {
    let (api, ses) = (local.api_url(), local.ses_url());
    println!("API       {api}/core/user/forgot-password/");
    println!("          {api}/core/user/change-forgotten-password/");
    println!("Inbox     {api}/inbox/ (as JSON: {api}/inbox.json)");
    println!("Admin     {api}/admin/ (`createsuperuser` adds who may sign in)");
    println!("DynamoDB  {}", local.dynamodb_url());
    println!("SES       {ses}");
    if local.is_embedded() {
        println!("Account   {DEMO_ADDRESS} (its password: {DEMO_PASSWORD})");
    }
    println!();
    println!("Ask for a mail, then look into the inbox:");
    println!();
    println!("  curl -d email={DEMO_ADDRESS} {api}/core/user/forgot-password/");
    println!();
    println!("Ctrl-C stops it.");
}

/// Ends with Ctrl-C or a signal to terminate.
pub(crate) async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
