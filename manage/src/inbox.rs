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
    extract::State,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Redirect},
    routing::get,
};
use chrono::DateTime;
use serde::{Deserialize, Serialize};

/// Nothing that a mail brings along may run or be fetched.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; base-uri 'self'; form-action 'none'",
);

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

/// The mails, oldest first, and the file that they outlive the process in.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    mails: Vec<StoredMail>,
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
        let mut mails = Vec::new();
        for line in BufReader::new(&file).lines() {
            // A line that was cut off by a crash is not worth refusing to start for.
            if let Ok(mail) = serde_json::from_str(&line.with_context(context)?) {
                mails.push(mail);
            }
        }
        Ok(Self(Arc::new(Mutex::new(Store {
            mails,
            file: Some(file),
        }))))
    }

    /// The mails, newest first.
    #[must_use]
    pub fn mails(&self) -> Vec<StoredMail> {
        self.store().mails.iter().rev().cloned().collect()
    }

    /// Keeps `mail`.
    pub(crate) fn push(&self, mail: StoredMail) -> Result<()> {
        let mut store = self.store();
        if let Some(file) = &mut store.file {
            let line = serde_json::to_string(&mail)? + "\n";
            file.write_all(line.as_bytes())
                .context("writing to the inbox")?;
        }
        store.mails.push(mail);
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
        .with_state(inbox)
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct Page {
    mails: Vec<StoredMail>,
}

async fn page(State(inbox): State<Inbox>) -> impl IntoResponse {
    let page = Page {
        mails: inbox.mails(),
    };
    let headers = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (
        headers,
        Html(page.render().expect("writing to a string does not fail")),
    )
}

impl StoredMail {
    /// When it was taken, for people.
    fn time(&self) -> String {
        DateTime::from_timestamp_millis(self.at).map_or_else(String::new, |at| {
            at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
        })
    }

    /// The plain part in pieces, each with whether it is a link.
    fn pieces(&self) -> Vec<(&str, bool)> {
        let is_link = |line: &str| line.starts_with("https://") || line.starts_with("http://");
        self.text
            .split_inclusive('\n')
            .map(|line| (line, is_link(line)))
            .collect()
    }
}
