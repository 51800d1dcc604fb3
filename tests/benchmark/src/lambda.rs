//! Invokes one function's process at a time, and times it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use runtime_api::RuntimeApi;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

/// Time limit of everything a function does. Under valgrind it takes fifty times as long.
const TIMEOUT: Duration = Duration::from_mins(2);

/// The Runtime API, for callers that block.
pub struct Lambda {
    api: RuntimeApi,
    runtime: Runtime,
}

impl Lambda {
    /// Starts the Runtime API on a thread of its own.
    #[must_use]
    pub fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build();
        Self {
            api: RuntimeApi::start(TIMEOUT),
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn address(&self) -> String {
        self.api.address().to_string()
    }

    /// Waits until the function asks for its next event and returns when it did.
    pub fn wait_for_next(&self) -> Instant {
        self.within_timeout(self.api.wait_for_next())
    }

    /// Invokes the function, which must be waiting for an event. Returns the time until its
    /// response arrived, and the response.
    pub fn invoke(&self, event: &Bytes) -> (Duration, Bytes) {
        let start = Instant::now();
        let outcome = self.within_timeout(self.api.invoke(event.clone()));
        match outcome.result {
            Ok(response) => (outcome.at - start, response),
            Err(document) => panic!("the function failed: {document:?}"),
        }
    }

    fn within_timeout<T>(&self, work: impl Future<Output = T>) -> T {
        // A timer can be made only inside of the runtime.
        let result = self
            .runtime
            .block_on(async { timeout(TIMEOUT, work).await });
        result.expect("the function keeps the time limit")
    }
}
