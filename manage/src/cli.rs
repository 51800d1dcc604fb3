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
    unsent::{self, UnsentCommand},
    user_commands::{self, CreateSuperuserArgs, UsersCommand},
};

/// The command's name, as completions know it.
const NAME: &str = "manage";

/// Account recovery: the operator's commands.
///
/// The commands work on the embedded database of a running `runserver`, on another DynamoDB if
/// `AWS_ENDPOINT_URL_DYNAMODB` is set, and on AWS with --aws, or with --stack on a deployed stack.
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
    /// Create missing tables; existing ones stay unchanged
    Migrate(MigrateArgs),
    /// Add a user who may use the admin panel
    Createsuperuser(CreateSuperuserArgs),
    /// Add, list, show, import and export users
    #[command(subcommand)]
    Users(UsersCommand),
    /// Serve the admin panel of a deployed system on this machine
    Admin(AdminArgs),
    /// Check that everything a reset needs is in place, and advise on what is not
    Doctor(DoctorArgs),
    /// List and resend emails that could not be sent
    #[command(subcommand)]
    Unsent(UnsentCommand),
    /// Print shell completions
    Completions {
        /// The shell to print them for
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
        Command::Unsent(command) => unsent::run(command, open_embedded).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), NAME, &mut io::stdout());
            Ok(ExitStatus::Done)
        }
    }
}
