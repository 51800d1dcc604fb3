//! Checks the local system under load: every response is documented, memory does not grow, and every
//! email is sent.
//!
//! ```sh
//! cargo bench -p benchmark --bench load            # 30 minutes, 200 requests per second
//! cargo bench -p benchmark --bench load -- 1 50    # 1 minute, 50 requests per second
//! ```
//!
//! Requests are sent at a fixed rate, without waiting for responses. One in a hundred is hostile. For
//! every tenth one, a password is set with a link from an email.

use std::{
    collections::{BTreeMap, HashSet},
    env, fs,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{Client as DynamoDb, types::AttributeValue};
use axum::{Json, Router, extract::State, routing::post};
use rand::{TryRng, rngs::SysRng};
use serde_json::{Value, json};
use tests::{
    app::GOOD_PASSWORD,
    command::Runserver,
    http::{self, CHANGE_PASSWORD, FORGOT_PASSWORD, JSON},
};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, sleep},
};

const MINUTES: u32 = 30;
const REQUESTS_PER_SECOND: u32 = 200;
/// One request in this many is hostile.
const HOSTILE: u32 = 100;
/// One password is set per this many requests.
const CONFIRM: u32 = 10;
/// Requests per account in the whole run, far below its hourly budget.
const PER_ACCOUNT: u32 = 9;
/// Limit of the memory at the end, relative to a fifth into the run.
const MAX_GROWTH: f64 = 1.2;
/// Time limit for the emails that are still due at the end.
const WAIT_TIMEOUT: Duration = Duration::from_mins(20);

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = benchmark::arguments().into_iter();
    let mut number = |default: u32| {
        let given = arguments.next().map(|text| text.parse());
        given.unwrap_or(Ok(default)).expect("a number")
    };
    let (minutes, rate) = (number(MINUTES), number(REQUESTS_PER_SECOND));
    let count = minutes * 60 * rate;

    let load = Arc::new(Load::default());
    let folder = env::temp_dir().join(format!("load-{}", std::process::id()));
    let settings = settings(&serve_ses(Arc::clone(&load)).await);
    let mut server = Runserver::start(&format!("--data {}", folder.display()), &settings).await;
    add_users(&server.dynamodb(), count.div_ceil(PER_ACCOUNT)).await;

    let sizes = generate(&load, &server, count, rate).await;
    let is_success = settle(&load, count).await & report(&load, &sizes);
    server.process.kill().await.expect("a running process");
    fs::remove_dir_all(&folder).expect("a folder");
    if is_success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The state shared by all requests.
#[derive(Default)]
struct Load(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Responses by kind of request and status.
    responses: BTreeMap<(&'static str, u16), u64>,
    links: u64,
    notices: u64,
    /// Unused links: email address and token.
    tokens: Vec<(String, String)>,
    /// Accounts that have used a link.
    changed: HashSet<String>,
    slowest: Duration,
}

impl Load {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn settings(ses: &str) -> BTreeMap<String, String> {
    [
        ("AWS_ENDPOINT_URL_SESV2", ses),
        ("CLIENT_LIMIT", "1000000"),
        ("CLIENT_WINDOW_SECONDS", "86400"),
        ("ACCOUNT_COOLDOWN_SECONDS", "0"),
        ("ACCOUNT_LIMIT_PER_HOUR", "100"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Serves an SES that counts the emails and collects their links.
async fn serve_ses(load: Arc<Load>) -> String {
    let router = Router::new()
        .route("/v2/email/outbound-emails", post(receive_email))
        .with_state(load);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn receive_email(State(load): State<Arc<Load>>, Json(email): Json<Value>) -> Json<Value> {
    let to = email["Destination"]["ToAddresses"][0].as_str();
    let to = to.expect("a recipient").to_owned();
    let text = email["Content"]["Simple"]["Body"]["Text"]["Data"].as_str();
    let token = text.and_then(|text| text.split_once("token="));
    let mut counts = load.counts();
    match token {
        Some((_, rest)) => {
            counts.links += 1;
            counts.tokens.push((to, rest[..43].to_owned()));
        }
        None => counts.notices += 1,
    }
    Json(json!({ "MessageId": "1" }))
}

async fn add_users(dynamodb: &DynamoDb, count: u32) {
    for number in 0..count {
        let put = dynamodb.put_item().table_name("users");
        let put = put.item("email", AttributeValue::S(address(number)));
        put.send().await.expect("a response from DynamoDB");
    }
}

fn address(number: u32) -> String {
    format!("user-{number}@example.com")
}

/// Sends the requests at the given rate. Returns the resident memory every two seconds, in KiB.
async fn generate(load: &Arc<Load>, server: &Runserver, count: u32, rate: u32) -> Vec<f64> {
    let (api, id) = (
        format!("http://{}", server.authority()),
        server.process.id(),
    );
    let accounts = count.div_ceil(PER_ACCOUNT);
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sizes = Vec::new();
    for number in 0..count {
        ticks.tick().await;
        if number % (rate * 2) == 0 {
            sizes.push(resident_kib(id.expect("a running process")));
        }
        if number % HOSTILE == HOSTILE - 1 {
            let (path, body) = hostile(number / HOSTILE);
            spawn(load, "hostile", format!("{api}{path}"), body);
        } else {
            let random = SysRng.try_next_u32().expect("random bits");
            let body = json!({ "email": address(random % accounts) });
            spawn(
                load,
                "request",
                format!("{api}{FORGOT_PASSWORD}"),
                body.to_string(),
            );
        }
        let link = (number % CONFIRM == 0).then(|| next_link(load)).flatten();
        if let Some(token) = link {
            let body = json!({ "forgot_password_hash": token, "new_password": GOOD_PASSWORD });
            spawn(
                load,
                "confirm",
                format!("{api}{CHANGE_PASSWORD}"),
                body.to_string(),
            );
        }
    }
    sizes
}

/// Returns a link of an account that has not used one: after the first use, the others are invalid.
fn next_link(load: &Load) -> Option<String> {
    let mut counts = load.counts();
    while let Some((email, token)) = counts.tokens.pop() {
        if counts.changed.insert(email) {
            return Some(token);
        }
    }
    None
}

/// Builds a request that must be refused.
fn hostile(number: u32) -> (&'static str, String) {
    match number % 5 {
        0 => (FORGOT_PASSWORD, "[".repeat(16_000)),
        1 => (FORGOT_PASSWORD, "x".repeat(100_000)),
        2 => (FORGOT_PASSWORD, json!({ "email": ["a@example.com", "b@example.com"] }).to_string()),
        3 => (CHANGE_PASSWORD, json!({ "forgot_password_hash": "0", "new_password": "x" }).to_string()),
        _ => (CHANGE_PASSWORD, json!({ "forgot_password_hash": "A".repeat(43), "new_password": "4@8({[<36".repeat(28) }).to_string()),
    }
}

fn spawn(load: &Arc<Load>, kind: &'static str, url: String, body: String) {
    let load = Arc::clone(load);
    tokio::spawn(async move {
        let start = Instant::now();
        let headers = [("content-type", JSON)];
        let response = http::send(::http::Method::POST, &url, &headers, body).await;
        let mut counts = load.counts();
        counts.slowest = counts.slowest.max(start.elapsed());
        *counts
            .responses
            .entry((kind, response.status.as_u16()))
            .or_default() += 1;
    });
}

fn resident_kib(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().next());
    size.and_then(|size| size.parse().ok()).expect("a size")
}

/// Waits until all `count` requests have a response, each accepted one an email with a link and each
/// new password a notice. Returns `false` after the time limit.
async fn settle(load: &Load, count: u32) -> bool {
    let start = Instant::now();
    loop {
        let is_done = {
            let counts = load.counts();
            let accepted = |kind| counts.responses.get(&(kind, 200)).copied().unwrap_or(0);
            let is_request = |(kind, _): &(&str, u16)| *kind != "confirm";
            let all = counts.responses.iter().filter(|(key, _)| is_request(key));
            all.map(|(_, count)| count).sum::<u64>() == u64::from(count)
                && (counts.links, counts.notices) == (accepted("request"), accepted("confirm"))
        };
        if is_done || start.elapsed() > WAIT_TIMEOUT {
            return is_done;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Prints the results. Returns whether all responses are documented and memory did not grow.
fn report(load: &Load, sizes: &[f64]) -> bool {
    let counts = load.counts();
    for ((kind, status), count) in &counts.responses {
        println!("{kind}: {count} responses with status {status}");
    }
    println!("{} links and {} notices sent", counts.links, counts.notices);
    println!("slowest response: {:?}", counts.slowest);
    let (warm, end) = (sizes[sizes.len() / 5], sizes[sizes.len() - 1]);
    println!("resident memory: {warm} KiB after a fifth of the run, {end} KiB at the end");
    let documented = counts.responses.keys().all(|(kind, status)| match *kind {
        "hostile" => [400, 413].contains(status),
        _ => *status == 200,
    });
    documented && end <= warm * MAX_GROWTH
}
