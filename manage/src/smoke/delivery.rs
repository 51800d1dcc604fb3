//! The request for an email, and the wait for SES's report of its delivery.

use std::time::{Duration, Instant};

use anyhow::Result;
use aws::tables::{User, Users};
use axum::http::header;
use rules::recovery::{DeliveryOutcome, DeliveryState, SentEmail};
use serde_json::json;
use tokio::time::sleep;

use super::{
    account::ADDRESS,
    api::{Api, FORGOT_PASSWORD},
};
use crate::{finding::Finding, workspace::Workspace};

const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Requests the email.
pub(super) async fn request(api: &Api) -> Finding {
    let path = format!("{FORGOT_PASSWORD}/");
    let subject = format!("POST {path}");
    match api.post(&path, &json!({ "email": ADDRESS })).await {
        Err(error) => Finding::problem(subject, format!("{error:#}"), "read the function's log"),
        Ok(response) if response.json()["code"] == "rate_limited" => Finding::problem(
            subject,
            "is refused: this machine's address is over CLIENT_LIMIT",
            format!(
                "run `smoke` again in {} seconds",
                response.header(header::RETRY_AFTER)
            ),
        ),
        Ok(response) if response.json() == json!({ "worked": true }) => {
            Finding::ok(subject, "accepts a request for an email")
        }
        Ok(response) => Finding::problem(
            subject,
            format!("returns {} instead of 200", response.describe()),
            "read the function's log",
        ),
    }
}

/// Waits until SES has reported the delivery of an email that `before` did not have.
pub(super) async fn wait(workspace: &Workspace, before: &User, limit: Duration) -> Finding {
    let subject = format!("email to {ADDRESS}");
    let started = Instant::now();
    let outcome = async {
        let users = workspace.users().await?;
        loop {
            let email = new_email(&users, before).await?;
            if email.as_ref().is_some_and(is_settled) || started.elapsed() >= limit {
                return Ok::<_, anyhow::Error>(email);
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    match outcome.await {
        Ok(None) => overdue(subject, false, limit),
        Ok(Some(email)) => match &email.outcome {
            None => overdue(subject, true, limit),
            Some(outcome) => outcome_finding(subject, outcome, started),
        },
        Err(error) => Finding::problem(
            subject,
            format!("cannot be followed: {error:#}"),
            "resolve this error, then run `smoke` again",
        ),
    }
}

async fn new_email(users: &Users, before: &User) -> Result<Option<SentEmail>> {
    let user = users.get(&before.email).await?;
    let emails = user.into_iter().flat_map(|user| user.recovery.emails);
    let mut new = emails.filter(|email| !before.recovery.contains(&email.id));
    Ok(new.next())
}

/// Returns whether no better outcome can follow.
fn is_settled(email: &SentEmail) -> bool {
    let state = email.outcome.as_ref().map(|outcome| outcome.state);
    state >= Some(DeliveryState::Delivered) || state == Some(DeliveryState::Refused)
}

/// Reports the outcome of the email, which was requested at `started`.
fn outcome_finding(subject: String, outcome: &DeliveryOutcome, started: Instant) -> Finding {
    let seconds = started.elapsed().as_secs_f64();
    if outcome.state == DeliveryState::Delivered {
        return Finding::ok(subject, format!("was delivered after {seconds:.1} seconds"));
    }
    let state = outcome.state.describe();
    let reason = outcome.reason.as_deref().unwrap_or("no reason is recorded");
    Finding::problem(
        subject,
        format!("is not delivered after {seconds:.1} seconds: {state} ({reason})"),
        "run `doctor`, which checks SES, and read the mailer's log",
    )
}

/// Reports that the time limit passed without an outcome.
fn overdue(subject: String, is_sent: bool, limit: Duration) -> Finding {
    let seconds = limit.as_secs();
    if is_sent {
        return Finding::problem(
            subject,
            format!("was handed to SES, which reported no delivery within {seconds} seconds"),
            "check that the configuration set publishes its events to the default event bus, and \
             read the mailer's log",
        );
    }
    Finding::problem(
        subject,
        format!("was not sent within {seconds} seconds"),
        "run `doctor`, which checks the pipe and the queue to the mailer, and read the mailer's \
         log",
    )
}
