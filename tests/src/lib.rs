//! The kit of the end-to-end tests.
//!
//! Everything in it speaks a real protocol: HTTP to the API, DynamoDB's and SES's to what the
//! functions call, Lambda's Runtime API to their binaries. A test reads like the story that it
//! tells: somebody asks for a mail, takes the link out of it, sets a new password.

pub mod app;
pub mod command;
pub mod functions;
pub mod http;
pub mod lambda;
pub mod logs;
pub mod own;
pub mod recipe;
pub mod step;
pub mod wire;

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long something asynchronous may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What `story` returns, told again where the client's window of `seconds` ended meanwhile: what
/// runs by the clock of the machine may meet midnight.
pub async fn within_one_window<T>(seconds: u64, mut story: impl AsyncFnMut() -> T) -> T {
    let window = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("after 1970").as_secs() / seconds
    };
    loop {
        let start = window();
        let told = story().await;
        if window() == start {
            return told;
        }
    }
}

/// What `look` finds, as soon as it finds something; panics with `what` where it never does.
pub async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(LOOK).await;
    }
}
