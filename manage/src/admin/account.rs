//! The page of one user: attributes, recovery state, and available actions.

use std::sync::Arc;

use askama::Template;
use aws::tables::User;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use rules::recovery::{EmailBudget, EmailKind, SentEmail, Suppression};

use super::{
    action::{Action, links_left},
    form::FormFields,
    guard::Admin,
    pages::{Failure, Frame, STYLE, href, render, time},
    panel::Panel,
};
use crate::output::yes_no;

#[derive(Template)]
#[template(path = "admin/account.html")]
struct AccountPage<'a> {
    frame: Option<Frame<'a>>,
    done: Option<&'static str>,
    address: &'a str,
    facts: Vec<(&'static str, String)>,
    suppression: Option<String>,
    emails: Vec<EmailRow>,
    /// When each outstanding link was sent and when it expires.
    links: Vec<(String, String)>,
    actions: Vec<ActionLink>,
}

struct EmailRow {
    at: String,
    kind: &'static str,
    state: String,
    reason: String,
}

struct ActionLink {
    label: &'static str,
    href: String,
    /// The reason why the action is unavailable, if it is.
    unavailable_because: Option<&'static str>,
}

/// Shows the page of one user.
pub(super) async fn show(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = FormFields::parse_query(query.as_deref());
    let (user, now) = (panel.find_user(query.get("email")).await?, (panel.now)());
    // A link from before the last password change no longer works, though its row may still exist.
    let links = panel.tokens.outstanding(&user.email, now).await?;
    let links = links
        .iter()
        .filter(|link| {
            user.password_changed_at
                .is_none_or(|at| at < link.issued_at)
        })
        .map(|link| (time(Some(link.issued_at)), time(Some(link.expires_at))));
    let action = |action: Action| {
        let fields = [("email", user.email.as_str())];
        let unavailable_because = action.unavailable_because(&user, &admin, panel.budget, now);
        let path = format!("/admin/users/{}/", action.name());
        ActionLink {
            label: action.label(),
            href: href(&path, &fields),
            unavailable_because,
        }
    };
    let page = AccountPage {
        frame: Some(panel.frame(&admin.form_token)),
        done: Action::parse(query.get("done")).ok().map(Action::done),
        address: &user.mail_to,
        facts: facts(&user, panel.budget, now),
        suppression: user.suppression().map(describe_suppression),
        emails: user
            .recovery
            .emails
            .iter()
            .rev()
            .map(EmailRow::new)
            .collect(),
        links: links.collect(),
        actions: Action::ALL
            .into_iter()
            .filter(|action| action.is_listed(&user))
            .map(action)
            .collect(),
    };
    Ok(render(&page))
}

/// Describes the reason why no email is sent.
fn describe_suppression(suppression: &Suppression) -> String {
    let reason = suppression.reason.as_deref().unwrap_or("no reason given");
    format!(
        "Mail to this address is stopped since {}: {} ({reason}).",
        time(Some(suppression.at)),
        suppression.cause.describe(),
    )
}

impl EmailRow {
    fn new(email: &SentEmail) -> Self {
        let outcome = email.outcome.as_ref();
        let reason = outcome.and_then(|outcome| outcome.reason.clone());
        Self {
            at: time(Some(email.at)),
            kind: match email.kind {
                EmailKind::ResetRequested => "link",
                EmailKind::PasswordChanged => "notice of a change",
            },
            state: outcome.map_or_else(
                || "handed to SES".to_owned(),
                |outcome| format!("{}, {}", outcome.state.describe(), time(Some(outcome.at))),
            ),
            reason: reason.unwrap_or_default(),
        }
    }
}

fn facts(user: &User, budget: EmailBudget, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let sent = user.recovery.counted_emails(now).count();
    vec![
        ("Name", or_none(&user.name)),
        ("Language", or_none(&user.locale)),
        ("Active", yes_no(user.is_active).to_owned()),
        ("Superuser", yes_no(user.is_superuser).to_owned()),
        ("Created", time(user.created_at)),
        ("Password last changed", time(user.password_changed_at)),
        ("Last reset", last_reset(user)),
        ("Session epoch", user.session_epoch.to_string()),
        ("Links mailed in the last hour", sent.to_string()),
        (
            "Links left in this hour",
            format!("{} of {}", links_left(user, budget, now), budget.per_hour),
        ),
        ("Mails in all", user.recovery.email_count.to_string()),
    ]
}

/// Returns when the password was last reset. Only a reset increases the session epoch; before
/// that, the password is from when the user was added.
fn last_reset(user: &User) -> String {
    time(user.password_changed_at.filter(|_| user.session_epoch > 0))
}
