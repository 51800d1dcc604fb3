//! The account that the email goes to.

use aws::tables::User;
use chrono::{DateTime, Utc};
use rules::{address::EmailAddress, environment::Environment, recovery::EmailBudget};

use crate::{doctor::account, finding::Finding, now, workspace::Workspace};

/// An address of SES's mailbox simulator, which accepts every email.
pub(super) const ADDRESS: &str = "success@simulator.amazonses.com";

/// Returns the account if it may receive an email now, or else the problem.
pub(super) async fn check(
    workspace: &Workspace,
    env: &Environment<'_>,
) -> Result<(User, Finding), Finding> {
    let subject = format!("account {ADDRESS}");
    let address = EmailAddress::parse(ADDRESS).expect("a valid address");
    match account::look_up(workspace, env, &address).await {
        Err(error) => Err(Finding::problem(
            subject,
            format!("{error:#}"),
            "resolve this error, then run `smoke` again",
        )),
        Ok((None, _)) => Err(Finding::problem(
            subject,
            "does not exist, so no email was requested",
            workspace.advice_to_add(ADDRESS),
        )),
        Ok((Some(user), budget)) => {
            let now = now();
            let finding = account::check_user(subject.clone(), &user, budget, now);
            if finding.is_problem() {
                return Err(finding);
            }
            match cooldown_seconds(&user, budget, now) {
                0 => Ok((user, finding)),
                seconds => Err(Finding::problem(
                    subject,
                    "received an email a moment ago, so no other was requested",
                    format!("run `smoke` again in {seconds} seconds"),
                )),
            }
        }
    }
}

/// Returns the seconds until the account may receive the next email.
fn cooldown_seconds(user: &User, budget: EmailBudget, now: DateTime<Utc>) -> u64 {
    let latest = user
        .recovery
        .counted_emails(now)
        .map(|email| email.at)
        .max();
    let millis = latest.map_or(0, |at| (at + budget.cooldown - now).num_milliseconds());
    u64::try_from(millis).unwrap_or(0).div_ceil(1_000)
}
