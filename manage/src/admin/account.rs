//! One user: what recovery did for them, and what may be done for them.

use std::sync::Arc;

use askama::Template;
use aws::tables::{SuppressionClearing, User, UserLookup};
use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use rules::{
    address::EmailAddress,
    recovery::{EmailBudget, EmailKind, SentEmail, Suppression},
};

use super::{
    Panel,
    guard::{Admin, Fields, random_text},
    pages::{Failure, Frame, STYLE, href, render, time, yes},
};

/// What an administrator may do. To set a password is not among it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    SendReset,
    Activate,
    Deactivate,
    ClearSuppression,
}

impl Action {
    const ALL: [Self; 4] = [
        Self::SendReset,
        Self::Activate,
        Self::Deactivate,
        Self::ClearSuppression,
    ];

    /// Its name in addresses and logs.
    fn name(self) -> &'static str {
        match self {
            Self::SendReset => "send-reset",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::ClearSuppression => "clear-suppression",
        }
    }

    fn parse(name: &str) -> Result<Self, Failure> {
        let mut all = Self::ALL.into_iter();
        all.find(|action| action.name() == name)
            .ok_or(Failure::NoSuchPage)
    }

    fn label(self) -> &'static str {
        match self {
            Self::SendReset => "Send a reset mail",
            Self::Activate => "Activate",
            Self::Deactivate => "Deactivate",
            Self::ClearSuppression => "Send mail again",
        }
    }

    fn question(self) -> &'static str {
        match self {
            Self::SendReset => "Send a mail with a link to set a new password?",
            Self::Activate => "Activate this account?",
            Self::Deactivate => "Deactivate this account?",
            Self::ClearSuppression => "Send mail to this address again?",
        }
    }

    fn consequence(self) -> &'static str {
        match self {
            Self::SendReset => "It counts against the account's mails of the hour.",
            Self::Activate => "Its owner can sign in and be sent links again.",
            Self::ClearSuppression => {
                "Mail to it was stopped because it came back or was called spam. If that happens \
                 again, it counts against the sender's reputation."
            }
            Self::Deactivate => {
                "Its owner is sent no more links, those that were sent stop to work, \
                 and a session in this panel ends."
            }
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::SendReset => "The mail is in the outbox; the mailer sends it.",
            Self::Activate => "The account is active.",
            Self::ClearSuppression => "Mail to the address is sent again.",
            Self::Deactivate => "The account is not active any more.",
        }
    }

    /// Whether it would change anything about `user`; one that is not to be had now can be.
    fn is_offered(self, user: &User) -> bool {
        match self {
            Self::SendReset => true,
            Self::Activate => !user.is_active,
            Self::Deactivate => user.is_active,
            Self::ClearSuppression => user.suppression().is_some(),
        }
    }

    /// Why it cannot be done for `user`, if so.
    fn hindrance(
        self,
        user: &User,
        admin: &Admin,
        budget: EmailBudget,
        now: DateTime<Utc>,
    ) -> Option<&'static str> {
        match self {
            Self::SendReset if !user.is_active => {
                Some("The account is not active, so that no mail is sent to it.")
            }
            Self::SendReset if user.suppression().is_some() => {
                Some("Mail to the address is stopped; see above.")
            }
            Self::SendReset => mail_hindrance(user, budget, now),
            Self::Activate => user.is_active.then_some("The account is active."),
            Self::Deactivate if user.email == admin.email => {
                Some("Nobody can deactivate their own account; ask another administrator.")
            }
            Self::Deactivate => (!user.is_active).then_some("The account is not active."),
            Self::ClearSuppression => {
                let is_sent = user.suppression().is_none();
                is_sent.then_some("Mail to the address is not stopped.")
            }
        }
    }
}

/// Why the mailer would send no mail to `user` now, if so.
fn mail_hindrance(user: &User, budget: EmailBudget, now: DateTime<Utc>) -> Option<&'static str> {
    if left(user, budget, now) == 0 {
        return Some("The account has had all its mails of this hour.");
    }
    user.recovery
        .counted_emails(now)
        .any(|mail| now - mail.at < budget.cooldown)
        .then_some("The account was sent a mail just now; wait a little.")
}

/// Mails that the account may still be sent in this hour.
fn left(user: &User, budget: EmailBudget, now: DateTime<Utc>) -> usize {
    let sent = user.recovery.counted_emails(now).count();
    budget.per_hour.saturating_sub(sent)
}

#[derive(Template)]
#[template(path = "admin/account.html")]
struct Account<'a> {
    frame: Option<Frame<'a>>,
    done: Option<&'static str>,
    address: &'a str,
    facts: Vec<(&'static str, String)>,
    stopped: Option<String>,
    /// When, what, what became of it, why.
    mails: Vec<(String, &'static str, String, String)>,
    links: Vec<(String, String)>,
    /// Each with why it is not to be had, if so.
    actions: Vec<(&'static str, String, Option<&'static str>)>,
}

#[derive(Template)]
#[template(path = "admin/ask.html")]
struct Ask<'a> {
    frame: Option<Frame<'a>>,
    token: &'a str,
    question: &'static str,
    consequence: &'static str,
    label: &'static str,
    address: &'a str,
    email: &'a str,
    back: String,
}

/// The page of one user.
pub(super) async fn show(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Fields::query(query.as_deref());
    let (user, now) = (find(&panel, query.get("email")).await?, (panel.now)());
    // A link from before the last change is spent, though its row may be there still.
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
        let hindrance = action.hindrance(&user, &admin, panel.budget, now);
        let place = format!("/admin/users/{}/", action.name());
        (action.label(), href(&place, &fields), hindrance)
    };
    let page = Account {
        frame: Some(panel.frame(&admin)),
        done: Action::parse(query.get("done")).ok().map(Action::done),
        address: &user.mail_to,
        facts: facts(&user, panel.budget, now),
        stopped: user.suppression().map(stopped),
        mails: user.recovery.emails.iter().rev().map(row).collect(),
        links: links.collect(),
        actions: Action::ALL
            .into_iter()
            .filter(|action| action.is_offered(&user))
            .map(action)
            .collect(),
    };
    Ok(render(&page))
}

/// Why no mail is sent, in a sentence.
fn stopped(suppression: &Suppression) -> String {
    let reason = suppression.reason.as_deref().unwrap_or("no reason given");
    format!(
        "Mail to this address is stopped since {}: {} ({reason}).",
        time(Some(suppression.at)),
        suppression.cause.describe(),
    )
}

fn row(mail: &SentEmail) -> (String, &'static str, String, String) {
    let kind = match mail.kind {
        EmailKind::ResetRequested => "link",
        EmailKind::PasswordChanged => "notice of a change",
    };
    let outcome = mail.outcome.as_ref();
    (
        time(Some(mail.at)),
        kind,
        outcome.map_or_else(
            || "handed to SES".to_owned(),
            |outcome| format!("{}, {}", outcome.state.describe(), time(Some(outcome.at))),
        ),
        outcome
            .and_then(|outcome| outcome.reason.clone())
            .unwrap_or_default(),
    )
}

fn facts(user: &User, budget: EmailBudget, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let sent = user.recovery.counted_emails(now).count();
    vec![
        ("Name", or_none(&user.name)),
        ("Language", or_none(&user.locale)),
        ("Active", yes(user.is_active).to_owned()),
        ("Superuser", yes(user.is_superuser).to_owned()),
        ("Created", time(user.created_at)),
        ("Password last changed", time(user.password_changed_at)),
        ("Last reset", last_reset(user)),
        ("Session epoch", user.session_epoch.to_string()),
        ("Links mailed in the last hour", sent.to_string()),
        (
            "Links left in this hour",
            format!("{} of {}", left(user, budget, now), budget.per_hour),
        ),
        ("Mails in all", user.recovery.email_count.to_string()),
    ]
}

/// A reset is what makes the epoch grow, and a password that was never reset was set when the
/// user was added.
fn last_reset(user: &User) -> String {
    time(user.password_changed_at.filter(|_| user.session_epoch > 0))
}

/// The question before an action.
pub(super) async fn ask(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    Path(action): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let action = Action::parse(&action)?;
    let query = Fields::query(query.as_deref());
    let user = find(&panel, query.get("email")).await?;
    check(&panel, &admin, action, &user)?;
    let page = Ask {
        frame: Some(panel.frame(&admin)),
        token: &admin.form_token,
        question: action.question(),
        consequence: action.consequence(),
        label: action.label(),
        address: &user.mail_to,
        email: user.email.as_str(),
        back: href("/admin/users/", &[("email", user.email.as_str())]),
    };
    Ok(render(&page))
}

/// Does what was asked and confirmed.
pub(super) async fn act(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    Path(action): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let form = Fields::parse(&body);
    form.check_token(&admin.form_token)?;
    let action = Action::parse(&action)?;
    let user = find(&panel, form.get("email")).await?;
    check(&panel, &admin, action, &user)?;
    match action {
        Action::SendReset => {
            let outbox = &panel.outbox;
            outbox
                .record_operator_request(&random_text()?, &user.email, (panel.now)())
                .await?;
        }
        Action::Activate | Action::Deactivate => {
            let is_active = action == Action::Activate;
            if !panel.users.set_active(&user.email, is_active).await? {
                return Err(Failure::NotPossible(
                    "The account is gone, or its row says in another way than true or false \
                     whether it is active: there, only the application can change it.",
                ));
            }
        }
        Action::ClearSuppression => {
            let cleared = panel.users.clear_suppression(&user.email).await?;
            if cleared == SuppressionClearing::UnknownUser {
                return Err(Failure::NoSuchUser);
            }
        }
    }
    tracing::info!(
        account = user.email.digest(),
        administrator = admin.email.digest(),
        action = action.name(),
        "an administrator acted"
    );
    let fields = [("email", user.email.as_str()), ("done", action.name())];
    Ok(Redirect::to(&href("/admin/users/", &fields)).into_response())
}

fn check(panel: &Panel, admin: &Admin, action: Action, user: &User) -> Result<(), Failure> {
    match action.hindrance(user, admin, panel.budget, (panel.now)()) {
        None => Ok(()),
        Some(why) => Err(Failure::NotPossible(why)),
    }
}

async fn find(panel: &Panel, email: &str) -> Result<User, Failure> {
    let email = EmailAddress::parse(email).map_err(|_| Failure::NoSuchUser)?;
    match panel.users.find(&email).await? {
        UserLookup::One(user) => Ok(*user),
        UserLookup::Unknown => Err(Failure::NoSuchUser),
        UserLookup::Ambiguous => Err(Failure::NotPossible(
            "More than one account has this address, so that none of them is shown, sent a mail \
             or changed. Let the application give each an address of its own.",
        )),
    }
}
