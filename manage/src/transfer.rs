//! Users by the thousand: in from a file, and out again in the same form.

mod export;
mod read;
mod row;
mod write;

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    accounts,
    database::OpenEmbedded,
    exit::ExitStatus,
    migrate, now, schema,
    workspace::{DatabaseArgs, Workspace},
};

use self::{
    row::{Reader, Row},
    write::Writer,
};

pub(crate) use export::{ExportArgs, export};

/// Rows that wait between the file and the table.
const WAITING: usize = 4 * write::BATCH;

/// The options of `users import`.
#[derive(Args)]
pub struct ImportArgs {
    /// Users as JSON lines, CSV with a header, a JSON array, or Django's `dumpdata`
    file: PathBuf,
    /// The form of the file, where its first character does not tell
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Read the field OURS from what the file calls THEIRS; may be repeated
    #[arg(long = "field", value_name = "OURS=THEIRS", value_parser = row::field)]
    fields: Vec<(String, String)>,
    /// The model that holds the users in Django's `dumpdata`
    #[arg(long, value_name = "APP.MODEL", default_value = "auth.user")]
    model: String,
    /// Change users that are there already: the fields that the file gives, and no others
    #[arg(long)]
    overwrite: bool,
    /// Where to write down each row that is refused, and why [default: FILE.refused.jsonl]
    #[arg(long, value_name = "FILE")]
    refused: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The form of a file of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A JSON object on each line
    Jsonl,
    /// A JSON array of objects
    Json,
    /// Commas, quotes, and a header with the names of the fields
    Csv,
}

/// A row of the file: where it is, and what it says or why it says nothing.
struct Numbered<T> {
    line: u64,
    row: Result<T, String>,
}

/// How many rows ended how.
#[derive(Default)]
struct Counts {
    added: u64,
    changed: u64,
    same: u64,
    refused: u64,
}

/// Takes the users of a file into the table.
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
    let format = read::check(&file, format, &row::names(&fields, "email"))?;
    let workspace = database.open(open_embedded).await?;
    let import = workspace.run(async |workspace| {
        prepare(workspace).await?;
        let now = now();
        let reader = Reader::new(&workspace.names.users, &fields, &model, now);
        let report = Report::create(refused.unwrap_or_else(|| beside(&file)))?;
        let client = workspace.connection.client.clone();
        let writer = Writer::new(client, workspace.names.users.name.clone(), overwrite, now);
        transfer(&file, format, reader, writer, report).await
    });
    import.await
}

/// The users table as it has to be, before anything is read.
async fn prepare(workspace: &Workspace) -> Result<()> {
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

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".refused.jsonl");
    name.into()
}

/// Reads on a thread of its own, so that the next rows are ready when the table has taken the
/// last ones. Few wait, however long the file is.
async fn transfer(
    file: &Path,
    format: Format,
    mut reader: Reader,
    mut writer: Writer,
    mut report: Report,
) -> Result<ExitStatus> {
    let bar = progress(file)?;
    let input = bar.wrap_read(File::open(file)?);
    let (sender, mut rows) = mpsc::channel::<Numbered<Row>>(WAITING);
    let reading = tokio::task::spawn_blocking(move || {
        read::each(input, format, |line, object| {
            let Some(row) = object.and_then(|object| reader.read(object)).transpose() else {
                return true;
            };
            sender.blocking_send(Numbered { line, row }).is_ok()
        })?;
        reader.finish()
    });
    let written = writer.write_all(&mut rows, &mut report).await;
    drop(rows);
    bar.finish_and_clear();
    let read = reading
        .await?
        .with_context(|| format!("reading {}", file.display()));
    let Counts {
        added,
        changed,
        same,
        refused,
    } = report.finish(writer.counts)?;
    println!("added {added}, changed {changed}, there already {same}, refused {refused}");
    written.and(read).context(
        "not all of the file was read; the same command once more goes on: what is there is \
         passed over",
    )?;
    Ok(ExitStatus::done_if(refused == 0))
}

/// A bar on standard error, which is not drawn where that is no terminal.
fn progress(file: &Path) -> Result<ProgressBar> {
    let bar = ProgressBar::new(std::fs::metadata(file)?.len());
    let style = "{bar:40} {percent:>3} % {bytes} of {total_bytes}, {eta} left";
    Ok(bar.with_style(ProgressStyle::with_template(style)?))
}

/// The rows that were refused: a JSON object for each, for its owner alone, since the reason may
/// be read beside the file.
struct Report {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Report {
    fn create(path: PathBuf) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&path).with_context(|| {
            format!(
                "writing {}; name another file with --refused",
                path.display()
            )
        })?;
        Ok(Self {
            path,
            file: BufWriter::new(file),
        })
    }

    fn refuse(&mut self, line: u64, reason: &str) -> Result<()> {
        let entry = json!({ "line": line, "reason": reason });
        writeln!(self.file, "{entry}").with_context(|| format!("writing {}", self.path.display()))
    }

    /// Says where the reasons are; without any there is no file.
    fn finish(mut self, counts: Counts) -> Result<Counts> {
        self.file.flush()?;
        if counts.refused == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            eprintln!(
                "{} says which rows were refused, and why",
                self.path.display()
            );
        }
        Ok(counts)
    }
}

/// An error that names `file`, for what stops before anything is written.
fn unreadable<T>(file: &Path, reason: impl std::fmt::Display) -> Result<T> {
    bail!("{}: {reason}. Nothing was written", file.display())
}
