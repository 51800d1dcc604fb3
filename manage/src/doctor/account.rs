//! The check whether one account can receive an email now.

use anyhow::Result;
use aws::tables::User;
use chrono::{DateTime, Utc};
use rules::{address::EmailAddress, environment::Environment, recovery::EmailBudget};

use crate::{finding::Finding, now, workspace::Workspace};

/// Checks the account of `address`.
pub(super) async fn check(
    workspace: &Workspace,
    env: &Environment<'_>,
    address: &EmailAddress,
) -> Finding {
    let subject = format!("account {}", address.as_str());
    match look_up(workspace, env, address).await {
        Err(error) => Finding::problem(
            subject,
            format!("{error:#}"),
            "resolve this error, then run `doctor` again",
        ),
        Ok((None, _)) => Finding::problem(
            subject,
            "does not exist, so no email is sent",
            "look for another spelling with `users list`, or add it with `users add`",
        ),
        Ok((Some(user), budget)) => check_user(subject, &user, budget, now()),
    }
}

/// Looks up the account of `address`, if there is one, and the budget of every account.
pub(crate) async fn look_up(
    workspace: &Workspace,
    env: &Environment<'_>,
    address: &EmailAddress,
) -> Result<(Option<User>, EmailBudget)> {
    let budget = EmailBudget::read(env)?;
    Ok((workspace.users().await?.get(address).await?, budget))
}

/// Checks whether `user` may receive an email within the hour.
pub(crate) fn check_user(
    subject: String,
    user: &User,
    budget: EmailBudget,
    now: DateTime<Utc>,
) -> Finding {
    if !user.is_active {
        return Finding::problem(
            subject,
            "is not active, so no link is sent",
            "activate it in the admin panel",
        );
    }
    if let Some(suppression) = user.suppression() {
        return Finding::problem(
            subject,
            format!("is suppressed: {}", suppression.cause.describe()),
            format!(
                "once the mailbox accepts email again: `users clear-suppression {}`",
                user.email.as_str()
            ),
        );
    }
    let sent = user.recovery.counted_emails(now).count();
    if sent >= budget.per_hour {
        return Finding::problem(
            subject,
            format!("has received all {sent} links allowed in an hour"),
            "wait, or raise ACCOUNT_LIMIT_PER_HOUR",
        );
    }
    Finding::ok(
        subject,
        format!(
            "is active, and may receive {} links within the hour",
            budget.per_hour - sent
        ),
    )
}
