//! Kit for the end-to-end tests.
//!
//! Everything here speaks a real protocol: HTTP to the API, DynamoDB's and SES's to the services
//! that the functions call, Lambda's Runtime API to the functions' binaries.

pub mod app;
pub mod builder;
pub mod command;
pub mod existing_table;
mod existing_users;
pub mod functions;
pub mod gateway;
pub mod http;
pub mod invocation;
pub mod lambda;
pub mod link;
pub mod logs;
pub mod name_server;
pub mod panel;
pub mod proxy;
pub mod recipe;

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Time after which a test stops waiting and fails.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Runs `story` within one window of the client limit and returns its result. If a window of
/// `seconds` ends meanwhile, as at midnight, it runs again.
pub async fn within_one_rate_window<T>(seconds: u64, mut story: impl AsyncFnMut() -> T) -> T {
    let window = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.expect("after 1970").as_secs() / seconds
    };
    loop {
        let start = window();
        let result = story().await;
        if window() == start {
            return result;
        }
    }
}

/// Polls `look` until it returns a value. Panics with `what` after [`WAIT_TIMEOUT`].
pub async fn wait_for<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < WAIT_TIMEOUT, "timed out: {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
