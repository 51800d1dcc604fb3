//! Runs the operator's command as a shell or a script does.

use std::{
    collections::{BTreeMap, HashMap},
    process::Stdio,
};

use ::http::Method;
use aws_sdk_dynamodb::Client;
use rules::environment::Environment;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    WAIT_TIMEOUT,
    builder::other_dynamodb,
    http::{self, FORGOT_PASSWORD, HttpResponse, JSON},
    lambda::binaries,
};

/// Result of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl CommandOutput {
    /// Returns standard output as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Panics unless the command failed with `code` and standard error contains each of `parts`.
    pub fn assert_failed(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part} in {self:?}");
        }
    }
}

/// Starts the command with `args`, separated by spaces, and only `environment` as its environment.
/// It ends when the value is dropped.
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

/// Runs the command that [`start`] starts until it exits, with `input` on standard input.
pub async fn manage(
    args: &str,
    environment: &BTreeMap<String, String>,
    input: &str,
) -> CommandOutput {
    let mut process = start(args, environment);
    let mut stdin = process.stdin.take().expect("a pipe");
    // A command that reads nothing may have ended already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(WAIT_TIMEOUT, process.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{args} is still running"))
        .expect("output");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text in UTF-8");
    CommandOutput {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// A running `runserver` on free ports. It ends when the value is dropped.
pub struct Runserver {
    /// Its process.
    pub process: Child,
    /// URLs of its parts, by the names that it prints.
    urls: HashMap<String, String>,
}

impl Runserver {
    /// Starts it with additional `args` on the tests' DynamoDB and waits until it serves.
    pub async fn start(args: &str, environment: &BTreeMap<String, String>) -> Self {
        let ports = "--port 0 --dynamodb-port 0 --ses-port 0";
        let args = format!("runserver --log-level error {ports} {args}");
        let mut environment = environment.clone();
        let other = other_dynamodb().map(|url| ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), url));
        environment.extend(other);
        let mut process = start(&args, &environment);
        let stdout = process.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let mut urls = HashMap::new();
        while let Some(line) = lines.next_line().await.expect("text") {
            let mut words = line.split_whitespace().map(str::to_owned);
            if let (Some(name), Some(url)) = (words.next(), words.next()) {
                urls.entry(name).or_insert(url);
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
        // Drain the pipe, or it would fill up and block the process.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { process, urls }
    }

    /// Returns host and port of its API.
    #[must_use]
    pub fn authority(&self) -> &str {
        let url = self.urls["API"].strip_prefix("http://").expect("HTTP");
        url.split('/').next().unwrap_or_default()
    }

    /// Requests a reset email for `email`.
    pub async fn request_reset(&self, email: &str) -> HttpResponse {
        let url = format!("http://{}{FORGOT_PASSWORD}", self.authority());
        let body = json!({ "email": email }).to_string();
        http::send(Method::POST, &url, &[("content-type", JSON)], body).await
    }

    /// Returns the subjects of the emails in its inbox.
    pub async fn subjects(&self) -> Vec<String> {
        let url = format!("http://{}/inbox.json", self.authority());
        let inbox = http::send(Method::GET, &url, &[], Vec::new()).await.json();
        let emails = inbox.as_array().expect("a list").iter();
        emails
            .map(|email| email["subject"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Returns a client of its DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> Client {
        let variable = |name: &str| {
            let value = match name {
                "AWS_REGION" => "us-east-1",
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "local",
                "AWS_ENDPOINT_URL_DYNAMODB" => &self.urls["DynamoDB"],
                _ => return None,
            };
            Some(value.to_owned())
        };
        let env = Environment::new(&variable);
        let config = aws::config(&env).expect("a region and credentials");
        aws::dynamodb(&config, &env)
    }
}
