//! The local inbox: the newest emails that the local SES endpoint accepted.

use std::{
    collections::{BTreeMap, VecDeque},
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
use web::{SECURITY_HEADERS, source_hash};

use crate::atomic_file;

/// Maximum number of emails to keep. Without one, a system under load would grow indefinitely.
const MAX_EMAILS: usize = 1000;

/// Content security policy of an email's HTML part: it may be displayed and open links in other
/// tabs. Emails have inline styles, which a hash cannot allow.
const EMAIL_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; \
     sandbox allow-popups allow-popups-to-escape-sandbox",
);

const STYLE: &str = include_str!("../templates/inbox.css");
const SCRIPT: &str = include_str!("../templates/inbox.js");

/// An email as SES received it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEmail {
    /// Time of receipt, in epoch milliseconds.
    pub at: i64,
    /// Recipients.
    pub to: Vec<String>,
    /// Sender.
    pub from: String,
    /// Subject.
    pub subject: String,
    /// Plain-text part.
    pub text: String,
    /// HTML part.
    pub html: String,
    /// Headers that the sender added.
    pub headers: BTreeMap<String, String>,
}

/// An email and the request that delivered it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    mail: StoredEmail,
    request: Value,
}

/// The inbox. Clones share their emails.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Number of dropped emails, which is the number of the first entry.
    dropped: usize,
    /// The file in which emails persist.
    file: Option<File>,
}

impl Store {
    fn add(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        if self.entries.len() > MAX_EMAILS {
            self.entries.pop_front();
            self.dropped += 1;
        }
    }
}

impl Inbox {
    /// Opens the inbox in the file `path`, which has one email per line, or creates it. Emails over
    /// the limit are removed from the file.
    pub fn open(path: &Path) -> Result<Self> {
        let context = || format!("opening the inbox {}", path.display());
        let mut store = Store::default();
        if path.exists() {
            for line in BufReader::new(File::open(path).with_context(context)?).lines() {
                // Skip a line that a crash cut off.
                if let Ok(entry) = serde_json::from_str(&line.with_context(context)?) {
                    store.add(entry);
                }
            }
        }
        if store.dropped > 0 {
            let lines: Result<Vec<String>, _> =
                store.entries.iter().map(serde_json::to_string).collect();
            atomic_file::write(path, &(lines?.join("\n") + "\n")).with_context(context)?;
            store.dropped = 0;
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        store.file = Some(file.with_context(context)?);
        Ok(Self(Arc::new(Mutex::new(store))))
    }

    /// Returns the number of emails received since the start, plus those kept from earlier runs.
    #[must_use]
    pub fn count(&self) -> usize {
        let store = self.store();
        store.dropped + store.entries.len()
    }

    /// Returns the emails, newest first.
    #[must_use]
    pub fn emails(&self) -> Vec<StoredEmail> {
        self.store()
            .entries
            .iter()
            .rev()
            .map(|entry| entry.mail.clone())
            .collect()
    }

    /// Returns when each email was sent, oldest first.
    pub(crate) fn sent_at(&self) -> Vec<DateTime<Utc>> {
        let store = self.store();
        let times = store.entries.iter().map(|entry| entry.mail.at);
        times.filter_map(DateTime::from_timestamp_millis).collect()
    }

    /// Stores an email and the request that delivered it.
    pub(crate) fn push(&self, email: StoredEmail, request: Value) -> Result<()> {
        let entry = Entry {
            mail: email,
            request,
        };
        let mut store = self.store();
        if let Some(file) = &mut store.file {
            let line = serde_json::to_string(&entry)? + "\n";
            file.write_all(line.as_bytes())
                .context("writing to the inbox")?;
        }
        store.add(entry);
        Ok(())
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds the router of the page `/inbox/` and of `/inbox.json`.
pub(crate) fn router(inbox: Inbox) -> Router {
    Router::new()
        .route(
            "/inbox.json",
            get(async |State(inbox): State<Inbox>| Json(inbox.emails())),
        )
        .route("/inbox", get(async || Redirect::permanent("/inbox/")))
        .route("/inbox/", get(page))
        .route("/inbox/{number}", get(html_part))
        .with_state(inbox)
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    /// Newest first, with their numbers.
    entries: Vec<(usize, Entry)>,
    style: &'static str,
    script: &'static str,
}

async fn page(State(inbox): State<Inbox>) -> Response {
    let entries = {
        let store = inbox.store();
        let numbers = store.dropped..;
        let mut entries: Vec<_> = numbers.zip(store.entries.iter().cloned()).collect();
        entries.reverse();
        entries
    };
    let page = InboxPage {
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

/// Returns an email's HTML part, for the frame that shows it.
async fn html_part(State(inbox): State<Inbox>, UrlPath(number): UrlPath<usize>) -> Response {
    let part = {
        let store = inbox.store();
        let entry = number
            .checked_sub(store.dropped)
            .and_then(|index| store.entries.get(index));
        entry.map(|entry| entry.mail.html.clone())
    };
    match part {
        None => StatusCode::NOT_FOUND.into_response(),
        // Links open in a new tab instead of in the frame.
        Some(part) => html(
            EMAIL_POLICY,
            part.replacen("<head>", "<head><base target=\"_blank\">", 1),
        ),
    }
}

fn html(policy: HeaderValue, body: String) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    (SECURITY_HEADERS, policy, Html(body)).into_response()
}

impl Entry {
    /// Formats the time of receipt.
    fn time(&self) -> String {
        let at = DateTime::from_timestamp_millis(self.mail.at);
        at.map_or_else(String::new, |at| {
            at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
        })
    }

    /// Returns the lines of the plain-text part, and whether each is a link.
    fn lines(&self) -> Vec<(&str, bool)> {
        let is_link = |line: &str| line.starts_with("https://") || line.starts_with("http://");
        self.mail
            .text
            .lines()
            .map(|line| (line, is_link(line)))
            .collect()
    }

    /// Formats the request as indented JSON.
    fn request(&self) -> String {
        serde_json::to_string_pretty(&self.request).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn email(number: usize) -> StoredEmail {
        StoredEmail {
            at: 0,
            to: Vec::new(),
            from: String::new(),
            subject: number.to_string(),
            text: String::new(),
            html: String::new(),
            headers: BTreeMap::new(),
        }
    }

    #[test]
    fn the_newest_emails_are_kept_in_memory_and_in_the_file() {
        let path = std::env::temp_dir().join(format!("inbox-{}.jsonl", std::process::id()));
        let inbox = Inbox::open(&path).expect("a new inbox");
        for number in 0..MAX_EMAILS + 5 {
            inbox
                .push(email(number), Value::Null)
                .expect("a writable file");
        }
        assert_eq!(inbox.count(), MAX_EMAILS + 5);
        for inbox in [inbox, Inbox::open(&path).expect("the same inbox")] {
            let emails = inbox.emails();
            assert_eq!(emails.len(), MAX_EMAILS);
            assert_eq!(emails[0].subject, (MAX_EMAILS + 4).to_string());
        }
        let lines = fs::read_to_string(&path)
            .expect("a readable file")
            .lines()
            .count();
        fs::remove_file(&path).expect("an existing file");
        assert_eq!(lines, MAX_EMAILS);
    }
}
