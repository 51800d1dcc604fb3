//! The local SES v2 endpoint: `SendEmail`, into the inbox; and what SES tells later about mail to
//! its simulator's addresses.

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
use rand::{TryRng, rngs::SysRng};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::{
    inbox::{Inbox, StoredMail},
    simulator,
};

/// Tells the time.
pub(crate) type Clock = fn() -> DateTime<Utc>;

/// Where SES's events go, as `EventBridge` delivers them.
pub(crate) type Events = mpsc::UnboundedSender<Value>;

/// The endpoint; it keeps mail in `inbox`, tells `events` what became of it, and the time by
/// `now`.
pub(crate) fn router(inbox: Inbox, events: Events, now: Clock) -> Router {
    Router::new()
        .route("/v2/email/outbound-emails", post(send_email))
        .route("/v2/email/account", get(account))
        .route("/v2/email/identities/{name}", get(identity))
        .route(
            "/v2/email/configuration-sets/{name}",
            get(configuration_set),
        )
        .route("/v2/email/suppression/addresses/{address}", get(suppressed))
        .with_state((inbox.clone(), events, now))
        .merge(crate::inbox::router(inbox))
        .fallback(async || {
            error(
                StatusCode::NOT_FOUND,
                "NotFoundException",
                "Only SendEmail and what `doctor` asks are served here.",
            )
        })
}

/// An account like one out of the sandbox, without a limit.
async fn account(State((inbox, _, now)): State<(Inbox, Events, Clock)>) -> Response {
    let a_day_ago = now() - TimeDelta::hours(24);
    let sent = inbox
        .sent_at()
        .into_iter()
        .filter(|at| *at > a_day_ago)
        .count();
    Json(json!({
        "ProductionAccessEnabled": true,
        "SendingEnabled": true,
        "EnforcementStatus": "HEALTHY",
        "SendQuota": { "Max24HourSend": -1, "MaxSendRate": -1, "SentLast24Hours": sent },
    }))
    .into_response()
}

/// Whoever sends is verified.
async fn identity(Path(name): Path<String>) -> Response {
    let kind = if name.contains('@') {
        "EMAIL_ADDRESS"
    } else {
        "DOMAIN"
    };
    Json(json!({ "IdentityType": kind, "VerifiedForSendingStatus": true })).into_response()
}

/// Every configuration set is there, since mail with any is taken.
async fn configuration_set(Path(name): Path<String>) -> Response {
    Json(json!({ "ConfigurationSetName": name })).into_response()
}

async fn suppressed(
    State((_, _, now)): State<(Inbox, Events, Clock)>,
    Path(address): Path<String>,
) -> Response {
    if !simulator::is_suppressed(&address) {
        return error(
            StatusCode::NOT_FOUND,
            "NotFoundException",
            "The address is not on the list.",
        );
    }
    let destination = json!({
        "EmailAddress": address,
        "Reason": "BOUNCE",
        "LastUpdateTime": now().timestamp(),
    });
    Json(json!({ "SuppressedDestination": destination })).into_response()
}

async fn send_email(
    State((inbox, events, now)): State<(Inbox, Events, Clock)>,
    body: Bytes,
) -> Response {
    let read = serde_json::from_slice(&body)
        .and_then(|raw: Value| Ok((SendEmail::deserialize(&raw)?, raw)));
    let (request, raw) = match read {
        Ok(read) => read,
        Err(problem) => {
            let message = format!("Not a simple SendEmail: {problem}");
            return error(StatusCode::BAD_REQUEST, "BadRequestException", &message);
        }
    };
    if request.destination.to_addresses.is_empty() {
        return error(
            StatusCode::BAD_REQUEST,
            "BadRequestException",
            "There is no recipient.",
        );
    }
    let (id, at) = (message_id(), now());
    let told = simulator::events(
        &request.destination.to_addresses[0],
        &request.tags(),
        &id,
        at,
    );
    match inbox.push(request.into_mail(at), raw) {
        Ok(()) => {
            // Nobody listens any more where the system is about to end.
            let _ = told.into_iter().try_for_each(|event| events.send(event));
            Json(json!({ "MessageId": id })).into_response()
        }
        Err(problem) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            &problem.to_string(),
        ),
    }
}

fn error(status: StatusCode, code: &'static str, message: &str) -> Response {
    (
        status,
        [("x-amzn-errortype", code)],
        Json(json!({ "message": message })),
    )
        .into_response()
}

fn message_id() -> String {
    let id = (
        SysRng.try_next_u64().unwrap_or_default(),
        SysRng.try_next_u64().unwrap_or_default(),
    );
    format!("{:016x}{:016x}", id.0, id.1)
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
    /// Its tags as SES repeats them in an event.
    fn tags(&self) -> Value {
        let tag = |tag: &Header| (tag.name.clone(), json!([tag.value]));
        Value::Object(self.email_tags.iter().map(tag).collect::<Map<_, _>>())
    }

    fn into_mail(self, at: DateTime<Utc>) -> StoredMail {
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
        StoredMail {
            at: at.timestamp_millis(),
            to: self.destination.to_addresses,
            from: self.from_email_address,
            subject: message.subject.data,
            text: data(message.body.text),
            html: data(message.body.html),
            headers,
        }
    }
}
