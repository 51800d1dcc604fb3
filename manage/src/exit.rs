//! Exit codes of the commands.

use std::{io, process::ExitCode};

use anyhow::Result;

/// The exit codes, for `--help`.
pub const HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 invalid command line; 3 done, with problems; \
4 not found: a user, a table or a stack.";

/// The result of a command that completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Everything is in order.
    Done,
    /// There are problems, which the command printed.
    Problems,
}

impl ExitStatus {
    /// Returns `Done` unless there are problems.
    pub(crate) fn done_if(is_ok: bool) -> Self {
        if is_ok { Self::Done } else { Self::Problems }
    }
}

/// A user, table or stack that does not exist. The text says which, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

/// Prints the error of a failed command and returns the exit code.
#[must_use]
pub fn code(result: Result<ExitStatus>) -> ExitCode {
    match result {
        Ok(ExitStatus::Done) => ExitCode::SUCCESS,
        Ok(ExitStatus::Problems) => ExitCode::from(3),
        // The reader closed the pipe, like `| head`.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<NotFound>() { 4 } else { 1 })
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
