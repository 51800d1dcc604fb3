//! How a command ends, for scripts.

use std::{io, process::ExitCode};

/// What `--help` says about it.
pub(crate) const HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 the command line is wrong; 3 done, but not all is well; \
4 what was named is not there: a user, a table, a stack.";

/// A command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Done,
    /// It says what is not.
    NotAllWell,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::NotAllWell => Self::from(3),
        }
    }
}

/// What was named is not there: a sentence that says what, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

/// Whether whoever read standard output has gone.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The exit code of a command that failed with `error`.
#[must_use]
pub fn failure(error: &anyhow::Error) -> ExitCode {
    if error.is::<Missing>() {
        ExitCode::from(4)
    } else {
        ExitCode::FAILURE
    }
}
