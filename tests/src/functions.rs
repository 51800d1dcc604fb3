//! The three functions in the test's own process, for what depends on the time: every call says
//! what time it is.

use std::{collections::BTreeMap, net::IpAddr};

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
    http::{Answer, JSON},
    lambda,
};

/// A time in tests. It lies ahead, so that nothing that is made then has expired for the clock
/// of the machine.
#[must_use]
pub fn at(seconds: i64) -> DateTime<Utc> {
    let noon = DateTime::from_timestamp(4_102_488_000, 0).expect("noon of 2100-01-01");
    noon + TimeDelta::seconds(seconds)
}

/// The functions, with the clients that their binaries would make.
pub struct Functions {
    request: request::App,
    confirm: confirm::App,
    mailer: mailer::App,
}

impl Functions {
    /// The functions as they start in this environment.
    #[must_use]
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        Self::with(environment, |config| config)
    }

    /// The same with all the time in the world for DynamoDB, for long runs beside other work.
    #[must_use]
    pub fn patient(environment: &BTreeMap<String, String>) -> Self {
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

    /// Asks for a mail from the address `client`.
    pub async fn ask(&self, client: &str, email: &str, now: DateTime<Utc>) -> Answer {
        let request = post(client, &json!({ "email": email }));
        answer(self.request.handle(request, now).await)
    }

    /// Sets a new password.
    pub async fn confirm(&self, token: &str, password: &str, now: DateTime<Utc>) -> Answer {
        let request = post(
            "192.0.2.1",
            &json!({ "forgot_password_hash": token, "new_password": password }),
        );
        let mut rng = SysRng;
        let handled = self.confirm.handle(request, now, &mut rng);
        answer(Box::pin(handled).await)
    }

    /// Hands `records` to the mailer as one batch; the sequence numbers that it reports.
    pub async fn deliver(&self, records: &[Value], now: DateTime<Utc>) -> Vec<String> {
        self.deliver_until(records, now, None).await
    }

    /// The same where half of the function's time is over from the beginning.
    pub async fn deliver_late(&self, records: &[Value], now: DateTime<Utc>) -> Vec<String> {
        self.deliver_until(records, now, Some(Instant::now())).await
    }

    /// Hands `event`, in which SES says what became of a mail, to the mailer.
    pub async fn report(&self, event: &Value) -> Result<(), AwsError> {
        match mailer::Event::read(event.clone()) {
            Ok(mailer::Event::Ses(event)) => self.mailer.handle_ses_event(&event).await,
            _ => panic!("an event of SES: {event}"),
        }
    }

    async fn deliver_until(
        &self,
        records: &[Value],
        now: DateTime<Utc>,
        half_time: Option<Instant>,
    ) -> Vec<String> {
        let batch = mailer::Batch::read(json!({ "Records": records })).expect("a batch");
        let mut rng = SysRng;
        let handled = self.mailer.handle_batch(batch, now, half_time, &mut rng);
        let response = Box::pin(handled).await;
        response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier)
            .collect()
    }
}

/// A record of the outbox's stream that owes `email` a mail of `kind`. Records of one `number`
/// are the same event.
#[must_use]
pub fn record(kind: &str, email: &str, number: u32) -> Value {
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

/// An event in which SES says that the mail `event` to `email` has bounced for good.
#[must_use]
pub fn bounce(event: &EmailId, email: &str) -> Value {
    let mut bounce = lambda::event("mailer-bounce.json");
    let detail = &mut bounce["detail"];
    detail["mail"]["tags"]["mail"] = json!([event.as_str()]);
    detail["mail"]["destination"] = json!([email]);
    detail["bounce"]["bouncedRecipients"][0]["emailAddress"] = json!(email);
    bounce
}

/// The sequence number of a stream record.
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

fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = match body {
        Body::Text(text) => Bytes::from(text),
        Body::Binary(bytes) => Bytes::from(bytes),
        _ => Bytes::new(),
    };
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}
