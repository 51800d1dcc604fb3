//! The three functions in the test's own process, for behaviour that depends on time: every call
//! passes the current time.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aws::{AwsError, SdkConfig};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use confirm::settings::ConfirmSettings;
use lambda_http::{
    Body, RequestExt, Response, aws_lambda_events::apigw::ApiGatewayV2httpRequestContext,
    request::RequestContext,
};
use mailer::settings::MailerSettings;
use rand::rngs::SysRng;
use request::settings::RequestSettings;
use rules::{environment::Environment, recovery::EmailId};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    http::{HttpResponse, JSON},
    lambda,
};

/// Returns the time `seconds` after noon of 1 January 2100. It is in the future, so nothing created
/// then has expired by the machine's clock.
#[must_use]
pub fn at(seconds: i64) -> DateTime<Utc> {
    let noon = DateTime::from_timestamp(4_102_488_000, 0).expect("noon of 2100-01-01");
    noon + TimeDelta::seconds(seconds)
}

/// What [`Functions::deliver`] returns if no message failed.
pub const NO_FAILURES: [&str; 0] = [];
/// Source address of the requests whose client does not matter.
const CLIENT: &str = "192.0.2.1";

/// The functions, with the clients that their binaries would build.
pub struct Functions {
    request: request::App,
    confirm: confirm::App,
    mailer: mailer::App,
}

impl Functions {
    /// Builds the functions from `environment`.
    #[must_use]
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        Self::with(environment, |config| config)
    }

    /// Builds them without timeouts, for long runs on a busy machine.
    #[must_use]
    pub fn without_timeouts(environment: &BTreeMap<String, String>) -> Self {
        Self::with(environment, |config| {
            let config = config.into_builder();
            config.timeout_config(TimeoutConfig::disabled()).build()
        })
    }

    fn with(
        environment: &BTreeMap<String, String>,
        change: impl FnOnce(SdkConfig) -> SdkConfig,
    ) -> Self {
        let lookup = |name: &str| environment.get(name).cloned();
        let env = Environment::new(&lookup);
        let config = change(aws::config(&env).expect("a region and credentials"));
        let dynamodb = aws::dynamodb(&config, &env);
        let confirm = ConfirmSettings::read(&env).expect("valid settings");
        let mailer = MailerSettings::read(&env).expect("valid settings");
        Self {
            request: request::App::new(
                RequestSettings::read(&env).expect("valid settings"),
                dynamodb.clone(),
            ),
            confirm: confirm::App::new(confirm, dynamodb.clone()).expect("valid costs"),
            mailer: mailer::App::new(mailer, dynamodb, &config, &env),
        }
    }

    /// Requests a reset email from one fixed client.
    pub async fn request_reset(&self, email: &str, now: DateTime<Utc>) -> HttpResponse {
        self.request_reset_from(CLIENT, email, now).await
    }

    /// Requests a reset email from the client with the address `client`.
    pub async fn request_reset_from(
        &self,
        client: &str,
        email: &str,
        now: DateTime<Utc>,
    ) -> HttpResponse {
        let request = post(client, &json!({ "email": email }));
        http_response(self.request.handle(request, now).await)
    }

    /// Sets a new password.
    pub async fn confirm(&self, token: &str, password: &str, now: DateTime<Utc>) -> HttpResponse {
        let request = post(
            CLIENT,
            &json!({ "forgot_password_hash": token, "new_password": password }),
        );
        let mut rng = SysRng;
        let handled = self.confirm.handle(request, now, &mut rng);
        http_response(Box::pin(handled).await)
    }

    /// Delivers stream records to the mailer as one batch of messages. Returns the IDs of those that
    /// failed, which are the records' sequence numbers.
    pub async fn deliver(&self, records: &[Value], now: DateTime<Utc>) -> Vec<String> {
        self.deliver_until(records, now, None).await
    }

    /// Delivers `records` when the function's time is up.
    pub async fn deliver_too_late(&self, records: &[Value], now: DateTime<Utc>) -> Vec<String> {
        self.deliver_until(records, now, Some(Instant::now())).await
    }

    /// Delivers `records` when the function has five seconds left, half of what one email may take.
    pub async fn deliver_with_little_time(
        &self,
        records: &[Value],
        now: DateTime<Utc>,
    ) -> Vec<String> {
        let end_by = Instant::now() + Duration::from_secs(5);
        self.deliver_until(records, now, Some(end_by)).await
    }

    /// Delivers `event`, a delivery outcome from SES, to the mailer.
    pub async fn record_outcome(&self, event: &Value) -> Result<(), AwsError> {
        match mailer::Event::read(event.clone()) {
            Ok(mailer::Event::Ses(event)) => self.mailer.handle_ses_event(&event).await,
            _ => panic!("not an SES event: {event}"),
        }
    }

    async fn deliver_until(
        &self,
        records: &[Value],
        now: DateTime<Utc>,
        end_by: Option<Instant>,
    ) -> Vec<String> {
        let batch = mailer::Batch::read(&mail_event(records)).expect("a batch");
        let mut rng = SysRng;
        let handled = self.mailer.handle_batch(batch, now, end_by, &mut rng);
        let response = Box::pin(handled).await;
        response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier)
            .collect()
    }
}

/// Builds the event with which Lambda delivers messages that contain `records`. A message's ID is the
/// sequence number of its record.
#[must_use]
pub fn mail_event(records: &[Value]) -> Value {
    let message = |record: &Value| {
        json!({
            "messageId": sequence_number(record),
            "body": record.to_string(),
            "attributes": { "ApproximateReceiveCount": "1" },
            "eventSource": "aws:sqs",
        })
    };
    json!({ "Records": records.iter().map(message).collect::<Vec<_>>() })
}

/// Builds a stream record of the outbox that owes `email` an email of `kind`. Records with the same
/// `number` are the same event.
#[must_use]
pub fn stream_record(kind: &str, email: &str, number: u32) -> Value {
    json!({
        "eventName": "INSERT",
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "SequenceNumber": number.to_string(),
            "NewImage": {
                "id": { "S": format!("request#192.0.2.1#{number}") },
                "kind": { "S": kind },
                "email": { "S": email },
                "count": { "N": "1" },
                "at": { "N": "4102488000000" },
                "expires_at": { "N": "4102574400" },
            },
        },
    })
}

/// Builds the SES event of a permanent bounce of the email `event` to `email`.
#[must_use]
pub fn bounce_event(event: &EmailId, email: &str) -> Value {
    let mut bounce = lambda::sample_event("mailer-bounce.json");
    let detail = &mut bounce["detail"];
    detail["mail"]["tags"]["mail"] = json!([event.as_str()]);
    detail["mail"]["destination"] = json!([email]);
    detail["bounce"]["bouncedRecipients"][0]["emailAddress"] = json!(email);
    bounce
}

/// Returns the sequence number of a stream record.
#[must_use]
pub fn sequence_number(record: &Value) -> String {
    record["dynamodb"]["SequenceNumber"]
        .as_str()
        .expect("a sequence number")
        .to_owned()
}

fn post(client: &str, body: &Value) -> lambda_http::Request {
    let client: IpAddr = client.parse().expect("an address");
    let mut context = ApiGatewayV2httpRequestContext::default();
    context.http.source_ip = Some(client.to_string());
    lambda_http::http::Request::post("/")
        .header("content-type", JSON)
        .body(Body::Text(body.to_string()))
        .expect("a valid request")
        .with_request_context(RequestContext::ApiGatewayV2(context))
}

fn http_response(response: Response<Body>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let body = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    HttpResponse {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}
