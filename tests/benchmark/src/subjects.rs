//! The measured programs, with their environment and event.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::aws::{self, CannedAws};

/// Messages in the mailer's event: the batch size in the template.
pub const BATCH: usize = 10;
/// Placeholder for the token in the sample event for `confirm`.
const TOKEN_PLACEHOLDER: &str = "PASTE-THE-TOKEN-FROM-THE-MAIL-HERE-00000000";

/// One program over one protocol.
pub struct Subject {
    /// Name in tables.
    pub name: String,
    /// Whether it calls AWS over HTTPS.
    pub is_https: bool,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment variables besides those that Lambda sets.
    pub environment: BTreeMap<String, String>,
    /// The event of each invocation.
    pub event: Bytes,
    /// Text that every successful response contains.
    pub success: &'static str,
    /// Files to deploy.
    pub files: Vec<PathBuf>,
}

impl Subject {
    /// Checks that `response` is a success.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub fn check(&self, response: &[u8]) {
        let text = String::from_utf8_lossy(response);
        assert!(text.contains(self.success), "{}: {text}", self.name);
    }
}

/// Returns the three functions over HTTP and HTTPS. Their binaries are in the folder `bootstraps`,
/// laid out by `sam build` or by cargo.
#[must_use]
pub fn functions(bootstraps: &Path, aws: &CannedAws) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for is_https in [false, true] {
        for name in ["request", "confirm", "mailer"] {
            let binary = bootstrap(bootstraps, name);
            let mut subject = subject(name, is_https, aws, vec![text(&binary)], name);
            subject.files = vec![binary];
            subjects.push(subject);
        }
    }
    subjects
}

fn bootstrap(folder: &Path, name: &str) -> PathBuf {
    let (first, rest) = name.split_at(1);
    let sam = format!("{}{rest}Function/bootstrap", first.to_uppercase());
    let built_by_sam = folder.join(sam);
    if built_by_sam.exists() {
        built_by_sam
    } else {
        folder.join(name)
    }
}

/// Returns the floors, which are binaries of this package.
#[must_use]
pub fn floors(aws: &CannedAws) -> Vec<Subject> {
    let here = env::current_exe().expect("a path");
    let binary = |name: &str| vec![text(&here.with_file_name(name))];
    let mut one_call = subject("floor: one call", false, aws, binary("floor"), "request");
    one_call
        .environment
        .insert("FLOOR_CALLS".to_owned(), "1".to_owned());
    let mut floors = vec![
        subject("floor: bare", false, aws, binary("floor"), "request"),
        one_call,
        subject("floor: one call", true, aws, binary("floor-tls"), "request"),
        subject(
            "floor: hash and two calls",
            false,
            aws,
            binary("floor-hash"),
            "confirm",
        ),
    ];
    for floor in &mut floors {
        floor.success = "{}";
    }
    floors
}

/// Returns the peers, which do the same job in the obvious way in Node.js and Python.
#[must_use]
pub fn peers(aws: &CannedAws) -> Vec<Subject> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers");
    let node = |file: &str| {
        let bundle = folder.join("node/build").join(file);
        (
            vec!["/usr/bin/env".to_owned(), "node".to_owned(), text(&bundle)],
            bundle,
        )
    };
    let python = |file: &str| {
        let script = folder.join("python").join(file);
        (
            vec![text(&folder.join("python/venv/bin/python")), text(&script)],
            script,
        )
    };
    let programs = [
        ("Node: request", node("request.mjs"), "request", "costs"),
        (
            "Node: request, one call",
            node("request-one-call.mjs"),
            "request",
            "costs",
        ),
        ("Node: confirm", node("confirm.mjs"), "confirm", "costs"),
        (
            "Node: confirm, its default hash",
            node("confirm.mjs"),
            "confirm",
            "default",
        ),
        ("Python: request", python("request.py"), "request", "costs"),
        ("Python: confirm", python("confirm.py"), "confirm", "costs"),
        (
            "Python: confirm, its default hash",
            python("confirm.py"),
            "confirm",
            "default",
        ),
    ];
    let mut subjects = Vec::new();
    for is_https in [false, true] {
        for (name, (command, file), event, hash) in &programs {
            let mut subject = subject(name, is_https, aws, command.clone(), event);
            subject.files = vec![file.clone()];
            subject
                .environment
                .insert("HASH".to_owned(), (*hash).to_owned());
            subject
                .environment
                .insert("PATH".to_owned(), env::var("PATH").unwrap_or_default());
            subjects.push(subject);
        }
    }
    subjects
}

fn subject(
    name: &str,
    is_https: bool,
    aws: &CannedAws,
    command: Vec<String>,
    event_of: &str,
) -> Subject {
    let url = if is_https {
        aws.https_url()
    } else {
        aws.http_url()
    };
    let root = text(&aws::root_file());
    let environment = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("SSL_CERT_FILE", &root),
        ("NODE_EXTRA_CA_CERTS", &root),
        ("AWS_CA_BUNDLE", &root),
        // Node.js warns that it reads `NODE_EXTRA_CA_CERTS`.
        ("NODE_NO_WARNINGS", "1"),
        ("RESET_URL", "https://app.example.com/reset"),
        ("MAIL_FROM", "Example <no-reply@example.com>"),
    ];
    Subject {
        name: name.to_owned(),
        is_https,
        command,
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        event: event(event_of),
        success: if event_of == "mailer" {
            "\"batchItemFailures\":[]"
        } else {
            "worked"
        },
        files: Vec::new(),
    }
}

/// Builds the event of `function` from its sample: a full batch for the mailer, a token for `confirm`.
fn event(function: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let path = path.join(format!("{function}.json"));
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .replace(TOKEN_PLACEHOLDER, &"A".repeat(TOKEN_PLACEHOLDER.len()));
    let mut event: Value = serde_json::from_str(&text).expect("JSON");
    if let Some(message) = event["Records"].get(0).cloned() {
        let body = message["body"].as_str().expect("a body");
        let record: Value = serde_json::from_str(body).expect("JSON");
        let numbered = |number: usize| {
            let (mut message, mut record) = (message.clone(), record.clone());
            record["dynamodb"]["NewImage"]["count"]["N"] = json!(number.to_string());
            message["messageId"] = json!(number.to_string());
            message["body"] = json!(record.to_string());
            message
        };
        event["Records"] = (1..=BATCH).map(numbered).collect();
        return Bytes::from(event.to_string());
    }
    // One line with the keys in their order, like Lambda's events.
    let line: String = text.lines().map(str::trim_start).collect();
    Bytes::from(line.replace("\": ", "\":"))
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
