//! Output formats of the commands.

use std::io::{self, Write};

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde_json::Value;

/// The output option of a command that lists something.
#[derive(Args)]
pub(crate) struct OutputArgs {
    /// Output for people (table) or for programs (json)
    #[arg(long = "output", value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) format: OutputFormat,
}

/// An output format.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Json,
}

/// Prints `value` as JSON.
pub(crate) fn print_json(value: &Value) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// Returns `yes` or `no`.
pub(crate) fn yes_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// Formats a time in RFC 3339, or as `never`.
pub(crate) fn time(at: Option<DateTime<Utc>>) -> String {
    format_time(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// Formats a time in chrono's format `format`, or as `never`.
pub(crate) fn format_time(at: Option<DateTime<Utc>>, format: &str) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.format(format).to_string())
}
