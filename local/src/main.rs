//! The binary that `cargo run` starts: the local system and all of the operator's commands.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use local::{
    database, demo,
    runserver::{self, RunserverArgs},
};
use manage::{
    cli,
    exit::{self, ExitStatus},
};

/// Account recovery: the whole system on this machine, and the operator's commands.
///
/// Without a command, starts `runserver`. The other commands use the embedded database, through a
/// running `runserver` if there is one. Set `AWS_ENDPOINT_URL_DYNAMODB` to use another DynamoDB, or
/// pass --aws to use AWS or --stack to use a deployed stack.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    runserver: RunserverArgs,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "parsed once")]
enum Command {
    /// Start the whole system: API, inbox, admin panel, DynamoDB, SES, mailer
    Runserver(RunserverArgs),
    /// Walk through a whole reset in memory and check each step
    Demo,
    #[command(flatten)]
    Manage(cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    exit::code(run(Cli::parse()).await)
}

async fn run(cli: Cli) -> Result<ExitStatus> {
    match cli.command.unwrap_or(Command::Runserver(cli.runserver)) {
        Command::Runserver(args) => runserver::run(args).await?,
        Command::Demo => demo::run().await?,
        Command::Manage(command) => return cli::run(command, database::open).await,
    }
    Ok(ExitStatus::Done)
}
