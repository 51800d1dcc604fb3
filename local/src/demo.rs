//! `demo`: walks through a whole reset on a system in memory, and prints and checks each step.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws::tables::Users;
use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use lambda_http::http::{Request, StatusCode, header};
use passwords::Password;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    demo_account::{self, ADDRESS, PASSWORD},
    inbox::StoredEmail,
    system::{LocalSystem, Options},
};

/// A password that the policy rejects.
const WEAK_PASSWORD: &str = "password1234567";
/// A password that the policy accepts.
const STRONG_PASSWORD: &str = "ochre lantern tugboat sonnet";

/// Interval between checks of the inbox.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Checks before giving up on an email, which is after ten seconds.
const MAX_POLLS: u32 = 500;

/// Walks through a reset. Fails if a step goes wrong.
pub async fn run() -> Result<()> {
    let system = LocalSystem::start(Options {
        demo_account: true,
        ..Options::in_memory()
    })
    .await?;
    let demo = Demo {
        client: Client::builder(TokioExecutor::new()).build_http(),
        system,
    };
    let result = demo.run_steps().await;
    demo.system.stop().await;
    result?;
    println!("\nEvery step worked.");
    Ok(())
}

struct Demo {
    system: LocalSystem,
    client: Client<HttpConnector, Body>,
}

struct HttpResponse {
    status: StatusCode,
    body: Bytes,
}

impl Demo {
    async fn run_steps(&self) -> Result<()> {
        println!("A reset for {ADDRESS}, on {}\n", self.system.api_url());
        self.request_email().await?;
        let token = self.follow_link().await?;
        self.set_password(&token).await?;
        self.check_account().await?;
        self.reuse_link(&token).await
    }

    async fn request_email(&self) -> Result<()> {
        let known = self
            .post("forgot-password", &json!({ "email": ADDRESS }))
            .await?;
        ensure!(
            known.worked(),
            "the request for an email returned {}",
            known.status
        );
        report("request an email", "200 {\"worked\": true}");

        let unknown = self
            .post("forgot-password", &json!({ "email": "nobody@example.com" }))
            .await?;
        ensure!(
            unknown.status == known.status && unknown.body == known.body,
            "the response for an unknown address differs"
        );
        report(
            "request for unknown address",
            "the same response: it does not reveal who has an account",
        );
        Ok(())
    }

    async fn follow_link(&self) -> Result<String> {
        let email = self.wait_for_email(1).await?;
        ensure!(email.to == [ADDRESS], "the email went to {:?}", email.to);
        report("open the inbox", &format!("\"{}\"", email.subject));

        let (_, token) = email
            .text
            .split_once("&token=")
            .context("the email has no link")?;
        let token: String = token.chars().take_while(|c| !c.is_whitespace()).collect();
        ensure!(
            token.len() == 43,
            "the token has {} characters",
            token.len()
        );
        report(
            "follow the link",
            "a token of 43 characters, after the #, where no server logs it",
        );
        Ok(token)
    }

    async fn set_password(&self, token: &str) -> Result<()> {
        let weak = self.change(token, WEAK_PASSWORD).await?;
        ensure!(
            weak.status == StatusCode::UNPROCESSABLE_ENTITY,
            "a weak password returned {}",
            weak.status
        );
        ensure!(
            weak.json()["code"] == "weak_password",
            "a weak password returned {}",
            weak.json()
        );
        report(
            "set a weak password",
            "422 weak_password, and the link still works",
        );

        let strong = self.change(token, STRONG_PASSWORD).await?;
        ensure!(
            strong.worked(),
            "a strong password returned {}",
            strong.status
        );
        report("set a strong password", "200 {\"worked\": true}");
        Ok(())
    }

    async fn check_account(&self) -> Result<()> {
        let users = Users::new(
            self.system.dynamodb().clone(),
            self.system.tables().users.clone(),
        );
        let user = users
            .get(&demo_account::address())
            .await?
            .context("the account does not exist")?;
        let hash = user.password_hash.context("the account has no password")?;
        ensure!(
            passwords::verify(&Password::new(STRONG_PASSWORD), &hash),
            "the new password does not work"
        );
        ensure!(
            !passwords::verify(&Password::new(PASSWORD), &hash),
            "the old password still works"
        );
        report(
            "try both passwords",
            "the new one works, the old one does not",
        );
        ensure!(
            user.session_epoch == 1,
            "the session epoch is {}",
            user.session_epoch
        );
        report(
            "check the session epoch",
            "it increased: an application that checks it ends older sessions",
        );

        Ok(())
    }

    async fn reuse_link(&self, token: &str) -> Result<()> {
        let again = self.change(token, "another lantern tugboat sonnet").await?;
        ensure!(
            again.json()["code"] == "invalid_token",
            "the link worked twice: {}",
            again.json()
        );
        report("use the link again", "400 invalid_token: a link works once");

        let notice = self.wait_for_email(2).await?;
        ensure!(
            notice.to == [ADDRESS] && !notice.text.contains("token"),
            "the email is not the notice of a change"
        );
        report("open the inbox", &format!("\"{}\"", notice.subject));
        Ok(())
    }

    async fn change(&self, token: &str, password: &str) -> Result<HttpResponse> {
        let fields =
            json!({ "email": ADDRESS, "forgot_password_hash": token, "new_password": password });
        self.post("change-forgotten-password", &fields).await
    }

    async fn post(&self, resource: &str, fields: &Value) -> Result<HttpResponse> {
        let request = Request::post(format!("{}/core/user/{resource}/", self.system.api_url()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(fields.to_string()))?;
        let (parts, body) = self.client.request(request).await?.into_parts();
        Ok(HttpResponse {
            status: parts.status,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// Waits until there are `count` emails and returns the newest.
    async fn wait_for_email(&self, count: usize) -> Result<StoredEmail> {
        for _ in 0..MAX_POLLS {
            let mut emails = self.system.inbox().emails();
            if emails.len() == count {
                return Ok(emails.swap_remove(0));
            }
            sleep(POLL_INTERVAL).await;
        }
        bail!("email number {count} did not arrive")
    }
}

impl HttpResponse {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn worked(&self) -> bool {
        self.status == StatusCode::OK && self.json() == json!({ "worked": true })
    }
}

fn report(step: &str, result: &str) {
    println!("  ok  {step:28}{result}");
}
