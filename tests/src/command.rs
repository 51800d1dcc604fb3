//! The operator's command, as a shell or a script runs it.

use std::{
    collections::{BTreeMap, HashMap},
    process::Stdio,
};

use aws_sdk_dynamodb::Client;
use rules::environment::Environment;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{PATIENCE, app::other_dynamodb, lambda::binaries};

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
    Command::new(&binaries()["local"])
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

/// `manage runserver` at work, on ports that were free. It ends with the value.
pub struct Runserver {
    /// The process.
    pub process: Child,
    /// The addresses of its parts, by the names that it prints.
    places: HashMap<String, String>,
}

impl Runserver {
    /// Starts it with the further `args`, as [`start`] does, on the DynamoDB of the tests, and
    /// waits until it serves.
    pub async fn start(args: &str, environment: &BTreeMap<String, String>) -> Self {
        let ports = "--port 0 --dynamodb-port 0 --ses-port 0";
        let args = format!("runserver --log-level error {ports} {args}");
        let mut environment = environment.clone();
        let other = other_dynamodb().map(|url| ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url));
        environment.extend(other);
        let mut process = start(&args, &environment);
        let stdout = process.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let mut places = HashMap::new();
        while let Some(line) = lines.next_line().await.expect("text") {
            let mut words = line.split_whitespace().map(str::to_owned);
            if let (Some(name), Some(url)) = (words.next(), words.next()) {
                places.entry(name).or_insert(url);
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
        // What it says further must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { process, places }
    }

    /// Host and port of its API.
    #[must_use]
    pub fn authority(&self) -> &str {
        let url = self.places["API"].strip_prefix("http://").expect("HTTP");
        url.split('/').next().unwrap_or_default()
    }

    /// A client of its DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> Client {
        let variable = |name: &str| {
            let value = match name {
                "AWS_REGION" => "us-east-1",
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "local",
                "AWS_ENDPOINT_URL_DYNAMODB" => &self.places["DynamoDB"],
                _ => return None,
            };
            Some(value.to_owned())
        };
        let env = Environment::new(&variable);
        let config = aws::config(&env).expect("a region and credentials");
        aws::dynamodb(&config, &env)
    }
}
