//! `users export`: writes the users in a format that `users import` reads.

use std::io::{self, BufWriter, Write};

use anyhow::{Result, bail};
use aws::tables::{User, Users};
use clap::Args;

use super::file::FileFormat;
use crate::{
    accounts::{self, UserFields},
    database::OpenEmbedded,
    exit::ExitStatus,
    workspace::DatabaseArgs,
};

/// Options of `users export`.
#[derive(Args)]
pub struct ExportArgs {
    /// Output format
    #[arg(long, value_enum, default_value = "jsonl")]
    format: FileFormat,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Writes the users to standard output, one page of the table at a time.
pub(crate) async fn export(args: ExportArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    if args.format == FileFormat::Json {
        bail!("a JSON array cannot be exported; use --format jsonl or csv");
    }
    let workspace = args.database.open(open_embedded).await?;
    let skipped = workspace.run(async |workspace| {
        let users = workspace.users().await?;
        match args.format {
            FileFormat::Csv => export_csv(&users).await,
            _ => export_json_lines(&users).await,
        }
    });
    let skipped = skipped.await?;
    if skipped > 0 {
        eprintln!("{}", accounts::describe_skipped(skipped));
    }
    Ok(ExitStatus::done_if(skipped == 0))
}

async fn export_csv(users: &Users) -> Result<usize> {
    let mut csv = csv::Writer::from_writer(io::stdout());
    let write = |user: &User| Ok(csv.serialize(UserFields::from(user))?);
    let skipped = accounts::for_each(users, write).await?;
    csv.flush()?;
    Ok(skipped)
}

async fn export_json_lines(users: &Users) -> Result<usize> {
    let mut out = BufWriter::new(io::stdout());
    let write = |user: &User| {
        serde_json::to_writer(&mut out, &UserFields::from(user))?;
        Ok(writeln!(out)?)
    };
    let skipped = accounts::for_each(users, write).await?;
    out.flush()?;
    Ok(skipped)
}
