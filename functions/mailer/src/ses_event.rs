//! Delivery events that SES publishes on `EventBridge`.

use chrono::{DateTime, Utc};
use rules::{
    address::EmailAddress,
    recovery::{DeliveryOutcome, DeliveryState, EmailId},
};
use serde_json::Value;

/// Maximum length of a stored reason, in characters.
const MAX_REASON_CHARS: usize = 120;
/// Maximum length of a word in a reason: long enough for a host name, too short for a token.
const MAX_WORD_CHARS: usize = 40;

/// The outcome of one email.
pub(crate) struct DeliveryReport {
    /// Canonical address of the user.
    pub(crate) email: EmailAddress,
    /// Address that the email was sent to.
    pub(crate) address: String,
    /// ID of the email, from its message tag.
    pub(crate) id: EmailId,
    pub(crate) outcome: DeliveryOutcome,
}

impl DeliveryReport {
    /// Reads an event. `None` if it is not about an email of this service (another sender may use
    /// the same configuration set) or does not report an outcome.
    pub(crate) fn read(event: &Value) -> Option<Self> {
        let detail = &event["detail"];
        let address = only(&detail["mail"]["destination"])?;
        Some(Self {
            email: EmailAddress::parse(address).ok()?,
            address: address.to_owned(),
            id: EmailId::parse(only(&detail["mail"]["tags"]["mail"])?)?,
            outcome: outcome(event, detail)?,
        })
    }
}

fn outcome(event: &Value, detail: &Value) -> Option<DeliveryOutcome> {
    let (state, part, reason) = match detail["eventType"].as_str()? {
        "Delivery" => {
            let part = &detail["delivery"];
            (DeliveryState::Delivered, part, vec![&part["smtpResponse"]])
        }
        "DeliveryDelay" => {
            let part = &detail["deliveryDelay"];
            let recipient = &part["delayedRecipients"][0];
            let reason = vec![
                &part["delayType"],
                &recipient["status"],
                &recipient["diagnosticCode"],
            ];
            (DeliveryState::Delayed, part, reason)
        }
        "Bounce" => {
            let part = &detail["bounce"];
            let recipient = &part["bouncedRecipients"][0];
            let kind = [&part["bounceType"], &part["bounceSubType"]];
            let reason = kind
                .into_iter()
                .chain([&recipient["status"], &recipient["diagnosticCode"]]);
            (bounce(part)?, part, reason.collect())
        }
        "Complaint" => {
            let part = &detail["complaint"];
            let reason = vec![&part["complaintFeedbackType"], &part["complaintSubType"]];
            (complaint(part), part, reason)
        }
        "Reject" => {
            let part = &detail["reject"];
            (DeliveryState::Rejected, part, vec![&part["reason"]])
        }
        _ => return None,
    };
    Some(DeliveryOutcome {
        state,
        at: time(&part["timestamp"]).or_else(|| time(&event["time"]))?,
        reason: reason_of(&reason),
    })
}

/// Classifies a bounce. SES reports "Undetermined" if it cannot tell whether the bounce is
/// permanent.
fn bounce(bounce: &Value) -> Option<DeliveryState> {
    match bounce["bounceType"].as_str()? {
        "Permanent" => Some(DeliveryState::Bounced),
        "Transient" | "Undetermined" => Some(DeliveryState::SoftBounced),
        _ => None,
    }
}

/// Classifies a complaint. A mailbox provider reports "not-spam" when the recipient moves an email
/// out of the spam folder.
fn complaint(complaint: &Value) -> DeliveryState {
    if complaint["complaintFeedbackType"] == "not-spam" {
        DeliveryState::NotSpam
    } else {
        DeliveryState::Complained
    }
}

/// Returns the text of a list that has exactly one element.
fn only(list: &Value) -> Option<&str> {
    match list.as_array()?.as_slice() {
        [text] => text.as_str(),
        _ => None,
    }
}

fn time(text: &Value) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text.as_str()?).ok()?;
    Some(time.to_utc())
}

/// Joins `parts` in one line. Some are free text from the receiving server, so addresses, links,
/// long words and control characters are removed.
fn reason_of(parts: &[&Value]) -> Option<String> {
    let words = parts
        .iter()
        .filter_map(|part| part.as_str())
        .flat_map(str::split_whitespace)
        .map(redact);
    let line = words.collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(MAX_REASON_CHARS).collect();
    (!line.is_empty()).then_some(line)
}

fn redact(word: &str) -> String {
    if word.contains('@') {
        "(address)".to_owned()
    } else if word.contains("//") || word.contains("www.") || word.len() > MAX_WORD_CHARS {
        "(left out)".to_owned()
    } else {
        let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
        word.chars().map(printable).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event() -> Value {
        json!({
            "source": "aws.ses",
            "time": "2026-01-05T09:30:15Z",
            "detail": {
                "eventType": "Bounce",
                "mail": {
                    "destination": ["Ada@Example.com"],
                    "tags": { "kind": ["reset_requested"], "mail": ["0123456789abcdef0123456789abcdef"] },
                },
                "bounce": {
                    "bounceType": "Permanent",
                    "bounceSubType": "General",
                    "bouncedRecipients": [{
                        "emailAddress": "Ada@Example.com",
                        "status": "5.1.1",
                        "diagnosticCode": "smtp; 550 5.1.1 <Ada@Example.com>... User unknown, see https://example.com/?u=ada\r\n\u{1b}[2J",
                    }],
                    "timestamp": "2026-01-05T09:30:14.000Z",
                },
            },
        })
    }

    #[test]
    fn a_bounce_is_read_and_its_reason_contains_no_address_or_link() {
        let report = DeliveryReport::read(&event()).expect("a report");
        assert_eq!(
            (report.email.as_str(), report.address.as_str()),
            ("ada@example.com", "Ada@Example.com")
        );
        assert_eq!(report.outcome.state, DeliveryState::Bounced);
        assert_eq!(report.outcome.at.timestamp(), 1_767_605_414);
        assert_eq!(
            report.outcome.reason.as_deref(),
            Some(
                "Permanent General 5.1.1 smtp; 550 5.1.1 (address) User unknown, see (left out) ?[2J"
            )
        );
    }

    #[test]
    fn temporary_bounces_and_withdrawn_complaints_are_recognised() {
        for (pointer, value, state) in [
            (
                "/bounce/bounceType",
                "Transient",
                DeliveryState::SoftBounced,
            ),
            (
                "/bounce/bounceType",
                "Undetermined",
                DeliveryState::SoftBounced,
            ),
            ("/eventType", "Complaint", DeliveryState::Complained),
            (
                "/complaint/complaintFeedbackType",
                "not-spam",
                DeliveryState::NotSpam,
            ),
            (
                "/complaint/complaintFeedbackType",
                "abuse",
                DeliveryState::Complained,
            ),
        ] {
            let mut event = event();
            if pointer.starts_with("/complaint") {
                event["detail"]["eventType"] = json!("Complaint");
                event["detail"]["complaint"] = json!({ "complaintFeedbackType": value });
            } else {
                *event["detail"].pointer_mut(pointer).expect("a field") = json!(value);
            }
            let report = DeliveryReport::read(&event).expect("a report");
            assert_eq!(report.outcome.state, state, "{pointer} {value}");
        }
    }

    #[test]
    fn anything_else_is_skipped() {
        for (pointer, value) in [
            ("/detail", json!([])),
            ("/detail/eventType", json!("Open")),
            ("/detail/eventType", json!(null)),
            ("/detail/mail/destination", json!([])),
            (
                "/detail/mail/destination",
                json!(["ada@example.com", "bob@example.com"]),
            ),
            ("/detail/mail/destination", json!(["nobody"])),
            ("/detail/mail/destination", json!("ada@example.com")),
            ("/detail/mail/tags", json!({})),
            (
                "/detail/mail/tags/mail",
                json!(["0123456789ABCDEF0123456789ABCDEF"]),
            ),
            ("/detail/mail/tags/mail", json!(["0123456789abcdef"])),
            (
                "/detail/mail/tags/mail",
                json!("0123456789abcdef0123456789abcdef"),
            ),
            ("/detail/bounce/bounceType", json!("Sometimes")),
            ("/detail/bounce", json!(null)),
        ] {
            let mut event = event();
            *event.pointer_mut(pointer).expect("a field") = value;
            assert!(DeliveryReport::read(&event).is_none(), "{pointer}");
        }
        let mut event = event();
        event["detail"]["bounce"]["timestamp"] = json!("yesterday");
        event["time"] = json!(7);
        assert!(DeliveryReport::read(&event).is_none(), "no time");
    }

    proptest! {
        #[test]
        fn a_reason_is_always_short_and_printable(text in "\\PC{0,300}|[ -~\\x00-\\x1f]{0,300}", user in "[a-z]{1,8}") {
            let text = format!("{text} {user}@example.com");
            let reason = reason_of(&[&json!(text)]).unwrap_or_default();
            prop_assert!(reason.chars().count() <= MAX_REASON_CHARS);
            prop_assert!(reason.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert!(!reason.contains('@'));
        }
    }
}
