//! `demo`: a whole reset on a system in memory, each step said and checked.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use lambda_http::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use shared::{password, password::Password, tables::Users};
use tokio::time::sleep;

use crate::{
    inbox::StoredMail,
    runserver::{DEMO_ADDRESS, DEMO_PASSWORD, add_demo_user, demo_address},
    system::{LocalSystem, Options},
};

/// A password that the policy refuses, and one that it takes.
const WEAK: &str = "password1234567";
const STRONG: &str = "ochre lantern tugboat sonnet";

/// How often the inbox is looked at, and how long a mail may take.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// Walks through a reset; an error where one step does not hold.
pub async fn run() -> Result<()> {
    let system = LocalSystem::start(Options::in_memory()).await?;
    add_demo_user(&system).await?;
    let demo = Demo {
        client: Client::builder(TokioExecutor::new()).build_http(),
        system,
    };
    let held = demo.walk().await;
    demo.system.stop().await;
    held?;
    println!("\nAll of it held.");
    Ok(())
}

struct Demo {
    system: LocalSystem,
    client: Client<HttpConnector, Body>,
}

struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Demo {
    async fn walk(&self) -> Result<()> {
        println!("A reset for {DEMO_ADDRESS}, on {}\n", self.system.api_url());
        self.ask().await?;
        let token = self.follow_link().await?;
        self.set_password(&token).await?;
        self.look_back(&token).await
    }

    async fn ask(&self) -> Result<()> {
        let known = self
            .post("forgot-password", &json!({ "email": DEMO_ADDRESS }))
            .await?;
        ensure!(
            known.worked(),
            "asking for a mail answered {}",
            known.status
        );
        say("ask for a mail", "200 {\"worked\": true}");

        let unknown = self
            .post("forgot-password", &json!({ "email": "nobody@example.com" }))
            .await?;
        ensure!(
            unknown.status == known.status && unknown.body == known.body,
            "an unknown address is answered otherwise"
        );
        say(
            "ask for an unknown address",
            "the same answer: it tells nobody who has an account",
        );
        Ok(())
    }

    async fn follow_link(&self) -> Result<String> {
        let mail = self.mail(1).await?;
        ensure!(mail.to == [DEMO_ADDRESS], "the mail went to {:?}", mail.to);
        say("look into the inbox", &format!("\"{}\"", mail.subject));

        let (_, token) = mail
            .text
            .split_once("&token=")
            .context("the mail has no link")?;
        let token: String = token.chars().take_while(|c| !c.is_whitespace()).collect();
        ensure!(
            token.len() == 43,
            "the token has {} characters",
            token.len()
        );
        say(
            "take the link out of it",
            "a token of 43 characters, behind the # where no log sees it",
        );
        Ok(token)
    }

    async fn set_password(&self, token: &str) -> Result<()> {
        let weak = self.change(token, WEAK).await?;
        ensure!(
            weak.status == StatusCode::UNPROCESSABLE_ENTITY,
            "a weak password answered {}",
            weak.status
        );
        ensure!(
            weak.json()["code"] == "weak_password",
            "a weak password answered {}",
            weak.json()
        );
        say(
            "set a weak password",
            "422 weak_password, and the link still works",
        );

        let strong = self.change(token, STRONG).await?;
        ensure!(
            strong.worked(),
            "a good password answered {}",
            strong.status
        );
        say("set a good password", "200 {\"worked\": true}");
        Ok(())
    }

    async fn look_back(&self, token: &str) -> Result<()> {
        let users = Users::new(
            self.system.dynamodb().clone(),
            self.system.tables().users.clone(),
        );
        let user = users
            .get(&demo_address())
            .await?
            .context("the account is gone")?;
        let hash = user.password_hash.context("the account has no password")?;
        ensure!(
            password::verify(&Password::new(STRONG), &hash),
            "the new password does not work"
        );
        ensure!(
            !password::verify(&Password::new(DEMO_PASSWORD), &hash),
            "the old password still works"
        );
        say(
            "try both passwords",
            "the new one works, the old one is dead",
        );
        ensure!(
            user.session_epoch == 1,
            "the session epoch is {}",
            user.session_epoch
        );
        say(
            "look at the session epoch",
            "it has grown: an application that checks it ends older sessions",
        );

        let again = self.change(token, "another lantern tugboat sonnet").await?;
        ensure!(
            again.json()["code"] == "invalid_token",
            "the link worked twice: {}",
            again.json()
        );
        say("use the link again", "400 invalid_token: a link works once");

        let notice = self.mail(2).await?;
        ensure!(
            notice.to == [DEMO_ADDRESS] && !notice.text.contains("token"),
            "the notice is not one"
        );
        say("look into the inbox", &format!("\"{}\"", notice.subject));
        Ok(())
    }

    async fn change(&self, token: &str, password: &str) -> Result<Answer> {
        let fields = json!({ "email": DEMO_ADDRESS, "forgot_password_hash": token, "new_password": password });
        self.post("change-forgotten-password", &fields).await
    }

    async fn post(&self, resource: &str, fields: &Value) -> Result<Answer> {
        let request = Request::post(format!("{}/core/user/{resource}/", self.system.api_url()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(fields.to_string()))?;
        let (parts, body) = self.client.request(request).await?.into_parts();
        Ok(Answer {
            status: parts.status,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// The newest mail, once there are `count`.
    async fn mail(&self, count: usize) -> Result<StoredMail> {
        for _ in 0..LOOKS {
            let mut mails = self.system.inbox().mails();
            if mails.len() == count {
                return Ok(mails.swap_remove(0));
            }
            sleep(LOOK).await;
        }
        bail!("mail number {count} did not come")
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn worked(&self) -> bool {
        self.status == StatusCode::OK && self.json() == json!({ "worked": true })
    }
}

fn say(step: &str, result: &str) {
    println!("  ok  {step:28}{result}");
}
