//! The local SES v2 endpoint: `SendEmail` stores emails in the inbox, and emails to the simulator's
//! addresses get the events that SES would publish.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::{DateTime, TimeDelta, Utc};
use manage::random_hex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::{
    inbox::{Inbox, StoredEmail},
    simulator,
};

/// Returns the current time.
pub(crate) type Clock = fn() -> DateTime<Utc>;

/// Receives SES's events in the form that `EventBridge` delivers.
pub(crate) type EventSender = mpsc::UnboundedSender<Value>;

#[derive(Clone)]
struct Ses {
    inbox: Inbox,
    events: EventSender,
    now: Clock,
}

/// Builds the endpoint. It stores emails in `inbox` and sends delivery outcomes to `events`.
pub(crate) fn router(inbox: Inbox, events: EventSender, now: Clock) -> Router {
    let ses = Ses {
        inbox: inbox.clone(),
        events,
        now,
    };
    Router::new()
        .route("/v2/email/outbound-emails", post(send_email))
        .route("/v2/email/account", get(account))
        .route("/v2/email/identities/{name}", get(identity))
        .route(
            "/v2/email/configuration-sets/{name}",
            get(configuration_set),
        )
        .route(
            "/v2/email/configuration-sets/{name}/event-destinations",
            get(event_destinations),
        )
        .route(
            "/v2/email/suppression/addresses/{address}",
            get(suppressed_destination),
        )
        .with_state(ses)
        .merge(crate::inbox::router(inbox))
        .fallback(async || {
            error(
                StatusCode::NOT_FOUND,
                "NotFoundException",
                "Only SendEmail and the calls of `doctor` are available.",
            )
        })
}

/// Describes an account outside the sandbox, without a sending limit.
async fn account(State(ses): State<Ses>) -> Response {
    let since = (ses.now)() - TimeDelta::hours(24);
    let sent_at = ses.inbox.sent_at();
    let sent = sent_at.into_iter().filter(|at| *at > since).count();
    Json(json!({
        "ProductionAccessEnabled": true,
        "SendingEnabled": true,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": { "Max24HourSend": -1, "MaxSendRate": -1, "SentLast24Hours": sent },
    }))
    .into_response()
}

/// Describes `name` as verified, like every sender here.
async fn identity(Path(name): Path<String>) -> Response {
    let kind = if name.contains('@') {
        "EMAIL_ADDRESS"
    } else {
        "DOMAIN"
    };
    Json(json!({ "IdentityType": kind, "VerifiedForSendingStatus": true })).into_response()
}

/// Describes the configuration set `name`. Every name exists, because emails with any are accepted.
async fn configuration_set(Path(name): Path<String>) -> Response {
    Json(json!({ "ConfigurationSetName": name })).into_response()
}

/// Returns the event destination that the mailer needs. The simulator reports every event anyway.
async fn event_destinations() -> Response {
    let destination = json!({
        "Name": "events",
        "Enabled": true,
        "MatchingEventTypes": ["BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY", "REJECT"],
        "EventBridgeDestination": {
            "EventBusArn": "arn:aws:events:us-east-1:000000000000:event-bus/default",
        },
    });
    Json(json!({ "EventDestinations": [destination] })).into_response()
}

async fn suppressed_destination(State(ses): State<Ses>, Path(address): Path<String>) -> Response {
    if !simulator::is_suppressed(&address) {
        return error(
            StatusCode::NOT_FOUND,
            "NotFoundException",
            "The address is not on the suppression list.",
        );
    }
    let destination = json!({
        "EmailAddress": address,
        "Reason": "BOUNCE",
        "LastUpdateTime": (ses.now)().timestamp(),
    });
    Json(json!({ "SuppressedDestination": destination })).into_response()
}

async fn send_email(State(ses): State<Ses>, body: Bytes) -> Response {
    let parsed = serde_json::from_slice(&body)
        .and_then(|raw: Value| Ok((SendEmail::deserialize(&raw)?, raw)));
    let (request, raw) = match parsed {
        Ok(parsed) => parsed,
        Err(problem) => return bad_request(&format!("Not a simple SendEmail: {problem}")),
    };
    let Some(recipient) = request.destination.to_addresses.first() else {
        return bad_request("There is no recipient.");
    };
    let id = match random_hex() {
        Ok(id) => id,
        Err(problem) => return internal_failure(&problem),
    };
    let at = (ses.now)();
    let events = simulator::events(recipient, &request.tags(), &id, at);
    if let Err(problem) = ses.inbox.push(request.into_email(at), raw) {
        return internal_failure(&problem);
    }
    // The receiver is gone if the system is stopping.
    let _ = events
        .into_iter()
        .try_for_each(|event| ses.events.send(event));
    Json(json!({ "MessageId": id })).into_response()
}

fn bad_request(message: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "BadRequestException", message)
}

fn internal_failure(problem: &anyhow::Error) -> Response {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalFailure",
        &problem.to_string(),
    )
}

fn error(status: StatusCode, code: &'static str, message: &str) -> Response {
    (
        status,
        [("x-amzn-errortype", code)],
        Json(json!({ "message": message })),
    )
        .into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEmail {
    from_email_address: String,
    #[serde(default)]
    reply_to_addresses: Vec<String>,
    destination: Destination,
    #[serde(default)]
    email_tags: Vec<Header>,
    content: EmailContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(default)]
    to_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EmailContent {
    simple: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    subject: Content,
    body: Body,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    text: Option<Content>,
    html: Option<Content>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Header {
    name: String,
    value: String,
}

impl SendEmail {
    /// Returns the tags as an SES event has them.
    fn tags(&self) -> Value {
        let tag = |tag: &Header| (tag.name.clone(), json!([tag.value]));
        Value::Object(self.email_tags.iter().map(tag).collect::<Map<_, _>>())
    }

    fn into_email(self, at: DateTime<Utc>) -> StoredEmail {
        let message = self.content.simple;
        let mut headers: BTreeMap<String, String> = message
            .headers
            .into_iter()
            .map(|header| (header.name, header.value))
            .collect();
        if !self.reply_to_addresses.is_empty() {
            headers.insert("Reply-To".to_owned(), self.reply_to_addresses.join(", "));
        }
        let data =
            |content: Option<Content>| content.map(|content| content.data).unwrap_or_default();
        StoredEmail {
            at: at.timestamp_millis(),
            to: self.destination.to_addresses,
            from: self.from_email_address,
            subject: message.subject.data,
            text: data(message.body.text),
            // SES removes its own attribute from what recipients get.
            html: data(message.body.html).replace("<a ses:no-track ", "<a "),
            headers,
        }
    }
}
