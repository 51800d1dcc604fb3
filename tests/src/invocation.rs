//! Single invocations of the functions, each for its own user, and what must hold after one
//! whatever happened to the calls that it made.

use std::net::Ipv4Addr;

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use rules::{recovery::EmailId, token::ResetToken};
use serde_json::{Value, json};

use crate::{
    app::{GOOD_PASSWORD, TestApp, has_password, user},
    functions::{Functions, at, bounce_event, mail_event, stream_record},
    http::HttpResponse,
    lambda::sample_event,
    link::Link,
    proxy::Call,
};

/// What a function does in one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// `request` puts a row into the outbox.
    RequestReset,
    /// `mailer` sends the link.
    SendLink,
    /// `mailer` sends the notice of a change.
    SendNotice,
    /// `mailer` records that an email has bounced.
    RecordBounce,
    /// `confirm` sets the password.
    ChangePassword,
}

/// Outcome of an invocation, as the function reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// The event must be delivered again.
    Retry,
    /// The token is invalid, and the user should try the new password.
    TokenSpent,
}

/// One invocation for a user of its own.
pub struct Invocation {
    /// Task of the function.
    pub task: Task,
    email: String,
    number: u32,
    token: ResetToken,
}

impl Task {
    /// All tasks.
    pub const ALL: [Self; 5] = [
        Self::RequestReset,
        Self::SendLink,
        Self::SendNotice,
        Self::RecordBounce,
        Self::ChangePassword,
    ];

    /// Returns the function that does it.
    #[must_use]
    pub fn function(self) -> &'static str {
        match self {
            Self::RequestReset => "request",
            Self::SendLink | Self::SendNotice | Self::RecordBounce => "mailer",
            Self::ChangePassword => "confirm",
        }
    }

    /// Prepares invocation `number` with a new user who has a token.
    pub async fn prepare(self, app: &TestApp, number: u32) -> Invocation {
        let email = format!("user-{number}@example.com");
        app.add(&user(&email)).await;
        let token = app.put_token(&email, at(0), at(86_400)).await;
        let invocation = Invocation {
            task: self,
            email,
            number,
            token,
        };
        if self == Self::RecordBounce {
            let sent = stream_record("reset_requested", &invocation.email, number);
            app.functions.deliver(&[sent], at(0)).await;
        }
        invocation
    }
}

impl Invocation {
    /// Returns whether `call` was made for this invocation.
    #[must_use]
    pub fn is_about(&self, call: &Call) -> bool {
        let body = call.body.to_string();
        [self.email.as_str(), self.token.digest().as_str()]
            .iter()
            .any(|name| body.contains(name))
    }

    /// Returns the request's source address.
    fn client(&self) -> String {
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + self.number).to_string()
    }

    fn stream_record(&self) -> Value {
        let kind = match self.task {
            Task::SendNotice => "password_changed",
            _ => "reset_requested",
        };
        stream_record(kind, &self.email, self.number)
    }

    fn bounce_event(&self) -> Value {
        let id = EmailId::new(&format!("request#192.0.2.1#{}", self.number), 1);
        bounce_event(&id, &self.email)
    }

    /// Returns the event with which Lambda would invoke the function.
    #[must_use]
    pub fn event(&self) -> Value {
        let http = |name, body: Value| {
            let mut event = sample_event(name);
            event["body"] = json!(body.to_string());
            event["isBase64Encoded"] = json!(false);
            event["headers"]["content-type"] = json!("application/json");
            event["requestContext"]["http"]["sourceIp"] = json!(self.client());
            event
        };
        match self.task {
            Task::RequestReset => http("request.json", json!({ "email": self.email })),
            Task::SendLink | Task::SendNotice => mail_event(&[self.stream_record()]),
            Task::RecordBounce => self.bounce_event(),
            Task::ChangePassword => {
                let token = self.token.expose();
                let body = json!({ "forgot_password_hash": token, "new_password": GOOD_PASSWORD });
                http("confirm.json", body)
            }
        }
    }

    /// Returns the outcome by the function's result for [`event`](Self::event).
    #[must_use]
    pub fn outcome(&self, outcome: &Result<Value, Value>) -> Outcome {
        match (self.task, outcome) {
            (Task::RequestReset | Task::ChangePassword, Ok(response)) => {
                let body = response["body"].as_str().expect("a body").as_bytes();
                http_outcome(response["statusCode"].as_u64(), body)
            }
            (Task::SendLink | Task::SendNotice, Ok(response)) => {
                match response["batchItemFailures"].as_array().map(Vec::len) {
                    Some(0) => Outcome::Done,
                    _ => Outcome::Retry,
                }
            }
            (Task::RecordBounce, Ok(_)) => Outcome::Done,
            (Task::RecordBounce, Err(_)) => Outcome::Retry,
            (_, Err(error)) => panic!("{:?} fails as a whole: {error}", self.task),
        }
    }

    /// Invokes the function in `functions`.
    pub async fn run(&self, functions: &Functions) -> Outcome {
        match self.task {
            Task::RequestReset => response_outcome(
                &functions
                    .request_reset_from(&self.client(), &self.email, at(1))
                    .await,
            ),
            Task::SendLink | Task::SendNotice => {
                match functions
                    .deliver(&[self.stream_record()], at(1))
                    .await
                    .len()
                {
                    0 => Outcome::Done,
                    _ => Outcome::Retry,
                }
            }
            Task::RecordBounce => match functions.record_outcome(&self.bounce_event()).await {
                Ok(()) => Outcome::Done,
                Err(_) => Outcome::Retry,
            },
            Task::ChangePassword => {
                let token = self.token.expose();
                response_outcome(&functions.confirm(token, GOOD_PASSWORD, at(1)).await)
            }
        }
    }

    /// Returns whether the task has taken effect. Panics if it has partly, or twice.
    pub async fn is_done(&self, app: &TestApp) -> bool {
        match self.task {
            Task::RequestReset => self.is_in_outbox(app).await,
            Task::SendLink => self.has_link(app).await,
            Task::SendNotice => !app.emails_to(&self.email).is_empty(),
            Task::RecordBounce => self.user(app).await.suppression().is_some(),
            Task::ChangePassword => self.is_changed(app).await,
        }
    }

    /// Returns the number of emails to the user.
    #[must_use]
    pub fn email_count(&self, app: &TestApp) -> usize {
        app.emails_to(&self.email).len()
    }

    async fn user(&self, app: &TestApp) -> User {
        app.user(&self.email).await.expect("a user")
    }

    async fn is_in_outbox(&self, app: &TestApp) -> bool {
        let email = AttributeValue::S(self.email.clone());
        let rows = app.rows("outbox").await;
        rows.iter().any(|row| row.get("email") == Some(&email))
    }

    /// Returns whether an email was sent. Every link sent must have its token, and the account's
    /// budget is charged once.
    async fn has_link(&self, app: &TestApp) -> bool {
        let emails = app.emails_to(&self.email);
        for email in &emails {
            let token = Link::read(email).token;
            let digest = ResetToken::parse(&token).expect("a token").digest();
            let row = app.row("tokens", ("token_digest", digest.as_str())).await;
            assert!(row.is_some(), "a link was sent whose token is not stored");
        }
        assert!(self.user(app).await.recovery.email_count <= 1);
        !emails.is_empty()
    }

    /// Returns whether the change is made: password set, token spent, one notice owed. Panics if only
    /// some of it is.
    async fn is_changed(&self, app: &TestApp) -> bool {
        let user = self.user(app).await;
        let digest = self.token.digest();
        let token = app.row("tokens", ("token_digest", digest.as_str())).await;
        let notice = format!("changed#{}", digest.as_str());
        let notice = app.row("outbox", ("id", &notice)).await;
        let found = (
            has_password(&user, GOOD_PASSWORD),
            user.session_epoch,
            token.is_some(),
            notice.is_some(),
        );
        let (nothing, all) = ((false, 0, true, false), (true, 1, false, true));
        assert!([nothing, all].contains(&found), "{found:?}");
        found == all
    }
}

fn response_outcome(response: &HttpResponse) -> Outcome {
    http_outcome(Some(response.status.as_u16().into()), &response.body)
}

/// Panics if the response is not a documented one.
fn http_outcome(status: Option<u64>, body: &[u8]) -> Outcome {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let detail = body["detail"].as_str().unwrap_or_default();
    match (status, body["code"].as_str()) {
        (Some(200), None) if body["worked"] == true => Outcome::Done,
        (Some(503), Some("unavailable")) => Outcome::Retry,
        (Some(400), Some("invalid_token")) if detail.contains("try to sign in with it") => {
            Outcome::TokenSpent
        }
        _ => panic!("{status:?} {body}"),
    }
}
