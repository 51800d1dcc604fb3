//! Problem details (RFC 9457) with a stable code.

use std::error::Error;

use aws::{AwsError, error_chain};
use content::messages::Messages;
use http::{HeaderValue, Response, StatusCode, header};
use lambda_http::Body;
use rules::{address::InvalidAddress, weakness::Weakness};
use serde::Serialize;
use serde_json::json;

use crate::response::respond;

/// Value of `Accept` in a 415: the formats of bodies (RFC 9110 §15.5.16).
const ACCEPTED_FORMATS: &str =
    "application/json, application/x-www-form-urlencoded, multipart/form-data";

/// Every way in which a request can fail, and how it maps to HTTP.
#[derive(Debug)]
pub enum Problem {
    /// A field or the body is invalid.
    InvalidParams {
        /// The invalid field; `None` for the body as a whole.
        field: Option<&'static str>,
        /// The error, and how to correct it.
        detail: String,
    },
    /// The token is malformed, unknown, expired, used or another account's. One response for all,
    /// so it does not reveal which.
    InvalidToken,
    /// The request did not come through the edge.
    Forbidden,
    /// Nothing is served at the path.
    NotFound,
    /// The resource does not support the method; contains the value of `Allow`.
    MethodNotAllowed(&'static str),
    /// The body exceeds `MAX_BODY_BYTES`.
    PayloadTooLarge,
    /// The body's format, charset or encoding is not supported; contains what to send instead.
    UnsupportedMediaType(&'static str),
    /// The new password is rejected, for at least one reason.
    WeakPassword(Vec<WeaknessDetail>),
    /// The client has used up its requests.
    RateLimited {
        /// Value of `Retry-After`.
        retry_after_seconds: i64,
    },
    /// A call to AWS failed.
    Aws(AwsError),
    /// An internal failure, such as in hashing.
    Internal(Box<dyn Error + Send + Sync>),
    /// The handler panicked; the log has the location.
    Panicked,
}

/// One entry of `reasons` in a `weak_password` problem.
#[derive(Debug, Serialize)]
pub struct WeaknessDetail {
    /// Stable code for programs.
    pub code: Weakness,
    /// A sentence for the user.
    pub detail: String,
}

impl Problem {
    /// Creates `invalid_params` for the field `name`.
    #[must_use]
    pub fn field(name: &'static str, detail: String) -> Self {
        Self::InvalidParams {
            field: Some(name),
            detail,
        }
    }

    /// Creates `invalid_params` for the body as a whole.
    #[must_use]
    pub fn body(detail: &str) -> Self {
        Self::InvalidParams {
            field: None,
            detail: detail.to_owned(),
        }
    }

    /// Returns the stable code of the problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidParams { .. } => "invalid_params",
            Self::InvalidToken => "invalid_token",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::WeakPassword(_) => "weak_password",
            Self::RateLimited { .. } => "rate_limited",
            Self::Aws(_) | Self::Internal(_) | Self::Panicked => "unavailable",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidParams { .. } | Self::InvalidToken => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::WeakPassword(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Aws(_) | Self::Internal(_) | Self::Panicked => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::InvalidParams { detail, .. } => detail.clone(),
            Self::InvalidToken => Messages::english().text("error-token", &[]),
            Self::Forbidden => Messages::english().text("error-forbidden", &[]),
            Self::NotFound => "There is nothing at this path; check the URL.".to_owned(),
            Self::MethodNotAllowed(allowed) => format!("Use one of these methods: {allowed}."),
            Self::PayloadTooLarge => {
                "The body exceeds 16 KiB; send only the documented fields.".to_owned()
            }
            Self::UnsupportedMediaType(detail) => (*detail).to_owned(),
            Self::WeakPassword(reasons) => {
                let details: Vec<&str> = reasons
                    .iter()
                    .map(|reason| reason.detail.as_str())
                    .collect();
                details.join(" ")
            }
            Self::RateLimited {
                retry_after_seconds,
            } => rate_limited(&Messages::english(), *retry_after_seconds),
            Self::Aws(_) | Self::Internal(_) | Self::Panicked => {
                Messages::english().text("error-unavailable", &[])
            }
        }
    }

    /// Returns whether the service, not the client, is at fault.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.status() == StatusCode::SERVICE_UNAVAILABLE
    }

    /// Builds the JSON response, and logs the details that it omits. `reference` is the request's
    /// ID, which a person can report if the service is unavailable.
    #[must_use]
    pub fn into_response(self, reference: Option<&str>) -> Response<Body> {
        let status = self.status();
        let mut body = json!({
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": self.code(),
            "detail": self.detail(),
        });
        if let Self::WeakPassword(reasons) = &self {
            body["reasons"] = json!(reasons);
        }
        if let Some(reference) = reference
            && self.is_unavailable()
        {
            body["reference"] = json!(reference);
        }
        self.apply_to(respond("application/problem+json", body.to_string()))
    }

    /// Sets the status and headers of `response`, which shows this problem, and logs the problem.
    #[must_use]
    pub fn apply_to(&self, mut response: Response<Body>) -> Response<Body> {
        self.log();
        *response.status_mut() = self.status();
        let header = match self {
            Self::MethodNotAllowed(allowed) => {
                Some((header::ALLOW, HeaderValue::from_static(allowed)))
            }
            Self::RateLimited {
                retry_after_seconds,
            } => Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds))),
            Self::UnsupportedMediaType(_) => {
                Some((header::ACCEPT, HeaderValue::from_static(ACCEPTED_FORMATS)))
            }
            _ => None,
        };
        response.headers_mut().extend(header);
        response
    }

    fn log(&self) {
        let code = self.code();
        match self {
            Self::Aws(error) => {
                tracing::error!(code, error = error_chain(error), "a call to AWS failed");
            }
            Self::Internal(error) => {
                tracing::error!(code, error = error_chain(&**error), "the request failed");
            }
            Self::Panicked => tracing::error!(code, "the handler panicked"),
            _ => tracing::info!(code, "request refused"),
        }
    }
}

impl From<InvalidAddress> for Problem {
    fn from(_: InvalidAddress) -> Self {
        Self::field("email", Messages::english().text("error-email", &[]))
    }
}

impl From<AwsError> for Problem {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

/// Returns when a limited client may try again, in minutes rounded up.
pub(crate) fn rate_limited(messages: &Messages, retry_after_seconds: i64) -> String {
    messages.number("error-limited", "minutes", (retry_after_seconds + 59) / 60)
}
