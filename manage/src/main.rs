//! The command `manage`, which is what `cargo run` runs.

use std::process::ExitCode;

use clap::Parser;
use manage::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match manage::cli::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
