//! The users as lines that `users import` reads.

use std::io::{self, BufWriter, Write};

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use shared::tables::User;

use super::Format;
use crate::{
    exit::Outcome,
    session::DatabaseArgs,
    users::{self},
};

/// The options of `users export`.
#[derive(Args)]
pub(crate) struct ExportArgs {
    /// The form of what is written to standard output
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// A user in a file: all but what recovery did for them.
#[derive(Serialize)]
struct Line<'a> {
    email: &'a str,
    mail_to: &'a str,
    user_id: &'a str,
    name: Option<&'a str>,
    locale: Option<&'a str>,
    password_hash: Option<&'a str>,
    password_changed_at: Option<i64>,
    session_epoch: i64,
    is_active: bool,
    is_superuser: bool,
    created_at: Option<i64>,
}

impl<'a> From<&'a User> for Line<'a> {
    fn from(user: &'a User) -> Self {
        let millis = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_millis());
        Self {
            email: user.email.as_str(),
            mail_to: &user.mail_to,
            user_id: &user.user_id,
            name: user.name.as_deref(),
            locale: user.locale.as_deref(),
            password_hash: user.password_hash.as_deref(),
            password_changed_at: millis(user.password_changed_at),
            session_epoch: user.session_epoch,
            is_active: user.is_active,
            is_superuser: user.is_superuser,
            created_at: millis(user.created_at),
        }
    }
}

/// Writes the users to standard output, a page of the table at a time.
pub(crate) async fn export(args: ExportArgs) -> Result<Outcome> {
    if args.format == Format::Json {
        bail!("users are exported a line each; use --format jsonl or csv");
    }
    let session = args.database.open().await?;
    let work = async {
        let table = session.users().await?;
        let mut out = BufWriter::new(io::stdout());
        if args.format == Format::Csv {
            let mut csv = csv::Writer::from_writer(out);
            let count =
                users::for_each(&table, |user| Ok(csv.serialize(Line::from(user))?)).await?;
            csv.flush()?;
            return Ok(count);
        }
        let each = |user: &User| {
            serde_json::to_writer(&mut out, &Line::from(user))?;
            Ok(writeln!(out)?)
        };
        let count = users::for_each(&table, each).await?;
        out.flush()?;
        Ok(count)
    };
    let work = work.await;
    let unreadable = session.finish(work).await?;
    if unreadable == 0 {
        return Ok(Outcome::Done);
    }
    eprintln!("{}", users::unreadable(unreadable));
    Ok(Outcome::NotAllWell)
}
