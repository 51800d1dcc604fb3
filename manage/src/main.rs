//! The command `manage`, which is what `cargo run` runs.

use std::process::ExitCode;

use clap::Parser;
use manage::{cli::Cli, exit};

#[tokio::main]
async fn main() -> ExitCode {
    match manage::cli::run(Cli::parse()).await {
        Ok(outcome) => outcome.into(),
        // `| head` has seen enough.
        Err(error) if exit::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit::failure(&error)
        }
    }
}
