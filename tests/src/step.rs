//! What the functions do, step by step, for somebody of whom nobody else has heard; and what has
//! to hold about it, whatever became of the calls in it.

use std::net::Ipv4Addr;

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use passwords::{Password, verify};
use rules::{recovery::EmailId, token::ResetToken};
use serde_json::{Value, json};

use crate::{
    app::{GOOD_PASSWORD, Link, TestApp, user},
    functions::{Functions, at, bounce, record},
    http::Answer,
    lambda::event,
    wire::Call,
};

/// One thing that a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `request` puts a row into the outbox.
    Ask,
    /// `mailer` sends the link.
    Link,
    /// `mailer` sends the notice of a change.
    Notice,
    /// `mailer` writes down that a mail has bounced.
    Report,
    /// `confirm` sets the password.
    Confirm,
}

/// How a function ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It says that all is done.
    Done,
    /// It says that the same has to come again.
    Again,
    /// It says that the token holds no more, and to try the new password.
    Spent,
}

/// Somebody whom one step is about.
pub struct Case {
    /// The step.
    pub step: Step,
    email: String,
    number: u32,
    token: ResetToken,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Ask,
        Self::Link,
        Self::Notice,
        Self::Report,
        Self::Confirm,
    ];

    /// The function whose step it is.
    #[must_use]
    pub fn function(self) -> &'static str {
        match self {
            Self::Ask => "request",
            Self::Link | Self::Notice | Self::Report => "mailer",
            Self::Confirm => "confirm",
        }
    }

    /// A user of their own for the step, with a token; `number` is the case's.
    pub async fn case(self, app: &TestApp, number: u32) -> Case {
        let email = format!("case-{number}@example.com");
        app.add(&user(&email)).await;
        let token = app.plant(&email, at(0), at(86_400)).await;
        let case = Case {
            step: self,
            email,
            number,
            token,
        };
        if self == Self::Report {
            let sent = record("reset_requested", &case.email, number);
            app.functions.deliver(&[sent], at(0)).await;
        }
        case
    }
}

impl Case {
    /// Whether `call` was made for it.
    #[must_use]
    pub fn is_about(&self, call: &Call) -> bool {
        let body = call.body.to_string();
        [self.email.as_str(), self.token.digest().as_str()]
            .iter()
            .any(|name| body.contains(name))
    }

    /// The source of the request.
    fn client(&self) -> String {
        Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + self.number).to_string()
    }

    fn record(&self) -> Value {
        let kind = match self.step {
            Step::Notice => "password_changed",
            _ => "reset_requested",
        };
        record(kind, &self.email, self.number)
    }

    /// SES says that the mail has bounced.
    fn report(&self) -> Value {
        let mail = EmailId::new(&format!("request#192.0.2.1#{}", self.number), 1);
        bounce(&mail, &self.email)
    }

    /// The event that Lambda would invoke the function with.
    #[must_use]
    pub fn event(&self) -> Value {
        let http = |name, body: Value| {
            let mut event = event(name);
            event["body"] = json!(body.to_string());
            event["isBase64Encoded"] = json!(false);
            event["headers"]["content-type"] = json!("application/json");
            event["requestContext"]["http"]["sourceIp"] = json!(self.client());
            event
        };
        match self.step {
            Step::Ask => http("request.json", json!({ "email": self.email })),
            Step::Link | Step::Notice => json!({ "Records": [self.record()] }),
            Step::Report => self.report(),
            Step::Confirm => {
                let token = self.token.expose();
                let body = json!({ "forgot_password_hash": token, "new_password": GOOD_PASSWORD });
                http("confirm.json", body)
            }
        }
    }

    /// How the function says that it ended, by what it made of [`event`](Self::event).
    #[must_use]
    pub fn end(&self, outcome: &Result<Value, Value>) -> End {
        match (self.step, outcome) {
            (Step::Ask | Step::Confirm, Ok(answer)) => {
                let body = answer["body"].as_str().expect("a body").as_bytes();
                end_of(answer["statusCode"].as_u64(), body)
            }
            (Step::Link | Step::Notice, Ok(answer)) => {
                match answer["batchItemFailures"].as_array().map(Vec::len) {
                    Some(0) => End::Done,
                    _ => End::Again,
                }
            }
            (Step::Report, Ok(_)) => End::Done,
            (Step::Report, Err(_)) => End::Again,
            (_, Err(error)) => panic!("{:?} fails as a whole: {error}", self.step),
        }
    }

    /// Lets `functions` do it.
    pub async fn run(&self, functions: &Functions) -> End {
        match self.step {
            Step::Ask => end(&functions.ask(&self.client(), &self.email, at(1)).await),
            Step::Link | Step::Notice => {
                match functions.deliver(&[self.record()], at(1)).await.len() {
                    0 => End::Done,
                    _ => End::Again,
                }
            }
            Step::Report => match functions.report(&self.report()).await {
                Ok(()) => End::Done,
                Err(_) => End::Again,
            },
            Step::Confirm => {
                let token = self.token.expose();
                end(&functions.confirm(token, GOOD_PASSWORD, at(1)).await)
            }
        }
    }

    /// Whether what it is for has come about. Panics where it has by halves, or twice.
    pub async fn is_done(&self, app: &TestApp) -> bool {
        match self.step {
            Step::Ask => self.is_owed(app).await,
            Step::Link => self.has_link(app).await,
            Step::Notice => !app.mails_to(&self.email).is_empty(),
            Step::Report => self.user(app).await.suppression().is_some(),
            Step::Confirm => self.is_changed(app).await,
        }
    }

    /// How many mails there are.
    #[must_use]
    pub fn mails(&self, app: &TestApp) -> usize {
        app.mails_to(&self.email).len()
    }

    async fn user(&self, app: &TestApp) -> User {
        app.user(&self.email).await.expect("the user is there")
    }

    async fn is_owed(&self, app: &TestApp) -> bool {
        let email = AttributeValue::S(self.email.clone());
        let rows = app.rows("outbox").await;
        rows.iter().any(|row| row.get("email") == Some(&email))
    }

    /// Whatever was mailed works, and has cost the account one mail of its budget.
    async fn has_link(&self, app: &TestApp) -> bool {
        let mails = app.mails_to(&self.email);
        for mail in &mails {
            let token = Link::read(mail).token;
            let digest = ResetToken::parse(&token).expect("a token").digest();
            let row = app.row("tokens", ("token_digest", digest.as_str())).await;
            assert!(row.is_some(), "a link was mailed whose token is not kept");
        }
        assert!(self.user(app).await.recovery.email_count <= 1);
        !mails.is_empty()
    }

    /// The password is set, the token is spent and one notice is owed: all or nothing, and once.
    async fn is_changed(&self, app: &TestApp) -> bool {
        let user = self.user(app).await;
        let digest = self.token.digest();
        let token = app.row("tokens", ("token_digest", digest.as_str())).await;
        let notice = format!("changed#{}", digest.as_str());
        let notice = app.row("outbox", ("id", &notice)).await;
        let hash = user.password_hash.as_deref();
        let has_password = hash.is_some_and(|hash| verify(&Password::new(GOOD_PASSWORD), hash));
        let found = (
            has_password,
            user.session_epoch,
            token.is_some(),
            notice.is_some(),
        );
        let (nothing, all) = ((false, 0, true, false), (true, 1, false, true));
        assert!([nothing, all].contains(&found), "{found:?}");
        found == all
    }
}

fn end(answer: &Answer) -> End {
    end_of(Some(answer.status.as_u16().into()), &answer.body)
}

/// Panics at an answer that is none of the documented ones.
fn end_of(status: Option<u64>, body: &[u8]) -> End {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let detail = body["detail"].as_str().unwrap_or_default();
    match (status, body["code"].as_str()) {
        (Some(200), None) if body["worked"] == true => End::Done,
        (Some(503), Some("unavailable")) => End::Again,
        (Some(400), Some("invalid_token")) if detail.contains("new password") => End::Spent,
        _ => panic!("{status:?} {body}"),
    }
}
