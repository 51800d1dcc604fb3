//! The checks that the stack's canary can get its emails.

use request::settings::RequestSettings;
use rules::{address::EmailAddress, canary, environment::Environment};

use super::account;
use crate::{finding::Finding, now, workspace::Workspace};

/// Seconds between two requests of the canary, as in the template.
const INTERVAL_SECONDS: u32 = 300;

/// Checks the canary's account and its client limit if the stack has a canary.
pub(super) async fn check(workspace: &Workspace, env: &Environment<'_>) -> Vec<Finding> {
    if workspace.setting("CANARY").as_deref() != Some("on") {
        return Vec::new();
    }
    let mut findings = vec![check_account(workspace, env).await];
    // The check of the settings reports those that cannot be read.
    if let Ok(settings) = RequestSettings::read(env) {
        findings.push(check_limit(&settings));
    }
    findings
}

async fn check_account(workspace: &Workspace, env: &Environment<'_>) -> Finding {
    let subject = "canary, account";
    let address = EmailAddress::parse(canary::ADDRESS).expect("a valid address");
    match account::look_up(workspace, env, &address).await {
        Err(error) => Finding::problem(
            subject,
            format!("{error:#}"),
            "resolve this error, then run `doctor` again",
        ),
        Ok((None, _)) => Finding::problem(
            subject,
            "does not exist, so the canary gets no email",
            workspace.advice_to_add(canary::ADDRESS),
        ),
        Ok((Some(user), _)) => {
            account::check_user(subject.to_owned(), &user, canary::budget(), now())
        }
    }
}

fn check_limit(settings: &RequestSettings) -> Finding {
    let subject = "canary, client limit";
    let limit = settings.client_limit;
    let needed = limit.window_seconds / INTERVAL_SECONDS + 1;
    if limit.requests < needed {
        return Finding::problem(
            subject,
            format!(
                "permits {} requests in {} seconds, but the canary needs {needed}",
                limit.requests, limit.window_seconds
            ),
            "raise ClientLimit or lower ClientWindowSeconds",
        );
    }
    Finding::ok(subject, "permits a request every five minutes")
}
