//! The operator's commands and the admin panel.

pub mod accounts;
pub mod address_arg;
pub mod admin;
pub mod cli;
pub mod database;
pub mod defaults;
mod doctor;
pub mod exit;
mod finding;
mod https;
pub mod migrate;
mod output;
mod prompt;
mod schema;
pub mod server;
mod smoke;
mod stack;
mod transfer;
mod unsent;
mod user_commands;
mod workspace;

use anyhow::Result;
use chrono::{DateTime, Utc};
use rand::{TryRng, rngs::SysRng};

/// Returns the current time.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the clock is read only here")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Returns 128 random bits in hexadecimal.
pub fn random_hex() -> Result<String> {
    let (high, low) = (SysRng.try_next_u64()?, SysRng.try_next_u64()?);
    Ok(format!("{high:016x}{low:016x}"))
}
