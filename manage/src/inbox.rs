//! The local inbox: every mail that the local SES endpoint took.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use askama::Template;
use axum::{
    Json, Router,
    extract::{Path as UrlPath, State},
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::pages::source_hash;

/// What a mail's HTML may do: be looked at, and open its links elsewhere. Mails have their styles
/// in their elements, where no hash can allow them.
const MAIL_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; \
     sandbox allow-popups allow-popups-to-escape-sandbox",
);

const STYLE: &str = include_str!("../templates/inbox.css");
const SCRIPT: &str = include_str!("../templates/inbox.js");

/// A mail as it was handed to SES.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMail {
    /// When it was taken, in epoch milliseconds.
    pub at: i64,
    /// Its recipients.
    pub to: Vec<String>,
    /// Its sender.
    pub from: String,
    /// Its subject.
    pub subject: String,
    /// Its plain part.
    pub text: String,
    /// Its HTML part.
    pub html: String,
    /// The headers that the sender added.
    pub headers: BTreeMap<String, String>,
}

/// A mail and the request that it came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    mail: StoredMail,
    request: Value,
}

/// The mails, oldest first, and the file that they outlive the process in.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    entries: Vec<Entry>,
    file: Option<File>,
}

impl Inbox {
    /// The inbox in `path`, a mail a line; new where there is no such file.
    pub fn open(path: &Path) -> Result<Self> {
        let context = || format!("the inbox {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(context)?;
        let mut entries = Vec::new();
        for line in BufReader::new(&file).lines() {
            // A line that was cut off by a crash is not worth refusing to start for.
            if let Ok(entry) = serde_json::from_str(&line.with_context(context)?) {
                entries.push(entry);
            }
        }
        Ok(Self(Arc::new(Mutex::new(Store {
            entries,
            file: Some(file),
        }))))
    }

    /// The mails, newest first.
    #[must_use]
    pub fn mails(&self) -> Vec<StoredMail> {
        self.store()
            .entries
            .iter()
            .rev()
            .map(|entry| entry.mail.clone())
            .collect()
    }

    /// When each of the mails was taken, the oldest first.
    pub(crate) fn times(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let times: Vec<i64> = self
            .store()
            .entries
            .iter()
            .map(|entry| entry.mail.at)
            .collect();
        times
            .into_iter()
            .filter_map(DateTime::from_timestamp_millis)
    }

    /// Keeps `mail`, which came in `request`.
    pub(crate) fn push(&self, mail: StoredMail, request: Value) -> Result<()> {
        let entry = Entry { mail, request };
        let mut store = self.store();
        if let Some(file) = &mut store.file {
            let line = serde_json::to_string(&entry)? + "\n";
            file.write_all(line.as_bytes())
                .context("writing to the inbox")?;
        }
        store.entries.push(entry);
        Ok(())
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The inbox as a page under `/inbox/` and as JSON under `/inbox.json`.
pub(crate) fn router(inbox: Inbox) -> Router {
    Router::new()
        .route(
            "/inbox.json",
            get(async |State(inbox): State<Inbox>| Json(inbox.mails())),
        )
        .route("/inbox", get(async || Redirect::permanent("/inbox/")))
        .route("/inbox/", get(page))
        .route("/inbox/{number}", get(html_part))
        .with_state(inbox)
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct Page {
    /// Newest first, each with its number.
    entries: Vec<(usize, Entry)>,
    style: &'static str,
    script: &'static str,
}

async fn page(State(inbox): State<Inbox>) -> Response {
    let entries = inbox
        .store()
        .entries
        .iter()
        .cloned()
        .enumerate()
        .rev()
        .collect();
    let page = Page {
        entries,
        style: STYLE,
        script: SCRIPT,
    };
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; frame-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        source_hash(STYLE),
        source_hash(SCRIPT)
    );
    let policy = HeaderValue::try_from(policy).expect("hashes are ASCII");
    html(
        policy,
        page.render().expect("writing to a string does not fail"),
    )
}

/// A mail's HTML part, for the frame that shows it.
async fn html_part(State(inbox): State<Inbox>, UrlPath(number): UrlPath<usize>) -> Response {
    let part = inbox
        .store()
        .entries
        .get(number)
        .map(|entry| entry.mail.html.clone());
    match part {
        None => StatusCode::NOT_FOUND.into_response(),
        // Links open beside the inbox rather than inside of the frame.
        Some(part) => html(
            MAIL_POLICY,
            part.replacen("<head>", "<head><base target=\"_blank\">", 1),
        ),
    }
}

fn html(policy: HeaderValue, body: String) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (headers, Html(body)).into_response()
}

impl Entry {
    /// When it was taken, for people.
    fn time(&self) -> String {
        let at = DateTime::from_timestamp_millis(self.mail.at);
        at.map_or_else(String::new, |at| {
            at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
        })
    }

    /// The lines of the plain part, each with whether it is a link.
    fn lines(&self) -> Vec<(&str, bool)> {
        let is_link = |line: &str| line.starts_with("https://") || line.starts_with("http://");
        self.mail
            .text
            .lines()
            .map(|line| (line, is_link(line)))
            .collect()
    }

    /// The request, indented.
    fn request(&self) -> String {
        serde_json::to_string_pretty(&self.request).unwrap_or_default()
    }
}
