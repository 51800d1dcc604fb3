//! The operator's command, as a shell or a script runs it.

use std::{collections::BTreeMap, process::Stdio};

use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout,
};

use crate::{PATIENCE, lambda::binaries};

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Ended {
    /// Standard output as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("JSON: {self:?}"))
    }

    /// Panics unless it failed with `code` and a sentence on standard error that has each of
    /// `parts`.
    pub fn assert_failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part} in {self:?}");
        }
    }
}

/// Starts `manage` with `args`, separated by spaces, with nothing in its environment but
/// `environment`; it ends with the value.
#[must_use]
pub fn start(args: &str, environment: &BTreeMap<String, String>) -> Child {
    Command::new(&binaries()["manage"])
        .args(args.split_whitespace())
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts")
}

/// Runs `manage` with `args` in `environment`, as [`start`] does, to its end, with `input` on standard input.
pub async fn manage(args: &str, environment: &BTreeMap<String, String>, input: &str) -> Ended {
    let mut process = start(args, environment);
    let mut stdin = process.stdin.take().expect("a pipe");
    // A command that reads nothing may have ended already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(PATIENCE, process.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{args} is still running"))
        .expect("it ran");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text in UTF-8");
    Ended {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}
