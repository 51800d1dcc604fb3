//! Everything that the functions and `manage` log at the most verbose level, in a test's own
//! process and in those that it starts, and the search for secrets in it.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::{Mutex, OnceLock, PoisonError},
};

use aws::log::events_up_to;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tracing::Level;
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Starts to collect, as the functions do it but for the level; once in a process.
pub fn capture() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(|| Lines)
            .with_filter(events_up_to(Level::TRACE));
        tracing_subscriber::registry().with(lines).init();
    });
}

/// All that was logged so far.
#[must_use]
pub fn captured() -> String {
    captured_since(0)
}

/// Length of the log so far, in bytes, for [`captured_since`].
#[must_use]
pub fn mark() -> usize {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// Returns everything logged since `mark`.
#[must_use]
pub fn captured_since(mark: usize) -> String {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&lines[mark..]).into_owned()
}

/// Adds what a process has written to what was logged.
pub fn keep(bytes: &[u8]) {
    LINES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend_from_slice(bytes);
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        keep(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What must not be in any log: addresses, tokens, passwords.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<BTreeSet<String>>);

/// Texts under this length are found in ordinary words.
const MIN_CHARS: usize = 8;

impl Secrets {
    /// Adds one.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() >= MIN_CHARS {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(secret.to_owned());
        }
    }

    /// Panics where `logs` hold one, in any of the forms in which it could be written.
    pub fn assert_absent_from(&self, logs: &str) {
        for secret in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            for form in forms(secret) {
                let line = logs.lines().find(|line| line.contains(&form));
                assert!(
                    line.is_none(),
                    "a log line holds {secret:?}: {}",
                    line.unwrap_or_default()
                );
            }
        }
    }
}

/// A text as it is, in JSON, in a URL, in base64, and as the list of bytes that Rust's Debug
/// makes of it.
fn forms(secret: &str) -> [String; 5] {
    let json = serde_json::json!(secret).to_string();
    let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    [
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        STANDARD_NO_PAD.encode(secret),
        bytes.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secrets = Secrets::default();
        secrets.add(" ada+\"x\"@example.com ");
        secrets.assert_absent_from("{\"account\": \"ada\"}\n[97, 100]\n");
        for form in forms("ada+\"x\"@example.com") {
            let found = std::panic::catch_unwind(|| {
                secrets.assert_absent_from(&format!("a line\nand {form} in another"));
            });
            assert!(found.is_err(), "{form}");
        }
    }
}
