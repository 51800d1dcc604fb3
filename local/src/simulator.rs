//! SES's mailbox simulator: its addresses deliver nothing, and SES reports the outcome that each is
//! named after. They make every delivery outcome available without real email.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

/// Domain of the simulator.
const DOMAIN: &str = "simulator.amazonses.com";

/// Returns the events that SES publishes on `EventBridge` about an email to `to`, if that is an
/// address of the simulator, with or without a label as in `bounce+label@…`.
pub(crate) fn events(to: &str, tags: &Value, message_id: &str, at: DateTime<Utc>) -> Vec<Value> {
    let Some((local_part, DOMAIN)) = to.rsplit_once('@') else {
        return Vec::new();
    };
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let delivery = || {
        let delivery =
            json!({ "timestamp": at, "recipients": [to], "smtpResponse": "250 2.0.0 OK" });
        ("Email Delivered", "Delivery", "delivery", delivery)
    };
    let bounce = |kind| ("Email Bounced", "Bounce", "bounce", bounce(to, kind, &at));
    let events = match local_part.split('+').next().unwrap_or_default() {
        "success" => vec![delivery()],
        "bounce" => vec![bounce("General")],
        "suppressionlist" => vec![bounce("OnAccountSuppressionList")],
        "complaint" => {
            let complaint = json!({ "timestamp": at, "complainedRecipients": [{ "emailAddress": to }], "complaintFeedbackType": "abuse" });
            vec![
                delivery(),
                (
                    "Email Complaint Received",
                    "Complaint",
                    "complaint",
                    complaint,
                ),
            ]
        }
        _ => Vec::new(),
    };
    let event = |(detail_type, event_type, name, part): (&str, &str, &str, Value)| {
        let mail =
            json!({ "timestamp": at, "messageId": message_id, "destination": [to], "tags": tags });
        json!({
            "version": "0",
            "id": message_id,
            "detail-type": detail_type,
            "source": "aws.ses",
            "time": at,
            "detail": { "eventType": event_type, "mail": mail, name: part },
        })
    };
    events.into_iter().map(event).collect()
}

/// Returns whether `to` is on SES's suppression list, like the simulator's address of that name.
pub(crate) fn is_suppressed(to: &str) -> bool {
    to.rsplit_once('@').is_some_and(|(local_part, domain)| {
        domain == DOMAIN && local_part.split('+').next() == Some("suppressionlist")
    })
}

fn bounce(to: &str, sub_type: &str, at: &str) -> Value {
    json!({
        "timestamp": at,
        "bounceType": "Permanent",
        "bounceSubType": sub_type,
        "bouncedRecipients": [{
            "emailAddress": to,
            "action": "failed",
            "status": "5.1.1",
            "diagnosticCode": "smtp; 550 5.1.1 user unknown",
        }],
    })
}
