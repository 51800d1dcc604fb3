//! Whether an answer tells who has an account, by its bytes or by its time.
//!
//! ```sh
//! cargo bench -p benchmark --bench enumeration -- runtime-api   # `request` as Lambda runs it
//! cargo bench -p benchmark --bench enumeration -- runserver     # the whole system in one process
//! cargo bench -p benchmark --bench enumeration -- naive         # a handler that leaks, to see it seen
//! ```
//!
//! Addresses of five kinds, all equally long, are asked for one after the other in random order.
//! Drift and noise of the machine meet all kinds alike; only what depends on the kind can make
//! their times differ.

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
    pump::Pump,
    system::{LocalSystem, Options},
};
use mailer::settings::MailerSettings;
use rand::{TryRng, rngs::SysRng};
use rules::{address::EmailAddress, environment::Environment};
use serde_json::{Value, json};
use tests::{
    app::other_dynamodb,
    command::Runserver,
    http::{self, FORGOT, JSON},
    lambda::{self, Function},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The kinds of addresses.
const KINDS: [&str; 5] = ["known", "unknown", "inactive", "over budget", "bounced"];
/// Requests for each kind.
const EACH: usize = 10_000;
/// Requests for each kind before the first that counts.
const WARM_UP: usize = 100;
/// Requests for each kind in a block, within which the order is random.
const PER_BLOCK: usize = 10;
/// Mails that an account may have in an hour, as deployed.
const BUDGET: usize = 5;
/// Addresses of each kind but the first, which must not run out of its budget.
const ADDRESSES: usize = 200;

/// The most that |t| may be (dudect's limit), and AUC away from a half.
const MAX_T: f64 = 4.5;
/// See [`MAX_T`].
const MAX_AUC: f64 = 0.01;

/// How long the mailer may take for what is owed at the end.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = benchmark::arguments();
    let (mode, each) = match arguments.as_slice() {
        [mode] => (mode.as_str(), EACH),
        [mode, each] => (mode.as_str(), each.parse().expect("a number of requests")),
        _ => panic!("say what to measure: runtime-api, runserver or naive"),
    };
    let measured = match mode {
        "runtime-api" => Box::pin(runtime_api(each)).await,
        "runserver" => runserver(each).await,
        "naive" => naive(each).await,
        _ => panic!("{mode} is not runtime-api, runserver or naive"),
    };
    let report = Report::of(&measured);
    report.print(mode, &measured);
    if report.leaks() == (mode == "naive") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The addresses of each kind.
struct Population([Vec<String>; 5]);

/// The times of each kind in microseconds, and its answers.
#[derive(Default)]
struct Measured {
    micros: [Vec<f64>; 5],
    answers: [BTreeSet<String>; 5],
}

/// `request` behind the Runtime API, and the mailer at work between the blocks alone: on AWS it
/// is on another machine.
async fn runtime_api(each: usize) -> Measured {
    let (services, environment) = start_services().await;
    let population = Population::create(services.dynamodb(), each).await;
    let function = Function::start("request", &environment);
    let mut pump = pin!(start_pump(&services, &environment).await.run());
    let ask = async |email: &str| {
        let mut event = lambda::event("request.json");
        event["body"] = json!(json!({ "email": email }).to_string());
        let start = Instant::now();
        let answer = function.invoke(&event).await.expect("an answer");
        (start.elapsed(), answer.to_string())
    };
    let between = async |mails: usize| {
        let sent = async {
            while services.inbox().count() < mails {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = &mut pump => {}
            () = sent => {}
        }
    };
    let measured = measure(&population, each, ask, between).await;
    assert_mailed(services.dynamodb(), &population, each).await;
    measured
}

/// `manage runserver`, over one connection, with the mailer at work all the time in the same
/// process.
async fn runserver(each: usize) -> Measured {
    let server = Runserver::start("--memory", &settings()).await;
    let dynamodb = server.dynamodb();
    let population = Population::create(&dynamodb, each).await;
    let measured = over_http(&population, each, server.authority()).await;
    assert_mailed(&dynamodb, &population, each).await;
    measured
}

/// What many systems do: look the user up, send the mail to who is there, then answer.
async fn naive(each: usize) -> Measured {
    let (services, _) = start_services().await;
    let population = Population::create(services.dynamodb(), each).await;
    let users = Users::new(services.dynamodb().clone(), services.tables().users.clone());
    let state = Arc::new((users, services.ses_url()));
    let router = Router::new()
        .route(FORGOT, post(ask_naively))
        .with_state(state);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let authority = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    over_http(&population, each, &authority).await
}

async fn ask_naively(
    State(state): State<Arc<(Users, String)>>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let (users, ses) = &*state;
    let email = EmailAddress::parse(body["email"].as_str().expect("a text")).expect("an address");
    let user = users.get(&email).await.expect("DynamoDB answers");
    if let Some(user) = user.filter(|user| user.is_active && user.suppression().is_none()) {
        let mail = json!({
            "FromEmailAddress": "no-reply@example.com",
            "Destination": { "ToAddresses": [user.mail_to] },
            "Content": { "Simple": {
                "Subject": { "Data": "Reset" },
                "Body": { "Text": { "Data": "Here is your link." } },
            } },
        });
        let url = format!("{ses}/v2/email/outbound-emails");
        let headers = [("content-type", JSON)];
        http::send(::http::Method::POST, &url, &headers, mail.to_string()).await;
    }
    Json(json!({ "worked": true }))
}

/// No limit per client, and no time between two mails; the budget of an hour holds.
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
        pump: false,
        dynamodb_url: other_dynamodb(),
        settings: settings(),
        ..Options::in_memory()
    };
    let services = Box::pin(LocalSystem::start(options))
        .await
        .expect("it starts");
    let environment = services.environment();
    (services, environment)
}

#[expect(clippy::disallowed_methods, reason = "the bench is an edge")]
async fn start_pump(services: &LocalSystem, environment: &BTreeMap<String, String>) -> Pump {
    let lookup = |name: &str| environment.get(name).cloned();
    let env = Environment::new(&lookup);
    let config = aws::config(&env).expect("a region and credentials");
    let dynamodb = services.dynamodb();
    let settings = MailerSettings::read(&env).expect("valid settings");
    let mailer = mailer::App::new(settings, dynamodb.clone(), &config, &env);
    let config = config.into_builder().endpoint_url(services.dynamodb_url());
    let streams = aws_sdk_dynamodbstreams::Client::new(&config.build());
    let outbox = &services.tables().outbox;
    let pump = Pump::new(dynamodb, streams, outbox, Arc::new(mailer), Utc::now, None);
    pump.await.expect("a stream")
}

impl Population {
    /// Draws the addresses and adds the users behind those that have one.
    async fn create(dynamodb: &DynamoDb, each: usize) -> Self {
        let known = (each + WARM_UP).div_ceil(BUDGET);
        let counts = [known, ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES];
        let population = Self(counts.map(|count| (0..count).map(|_| address()).collect()));
        for (kind, addresses) in KINDS.into_iter().zip(&population.0) {
            for address in addresses.iter().filter(|_| kind != "unknown") {
                let put = dynamodb.put_item().table_name("users");
                let put = put.set_item(Some(user(kind, address)));
                put.send().await.expect("DynamoDB answers");
            }
        }
        population
    }
}

/// 16 random digits, so that no kind can be told by its letters.
fn address() -> String {
    let number = SysRng.try_next_u64().expect("random bits");
    format!("{number:016x}@example.com")
}

#[expect(clippy::disallowed_methods, reason = "the bench is an edge")]
fn user(kind: &str, address: &str) -> HashMap<String, AttributeValue> {
    let (string, number) = (AttributeValue::S, |n: i64| AttributeValue::N(n.to_string()));
    let now = Utc::now().timestamp_millis();
    let map = |pairs: &[(&str, AttributeValue)]| -> HashMap<String, AttributeValue> {
        let own = |(name, value): &(&str, AttributeValue)| ((*name).to_owned(), value.clone());
        pairs.iter().map(own).collect()
    };
    let mail = |n: usize| {
        AttributeValue::M(map(&[
            ("event", string(format!("{n:032x}"))),
            ("kind", string("reset_requested".to_owned())),
            // It counts for an hour, which the measurement does not take.
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
            let mails = (0..BUDGET).map(mail).collect();
            user.insert("recovery_mails".to_owned(), AttributeValue::L(mails));
        }
        "bounced" => {
            let suppression = AttributeValue::M(suppression);
            user.insert("recovery_suppression".to_owned(), suppression);
        }
        _ => {}
    }
    user
}

/// Asks for every kind `each` times in random order. `ask` gives the time and the answer without
/// what changes with every one; `between` is given the mails that are owed after each block.
async fn measure(
    population: &Population,
    each: usize,
    mut ask: impl AsyncFnMut(&str) -> (Duration, String),
    mut between: impl AsyncFnMut(usize),
) -> Measured {
    let mut measured = Measured::default();
    let mut asked = 0;
    while asked < each + WARM_UP {
        for (kind, nth) in block() {
            let addresses = &population.0[kind];
            let (time, answer) = ask(&addresses[(asked + nth) % addresses.len()]).await;
            if asked >= WARM_UP {
                measured.micros[kind].push(time.as_secs_f64() * 1e6);
            }
            measured.answers[kind].insert(answer);
        }
        asked += PER_BLOCK;
        between(asked).await;
    }
    measured
}

/// Every kind as often as the others, in random order.
fn block() -> Vec<(usize, usize)> {
    let mut block: Vec<(usize, usize)> = (0..KINDS.len())
        .flat_map(|kind| (0..PER_BLOCK).map(move |nth| (kind, nth)))
        .collect();
    block.sort_by_cached_key(|_| SysRng.try_next_u64().expect("random bits"));
    block
}

/// The same over one connection that is kept; then how the server treats one that is to end.
async fn over_http(population: &Population, each: usize, authority: &str) -> Measured {
    let mut stream = TcpStream::connect(authority).await.expect("it listens");
    stream.set_nodelay(true).expect("a connection");
    let ask = async |email: &str| {
        let request = request(authority, email, "keep-alive");
        let start = Instant::now();
        stream
            .write_all(request.as_bytes())
            .await
            .expect("an open connection");
        let answer = read_answer(&mut stream).await;
        (start.elapsed(), answer)
    };
    let mut measured = measure(population, each, ask, async |_| {}).await;
    for (kind, addresses) in population.0.iter().enumerate().skip(1) {
        let ended = ask_and_end(authority, &addresses[0]).await;
        measured.answers[kind].insert(ended);
    }
    // The first would have one mail too many.
    let ended = ask_and_end(authority, &population.0[1][1]).await;
    measured.answers[0].insert(ended);
    measured
}

fn request(authority: &str, email: &str, connection: &str) -> String {
    let body = json!({ "email": email }).to_string();
    format!(
        "POST {FORGOT} HTTP/1.1\r\nhost: {authority}\r\nconnection: {connection}\r\n\
         content-type: {JSON}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One answer, byte for byte but for the time in it.
async fn read_answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await.expect("an answer");
        assert!(read > 0, "the connection was closed");
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer);
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

/// An answer on a connection of its own, and whether the server then ends it.
async fn ask_and_end(authority: &str, email: &str) -> String {
    let mut stream = TcpStream::connect(authority).await.expect("it listens");
    let request = request(authority, email, "close");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("an open connection");
    let answer = read_answer(&mut stream).await;
    let rest = stream.read(&mut [0; 1]).await;
    format!("{answer}\n{rest:?}")
}

/// Panics unless the known were sent every mail, and nobody else any: else the kinds were not
/// what they are called.
async fn assert_mailed(dynamodb: &DynamoDb, population: &Population, each: usize) {
    let owed = each + WARM_UP;
    let start = Instant::now();
    loop {
        let mut sent = [0; 5];
        for (kind, addresses) in population.0.iter().enumerate() {
            for address in addresses {
                sent[kind] += mails_to(dynamodb, address).await;
            }
        }
        if sent == [owed, 0, 0, 0, 0] {
            return;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{owed} mails owed, sent: {sent:?}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn mails_to(dynamodb: &DynamoDb, address: &str) -> usize {
    let get = dynamodb.get_item().table_name("users");
    let get = get.key("email", AttributeValue::S(address.to_owned()));
    let item = get.send().await.expect("DynamoDB answers").item;
    let count = item
        .as_ref()
        .and_then(|item| item.get("recovery_mail_count"));
    let count = count.and_then(|count| count.as_n().ok());
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// What sets the kinds apart.
struct Report {
    pairs: Vec<Pair>,
    answers: usize,
}

struct Pair {
    kinds: [&'static str; 2],
    t: f64,
    auc: f64,
}

impl Report {
    fn of(measured: &Measured) -> Self {
        let samples: Vec<_> = KINDS.into_iter().zip(&measured.micros).collect();
        let mut pairs = Vec::new();
        for (first, (kind, one)) in samples.iter().enumerate() {
            for (other_kind, other) in &samples[first + 1..] {
                pairs.push(Pair {
                    kinds: [*kind, *other_kind],
                    t: worst_t(one, other),
                    auc: auc(one, other),
                });
            }
        }
        let different: BTreeSet<_> = measured.answers.iter().collect();
        Self {
            pairs,
            answers: different.len(),
        }
    }

    fn leaks(&self) -> bool {
        let is_apart = |pair: &Pair| pair.t.abs() >= MAX_T || (pair.auc - 0.5).abs() > MAX_AUC;
        self.answers != 1 || self.pairs.iter().any(is_apart)
    }

    #[expect(clippy::disallowed_methods, reason = "the bench is an edge")]
    fn print(&self, mode: &str, measured: &Measured) {
        let each = measured.micros[0].len();
        println!("{mode}, {each} of each kind\n\n| kinds | t | AUC |\n|---|---|---|");
        for Pair { kinds, t, auc } in &self.pairs {
            println!("| {} and {} | {t:.2} | {auc:.4} |", kinds[0], kinds[1]);
        }
        println!("\n| kind | median, µs |\n|---|---|");
        for (kind, micros) in KINDS.iter().zip(&measured.micros) {
            println!("| {kind} | {:.0} |", median(micros));
        }
        println!("\ndifferent sets of answers: {}", self.answers);
        println!("{}", measured.answers[0].iter().next().expect("an answer"));
        let pairs: Vec<Value> = self
            .pairs
            .iter()
            .map(|pair| json!({ "kinds": pair.kinds, "t": pair.t, "auc": pair.auc }))
            .collect();
        let now: DateTime<Utc> = Utc::now();
        let report = json!({ "mode": mode, "each": each, "at": now.to_rfc3339(), "pairs": pairs, "sets_of_answers": self.answers });
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let file = folder.join(format!("enumeration-{mode}.json"));
        fs::write(&file, format!("{report:#}\n")).expect("a file");
    }
}
