//! The attributes `recovery_*` of a user's row.

use aws_sdk_dynamodb::types::AttributeValue;
use rules::recovery::{
    DeliveryOutcome, DeliveryState, EmailId, EmailKind, Recovery, SentEmail, Suppression,
};

use super::attributes::{Item, get_number, get_string, get_time, millis, string};

/// Reads the recovery state from a user's row.
pub(super) fn from_item(item: &Item) -> Recovery {
    let emails = item
        .get("recovery_mails")
        .and_then(|value| value.as_l().ok());
    let suppression = item.get("recovery_suppression");
    Recovery {
        emails: emails
            .into_iter()
            .flatten()
            .filter_map(|value| email_from_item(value.as_m().ok()?))
            .collect(),
        email_count: get_number(item, "recovery_mail_count").unwrap_or(0),
        suppression: suppression.and_then(|value| suppression_from_item(value.as_m().ok()?)),
        version: get_number(item, "recovery_version").unwrap_or(0),
    }
}

/// Returns the attribute `recovery_mails`.
pub(super) fn emails_value(recovery: &Recovery) -> AttributeValue {
    let value = |email: &SentEmail| AttributeValue::M(email_to_item(email));
    AttributeValue::L(recovery.emails.iter().map(value).collect())
}

/// Returns the attribute `recovery_suppression`; `None` if email is not suppressed.
pub(super) fn suppression_value(recovery: &Recovery) -> Option<AttributeValue> {
    let suppression = recovery.suppression.as_ref()?;
    Some(AttributeValue::M(suppression_to_item(suppression)))
}

fn email_to_item(email: &SentEmail) -> Item {
    let mut item = Item::from([
        ("event".to_owned(), string(email.id.as_str())),
        ("kind".to_owned(), string(email.kind.as_str())),
        ("at".to_owned(), millis(email.at)),
    ]);
    if let Some(outcome) = &email.outcome {
        item.extend([
            ("state".to_owned(), string(outcome.state.as_str())),
            ("state_at".to_owned(), millis(outcome.at)),
        ]);
        item.extend(reason_attribute(outcome.reason.as_deref()));
    }
    item
}

fn email_from_item(item: &Item) -> Option<SentEmail> {
    let state = get_string(item, "state").and_then(|state| DeliveryState::parse(&state));
    let outcome = state
        .zip(get_time(item, "state_at"))
        .map(|(state, at)| DeliveryOutcome {
            state,
            at,
            reason: get_string(item, "reason"),
        });
    Some(SentEmail {
        id: EmailId::parse(&get_string(item, "event")?)?,
        kind: EmailKind::parse(&get_string(item, "kind")?)?,
        at: get_time(item, "at")?,
        outcome,
    })
}

fn suppression_to_item(suppression: &Suppression) -> Item {
    let mut item = Item::from([
        ("address".to_owned(), string(&suppression.address)),
        ("at".to_owned(), millis(suppression.at)),
        ("cause".to_owned(), string(suppression.cause.as_str())),
    ]);
    item.extend(reason_attribute(suppression.reason.as_deref()));
    item
}

fn suppression_from_item(item: &Item) -> Option<Suppression> {
    Some(Suppression {
        address: get_string(item, "address")?,
        at: get_time(item, "at")?,
        cause: DeliveryState::parse(&get_string(item, "cause")?)?,
        reason: get_string(item, "reason"),
    })
}

fn reason_attribute(reason: Option<&str>) -> Option<(String, AttributeValue)> {
    reason.map(|reason| ("reason".to_owned(), string(reason)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::super::attributes::number;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("a time in range")
    }

    fn to_item(recovery: &Recovery) -> Item {
        let mut item = Item::from([
            ("recovery_mails".to_owned(), emails_value(recovery)),
            (
                "recovery_mail_count".to_owned(),
                number(recovery.email_count),
            ),
        ]);
        item.extend(
            suppression_value(recovery).map(|value| ("recovery_suppression".to_owned(), value)),
        );
        item
    }

    proptest! {
        #[test]
        fn recovery_state_survives_a_round_trip(states in prop::collection::vec(prop::sample::select(&DeliveryState::ALL[..]), 0..3)) {
            let id = EmailId::new("request#192.0.2.1#0", 1);
            let mut recovery = Recovery::default();
            recovery.add(id.clone(), EmailKind::ResetRequested, at());
            for state in states {
                let outcome = DeliveryOutcome { state, at: at(), reason: Some("5.1.1".to_owned()) };
                recovery.record_outcome(&id, &outcome, Some("Ada@Example.com"));
            }
            prop_assert_eq!(from_item(&to_item(&recovery)), recovery);
        }
    }
}
