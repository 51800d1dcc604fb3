//! Captures what the functions and `manage` log at the most verbose level, in the test's process
//! and in the processes that it starts, and searches it for secrets.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use aws::log::json_lines;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use tracing::Level;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to capture the process's log lines, in the functions' own format. Further calls do
/// nothing.
pub fn capture() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let lines = json_lines(Level::TRACE, || Lines);
        tracing_subscriber::registry().with(lines).init();
    });
}

/// Returns everything logged so far.
#[must_use]
pub fn captured() -> String {
    captured_since(0)
}

/// Returns the length of the log so far, in bytes, for [`captured_since`].
#[must_use]
pub fn mark() -> usize {
    lock(&LINES).len()
}

/// Returns everything logged since `mark`.
#[must_use]
pub fn captured_since(mark: usize) -> String {
    String::from_utf8_lossy(&lock(&LINES)[mark..]).into_owned()
}

/// Adds the output of another process to the log.
pub fn append(bytes: &[u8]) {
    lock(&LINES).extend_from_slice(bytes);
}

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Addresses, tokens and passwords that no log line may contain.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<BTreeSet<String>>);

/// Shorter texts occur in ordinary words.
const MIN_CHARS: usize = 8;

impl Secrets {
    /// Adds a secret.
    pub fn add(&self, secret: &str) {
        let secret = secret.trim();
        if secret.chars().count() >= MIN_CHARS {
            lock(&self.0).insert(secret.to_owned());
        }
    }

    /// Panics if `logs` contain a secret in any of its [`forms`].
    pub fn assert_absent_from(&self, logs: &str) {
        for secret in &*lock(&self.0) {
            for form in forms(secret) {
                if logs.contains(&form) {
                    let line = logs.lines().find(|line| line.contains(&form));
                    let line = line.unwrap_or_default();
                    panic!("a log line contains {secret:?}: {line}");
                }
            }
        }
    }
}

/// Returns `secret` as it is, in JSON, in a URL, in base64, and as the list of bytes that Rust's
/// `Debug` prints.
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
