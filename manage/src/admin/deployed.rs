//! `admin`: serves the panel for tables on AWS until it is stopped.

use anyhow::Result;
use clap::{ArgGroup, Args};
use passwords::HashParams;
use rules::{environment::Environment, recovery::EmailBudget};
use tokio::{sync::watch, time::timeout};
use tracing_subscriber::layer::Identity;

use super::panel::Settings;
use crate::{
    exit::ExitStatus,
    now,
    server::{self, LogArgs},
    workspace::{DeployedArgs, Workspace},
};

/// Default port of the panel, next to those of a `runserver`.
const PORT: u16 = 8003;

/// Options of `admin`.
#[derive(Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true).args(["aws", "stack", "users_table"])))]
pub struct AdminArgs {
    #[command(flatten)]
    deployed: DeployedArgs,
    /// Port of the panel, which only this machine can reach
    #[arg(long, default_value_t = PORT, value_name = "PORT")]
    port: u16,
    #[command(flatten)]
    log: LogArgs,
}

/// Serves the panel until Ctrl-C or SIGTERM. It creates nothing: a missing table is an error.
pub(crate) async fn run(args: AdminArgs) -> Result<ExitStatus> {
    server::start_logging(args.log.level, Identity::new());
    let stack = args.deployed.stack.clone();
    let workspace = args.deployed.open().await?;
    let system_name = workspace.connection.name.clone();
    let system_name = stack.map_or(system_name.clone(), |name| {
        format!("stack {name}, {system_name}")
    });
    let settings = workspace.run(async |workspace| {
        check_tables(workspace).await?;
        settings(workspace, args.port, system_name.clone())
    });
    let settings = settings.await?;

    let listener = server::bind(args.port, "--port").await?;
    let (stop, stopped) = watch::channel(false);
    let serving = server::serve(listener, super::router(settings), stopped);
    println!(
        "Admin     http://127.0.0.1:{}/admin/ ({system_name})",
        args.port
    );
    println!("Press Ctrl-C to stop.");
    server::shutdown_signal().await?;
    let _ = stop.send(true);
    let _ = timeout(server::GRACE, serving).await;
    Ok(ExitStatus::Done)
}

/// Checks that the tables exist.
async fn check_tables(workspace: &Workspace) -> Result<()> {
    let names = &workspace.names;
    for table in [&names.users.name, &names.tokens, &names.outbox] {
        workspace.require(table).await?;
    }
    Ok(())
}

fn settings(workspace: &Workspace, port: u16, system_name: String) -> Result<Settings> {
    let lookup = |name: &str| workspace.setting(name);
    let env = Environment::new(&lookup);
    Ok(Settings {
        dynamodb: workspace.connection.client.clone(),
        tables: workspace.names.clone(),
        budget: EmailBudget::read(&env)?,
        hashing: HashParams::read(&env)?,
        port,
        system_name,
        local: None,
        now,
    })
}
