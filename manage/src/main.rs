//! The operator's command, without the local system.

use std::{path::Path, process::ExitCode};

use anyhow::{Result, bail};
use clap::Parser;
use manage::{
    cli::{self, Cli},
    database::{BoxFuture, EmbeddedServer},
    exit,
};

#[tokio::main]
async fn main() -> ExitCode {
    exit::code(cli::run(Cli::parse().command, no_embedded).await)
}

/// Reports that this binary cannot open the embedded database.
fn no_embedded(data: &Path) -> BoxFuture<'_, Result<EmbeddedServer>> {
    Box::pin(async move {
        bail!(
            "this command is built without the embedded database of {}; start the local system \
             with `cargo run`, or choose another database with --stack NAME, --aws or \
             AWS_ENDPOINT_URL_DYNAMODB",
            data.display()
        )
    })
}
