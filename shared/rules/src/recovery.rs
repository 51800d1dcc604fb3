//! Recovery state of a user: emails sent, their delivery outcomes, the email budget, and whether
//! email to the address is suppressed.
//!
//! SES reports outcomes more than once and in any order. A delivery state therefore only ever
//! advances, so the result does not depend on which event arrives last.

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::{
    address::EmailAddress,
    environment::{Environment, SettingError},
    hex,
};

/// The period that [`EmailBudget::per_hour`] covers.
const HOUR: TimeDelta = TimeDelta::hours(1);
/// Number of recent emails that are kept even if they no longer count against the budget.
const RECENT_EMAILS: usize = 10;
/// Length of an [`EmailId`] in hexadecimal digits.
const EMAIL_ID_DIGITS: usize = 32;

/// The emails that the service sends, by the outbox row that requests them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailKind {
    /// A reset link was requested.
    ResetRequested,
    /// The password was changed, and its owner is notified.
    PasswordChanged,
}

impl EmailKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::ResetRequested, Self::PasswordChanged];

    /// Returns the value of the outbox attribute `kind`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResetRequested => "reset_requested",
            Self::PasswordChanged => "password_changed",
        }
    }

    /// Parses the value of the outbox attribute `kind`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Limit on the reset emails of one account.
#[derive(Debug, Clone, Copy)]
pub struct EmailBudget {
    /// Minimum time between two emails.
    pub cooldown: TimeDelta,
    /// Maximum number of emails in any hour.
    pub per_hour: usize,
}

impl EmailBudget {
    /// Reads `ACCOUNT_COOLDOWN_SECONDS` and `ACCOUNT_LIMIT_PER_HOUR`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let cooldown = env.number("ACCOUNT_COOLDOWN_SECONDS", 60, 0..=3_600)?;
        Ok(Self {
            cooldown: TimeDelta::seconds(cooldown.into()),
            per_hour: env.number("ACCOUNT_LIMIT_PER_HOUR", 5, 1..=100)? as usize,
        })
    }
}

/// Recovery state of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Emails that count against the budget and the most recent ten, oldest first.
    pub emails: Vec<SentEmail>,
    /// Total number of emails ever sent.
    pub email_count: i64,
    /// The suppression of an address of the user, if there is one.
    pub suppression: Option<Suppression>,
    /// Version for optimistic locking; each write adds one.
    pub version: i64,
}

/// An email that is about to be sent or was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEmail {
    /// Identifies the email in events from SES.
    pub id: EmailId,
    /// Which email it is.
    pub kind: EmailKind,
    /// When it was due.
    pub at: DateTime<Utc>,
    /// The latest known outcome; `None` until one is known.
    pub outcome: Option<DeliveryOutcome>,
}

/// Identifies one email: a digest of its outbox row's `id` and `count`.
///
/// Unlike the row's `id` it does not reveal the client's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmailId(String);

/// The delivery outcome of an email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOutcome {
    /// The state that the email reached.
    pub state: DeliveryState,
    /// When the email reached it.
    pub at: DateTime<Utc>,
    /// The reason given, without any address.
    pub reason: Option<String>,
}

impl DeliveryOutcome {
    /// Creates an outcome without a reason.
    #[must_use]
    pub fn new(state: DeliveryState, at: DateTime<Utc>) -> Self {
        Self {
            state,
            at,
            reason: None,
        }
    }

    /// Returns whether this outcome replaces `known`: its state is later, or the email waits for
    /// another reason, apart from the request that failed.
    fn is_news_after(&self, known: &Self) -> bool {
        let cause = |outcome: &Self| {
            let reason = outcome.reason.as_deref().unwrap_or_default();
            let end = reason.find(" (request ").unwrap_or(reason.len());
            reason[..end].to_owned()
        };
        let is_waiting = self.state == DeliveryState::Waiting && known.state == self.state;
        known.state < self.state || (is_waiting && cause(self) != cause(known))
    }

    /// Adds the reason, which must not contain an address.
    #[must_use]
    pub fn because(mut self, reason: &impl ToString) -> Self {
        self.reason = Some(reason.to_string());
        self
    }
}

/// State of an email, in the order in which a later state replaces an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// SES has not accepted the email yet; the mailer tries again.
    Waiting,
    /// SES refuses the recipient.
    Refused,
    /// SES accepted the email after a retry.
    Sent,
    /// The receiving server defers the email; SES keeps trying.
    Delayed,
    /// The receiving server accepted the email.
    Delivered,
    /// Temporary bounce: a full mailbox or an automatic reply, for example.
    SoftBounced,
    /// SES accepted the email and then did not send it.
    Rejected,
    /// The recipient reported the email as spam.
    Complained,
    /// The recipient withdrew the report.
    NotSpam,
    /// Permanent bounce: the address does not exist.
    Bounced,
}

/// Stops email to an address until an operator clears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The suppressed address.
    pub address: String,
    /// When it was suppressed.
    pub at: DateTime<Utc>,
    /// [`DeliveryState::Bounced`] or [`DeliveryState::Complained`].
    pub cause: DeliveryState,
    /// The reason given, without any address.
    pub reason: Option<String>,
}

impl Recovery {
    /// Returns the reset emails that count against the budget at `now`, oldest first.
    pub fn counted_emails(&self, now: DateTime<Utc>) -> impl Iterator<Item = &SentEmail> {
        self.emails.iter().filter(move |email| email.counts_at(now))
    }

    /// Returns whether `budget` allows no reset email at `now`.
    ///
    /// An email may be later than `now`: another invocation started after this one and was faster.
    #[must_use]
    pub fn is_spent(&self, budget: EmailBudget, now: DateTime<Utc>) -> bool {
        let is_cooling_down = self
            .counted_emails(now)
            .any(|email| (now - email.at).max(TimeDelta::zero()) < budget.cooldown);
        is_cooling_down || self.counted_emails(now).count() >= budget.per_hour
    }

    /// Returns whether the email `id` is recorded.
    #[must_use]
    pub fn contains(&self, id: &EmailId) -> bool {
        self.email(id).is_some()
    }

    /// Returns the latest known outcome of the email `id`.
    #[must_use]
    pub fn outcome(&self, id: &EmailId) -> Option<&DeliveryOutcome> {
        self.email(id)?.outcome.as_ref()
    }

    fn email(&self, id: &EmailId) -> Option<&SentEmail> {
        self.emails.iter().find(|email| email.id == *id)
    }

    /// Records an email and drops those that no longer need to be kept.
    pub fn add(&mut self, id: EmailId, kind: EmailKind, now: DateTime<Utc>) {
        self.emails.push(SentEmail {
            id,
            kind,
            at: now,
            outcome: None,
        });
        self.email_count += 1;
        let recent = self.emails.len().saturating_sub(RECENT_EMAILS);
        let mut index = 0;
        self.emails.retain(|email| {
            index += 1;
            index > recent || email.counts_at(now)
        });
    }

    /// Records the outcome of the email `id`; returns `false` if it is already known.
    ///
    /// A permanent bounce or a complaint suppresses `address`, unless that is `None`. A repeated
    /// event does not overrule an operator who cleared the suppression.
    pub fn record_outcome(
        &mut self,
        id: &EmailId,
        outcome: &DeliveryOutcome,
        address: Option<&str>,
    ) -> bool {
        let advances = |email: &&mut SentEmail| {
            let known = email.outcome.as_ref();
            email.id == *id && known.is_none_or(|known| outcome.is_news_after(known))
        };
        let Some(email) = self.emails.iter_mut().find(advances) else {
            return false;
        };
        email.outcome = Some(outcome.clone());
        if let Some(address) = address {
            self.update_suppression(outcome, address);
        }
        true
    }

    fn update_suppression(&mut self, outcome: &DeliveryOutcome, address: &str) {
        let known = self.suppression.as_ref();
        let cause = known
            .filter(|known| is_same_address(&known.address, address))
            .map(|known| known.cause);
        match outcome.state {
            DeliveryState::NotSpam if cause == Some(DeliveryState::Complained) => {
                self.suppression = None;
            }
            // A complaint can be withdrawn; a bounce cannot, so it is not replaced by one.
            DeliveryState::Bounced | DeliveryState::Complained
                if cause != Some(DeliveryState::Bounced) =>
            {
                self.suppression = Some(Suppression {
                    address: address.to_owned(),
                    at: outcome.at,
                    cause: outcome.state,
                    reason: outcome.reason.clone(),
                });
            }
            _ => {}
        }
    }
}

impl SentEmail {
    fn counts_at(&self, now: DateTime<Utc>) -> bool {
        self.kind == EmailKind::ResetRequested && now - self.at < HOUR
    }
}

impl EmailId {
    /// Derives the ID from an outbox row's `id` and `count`.
    #[must_use]
    pub fn new(row_id: &str, count: i64) -> Self {
        let digest = Sha256::digest(format!("{row_id}#{count}"));
        Self(hex::encode(&digest[..EMAIL_ID_DIGITS / 2]))
    }

    /// Parses the text that [`as_str`](Self::as_str) returns.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == EMAIL_ID_DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Returns 32 hexadecimal digits, which are valid in an SES message tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DeliveryState {
    /// Every state, in order.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Refused,
        Self::Sent,
        Self::Delayed,
        Self::Delivered,
        Self::SoftBounced,
        Self::Rejected,
        Self::Complained,
        Self::NotSpam,
        Self::Bounced,
    ];

    /// Returns the name in the table and in JSON output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Sent => "sent",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::SoftBounced => "soft_bounced",
            Self::Rejected => "rejected",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::NotSpam => "not_spam",
        }
    }

    /// Returns a description for operators.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Waiting => "not sent yet; the mailer tries again",
            Self::Refused => "refused by SES",
            Self::Sent => "accepted by SES after a retry",
            Self::Delayed => "delayed; SES goes on trying",
            Self::Delivered => "delivered to the recipient's server",
            Self::SoftBounced => "came back, maybe not for good",
            Self::Rejected => "rejected by SES, not sent",
            Self::Bounced => "came back for good",
            Self::Complained => "called spam by the recipient",
            Self::NotSpam => "called spam, then taken back",
        }
    }

    /// Parses the name in the table.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Returns whether two spellings mean the same address.
#[must_use]
pub fn is_same_address(one: &str, other: &str) -> bool {
    match (EmailAddress::parse(one), EmailAddress::parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADDRESS: &str = "Ada@Example.com";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a time in range")
    }

    fn id(count: i64) -> EmailId {
        EmailId::new("request#192.0.2.1#0", count)
    }

    fn outcome(state: DeliveryState) -> DeliveryOutcome {
        DeliveryOutcome {
            state,
            at: at(1),
            reason: Some("5.1.1".to_owned()),
        }
    }

    /// Recovery state after one email and the outcomes `states`, in order.
    fn after(states: &[DeliveryState]) -> Recovery {
        let mut recovery = Recovery::default();
        recovery.add(id(1), EmailKind::ResetRequested, at(0));
        for state in states {
            recovery.record_outcome(&id(1), &outcome(*state), Some(ADDRESS));
        }
        recovery
    }

    #[test]
    fn a_waiting_email_shows_its_latest_reason() {
        let mut recovery = after(&[]);
        let mut wait = |reason: &str| {
            let outcome = DeliveryOutcome::new(DeliveryState::Waiting, at(1)).because(&reason);
            recovery.record_outcome(&id(1), &outcome, None)
        };
        assert!(wait("SendEmail: TooManyRequestsException (request 1)"));
        assert!(!wait("SendEmail: TooManyRequestsException (request 2)"));
        assert!(wait("SendEmail: AccountSuspendedException (request 3)"));
        assert!(recovery.record_outcome(&id(1), &outcome(DeliveryState::Sent), None));
    }

    #[test]
    fn a_late_delivery_does_not_replace_a_bounce() {
        let recovery = after(&[DeliveryState::Bounced, DeliveryState::Delivered]);
        let known = recovery.emails[0]
            .outcome
            .as_ref()
            .map(|outcome| outcome.state);
        assert_eq!(known, Some(DeliveryState::Bounced));
    }

    #[test]
    fn only_permanent_bounces_and_complaints_suppress_the_address() {
        for state in DeliveryState::ALL {
            let suppresses = matches!(state, DeliveryState::Bounced | DeliveryState::Complained);
            assert_eq!(
                after(&[state]).suppression.is_some(),
                suppresses,
                "{state:?}"
            );
        }
    }

    #[test]
    fn a_repeated_event_does_not_overrule_an_operator() {
        let mut recovery = after(&[DeliveryState::Bounced]);
        recovery.suppression = None;
        assert!(!recovery.record_outcome(&id(1), &outcome(DeliveryState::Bounced), Some(ADDRESS)));
        assert_eq!(recovery.suppression, None);
    }

    #[test]
    fn a_withdrawn_complaint_does_not_clear_a_bounce() {
        let mut recovery = after(&[DeliveryState::Bounced]);
        recovery.add(id(2), EmailKind::ResetRequested, at(0));
        for state in [DeliveryState::Complained, DeliveryState::NotSpam] {
            assert!(recovery.record_outcome(&id(2), &outcome(state), Some(ADDRESS)));
        }
        let cause = recovery.suppression.map(|suppression| suppression.cause);
        assert_eq!(cause, Some(DeliveryState::Bounced));
    }

    #[test]
    fn a_bounce_of_a_former_address_does_not_suppress_the_new_one() {
        let mut recovery = after(&[]);
        assert!(recovery.record_outcome(&id(1), &outcome(DeliveryState::Bounced), None));
        assert_eq!(recovery.suppression, None);
    }

    #[test]
    fn an_email_of_a_later_invocation_starts_the_cooldown_only_if_there_is_one() {
        let recovery = after(&[]);
        let budget = |seconds| EmailBudget {
            cooldown: TimeDelta::seconds(seconds),
            per_hour: 5,
        };
        let earlier = at(0) - TimeDelta::milliseconds(40);
        assert!(!recovery.is_spent(budget(0), earlier));
        assert!(recovery.is_spent(budget(1), earlier));
    }

    #[test]
    fn the_newest_ten_and_all_that_count_are_kept() {
        let mut recovery = Recovery::default();
        for count in 0..30 {
            let kind =
                [EmailKind::PasswordChanged, EmailKind::ResetRequested][usize::from(count % 3 > 0)];
            recovery.add(id(count), kind, at(count * 60));
        }
        assert_eq!((recovery.emails.len(), recovery.email_count), (23, 30));
        recovery.add(id(30), EmailKind::ResetRequested, at(7_200));
        assert_eq!(recovery.emails.len(), RECENT_EMAILS);
        assert_eq!(recovery.emails[9].id, id(30));
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(states in prop::collection::vec(prop::sample::select(&DeliveryState::ALL[..]), 0..8)) {
            let mut sorted = states.clone();
            sorted.sort();
            sorted.dedup();
            prop_assert_eq!(after(&states), after(&sorted));
        }

    }
}
