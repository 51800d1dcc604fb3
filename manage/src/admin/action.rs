//! Actions of an administrator on a user, each after a page that asks for confirmation.

use std::sync::Arc;

use askama::Template;
use aws::tables::{SuppressionClearing, User};
use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, Utc};
use rules::recovery::EmailBudget;

use super::{
    form::{FormFields, random_token},
    guard::Admin,
    pages::{Failure, Frame, STYLE, href, render},
    panel::Panel,
};

/// An action on a user. There is deliberately none that sets a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    SendReset,
    Activate,
    Deactivate,
    ClearSuppression,
}

impl Action {
    pub(super) const ALL: [Self; 4] = [
        Self::SendReset,
        Self::Activate,
        Self::Deactivate,
        Self::ClearSuppression,
    ];

    /// Returns the action's name in URLs and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SendReset => "send-reset",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::ClearSuppression => "clear-suppression",
        }
    }

    pub(super) fn parse(name: &str) -> Result<Self, Failure> {
        let mut all = Self::ALL.into_iter();
        all.find(|action| action.name() == name)
            .ok_or(Failure::NoSuchPage)
    }

    pub(super) fn label(self) -> &'static str {
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

    pub(super) fn done(self) -> &'static str {
        match self {
            Self::SendReset => "The mail is in the outbox; the mailer sends it.",
            Self::Activate => "The account is active.",
            Self::ClearSuppression => "Mail to the address is sent again.",
            Self::Deactivate => "The account is not active any more.",
        }
    }

    /// Returns whether the user's page lists the action, possibly as unavailable.
    pub(super) fn is_listed(self, user: &User) -> bool {
        match self {
            Self::SendReset => true,
            Self::Activate => !user.is_active,
            Self::Deactivate => user.is_active,
            Self::ClearSuppression => user.suppression().is_some(),
        }
    }

    /// Returns the reason why the action is unavailable for `user`, if it is.
    pub(super) fn unavailable_because(
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
            Self::SendReset => budget_refusal(user, budget, now),
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

/// Returns the reason why the mailer would send `user` no link now, if there is one.
fn budget_refusal(user: &User, budget: EmailBudget, now: DateTime<Utc>) -> Option<&'static str> {
    if links_left(user, budget, now) == 0 {
        return Some("The account has had all its mails of this hour.");
    }
    user.recovery
        .counted_emails(now)
        .any(|email| now - email.at < budget.cooldown)
        .then_some("The account was sent a mail just now; wait a little.")
}

/// Returns the number of links that the account may still receive within the hour.
pub(super) fn links_left(user: &User, budget: EmailBudget, now: DateTime<Utc>) -> usize {
    let sent = user.recovery.counted_emails(now).count();
    budget.per_hour.saturating_sub(sent)
}

#[derive(Template)]
#[template(path = "admin/question.html")]
struct QuestionPage<'a> {
    frame: Option<Frame<'a>>,
    token: &'a str,
    question: &'static str,
    consequence: &'static str,
    label: &'static str,
    address: &'a str,
    email: &'a str,
    back: String,
}

/// Shows the question before an action.
pub(super) async fn confirm(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    Path(action): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let action = Action::parse(&action)?;
    let query = FormFields::parse_query(query.as_deref());
    let user = panel.find_user(query.get("email")).await?;
    check_available(&panel, &admin, action, &user)?;
    let page = QuestionPage {
        frame: Some(panel.frame(&admin.form_token)),
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

/// Performs the confirmed action.
pub(super) async fn perform(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    Path(action): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let form = FormFields::parse(&body);
    form.check_token(&admin.form_token)?;
    let action = Action::parse(&action)?;
    let user = panel.find_user(form.get("email")).await?;
    check_available(&panel, &admin, action, &user)?;
    match action {
        Action::SendReset => {
            let outbox = &panel.outbox;
            outbox
                .record_operator_request(&random_token()?, &user.email, (panel.now)())
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
        "administrator action"
    );
    let fields = [("email", user.email.as_str()), ("done", action.name())];
    Ok(Redirect::to(&href("/admin/users/", &fields)).into_response())
}

fn check_available(
    panel: &Panel,
    admin: &Admin,
    action: Action,
    user: &User,
) -> Result<(), Failure> {
    match action.unavailable_because(user, admin, panel.budget, (panel.now)()) {
        None => Ok(()),
        Some(reason) => Err(Failure::NotPossible(reason)),
    }
}
