//! Checks that neither the bytes nor the time of a response reveal who has an account.
//!
//! ```sh
//! cargo bench -p benchmark --bench enumeration -- runtime-api   # `request` as Lambda runs it
//! cargo bench -p benchmark --bench enumeration -- runserver     # the whole system in one process
//! cargo bench -p benchmark --bench enumeration -- naive         # a handler that leaks, to prove that leaks are detected
//! ```
//!
//! It requests emails for five kinds of address of equal length, one after the other in random
//! order. Drift and noise of the machine affect all kinds equally, so only a dependence on the kind
//! makes their times differ.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
    pin::pin,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use aws::tables::Users;
use aws_sdk_dynamodb::{Client as DynamoDb, types::AttributeValue};
use axum::{Json, Router, extract::State, routing::post};
use benchmark::statistics::{auc, median, worst_t};
use chrono::{DateTime, Utc};
use local::{
    event_source,
    mail_queue::MailQueue,
    pipe::Pipe,
    system::{LocalSystem, Options},
};
use mailer::settings::MailerSettings;
use rand::{TryRng, rngs::SysRng};
use rules::{address::EmailAddress, environment::Environment};
use serde_json::{Value, json};
use tests::{
    builder::other_dynamodb,
    command::Runserver,
    http::{self, FORGOT_PASSWORD, JSON},
    lambda::{self, Function},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The kinds of addresses.
const KINDS: [&str; 5] = ["known", "unknown", "inactive", "over budget", "bounced"];
/// Samples requests per kind.
const EACH: usize = 10_000;
/// Unmeasured requests per kind, before the others.
const WARM_UP: usize = 100;
/// Requests per kind in a block. The order within a block is random.
const PER_BLOCK: usize = 10;
/// Emails per account and hour, as deployed.
const BUDGET: usize = 5;
/// Addresses per kind. The known kind has more, because their budget must not run out.
const ADDRESSES: usize = 200;

/// Limit of |t|, from dudect.
const MAX_T: f64 = 4.5;
/// Limit of the distance between the AUC and 0.5.
const MAX_AUC_DISTANCE: f64 = 0.01;

/// Time limit for the emails that are still due at the end.
const WAIT_TIMEOUT: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = benchmark::arguments();
    let (mode, each) = match arguments.as_slice() {
        [mode] => (mode.as_str(), EACH),
        [mode, each] => (mode.as_str(), each.parse().expect("a number of requests")),
        _ => panic!("expected a mode: runtime-api, runserver or naive"),
    };
    let samples = match mode {
        "runtime-api" => Box::pin(runtime_api(each)).await,
        "runserver" => runserver(each).await,
        "naive" => naive(each).await,
        _ => panic!("unknown mode {mode}: expected runtime-api, runserver or naive"),
    };
    let report = Report::of(&samples);
    report.print(mode, &samples);
    if report.leaks() == (mode == "naive") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The addresses of each kind.
struct Population([Vec<String>; 5]);

/// Times in microseconds and distinct responses, by kind.
#[derive(Default)]
struct Samples {
    micros: [Vec<f64>; 5],
    responses: [BTreeSet<String>; 5],
}

/// Measures `request` behind the Runtime API. The mailer runs only between blocks, because on AWS it
/// runs on another machine.
async fn runtime_api(each: usize) -> Samples {
    let (services, environment) = start_services().await;
    let population = Population::create(services.dynamodb(), each).await;
    let function = Function::start("request", &environment);
    let mut sending = pin!(send_emails(&services, &environment));
    let send = async |email: &str| {
        let mut event = lambda::sample_event("request.json");
        event["body"] = json!(json!({ "email": email }).to_string());
        let start = Instant::now();
        let response = function.invoke(&event).await.expect("a response");
        (start.elapsed(), response.to_string())
    };
    let between = async |emails: usize| {
        let all_sent = async {
            while services.inbox().count() < emails {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = &mut sending => {}
            () = all_sent => {}
        }
    };
    let samples = measure(&population, each, send, between).await;
    assert_emailed(services.dynamodb(), &population, each).await;
    samples
}

/// Measures `runserver` over one connection. Its mailer runs all the time in the same process.
async fn runserver(each: usize) -> Samples {
    let server = Runserver::start("--memory", &settings()).await;
    let dynamodb = server.dynamodb();
    let population = Population::create(&dynamodb, each).await;
    let samples = over_http(&population, each, server.authority()).await;
    assert_emailed(&dynamodb, &population, each).await;
    samples
}

/// Measures a handler that looks the user up and sends the email before it responds.
async fn naive(each: usize) -> Samples {
    let (services, _) = start_services().await;
    let population = Population::create(services.dynamodb(), each).await;
    let users = Users::new(services.dynamodb().clone(), services.tables().users.clone());
    let state = Arc::new((users, services.ses_url()));
    let router = Router::new()
        .route(FORGOT_PASSWORD, post(respond_naively))
        .with_state(state);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    over_http(&population, each, &authority).await
}

async fn respond_naively(
    State(state): State<Arc<(Users, String)>>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let (users, ses) = &*state;
    let email = EmailAddress::parse(body["email"].as_str().expect("a string")).expect("an address");
    let user = users.get(&email).await.expect("a response from DynamoDB");
    if let Some(user) = user.filter(|user| user.is_active && user.suppression().is_none()) {
        let message = json!({
            "FromEmailAddress": "no-reply@example.com",
            "Destination": { "ToAddresses": [user.mail_to] },
            "Content": { "Simple": {
                "Subject": { "Data": "Reset" },
                "Body": { "Text": { "Data": "Here is your link." } },
            } },
        });
        let url = format!("{ses}/v2/email/outbound-emails");
        let headers = [("content-type", JSON)];
        http::send(::http::Method::POST, &url, &headers, message.to_string()).await;
    }
    Json(json!({ "worked": true }))
}

/// Settings without a client limit and a cool-down. The hourly budget stays.
fn settings() -> BTreeMap<String, String> {
    [
        ("CLIENT_LIMIT", "1000000"),
        ("CLIENT_WINDOW_SECONDS", "86400"),
        ("ACCOUNT_COOLDOWN_SECONDS", "0"),
        ("AWS_LAMBDA_LOG_LEVEL", "ERROR"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

async fn start_services() -> (LocalSystem, BTreeMap<String, String>) {
    let options = Options {
        send_email: false,
        dynamodb_url: other_dynamodb(),
        settings: settings(),
        ..Options::in_memory()
    };
    let services = Box::pin(LocalSystem::start(options))
        .await
        .expect("a local system");
    let environment = services.environment();
    (services, environment)
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
async fn send_emails(services: &LocalSystem, environment: &BTreeMap<String, String>) {
    let lookup = |name: &str| environment.get(name).cloned();
    let env = Environment::new(&lookup);
    let config = aws::config(&env).expect("a region and credentials");
    let dynamodb = services.dynamodb();
    let settings = MailerSettings::read(&env).expect("valid settings");
    let mailer = Arc::new(mailer::App::new(settings, dynamodb.clone(), &config, &env));
    let config = config.into_builder().endpoint_url(services.dynamodb_url());
    let streams = aws_sdk_dynamodbstreams::Client::new(&config.build());
    let queue = MailQueue::open(None, Duration::from_mins(3)).expect("a queue in memory");
    let queue = Arc::new(queue);
    let outbox = &services.tables().outbox;
    let pipe = Pipe::new(dynamodb, streams, outbox, queue.clone()).await;
    let pipe = pipe.expect("a stream").run();
    futures::join!(pipe, event_source::run(queue, mailer, Utc::now));
}

impl Population {
    /// Generates the addresses and stores the users.
    async fn create(dynamodb: &DynamoDb, each: usize) -> Self {
        let known = (each + WARM_UP).div_ceil(BUDGET);
        let counts = [known, ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES];
        let population = Self(counts.map(|count| (0..count).map(|_| address()).collect()));
        for (kind, addresses) in KINDS.into_iter().zip(&population.0) {
            for address in addresses.iter().filter(|_| kind != "unknown") {
                let put = dynamodb.put_item().table_name("users");
                let put = put.set_item(Some(user(kind, address)));
                put.send().await.expect("a response from DynamoDB");
            }
        }
        population
    }
}

/// Returns an address of 16 random digits, which does not depend on the kind.
fn address() -> String {
    let number = SysRng.try_next_u64().expect("random bits");
    format!("{number:016x}@example.com")
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn user(kind: &str, address: &str) -> HashMap<String, AttributeValue> {
    let (string, number) = (AttributeValue::S, |n: i64| AttributeValue::N(n.to_string()));
    let now = Utc::now().timestamp_millis();
    let map = |pairs: &[(&str, AttributeValue)]| -> HashMap<String, AttributeValue> {
        let own = |(name, value): &(&str, AttributeValue)| ((*name).to_owned(), value.clone());
        pairs.iter().map(own).collect()
    };
    let email = |n: usize| {
        AttributeValue::M(map(&[
            ("event", string(format!("{n:032x}"))),
            ("kind", string("reset_requested".to_owned())),
            // Counts for an hour, which is longer than the measurement.
            ("at", number(now)),
        ]))
    };
    let suppression = map(&[
        ("address", string(address.to_owned())),
        ("at", number(now)),
        ("cause", string("bounced".to_owned())),
    ]);
    let mut user = map(&[
        ("email", string(address.to_owned())),
        ("mail_to", string(address.to_owned())),
        ("user_id", string("u-1".to_owned())),
        ("is_active", AttributeValue::Bool(kind != "inactive")),
    ]);
    match kind {
        "over budget" => {
            let emails = (0..BUDGET).map(email).collect();
            user.insert("recovery_mails".to_owned(), AttributeValue::L(emails));
        }
        "bounced" => {
            let suppression = AttributeValue::M(suppression);
            user.insert("recovery_suppression".to_owned(), suppression);
        }
        _ => {}
    }
    user
}

/// Sends `each` requests per kind in random order. `send` returns the time and the parts of the
/// response that must not vary. `between` runs after each block, with the number of emails due.
async fn measure(
    population: &Population,
    each: usize,
    mut send: impl AsyncFnMut(&str) -> (Duration, String),
    mut between: impl AsyncFnMut(usize),
) -> Samples {
    let mut samples = Samples::default();
    let mut done = 0;
    while done < each + WARM_UP {
        for (kind, nth) in block() {
            let addresses = &population.0[kind];
            let (time, response) = send(&addresses[(done + nth) % addresses.len()]).await;
            if done >= WARM_UP {
                samples.micros[kind].push(time.as_secs_f64() * 1e6);
            }
            samples.responses[kind].insert(response);
        }
        done += PER_BLOCK;
        between(done).await;
    }
    samples
}

/// Returns each kind [`PER_BLOCK`] times, in random order.
fn block() -> Vec<(usize, usize)> {
    let mut block: Vec<(usize, usize)> = (0..KINDS.len())
        .flat_map(|kind| (0..PER_BLOCK).map(move |nth| (kind, nth)))
        .collect();
    block.sort_by_cached_key(|_| SysRng.try_next_u64().expect("random bits"));
    block
}

/// Measures over one kept connection, then sends one request per kind with `connection: close`.
async fn over_http(population: &Population, each: usize, authority: &str) -> Samples {
    let mut stream = TcpStream::connect(authority).await.expect("it listens");
    stream.set_nodelay(true).expect("a connection");
    let send = async |email: &str| {
        let request = request(authority, email, "keep-alive");
        let start = Instant::now();
        stream
            .write_all(request.as_bytes())
            .await
            .expect("an open connection");
        let response = read_response(&mut stream).await;
        (start.elapsed(), response)
    };
    let mut samples = measure(population, each, send, async |_| {}).await;
    for (kind, addresses) in population.0.iter().enumerate().skip(1) {
        let response = send_and_close(authority, &addresses[0]).await;
        samples.responses[kind].insert(response);
    }
    // The first known address may have used up its budget.
    let response = send_and_close(authority, &population.0[1][1]).await;
    samples.responses[0].insert(response);
    samples
}

fn request(authority: &str, email: &str, connection: &str) -> String {
    let body = json!({ "email": email }).to_string();
    format!(
        "POST {FORGOT_PASSWORD} HTTP/1.1\r\nhost: {authority}\r\nconnection: {connection}\r\n\
         content-type: {JSON}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads a response, byte for byte except its date.
async fn read_response(stream: &mut TcpStream) -> String {
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await.expect("a response");
        assert!(read > 0, "the connection was closed");
        response.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&response);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lines = head.lines();
            let length = lines
                .clone()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|n| n.parse().ok()).expect("a length");
            if body.len() == length {
                let head: Vec<&str> = lines.filter(|line| !line.starts_with("date: ")).collect();
                return format!("{}\n\n{body}", head.join("\n"));
            }
        }
    }
}

/// Sends a request on a new connection. Returns the response, and whether the server then closes.
async fn send_and_close(authority: &str, email: &str) -> String {
    let mut stream = TcpStream::connect(authority).await.expect("it listens");
    let request = request(authority, email, "close");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("an open connection");
    let response = read_response(&mut stream).await;
    let rest = stream.read(&mut [0; 1]).await;
    format!("{response}\n{rest:?}")
}

/// Checks that each request for a known address led to an email and no other request did. Otherwise
/// the kinds were not what they claim.
async fn assert_emailed(dynamodb: &DynamoDb, population: &Population, each: usize) {
    let due = each + WARM_UP;
    let start = Instant::now();
    loop {
        let mut sent = [0; 5];
        for (kind, addresses) in population.0.iter().enumerate() {
            for address in addresses {
                sent[kind] += emails_to(dynamodb, address).await;
            }
        }
        if sent == [due, 0, 0, 0, 0] {
            return;
        }
        assert!(
            start.elapsed() < WAIT_TIMEOUT,
            "{due} emails due, sent: {sent:?}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn emails_to(dynamodb: &DynamoDb, address: &str) -> usize {
    let get = dynamodb.get_item().table_name("users");
    let get = get.key("email", AttributeValue::S(address.to_owned()));
    let item = get.send().await.expect("a response from DynamoDB").item;
    let count = item
        .as_ref()
        .and_then(|item| item.get("recovery_mail_count"));
    let count = count.and_then(|count| count.as_n().ok());
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// The differences between the kinds.
struct Report {
    pairs: Vec<Pair>,
    /// Number of distinct sets of responses.
    response_sets: usize,
}

struct Pair {
    kinds: [&'static str; 2],
    t: f64,
    auc: f64,
}

impl Report {
    fn of(samples: &Samples) -> Self {
        let times: Vec<_> = KINDS.into_iter().zip(&samples.micros).collect();
        let mut pairs = Vec::new();
        for (first, (kind, one)) in times.iter().enumerate() {
            for (other_kind, other) in &times[first + 1..] {
                pairs.push(Pair {
                    kinds: [*kind, *other_kind],
                    t: worst_t(one, other),
                    auc: auc(one, other),
                });
            }
        }
        let different: BTreeSet<_> = samples.responses.iter().collect();
        Self {
            pairs,
            response_sets: different.len(),
        }
    }

    fn leaks(&self) -> bool {
        let differs =
            |pair: &Pair| pair.t.abs() >= MAX_T || (pair.auc - 0.5).abs() > MAX_AUC_DISTANCE;
        self.response_sets != 1 || self.pairs.iter().any(differs)
    }

    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    fn print(&self, mode: &str, samples: &Samples) {
        let each = samples.micros[0].len();
        println!("{mode}, {each} of each kind\n\n| kinds | t | AUC |\n|---|---|---|");
        for Pair { kinds, t, auc } in &self.pairs {
            println!("| {} and {} | {t:.2} | {auc:.4} |", kinds[0], kinds[1]);
        }
        println!("\n| kind | median, µs |\n|---|---|");
        for (kind, micros) in KINDS.iter().zip(&samples.micros) {
            println!("| {kind} | {:.0} |", median(micros));
        }
        println!("\ndistinct sets of responses: {}", self.response_sets);
        println!(
            "{}",
            samples.responses[0].iter().next().expect("a response")
        );
        let pairs: Vec<Value> = self
            .pairs
            .iter()
            .map(|pair| json!({ "kinds": pair.kinds, "t": pair.t, "auc": pair.auc }))
            .collect();
        let now: DateTime<Utc> = Utc::now();
        let report = json!({ "mode": mode, "each": each, "at": now.to_rfc3339(), "pairs": pairs, "response_sets": self.response_sets });
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let file = folder.join(format!("enumeration-{mode}.json"));
        fs::write(&file, format!("{report:#}\n")).expect("a file");
    }
}
