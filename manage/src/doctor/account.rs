//! One account: whether it can be sent a mail now.

use anyhow::Result;
use chrono::{DateTime, Utc};
use shared::{
    address::EmailAddress,
    settings::{self, Environment, MailBudget},
    tables::User,
};

use super::Finding;
use crate::{now, workspace::Workspace};

pub(super) async fn examine(
    workspace: &Workspace,
    env: &Environment<'_>,
    address: &EmailAddress,
) -> Finding {
    let what = format!("account {}", address.as_str());
    match look(workspace, env, address).await {
        Err(error) => Finding::problem(what, format!("{error:#}"), "mend that first"),
        Ok((None, _)) => Finding::problem(
            what,
            "there is none, so that no mail is sent",
            "look for another spelling with `users list`, or add it with `users add`",
        ),
        Ok((Some(user), budget)) => judge(what, &user, budget, now()),
    }
}

async fn look(
    workspace: &Workspace,
    env: &Environment<'_>,
    address: &EmailAddress,
) -> Result<(Option<User>, MailBudget)> {
    let budget = settings::mail_budget(env)?;
    Ok((workspace.users().await?.get(address).await?, budget))
}

fn judge(what: String, user: &User, budget: MailBudget, now: DateTime<Utc>) -> Finding {
    let sent = user.recovery.links_within_the_hour(now).count();
    if !user.is_active {
        return Finding::problem(
            what,
            "it is not active, so that no link is sent",
            "activate it in the admin panel",
        );
    }
    if let Some(suppression) = user.suppression() {
        return Finding::problem(
            what,
            format!("mail to it is stopped: {}", suppression.cause.describe()),
            format!(
                "once the mailbox takes mail again: `users clear-suppression {}`",
                user.email.as_str()
            ),
        );
    }
    if sent >= budget.per_hour {
        return Finding::problem(
            what,
            format!("it has had its {sent} links of this hour"),
            "wait, or raise ACCOUNT_LIMIT_PER_HOUR",
        );
    }
    Finding::ok(
        what,
        format!(
            "is active, and can be sent {} links in this hour",
            budget.per_hour - sent
        ),
    )
}
