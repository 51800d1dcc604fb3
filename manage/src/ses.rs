//! The local SES v2 endpoint: `SendEmail`, into the inbox.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use chrono::{DateTime, Utc};
use rand::{TryRng, rngs::SysRng};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::inbox::{Inbox, StoredMail};

/// Tells the time.
pub(crate) type Clock = fn() -> DateTime<Utc>;

/// The endpoint; it keeps mail in `inbox` and tells the time by `now`.
pub(crate) fn router(inbox: Inbox, now: Clock) -> Router {
    Router::new()
        .route("/v2/email/outbound-emails", post(send_email))
        .with_state((inbox.clone(), now))
        .merge(crate::inbox::router(inbox))
        .fallback(async || {
            error(
                StatusCode::NOT_FOUND,
                "NotFoundException",
                "Only SendEmail is served here.",
            )
        })
}

async fn send_email(State((inbox, now)): State<(Inbox, Clock)>, body: Bytes) -> Response {
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
    match inbox.push(request.into_mail(now()), raw) {
        Ok(()) => Json(json!({ "MessageId": message_id() })).into_response(),
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
