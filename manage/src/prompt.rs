//! Prompts for an address and a password.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, Result, anyhow, bail};
use passwords::Password;
use zeroize::Zeroizing;

use crate::address_arg::AddressArg;

/// Prompts for an email address.
pub(crate) fn address() -> Result<AddressArg> {
    if !io::stdin().is_terminal() {
        bail!("stdin is not a terminal; pass the address with --email");
    }
    print!("Email address: ");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let typed = line.trim();
    typed
        .parse()
        .map_err(|expected| anyhow!("{typed:?}: {expected}"))
}

/// Prompts for a new password, twice.
pub(crate) fn new_password() -> Result<Password> {
    if !io::stdin().is_terminal() {
        bail!("stdin is not a terminal; pass the password on stdin with --password-stdin");
    }
    let first = Zeroizing::new(rpassword::prompt_password("Password: ")?);
    let second = Zeroizing::new(rpassword::prompt_password("Password again: ")?);
    if first != second {
        bail!("the two passwords differ; nothing was changed");
    }
    Ok(Password::new(&first))
}

/// Reads a password from the first line of standard input.
pub(crate) fn password_from_stdin() -> Result<Password> {
    let mut line = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("reading the password from stdin")?;
    Ok(Password::new(line.trim_end_matches(['\r', '\n'])))
}
