//! `users import`.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::{
    file::{self, FileFormat},
    refused_rows::RefusedRows,
    row::{self, ImportRow, NumberedRow, RowReader},
    writer::{self, ImportCounts, ImportWriter},
};
use crate::{
    accounts,
    database::OpenEmbedded,
    exit::ExitStatus,
    migrate, now, schema,
    workspace::{DatabaseArgs, Workspace},
};

/// Maximum number of rows that are read ahead of the table.
const QUEUED_ROWS: usize = 4 * writer::BATCH_SIZE;

/// Options of `users import`.
#[derive(Args)]
pub struct ImportArgs {
    /// File of users: JSON lines, CSV with a header, a JSON array, or Django's `dumpdata`
    file: PathBuf,
    /// Format of the file [default: detected from its first character]
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Read the field OURS from the file's field THEIRS; can be repeated
    #[arg(long = "field", value_name = "OURS=THEIRS", value_parser = row::parse_mapping)]
    fields: Vec<(String, String)>,
    /// Model of the users in Django's `dumpdata`
    #[arg(long, value_name = "APP.MODEL", default_value = "auth.user")]
    model: String,
    /// Update existing users with the fields in the file; other fields stay unchanged
    #[arg(long)]
    overwrite: bool,
    /// File for the refused rows and the reasons [default: FILE.refused.jsonl]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// Imports the users in a file into the table.
pub(crate) async fn import(args: ImportArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let ImportArgs {
        file,
        format,
        fields,
        model,
        overwrite,
        refused,
        database,
    } = args;
    let format = file::check(&file, format, &row::names(&fields, "email"))?;
    let workspace = database.open(open_embedded).await?;
    let import = workspace.run(async |workspace| {
        prepare_table(workspace).await?;
        let (now, table) = (now(), &workspace.names.users);
        let reader = RowReader::new(table, &fields, &model, now);
        let refused = RefusedRows::create(refused, &file)?;
        let client = workspace.connection.client.clone();
        let writer = ImportWriter::new(client, table.name.clone(), overwrite, now, refused);
        copy(&file, format, reader, writer).await
    });
    import.await
}

/// Checks the users table, and creates it unless it is on AWS, before anything is read.
async fn prepare_table(workspace: &Workspace) -> Result<()> {
    let (client, names) = (&workspace.connection.client, &workspace.names);
    accounts::require_email_key(&names.users)?;
    if workspace.connection.is_aws {
        workspace.require(&names.users.name).await?;
        return schema::check_users(client, names).await;
    }
    migrate::create_missing_tables(client, names)
        .await
        .map(drop)
}

/// Copies the rows of the file to the table. A separate thread reads ahead while the table stores
/// the previous rows. Memory use does not depend on the size of the file.
async fn copy(
    file: &Path,
    format: FileFormat,
    mut reader: RowReader,
    mut writer: ImportWriter,
) -> Result<ExitStatus> {
    let bar = progress_bar(file)?;
    let input = bar.wrap_read(File::open(file)?);
    let (sender, mut rows) = mpsc::channel::<NumberedRow>(QUEUED_ROWS);
    let reading = tokio::task::spawn_blocking(move || {
        file::for_each(input, format, |line, object| {
            let row: Option<Result<ImportRow, String>> =
                object.and_then(|object| reader.read(object)).transpose();
            row.is_none_or(|row| sender.blocking_send(NumberedRow { line, row }).is_ok())
        })?;
        reader.finish()
    });
    let written = writer.write_all(&mut rows).await;
    drop(rows);
    bar.finish_and_clear();
    let read = reading
        .await?
        .with_context(|| format!("reading {}", file.display()));
    let ImportCounts {
        added,
        changed,
        unchanged,
        refused,
    } = writer.finish()?;
    println!("added {added}, changed {changed}, unchanged {unchanged}, refused {refused}");
    written.and(read).context(
        "the import is incomplete; run the same command again to continue; it skips users that are \
         already stored",
    )?;
    Ok(ExitStatus::done_if(refused == 0))
}

/// Returns a progress bar on standard error, which is hidden unless that is a terminal.
fn progress_bar(file: &Path) -> Result<ProgressBar> {
    let bar = ProgressBar::new(std::fs::metadata(file)?.len());
    let style = "{bar:40} {percent:>3} % {bytes} of {total_bytes}, {eta} left";
    Ok(bar.with_style(ProgressStyle::with_template(style)?))
}
