//! Checks that a reset costs the same however many users and links there are.
//!
//! ```sh
//! cargo bench -p benchmark --bench scale                  # 1,000, 100,000 and 1,000,000 users
//! cargo bench -p benchmark --bench scale -- 1000 20000    # other sizes, at least 320
//! ```
//!
//! Each size has its own system, with as many outstanding links as users, on the embedded DynamoDB in
//! memory or the one at `TEST_DYNAMODB_URL`. The systems take turns at every step, so other work on
//! the machine affects all of them equally. The benchmark fails if a step makes other calls or
//! consumes other capacity units at one size than at another.

use std::{
    collections::{BTreeMap, HashMap},
    process::ExitCode,
    time::Instant,
};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use benchmark::statistics::median;
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream};
use rand::rngs::SysRng;
use rules::token::ResetToken;
use tests::{
    app::{GOOD_PASSWORD, TestApp, user},
    functions::{at, stream_record},
};

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];
/// Measured and unmeasured resets per size.
const RESETS: u32 = 300;
const WARM_UP: u32 = 20;
/// Rows per call (the most that DynamoDB allows), and concurrent calls.
const ROWS: usize = 25;
const CALLS: usize = 8;

/// The steps of a reset.
const STEPS: [&str; 4] = ["request", "email", "new password", "notice"];

type Row = HashMap<String, AttributeValue>;

#[tokio::main]
async fn main() -> ExitCode {
    let given = benchmark::arguments().into_iter();
    let mut sizes: Vec<u32> = given
        .map(|text| text.parse().expect("a number of users"))
        .collect();
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    let mut systems = Vec::new();
    for size in sizes {
        assert!(
            size >= WARM_UP + RESETS,
            "a size is too small: each reset needs another user"
        );
        systems.push(Box::pin(System::fill(size)).await);
    }
    let mut bills: BTreeMap<&str, Vec<Bill>> = BTreeMap::new();
    for number in 0..WARM_UP + RESETS {
        for step in STEPS {
            for system in &mut systems {
                let (millis, bill) = Box::pin(system.run(step, number)).await;
                if number >= WARM_UP {
                    system.millis.entry(step).or_default().push(millis);
                }
                let bills = bills.entry(step).or_default();
                if !bills.contains(&bill) {
                    bills.push(bill);
                }
            }
        }
    }
    report(&systems, &bills)
}

/// The calls of a step with the capacity units they consumed.
type Bill = Vec<(String, f64)>;

/// A system with many users.
struct System {
    size: u32,
    app: TestApp,
    /// The user who resets, and the token in their email.
    email: String,
    token: String,
    millis: BTreeMap<&'static str, Vec<f64>>,
}

impl System {
    /// Creates a system with `size` users, each with a link.
    async fn fill(size: u32) -> Self {
        let start = Instant::now();
        let builder = TestApp::builder()
            .with_cheap_hashes()
            .without_email_budget();
        let app = builder
            .manual_delivery()
            .user(user(&address(0)))
            .start()
            .await;
        let expires_at = at(0) + TimeDelta::hours(24);
        app.put_token(&address(0), at(0), expires_at).await;
        let [user_row, token_row] = [row(&app, "users").await, row(&app, "tokens").await];
        let users = (1..size).map(|number| with_email(&user_row, number));
        put_all(&app, "users", users).await;
        let links = (1..size).map(|number| {
            let token = ResetToken::generate(&mut SysRng).expect("random bits");
            let digest = AttributeValue::S(token.digest().as_str().to_owned());
            let mut row = with_email(&token_row, number);
            row.insert("token_digest".to_owned(), digest);
            row
        });
        put_all(&app, "tokens", links).await;
        app.dynamodb.report_capacity();
        println!(
            "{size} users filled in {:.0} s",
            start.elapsed().as_secs_f64()
        );
        Self {
            size,
            app,
            email: String::new(),
            token: String::new(),
            millis: BTreeMap::new(),
        }
    }

    /// Runs one step of the reset `number`. Returns the milliseconds and the bill. Each reset is for
    /// another account, because its row grows with the outcomes of its emails.
    async fn run(&mut self, step: &str, number: u32) -> (f64, Bill) {
        if step == "request" {
            self.email = address(number * (self.size / (WARM_UP + RESETS)));
            self.app.secrets.add(&self.email);
        }
        let (app, email) = (&self.app, &self.email);
        // A new client each time, to stay below the limit.
        let client = format!("192.0.{}.{}", number / 256, number % 256);
        let now = at(i64::from(number));
        let start = Instant::now();
        match step {
            "request" => app
                .functions
                .request_reset_from(&client, email, now)
                .await
                .assert_worked(),
            "email" => {
                let record = stream_record("reset_requested", email, 2 * number + 1);
                deliver(app, &record, now).await;
            }
            "new password" => {
                let response = app.functions.confirm(&self.token, GOOD_PASSWORD, now).await;
                response.assert_worked();
            }
            _ => {
                let record = stream_record("password_changed", email, 2 * number + 2);
                deliver(app, &record, now).await;
            }
        }
        let millis = start.elapsed().as_secs_f64() * 1e3;
        if step == "email" {
            let emails = app.emails_to(email);
            self.token = app.link_in(emails.last().expect("an email")).token;
        }
        let (calls, units) = (
            app.dynamodb.take_operations(),
            app.dynamodb.take_capacity_units(),
        );
        assert_eq!(calls.len(), units.len(), "units for every call");
        (millis, calls.into_iter().zip(units).collect())
    }
}

async fn deliver(app: &TestApp, record: &serde_json::Value, now: chrono::DateTime<chrono::Utc>) {
    let failures = app
        .functions
        .deliver(std::slice::from_ref(record), now)
        .await;
    assert_eq!(failures, [""; 0], "an email is sent");
}

fn address(number: u32) -> String {
    format!("user-{number:07}@example.com")
}

/// Returns the only row of `table`.
async fn row(app: &TestApp, table: &str) -> Row {
    let mut rows = app.rows(table).await;
    assert_eq!(rows.len(), 1, "{table} has one row");
    rows.remove(0)
}

/// Returns a copy of `row` for the user `number`.
fn with_email(row: &Row, number: u32) -> Row {
    let (first, other) = (address(0), address(number));
    let mut row = row.clone();
    for value in row.values_mut() {
        if let AttributeValue::S(text) = value
            && *text == first
        {
            text.clone_from(&other);
        }
    }
    row
}

/// Puts `rows` into `table`.
async fn put_all(app: &TestApp, table: &str, rows: impl Iterator<Item = Row>) {
    let write = |row| {
        let put = PutRequest::builder().set_item(Some(row)).build();
        WriteRequest::builder()
            .put_request(put.expect("an item"))
            .build()
    };
    let mut rows = rows.map(write);
    let batches = std::iter::from_fn(|| {
        let batch: Vec<_> = rows.by_ref().take(ROWS).collect();
        (!batch.is_empty()).then_some(batch)
    });
    let batches = stream::iter(batches).map(|batch| {
        let call = app
            .dynamodb_client()
            .batch_write_item()
            .request_items(table, batch);
        call.send()
    });
    let written = batches
        .buffer_unordered(CALLS)
        .try_for_each(async |response| {
            assert!(response.unprocessed_items().is_none_or(HashMap::is_empty));
            Ok(())
        });
    Box::pin(written).await.expect("a response from DynamoDB");
}

/// Prints the time and the bills of each step. Fails if a step has more than one bill.
fn report(systems: &[System], bills: &BTreeMap<&str, Vec<Bill>>) -> ExitCode {
    print!("\n| median, ms |");
    for system in systems {
        print!(" {} |", system.size);
    }
    println!(
        " calls, with their units |\n|---|{}---|",
        "---|".repeat(systems.len())
    );
    for step in STEPS {
        print!("| {step} |");
        for system in systems {
            print!(" {:.2} |", median(&system.millis[step]));
        }
        for bill in &bills[step] {
            let calls: Vec<_> = bill
                .iter()
                .map(|(call, units)| format!("{call} {units}"))
                .collect();
            print!(" {} |", calls.join(", "));
        }
        println!();
    }
    if bills.values().all(|bills| bills.len() == 1) {
        ExitCode::SUCCESS
    } else {
        println!("a step makes other calls or consumes other units at one size than at another");
        ExitCode::FAILURE
    }
}
