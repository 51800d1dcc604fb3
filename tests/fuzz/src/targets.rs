//! The targets, one function per parser. `cargo fuzz` calls them with generated inputs, and a test
//! of the main workspace with those in `corpus/`.
//!
//! The event targets run the function's handler as Lambda does, with an AWS in the same process:
//! sockets would be a thousand times slower.

use std::{
    io::{self, Write},
    sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError},
};

use aws::{SdkConfig, log};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use confirm::settings::ConfirmSettings;
use http::{HeaderValue, Request, header};
use lambda_http::{Body, Service};
use lambda_runtime::{Context, LambdaEvent};
use mailer::settings::MailerSettings;
use passwords::{Password, PasswordPolicy};
use rand::{TryCryptoRng, TryRng};
use request::settings::RequestSettings;
use rules::{
    address::EmailAddress,
    environment::Environment,
    token::ResetToken,
    weakness::{MAX_LENGTH, Weakness},
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tracing::Level;
use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};
use web::{
    MAX_BODY_BYTES, Problem,
    event::{self, HttpEvent},
    read_fields,
};

/// A secret that the corpora contain as address, token and password. It must not appear in any log
/// line or JSON response.
const CANARY: &str = "canary-5ecret-5ecret";

/// The account that exists.
const ACCOUNT: &str = "ada@example.com";

/// Parses a typed address.
pub fn address(data: &[u8]) {
    let Ok(typed) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(address) = EmailAddress::parse(typed) else {
        return;
    };
    let canonical = address.as_str();
    assert!(canonical.is_ascii() && canonical.len() <= 254);
    assert!(!canonical.bytes().any(|byte| byte.is_ascii_uppercase()));
    assert!(!canonical.contains(char::is_whitespace));
    assert!(!canonical.contains(char::is_control));
    assert_eq!(canonical.matches('@').count(), 1);
    assert!((1..=64).contains(&address.local_part().len()));
    for again in [canonical.to_owned(), format!(" {typed}\r\n")] {
        assert_eq!(EmailAddress::parse(&again).as_ref(), Ok(&address));
    }
    assert!(!format!("{address:?}").contains(canonical));
}

/// Parses a pasted token.
pub fn token(data: &[u8]) {
    let Ok(pasted) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(token) = ResetToken::parse(pasted) else {
        return;
    };
    let text = token.expose();
    assert_eq!(text, pasted.trim());
    assert_eq!(text.len(), 43);
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    );
    assert_eq!(token.digest().as_str().len(), 64);
    assert!(!format!("{token:?}{:?}", token.digest()).contains(text));
}

/// Parses a body. The first line of the input is its content type.
pub fn body(data: &[u8]) {
    let (content_type, body) = first_line(data);
    let Ok(content_type) = HeaderValue::from_bytes(content_type) else {
        return;
    };
    let request = Request::post("/")
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::Binary(body.to_vec()))
        .expect("a method and a header");
    let fields = ["email", "forgot_password_hash", "new_password"];
    match RUNTIME.block_on(read_fields(request, fields)).finish() {
        Ok(values) => {
            assert!(body.len() <= MAX_BODY_BYTES);
            let values = values.iter().flatten();
            assert!(values.clone().all(|value| !value.is_empty()));
            // No format makes a text longer than it was sent.
            assert!(values.map(|value| value.len()).sum::<usize>() <= body.len());
        }
        Err(problem) => {
            assert!(matches!(
                problem.code(),
                "invalid_params" | "payload_too_large" | "unsupported_media_type"
            ));
            let is_too_large = matches!(problem, Problem::PayloadTooLarge);
            assert_eq!(is_too_large, body.len() > MAX_BODY_BYTES);
            assert_keeps_secret(&problem.into_response(None));
        }
    }
}

/// Checks a new password. The first line of the input is the name of the user.
pub fn password(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (name, typed) = text.split_once('\n').unwrap_or(("", text));
    let policy = PasswordPolicy {
        min_length: 15,
        min_score: 3,
    };
    let password = Password::new(typed);
    let account = EmailAddress::parse(ACCOUNT).expect("an address");
    let weaknesses = policy.weaknesses(&password, &account, Some(name));
    let is_too_long = password.chars() > MAX_LENGTH;
    assert_eq!(weaknesses.contains(&Weakness::TooLong), is_too_long);
    let is_too_short = password.chars() < policy.min_length;
    assert_eq!(weaknesses.contains(&Weakness::TooShort), is_too_short);
    assert_eq!(format!("{password:?}"), "Password(redacted)");
}

/// Reads settings from an environment with one variable per line.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let variables: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let lookup = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    };
    let env = Environment::new(&lookup);
    let read = RequestSettings::read(&env).map(|_| ());
    let read = [read, ConfirmSettings::read(&env).map(|_| ())];
    for error in read.into_iter().filter_map(Result::err) {
        assert_names_variable(&error.to_string());
    }
    match MailerSettings::read(&env) {
        Err(error) => assert_names_variable(&error.to_string()),
        Ok(settings) => {
            assert!(settings.mail_from.is_ascii());
            assert!(!settings.mail_from.contains(char::is_control));
            assert!(settings.reset_url.fragment().is_none());
            assert!((1..=24).contains(&settings.token_ttl.num_hours()));
            assert!((1..=100).contains(&settings.budget.per_hour));
        }
    }
}

fn assert_names_variable(error: &str) {
    let name = error.split(' ').next().unwrap_or_default();
    assert!(
        name.len() > 4
            && name
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b"_2".contains(&b))
    );
    assert!(!error.contains(char::is_control));
}

/// Handles an event from API Gateway, a load balancer or a function URL in `request`.
pub fn request_event(data: &[u8]) {
    static APP: LazyLock<request::App> = LazyLock::new(|| {
        let settings = RequestSettings::read(&environment()).expect("valid settings");
        request::App::new(settings, aws::dynamodb(&config(), &environment()))
    });
    http_event(data, |request| APP.handle(request, now()));
}

/// Handles the same in `confirm`. The token in the corpus is valid.
pub fn confirm_event(data: &[u8]) {
    static APP: LazyLock<confirm::App> = LazyLock::new(|| {
        let settings = ConfirmSettings::read(&environment()).expect("valid settings");
        confirm::App::new(settings, aws::dynamodb(&config(), &environment())).expect("valid costs")
    });
    http_event(data, |request| async {
        APP.handle(request, now(), &mut Zeros).await
    });
}

fn http_event<F>(data: &[u8], handler: impl Fn(lambda_http::Request) -> F + Clone)
where
    F: Future<Output = lambda_http::Response<Body>> + Send + 'static,
{
    let Ok(event) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    // Only AWS could send invalid base64. It causes a panic, which the runtime reports as an error;
    // another test covers that.
    let body = event["body"].as_str().unwrap_or_default();
    if event["isBase64Encoded"] == true && STANDARD.decode(body).is_err() {
        return;
    }
    let Ok(event) = serde_json::from_slice::<HttpEvent>(data) else {
        return;
    };
    start_log();
    let event = LambdaEvent::new(event, Context::default());
    let Ok(response) = RUNTIME.block_on(event::service(handler).call(event));
    let response = serde_json::to_value(response).expect("a response in JSON");
    // Not 503: AWS is available, and a caught panic is a failure too.
    let status = response["statusCode"].as_u64();
    let documented = [200, 204, 302, 400, 404, 405, 413, 415, 422];
    assert!(
        status.is_some_and(|status| documented.contains(&status)),
        "{status:?}"
    );
    if !response["body"]
        .as_str()
        .is_some_and(|body| body.starts_with("<!"))
    {
        assert!(!response.to_string().contains(CANARY));
    }
    assert!(!String::from_utf8_lossy(&lines()).contains(CANARY));
}

/// Maximum records in a batch, as in the template.
const BATCH_SIZE: usize = 10;

/// Handles an event from the mail queue or SES in `mailer`. AWS is available, so only an unreadable
/// message may return to the queue, and only under its own ID.
pub fn mailer_event(data: &[u8]) {
    static APP: LazyLock<mailer::App> = LazyLock::new(|| {
        let settings = MailerSettings::read(&environment()).expect("valid settings");
        let dynamodb = aws::dynamodb(&config(), &environment());
        mailer::App::new(settings, dynamodb, &config(), &environment())
    });
    let Ok(event) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    if event["Records"].as_array().map_or(0, Vec::len) > BATCH_SIZE {
        return;
    }
    start_log();
    match mailer::Event::read(event) {
        Err(error) => assert!(!error.to_string().contains(CANARY)),
        Ok(mailer::Event::Emails(batch)) => {
            let mut rng = Zeros;
            let handled = APP.handle_batch(batch, now(), None, &mut rng);
            let response = RUNTIME.block_on(handled);
            let log = lines();
            let log = String::from_utf8_lossy(&log);
            let mut retried = log.lines().filter(|line| line.contains("will be retried"));
            let is_failed = !response.batch_item_failures.is_empty();
            assert_eq!(retried.clone().next().is_some(), is_failed);
            assert!(retried.all(|line| line.contains("not a record of the outbox's stream")));
        }
        Ok(mailer::Event::Ses(event)) => {
            let handled = APP.handle_ses_event(&event);
            RUNTIME.block_on(handled).expect("a response from AWS");
        }
    }
    assert!(!String::from_utf8_lossy(&lines()).contains(CANARY));
}

fn assert_keeps_secret(response: &http::Response<Body>) {
    let Body::Text(text) = response.body() else {
        panic!("a problem in JSON");
    };
    assert!(!text.contains(CANARY));
}

fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    end.map_or((data, &[]), |end| (&data[..end], &data[end + 1..]))
}

/// A current-thread runtime, as on Lambda.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
});

fn now() -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

fn environment() -> Environment<'static> {
    Environment::new(&|name| {
        let value = match name {
            "AWS_REGION" => "eu-central-1",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "none",
            "MAIL_FROM" => "no-reply@example.com",
            "RESET_URL" => "https://app.example.com/reset",
            "CORS_ORIGINS" => "https://app.example.com",
            "ACCOUNT_COOLDOWN_SECONDS" => "0",
            "ACCOUNT_LIMIT_PER_HOUR" => "100",
            // A cheap hash: the code before it is what is fuzzed.
            "ARGON2_MEMORY_KIB" => "8",
            "ARGON2_ITERATIONS" => "1",
            _ => return None,
        };
        Some(value.to_owned())
    })
}

fn config() -> SdkConfig {
    let connector = http_client_fn(|_, _| SharedHttpConnector::new(Aws));
    let config = aws::config(&environment()).expect("a region and credentials");
    config.into_builder().http_client(connector).build()
}

/// An AWS with one account and one valid token.
#[derive(Debug)]
struct Aws;

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap_or_default();
        let request = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let asks_for = |text: &str| request.contains(text);
        let body = match operation {
            "DynamoDB_20120810.GetItem" if asks_for("token_digest") => token_row(),
            "DynamoDB_20120810.GetItem" if asks_for(ACCOUNT) => user_row(),
            "" => json!({ "MessageId": "1" }),
            _ => json!({}),
        };
        let status = StatusCode::try_from(200).expect("a status");
        let response = HttpResponse::new(status, SdkBody::from(body.to_string()));
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn token_row() -> Value {
    json!({ "Item": {
        "token_digest": { "S": "0" },
        "email": { "S": ACCOUNT },
        "name": { "S": "Ada Lovelace" },
        "issued_at": { "N": "1799999000000" },
        "expires_at": { "N": "1800009000" },
    } })
}

fn user_row() -> Value {
    // The email in the sample events of SES.
    let email = json!({ "M": {
        "event": { "S": "06134099f77fd0b10d104ed02c6b12ca" },
        "at": { "N": "1799999999000" },
    } });
    json!({ "Item": {
        "email": { "S": ACCOUNT },
        "name": { "S": "Ada Lovelace" },
        "recovery_mails": { "L": [email] },
    } })
}

/// A generator of zeros, which makes every run of an input the same.
struct Zeros;

impl TryRng for Zeros {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0);
        Ok(())
    }
}

impl TryCryptoRng for Zeros {}

/// Log lines of the current target, at the most verbose level.
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<u8>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_log() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let layer = tracing_subscriber::fmt::layer().json().with_writer(|| Log);
        let layer = layer.with_filter(log::events_up_to(Level::TRACE));
        tracing_subscriber::registry().with(layer).init();
    });
    lines().clear();
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lines().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
