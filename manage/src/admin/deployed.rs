//! `admin`: the panel for tables on AWS, until somebody stops it.

use anyhow::Result;
use axum::Router;
use clap::{ArgGroup, Args};
use shared::settings::{self, Environment};
use tokio::sync::watch;

use super::Settings;
use crate::{
    database::Target,
    local,
    runserver::{self, LogArgs},
    session::{DeployedArgs, Session},
};

/// Where the panel listens unless told otherwise: beside a `runserver`.
const PORT: u16 = 8003;

/// The options of `admin`.
#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["aws", "stack", "users_table"])))]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    deployed: DeployedArgs,
    /// The port of the panel, on this machine alone
    #[arg(long, default_value_t = PORT, value_name = "PORT")]
    port: u16,
    #[command(flatten)]
    log: LogArgs,
}

/// Serves the panel, says where it is, and ends it on Ctrl-C or a signal to terminate. It makes
/// nothing: a table that is not there is an error.
pub(crate) async fn run(args: AdminArgs) -> Result<()> {
    runserver::start_logging(args.log.level, None);
    let what = args
        .deployed
        .stack
        .as_ref()
        .map(|name| format!("stack {name}"));
    let session = args.deployed.open(&Target::Aws).await?;
    let checked = check(&session).await;
    let place = session.connection.place.clone();
    let place = what.map_or(place.clone(), |stack| format!("{stack}, {place}"));
    let settings = checked.and_then(|()| settings(&session, args.port, place.clone()));
    let settings = session.finish(settings).await?;

    let listener = local::bind(args.port, "--port").await?;
    let (stop, stopped) = watch::channel(false);
    let router = Router::new().merge(super::router(settings));
    let server = local::serve(listener, router, stopped);
    println!("Admin     http://127.0.0.1:{}/admin/ ({place})", args.port);
    println!("Ctrl-C stops it.");
    runserver::stopped().await?;
    let _ = stop.send(true);
    let _ = tokio::time::timeout(local::GRACE, server).await;
    Ok(())
}

/// All that the panel reads is there.
async fn check(session: &Session) -> Result<()> {
    let names = &session.names;
    for table in [&names.users.name, &names.tokens, &names.outbox] {
        session.require(table).await?;
    }
    Ok(())
}

fn settings(session: &Session, port: u16, place: String) -> Result<Settings> {
    let lookup = |name: &str| session.setting(name);
    let env = Environment::new(&lookup);
    Ok(Settings {
        dynamodb: session.connection.client.clone(),
        tables: session.names.clone(),
        budget: settings::mail_budget(&env)?,
        hashing: settings::hash_params(&env)?,
        port,
        place,
        local: None,
        now: local::now,
    })
}
