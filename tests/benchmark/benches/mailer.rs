//! Measures the mailer's binary while every call to AWS takes 50 ms longer.
//!
//! ```sh
//! cargo bench --profile dev -p benchmark --bench mailer   # the waiting counts, not the code
//! ```
//!
//! Each batch starts when the one before has returned, as in one of Lambda's concurrent invocations.

use std::time::{Duration, Instant};

use benchmark::statistics::median;
use serde_json::{Value, json};
use tests::{
    app::{TestApp, user},
    builder::Builder,
    functions::{mail_event, stream_record},
    lambda::Function,
    proxy::Action,
};

/// Added to every call.
const DELAY: Duration = Duration::from_millis(50);
/// Messages in a full batch.
const BATCH: usize = 10;
/// Batches per measurement.
const BATCHES: usize = 20;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (one, ten) = (run(1).await, run(BATCH).await);
    println!("batch | ms | emails per second | billed ms per email");
    for (size, ms) in [(1, one), (BATCH, ten)] {
        let size = f64::from(u32::try_from(size).expect("a small number"));
        println!(
            "{size} | {ms:.0} | {:.1} | {:.1}",
            size * 1000.0 / ms,
            ms / size
        );
    }
}

/// Delivers batches of `size` one after the other. Returns the median time of a batch in
/// milliseconds.
async fn run(size: usize) -> f64 {
    let address = |number: usize| format!("user-{number}@example.com");
    let builder = TestApp::builder().manual_delivery();
    let users = (0..size * BATCHES).map(|number| user(&address(number)));
    let app = users.fold(builder, Builder::user).start().await;
    for proxy in [&app.dynamodb, &app.ses] {
        proxy.intercept(|_| Action::Delay(DELAY));
    }
    let mailer = Function::start("mailer", &app.environment());
    let mut times = Vec::new();
    for batch in 0..BATCHES {
        let numbers = batch * size..(batch + 1) * size;
        let records: Vec<Value> = numbers
            .map(|number| {
                let id = u32::try_from(number).expect("a small number");
                stream_record("reset_requested", &address(number), id)
            })
            .collect();
        let start = Instant::now();
        let response = mailer.invoke(&mail_event(&records)).await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(response, Ok(json!({ "batchItemFailures": [] })));
    }
    assert_eq!(app.emails().len(), size * BATCHES);
    median(&times)
}
