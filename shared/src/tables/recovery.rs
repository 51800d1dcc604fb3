//! What recovery keeps at a user's row: the mails, what became of each, and whether mail to the
//! address is stopped.
//!
//! SES tells what became of a mail more than once and in no order. A state therefore only ever
//! grows, so that the last word about a mail does not depend on which event came last.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::{Item, Kind, get_number, get_string, get_time, millis, string};
use crate::{
    address::{EmailAddress, hex},
    settings::MailBudget,
};

/// The span in which [`MailBudget::per_hour`] counts.
const HOUR: TimeDelta = TimeDelta::hours(1);
/// The newest mails that are kept beside those that count against the budget.
const RECENT_MAILS: usize = 10;
/// The length of a [`MailEvent`].
const EVENT_DIGITS: usize = 32;

/// What recovery did for a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The latest mails, oldest first: all that count against the budget, and the newest ten.
    pub mails: Vec<SentMail>,
    /// How many mails there have ever been.
    pub mail_count: i64,
    /// Why no mail is sent to an address of the user; see [`User::suppression`](super::User::suppression).
    pub suppression: Option<Suppression>,
    /// Grows by one with every write of what is in here; the next one is conditional on it.
    pub(super) version: i64,
}

/// One mail, from the moment that it is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMail {
    /// The event that it answers.
    pub event: MailEvent,
    /// What it is.
    pub kind: Kind,
    /// When it was due.
    pub at: DateTime<Utc>,
    /// What became of it; `None` until somebody says so.
    pub outcome: Option<Outcome>,
}

/// The name of one event of the outbox, in a form that says nothing about the client in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailEvent(String);

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Where it ended, as far as is known.
    pub state: MailState,
    /// When.
    pub at: DateTime<Utc>,
    /// Why, in words that hold no address.
    pub reason: Option<String>,
}

/// Where a mail ended. A later one of these is never replaced by an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailState {
    /// SES did not take it.
    Refused,
    /// The receiving server keeps it waiting; SES goes on trying.
    Delayed,
    /// The receiving server has taken it.
    Delivered,
    /// It came back, but the address may be good: a full mailbox, an automatic answer.
    SoftBounced,
    /// SES took it and then did not send it.
    Rejected,
    /// The recipient called it spam.
    Complained,
    /// The recipient took that back.
    NotSpam,
    /// It came back for good: there is no such address.
    Bounced,
}

/// Mail to an address is stopped until an operator clears this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The address that it holds for.
    pub address: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// [`MailState::Bounced`] or [`MailState::Complained`].
    pub cause: MailState,
    /// Why, in words that hold no address.
    pub reason: Option<String>,
}

impl Recovery {
    /// The mails with a link that count against the budget at `now`, oldest first.
    pub fn links_within_the_hour(&self, now: DateTime<Utc>) -> impl Iterator<Item = &SentMail> {
        self.mails.iter().filter(move |mail| mail.counts_at(now))
    }

    /// Whether `budget` has no link left at `now`.
    pub(super) fn is_spent(&self, budget: MailBudget, now: DateTime<Utc>) -> bool {
        let is_cooling_down = self
            .links_within_the_hour(now)
            .any(|mail| now - mail.at < budget.cooldown);
        is_cooling_down || self.links_within_the_hour(now).count() >= budget.per_hour
    }

    pub(super) fn has(&self, event: &MailEvent) -> bool {
        self.mails.iter().any(|mail| mail.event == *event)
    }

    /// Adds a mail and drops what need not be kept any more.
    pub(super) fn add(&mut self, event: MailEvent, kind: Kind, now: DateTime<Utc>) {
        self.mails.push(SentMail {
            event,
            kind,
            at: now,
            outcome: None,
        });
        self.mail_count += 1;
        let recent = self.mails.len().saturating_sub(RECENT_MAILS);
        let mut index = 0;
        self.mails.retain(|mail| {
            index += 1;
            index > recent || mail.counts_at(now)
        });
    }

    /// Takes in what became of the mail `event`; `false` where that says nothing new.
    ///
    /// A bounce for good and a complaint stop mail to `address`, unless that is `None`. An
    /// operator who clears this is not overruled by the same event again.
    pub(super) fn take_in(
        &mut self,
        event: &MailEvent,
        outcome: &Outcome,
        address: Option<&str>,
    ) -> bool {
        let is_new = |mail: &&mut SentMail| {
            let known = mail.outcome.as_ref().map(|outcome| outcome.state);
            mail.event == *event && known < Some(outcome.state)
        };
        let Some(mail) = self.mails.iter_mut().find(is_new) else {
            return false;
        };
        mail.outcome = Some(outcome.clone());
        if let Some(address) = address {
            self.stop_or_resume(outcome, address);
        }
        true
    }

    fn stop_or_resume(&mut self, outcome: &Outcome, address: &str) {
        let known = self.suppression.as_ref();
        let cause = known
            .filter(|known| is_same(&known.address, address))
            .map(|known| known.cause);
        match outcome.state {
            MailState::NotSpam if cause == Some(MailState::Complained) => self.suppression = None,
            // A complaint can be taken back; a bounce cannot, and stays.
            MailState::Bounced | MailState::Complained if cause != Some(MailState::Bounced) => {
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

    pub(super) fn from_item(item: &Item) -> Self {
        let mails = item
            .get("recovery_mails")
            .and_then(|value| value.as_l().ok());
        let suppression = item.get("recovery_suppression");
        Self {
            mails: mails
                .into_iter()
                .flatten()
                .filter_map(|value| SentMail::from_item(value.as_m().ok()?))
                .collect(),
            mail_count: get_number(item, "recovery_mail_count").unwrap_or(0),
            suppression: suppression.and_then(|value| Suppression::from_item(value.as_m().ok()?)),
            version: get_number(item, "recovery_version").unwrap_or(0),
        }
    }

    /// The attribute `recovery_mails`.
    pub(super) fn mails_value(&self) -> AttributeValue {
        let value = |mail: &SentMail| AttributeValue::M(mail.to_item());
        AttributeValue::L(self.mails.iter().map(value).collect())
    }

    /// The attribute `recovery_suppression`; `None` where mail is sent.
    pub(super) fn suppression_value(&self) -> Option<AttributeValue> {
        let suppression = self.suppression.as_ref()?;
        Some(AttributeValue::M(suppression.to_item()))
    }
}

impl MailEvent {
    /// The event of the outbox row `id` at its `count`.
    #[must_use]
    pub fn new(id: &str, count: i64) -> Self {
        Self(hex(
            &Sha256::digest(format!("{id}#{count}"))[..EVENT_DIGITS / 2]
        ))
    }

    /// The event that `text`, of [`as_str`](Self::as_str), names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == EVENT_DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// 32 hexadecimal digits, which SES takes as a tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MailState {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Delayed,
        Self::Delivered,
        Self::SoftBounced,
        Self::Rejected,
        Self::Complained,
        Self::NotSpam,
        Self::Bounced,
    ];

    /// Its name in the row and for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::SoftBounced => "soft_bounced",
            Self::Rejected => "rejected",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::NotSpam => "not_spam",
        }
    }

    /// What it says to an operator.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Refused => "refused by SES",
            Self::Delayed => "delayed; SES goes on trying",
            Self::Delivered => "delivered to the recipient's server",
            Self::SoftBounced => "came back, maybe not for good",
            Self::Rejected => "rejected by SES, not sent",
            Self::Bounced => "came back for good",
            Self::Complained => "called spam by the recipient",
            Self::NotSpam => "called spam, then taken back",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl Suppression {
    fn to_item(&self) -> Item {
        with_reason(
            self.reason.as_deref(),
            [
                ("address".to_owned(), string(&self.address)),
                ("at".to_owned(), millis(self.at)),
                ("cause".to_owned(), string(self.cause.as_str())),
            ],
        )
    }

    fn from_item(item: &Item) -> Option<Self> {
        Some(Self {
            address: get_string(item, "address")?,
            at: get_time(item, "at")?,
            cause: MailState::parse(&get_string(item, "cause")?)?,
            reason: get_string(item, "reason"),
        })
    }
}

impl SentMail {
    fn counts_at(&self, now: DateTime<Utc>) -> bool {
        self.kind == Kind::ResetRequested && now - self.at < HOUR
    }

    fn to_item(&self) -> Item {
        let mut item = Item::from([
            ("event".to_owned(), string(self.event.as_str())),
            ("kind".to_owned(), string(self.kind.as_str())),
            ("at".to_owned(), millis(self.at)),
        ]);
        if let Some(outcome) = &self.outcome {
            item.extend(with_reason(
                outcome.reason.as_deref(),
                [
                    ("state".to_owned(), string(outcome.state.as_str())),
                    ("state_at".to_owned(), millis(outcome.at)),
                ],
            ));
        }
        item
    }

    fn from_item(item: &Item) -> Option<Self> {
        let state = get_string(item, "state").and_then(|state| MailState::parse(&state));
        let outcome = state
            .zip(get_time(item, "state_at"))
            .map(|(state, at)| Outcome {
                state,
                at,
                reason: get_string(item, "reason"),
            });
        Some(Self {
            event: MailEvent::parse(&get_string(item, "event")?)?,
            kind: Kind::parse(&get_string(item, "kind")?)?,
            at: get_time(item, "at")?,
            outcome,
        })
    }
}

/// Whether two spellings are of one address.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    match (EmailAddress::parse(one), EmailAddress::parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

fn with_reason<const N: usize>(reason: Option<&str>, rest: [(String, AttributeValue); N]) -> Item {
    let reason = reason.map(|reason| ("reason".to_owned(), string(reason)));
    rest.into_iter().chain(reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADDRESS: &str = "Ada@Example.com";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a time")
    }

    fn event(count: i64) -> MailEvent {
        MailEvent::new("request#192.0.2.1#0", count)
    }

    fn outcome(state: MailState) -> Outcome {
        Outcome {
            state,
            at: at(1),
            reason: Some("5.1.1".to_owned()),
        }
    }

    /// A user's recovery after one mail and `states` in their order.
    fn after(states: &[MailState]) -> Recovery {
        let mut recovery = Recovery::default();
        recovery.add(event(1), Kind::ResetRequested, at(0));
        for state in states {
            recovery.take_in(&event(1), &outcome(*state), Some(ADDRESS));
        }
        recovery
    }

    #[test]
    fn a_late_delivery_does_not_hide_a_bounce() {
        let recovery = after(&[MailState::Bounced, MailState::Delivered]);
        let known = recovery.mails[0]
            .outcome
            .as_ref()
            .map(|outcome| outcome.state);
        assert_eq!(known, Some(MailState::Bounced));
    }

    #[test]
    fn what_is_for_good_stops_mail_and_nothing_else_does() {
        for state in MailState::ALL {
            let stops = matches!(state, MailState::Bounced | MailState::Complained);
            assert_eq!(after(&[state]).suppression.is_some(), stops, "{state:?}");
        }
    }

    #[test]
    fn an_operators_word_outlives_the_same_event() {
        let mut recovery = after(&[MailState::Bounced]);
        recovery.suppression = None;
        assert!(!recovery.take_in(&event(1), &outcome(MailState::Bounced), Some(ADDRESS)));
        assert_eq!(recovery.suppression, None);
    }

    #[test]
    fn a_complaint_does_not_turn_a_bounce_into_something_that_can_be_taken_back() {
        let mut recovery = after(&[MailState::Bounced]);
        recovery.add(event(2), Kind::ResetRequested, at(0));
        for state in [MailState::Complained, MailState::NotSpam] {
            assert!(recovery.take_in(&event(2), &outcome(state), Some(ADDRESS)));
        }
        let cause = recovery.suppression.map(|suppression| suppression.cause);
        assert_eq!(cause, Some(MailState::Bounced));
    }

    #[test]
    fn a_bounce_of_a_former_address_says_nothing_about_the_new_one() {
        let mut recovery = after(&[]);
        assert!(recovery.take_in(&event(1), &outcome(MailState::Bounced), None));
        assert_eq!(recovery.suppression, None);
    }

    #[test]
    fn the_newest_ten_and_all_that_count_are_kept() {
        let mut recovery = Recovery::default();
        for count in 0..30 {
            let kind = [Kind::PasswordChanged, Kind::ResetRequested][usize::from(count % 3 > 0)];
            recovery.add(event(count), kind, at(count * 60));
        }
        assert_eq!((recovery.mails.len(), recovery.mail_count), (23, 30));
        recovery.add(event(30), Kind::ResetRequested, at(7_200));
        assert_eq!(recovery.mails.len(), RECENT_MAILS);
        assert_eq!(recovery.mails[9].event, event(30));
    }

    fn item(recovery: &Recovery) -> Item {
        let mut item = Item::from([("recovery_mails".to_owned(), recovery.mails_value())]);
        item.extend([(
            "recovery_mail_count".to_owned(),
            super::super::number(recovery.mail_count),
        )]);
        let suppression = recovery.suppression_value();
        item.extend(suppression.map(|value| ("recovery_suppression".to_owned(), value)));
        item
    }

    proptest! {
        #[test]
        fn neither_order_nor_repetition_matters(states in prop::collection::vec(prop::sample::select(&MailState::ALL[..]), 0..8)) {
            let mut sorted = states.clone();
            sorted.sort();
            sorted.dedup();
            prop_assert_eq!(after(&states), after(&sorted));
        }

        #[test]
        fn what_is_written_is_read(states in prop::collection::vec(prop::sample::select(&MailState::ALL[..]), 0..3)) {
            let recovery = after(&states);
            prop_assert_eq!(Recovery::from_item(&item(&recovery)), recovery);
        }
    }
}
