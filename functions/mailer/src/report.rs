//! What SES says became of a mail: one event of its `EventBridge` destination.

use chrono::{DateTime, Utc};
use serde_json::Value;
use shared::{
    address::EmailAddress,
    tables::{MailEvent, MailState, Outcome},
};

/// Characters of a reason that are kept.
const MAX_REASON_CHARS: usize = 120;
/// The longest word of a reason: long enough for a host, too short for a token.
const MAX_WORD_CHARS: usize = 40;

/// One mail and what became of it.
pub(crate) struct Report {
    /// The user whom the mail was for.
    pub(crate) email: EmailAddress,
    /// The address that it was sent to.
    pub(crate) address: String,
    /// The mail, from its tag.
    pub(crate) mail: MailEvent,
    pub(crate) outcome: Outcome,
}

impl Report {
    /// Reads an event. `None` for one that is not about a mail of this service, such as another
    /// sender's in the same configuration set, or says nothing of how it ended.
    pub(crate) fn read(event: &Value) -> Option<Self> {
        let detail = &event["detail"];
        let address = only(&detail["mail"]["destination"])?;
        Some(Self {
            email: EmailAddress::parse(address).ok()?,
            address: address.to_owned(),
            mail: MailEvent::parse(only(&detail["mail"]["tags"]["mail"])?)?,
            outcome: outcome(event, detail)?,
        })
    }
}

fn outcome(event: &Value, detail: &Value) -> Option<Outcome> {
    let (state, part, reason) = match detail["eventType"].as_str()? {
        "Delivery" => {
            let part = &detail["delivery"];
            (MailState::Delivered, part, vec![&part["smtpResponse"]])
        }
        "DeliveryDelay" => {
            let part = &detail["deliveryDelay"];
            let of = &part["delayedRecipients"][0];
            let reason = vec![&part["delayType"], &of["status"], &of["diagnosticCode"]];
            (MailState::Delayed, part, reason)
        }
        "Bounce" => {
            let part = &detail["bounce"];
            let of = &part["bouncedRecipients"][0];
            let kind = [&part["bounceType"], &part["bounceSubType"]];
            let reason = kind
                .into_iter()
                .chain([&of["status"], &of["diagnosticCode"]]);
            (bounce(part)?, part, reason.collect())
        }
        "Complaint" => {
            let part = &detail["complaint"];
            let reason = vec![&part["complaintFeedbackType"], &part["complaintSubType"]];
            (complaint(part), part, reason)
        }
        "Reject" => {
            let part = &detail["reject"];
            (MailState::Rejected, part, vec![&part["reason"]])
        }
        _ => return None,
    };
    Some(Outcome {
        state,
        at: time(&part["timestamp"]).or_else(|| time(&event["time"]))?,
        reason: reason_of(&reason),
    })
}

/// SES says "Permanent" where the address itself is no good, and "Undetermined" where it cannot
/// tell.
fn bounce(bounce: &Value) -> Option<MailState> {
    match bounce["bounceType"].as_str()? {
        "Permanent" => Some(MailState::Bounced),
        "Transient" | "Undetermined" => Some(MailState::SoftBounced),
        _ => None,
    }
}

/// "not-spam" is how a mailbox provider passes on that somebody moved a mail out of the spam.
fn complaint(complaint: &Value) -> MailState {
    if complaint["complaintFeedbackType"] == "not-spam" {
        MailState::NotSpam
    } else {
        MailState::Complained
    }
}

/// The text of a list that holds this one and nothing else.
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

/// `parts` in one line. The receiving server writes some of them as it likes: addresses, links
/// and whatever else is too long for a word are left out, and control characters with them.
fn reason_of(parts: &[&Value]) -> Option<String> {
    let words = parts
        .iter()
        .filter_map(|part| part.as_str())
        .flat_map(str::split_whitespace)
        .map(word);
    let line = words.collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(MAX_REASON_CHARS).collect();
    (!line.is_empty()).then_some(line)
}

fn word(word: &str) -> String {
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
    fn a_bounce_is_read_and_its_reason_holds_no_address_and_no_link() {
        let report = Report::read(&event()).expect("a report");
        assert_eq!(
            (report.email.as_str(), report.address.as_str()),
            ("ada@example.com", "Ada@Example.com")
        );
        assert_eq!(report.outcome.state, MailState::Bounced);
        assert_eq!(report.outcome.at.timestamp(), 1_767_605_414);
        assert_eq!(
            report.outcome.reason.as_deref(),
            Some(
                "Permanent General 5.1.1 smtp; 550 5.1.1 (address) User unknown, see (left out) ?[2J"
            )
        );
    }

    #[test]
    fn a_bounce_that_may_pass_and_a_complaint_that_is_none_are_told_apart() {
        for (pointer, value, state) in [
            ("/bounce/bounceType", "Transient", MailState::SoftBounced),
            ("/bounce/bounceType", "Undetermined", MailState::SoftBounced),
            ("/eventType", "Complaint", MailState::Complained),
            (
                "/complaint/complaintFeedbackType",
                "not-spam",
                MailState::NotSpam,
            ),
            (
                "/complaint/complaintFeedbackType",
                "abuse",
                MailState::Complained,
            ),
        ] {
            let mut event = event();
            if pointer.starts_with("/complaint") {
                event["detail"]["eventType"] = json!("Complaint");
                event["detail"]["complaint"] = json!({ "complaintFeedbackType": value });
            } else {
                *event["detail"].pointer_mut(pointer).expect("is there") = json!(value);
            }
            let report = Report::read(&event).expect("a report");
            assert_eq!(report.outcome.state, state, "{pointer} {value}");
        }
    }

    #[test]
    fn anything_else_is_none() {
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
            *event.pointer_mut(pointer).expect("is there") = value;
            assert!(Report::read(&event).is_none(), "{pointer}");
        }
        let mut event = event();
        event["detail"]["bounce"]["timestamp"] = json!("yesterday");
        event["time"] = json!(7);
        assert!(Report::read(&event).is_none(), "no time");
    }

    proptest! {
        #[test]
        fn a_reason_is_short_and_printable_whatever_it_is_made_of(text in "\\PC{0,300}|[ -~\\x00-\\x1f]{0,300}", user in "[a-z]{1,8}") {
            let text = format!("{text} {user}@example.com");
            let reason = reason_of(&[&json!(text)]).unwrap_or_default();
            prop_assert!(reason.chars().count() <= MAX_REASON_CHARS);
            prop_assert!(reason.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert!(!reason.contains('@'));
        }
    }
}
