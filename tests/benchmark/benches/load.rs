//! The local system under load: whether it answers as documented, stays the same size, and sends
//! every mail that it owes.
//!
//! ```sh
//! cargo bench -p benchmark --bench load            # 30 minutes, 200 requests a second
//! cargo bench -p benchmark --bench load -- 1 50    # a minute, 50 requests a second
//! ```
//!
//! The generator does not wait for answers before it goes on: a system that is too slow is asked
//! as often as one that is not. One request in a hundred is hostile; for ten requests there is one
//! new password, with a link from a mail.

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
    http::{self, CHANGE, FORGOT, JSON},
};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, sleep},
};

const MINUTES: u32 = 30;
const REQUESTS_A_SECOND: u32 = 200;
/// One request in so many is hostile.
const HOSTILE: u32 = 100;
/// One new password for so many requests.
const CONFIRM: u32 = 10;
/// Requests for an account in all, far under what its budget allows in an hour.
const PER_ACCOUNT: u32 = 9;
/// How much larger the process may be at the end than after a fifth of the time.
const MAX_GROWTH: f64 = 1.2;
/// How long the mailer may take for what is owed at the end.
const PATIENCE: Duration = Duration::from_mins(20);

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = benchmark::arguments().into_iter();
    let mut number = |default: u32| {
        let given = arguments.next().map(|text| text.parse());
        given.unwrap_or(Ok(default)).expect("a number")
    };
    let (minutes, rate) = (number(MINUTES), number(REQUESTS_A_SECOND));
    let count = minutes * 60 * rate;

    let load = Arc::new(Load::default());
    let folder = env::temp_dir().join(format!("load-{}", std::process::id()));
    let settings = settings(&serve_ses(Arc::clone(&load)).await);
    let mut server = Runserver::start(&format!("--data {}", folder.display()), &settings).await;
    add_users(&server.dynamodb(), count.div_ceil(PER_ACCOUNT)).await;

    let sizes = generate(&load, &server, count, rate).await;
    let is_right = settle(&load, count).await & report(&load, &sizes);
    server.process.kill().await.expect("it runs");
    fs::remove_dir_all(&folder).expect("a folder");
    if is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What has happened so far.
#[derive(Default)]
struct Load(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// By what was sent and the status that came back.
    answers: BTreeMap<(&'static str, u16), u64>,
    links: u64,
    notices: u64,
    /// Links that nobody has followed, by account, and who has followed one.
    tokens: Vec<(String, String)>,
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

/// An SES that counts the mails and takes the links out of them.
async fn serve_ses(load: Arc<Load>) -> String {
    let router = Router::new()
        .route("/v2/email/outbound-emails", post(take_mail))
        .with_state(load);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn take_mail(State(load): State<Arc<Load>>, Json(mail): Json<Value>) -> Json<Value> {
    let to = mail["Destination"]["ToAddresses"][0].as_str();
    let to = to.expect("a recipient").to_owned();
    let text = mail["Content"]["Simple"]["Body"]["Text"]["Data"].as_str();
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
        put.send().await.expect("DynamoDB answers");
    }
}

fn address(number: u32) -> String {
    format!("user-{number}@example.com")
}

/// Sends everything on time; the size of the process in KiB, every few seconds.
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
            spawn(load, "request", format!("{api}{FORGOT}"), body.to_string());
        }
        let link = (number % CONFIRM == 0).then(|| next_link(load)).flatten();
        if let Some(token) = link {
            let body = json!({ "forgot_password_hash": token, "new_password": GOOD_PASSWORD });
            spawn(load, "confirm", format!("{api}{CHANGE}"), body.to_string());
        }
    }
    sizes
}

/// A link of an account that has followed none: the others of it are dead.
fn next_link(load: &Load) -> Option<String> {
    let mut counts = load.counts();
    while let Some((email, token)) = counts.tokens.pop() {
        if counts.changed.insert(email) {
            return Some(token);
        }
    }
    None
}

/// Something that has to be refused.
fn hostile(number: u32) -> (&'static str, String) {
    match number % 5 {
        0 => (FORGOT, "[".repeat(16_000)),
        1 => (FORGOT, "x".repeat(100_000)),
        2 => (FORGOT, json!({ "email": ["a@example.com", "b@example.com"] }).to_string()),
        3 => (CHANGE, json!({ "forgot_password_hash": "0", "new_password": "x" }).to_string()),
        _ => (CHANGE, json!({ "forgot_password_hash": "A".repeat(43), "new_password": "4@8({[<36".repeat(28) }).to_string()),
    }
}

fn spawn(load: &Arc<Load>, what: &'static str, url: String, body: String) {
    let load = Arc::clone(load);
    tokio::spawn(async move {
        let start = Instant::now();
        let headers = [("content-type", JSON)];
        let answer = http::send(::http::Method::POST, &url, &headers, body).await;
        let mut counts = load.counts();
        counts.slowest = counts.slowest.max(start.elapsed());
        *counts
            .answers
            .entry((what, answer.status.as_u16()))
            .or_default() += 1;
    });
}

fn resident_kib(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().next());
    size.and_then(|size| size.parse().ok()).expect("a size")
}

/// Waits until all `count` requests have an answer, each accepted one its link and each change its
/// notice; whether that is so.
async fn settle(load: &Load, count: u32) -> bool {
    let start = Instant::now();
    loop {
        let is_done = {
            let counts = load.counts();
            let answered = |what| counts.answers.get(&(what, 200)).copied().unwrap_or(0);
            let asked = |(what, _): &(&str, u16)| *what != "confirm";
            let all = counts.answers.iter().filter(|(key, _)| asked(key));
            all.map(|(_, count)| count).sum::<u64>() == u64::from(count)
                && (counts.links, counts.notices) == (answered("request"), answered("confirm"))
        };
        if is_done || start.elapsed() > PATIENCE {
            return is_done;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Prints what happened; whether all of it is as it should be.
fn report(load: &Load, sizes: &[f64]) -> bool {
    let counts = load.counts();
    for ((what, status), count) in &counts.answers {
        println!("{what}: {count} answers with status {status}");
    }
    println!(
        "{} links and {} notices mailed",
        counts.links, counts.notices
    );
    println!("slowest answer: {:?}", counts.slowest);
    let (warm, end) = (sizes[sizes.len() / 5], sizes[sizes.len() - 1]);
    println!("resident: {warm} KiB after a fifth of the time, {end} KiB at the end");
    let documented = counts.answers.keys().all(|(what, status)| match *what {
        "hostile" => [400, 413].contains(status),
        _ => *status == 200,
    });
    documented && end <= warm * MAX_GROWTH
}
