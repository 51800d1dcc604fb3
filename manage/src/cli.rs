//! The command line of the operator.

use std::io;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    admin::deployed::{self, AdminArgs},
    database::OpenEmbedded,
    doctor::{self, DoctorArgs},
    exit::{self, ExitStatus},
    migrate::{self, MigrateArgs},
    smoke::{self, SmokeArgs},
    unsent::{self, UnsentCommand},
    user_commands::{self, CreateSuperuserArgs, UsersCommand},
};

/// The command's name in shell completions.
const NAME: &str = "manage";

/// Account recovery: the operator's commands.
///
/// The commands use the embedded database of a running `runserver`. Set
/// `AWS_ENDPOINT_URL_DYNAMODB` to use another DynamoDB, or pass --aws to use AWS or --stack to use
/// a deployed stack.
#[derive(Parser)]
#[command(name = NAME, version, after_help = exit::HELP)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// A command of the operator.
#[derive(Subcommand)]
pub enum Command {
    /// Create missing tables
    Migrate(MigrateArgs),
    /// Add a user who may use the admin panel
    Createsuperuser(CreateSuperuserArgs),
    /// Add, list, show, import and export users
    #[command(subcommand)]
    Users(UsersCommand),
    /// Serve the admin panel of a deployed stack on this machine
    Admin(AdminArgs),
    /// Check that everything a reset needs is in place
    Doctor(DoctorArgs),
    /// Check that the system works: request an email and use every part of the API
    Smoke(SmokeArgs),
    /// List and resend emails that could not be sent
    #[command(subcommand)]
    Unsent(UnsentCommand),
    /// Print shell completions
    Completions {
        /// Shell to print completions for
        shell: Shell,
    },
}

/// Runs `command`.
pub async fn run(command: Command, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    match command {
        Command::Migrate(args) => migrate::run(args, open_embedded).await,
        Command::Createsuperuser(args) => {
            user_commands::create_superuser(args, open_embedded).await
        }
        Command::Users(command) => user_commands::run(command, open_embedded).await,
        Command::Admin(args) => deployed::run(args).await,
        Command::Doctor(args) => doctor::run(args, open_embedded).await,
        Command::Smoke(args) => smoke::run(args, open_embedded).await,
        Command::Unsent(command) => unsent::run(command).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), NAME, &mut io::stdout());
            Ok(ExitStatus::Done)
        }
    }
}
