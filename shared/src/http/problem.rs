//! Errors as a caller sees them: problem details (RFC 9457) with a stable code.

use http::{HeaderValue, Response, StatusCode, header};
use lambda_http::Body;
use serde::Serialize;
use serde_json::json;

use super::{chain, respond};
use crate::{
    address::InvalidAddress,
    aws::AwsError,
    password::{HashError, Weakness},
};

/// Every way in which a request can fail. The one place that maps a failure to HTTP.
#[derive(Debug)]
pub enum Problem {
    /// A field or the body is not what it should be.
    InvalidParams {
        /// The field that it is about; `None` for the body as a whole.
        field: Option<&'static str>,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// Malformed, unknown, expired, used or another account's: one answer for all, so that it
    /// says nothing about which.
    InvalidToken,
    /// Nothing is served under the path.
    NotFound,
    /// Another method than those that the resource has, which are listed.
    MethodNotAllowed(&'static str),
    /// A body over [`super::MAX_BODY_BYTES`].
    PayloadTooLarge,
    /// A body in another format, charset or encoding; the text says what is understood.
    UnsupportedMediaType(&'static str),
    /// The new password is refused, for at least one reason.
    WeakPassword(Vec<WeaknessDetail>),
    /// The client has spent its requests; seconds until it gets new ones.
    RateLimited {
        /// For `Retry-After`.
        retry_after_seconds: i64,
    },
    /// A call to AWS failed.
    Aws(AwsError),
    /// A password could not be hashed.
    Hash(HashError),
    /// The handler panicked; where is in the log.
    Panicked,
}

/// One entry of `reasons` in a `weak_password` problem.
#[derive(Debug, Serialize)]
pub struct WeaknessDetail {
    /// Stable, for programs.
    pub code: Weakness,
    /// A sentence for the person.
    pub detail: String,
}

impl Problem {
    /// `invalid_params` about the field `name`.
    #[must_use]
    pub fn field(name: &'static str, detail: String) -> Self {
        Self::InvalidParams {
            field: Some(name),
            detail,
        }
    }

    /// `invalid_params` about the body as a whole.
    #[must_use]
    pub fn body(detail: &str) -> Self {
        Self::InvalidParams {
            field: None,
            detail: detail.to_owned(),
        }
    }

    /// The stable name of the problem.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidParams { .. } => "invalid_params",
            Self::InvalidToken => "invalid_token",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed(_) => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::WeakPassword(_) => "weak_password",
            Self::RateLimited { .. } => "rate_limited",
            Self::Aws(_) | Self::Hash(_) | Self::Panicked => "unavailable",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidParams { .. } | Self::InvalidToken => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::WeakPassword(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Aws(_) | Self::Hash(_) | Self::Panicked => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::InvalidParams { detail, .. } => detail.clone(),
            Self::InvalidToken => "This link is not valid: it has expired, was already used, or belongs to another \
                account. If you have just set a new password, try to sign in with it; otherwise ask for another mail."
                .to_owned(),
            Self::NotFound => "There is nothing under this path; check the address.".to_owned(),
            Self::MethodNotAllowed(allowed) => format!("This address takes {allowed}."),
            Self::PayloadTooLarge => "The body is larger than 16 KiB; send the documented fields alone.".to_owned(),
            Self::UnsupportedMediaType(detail) => (*detail).to_owned(),
            Self::WeakPassword(reasons) => {
                let details: Vec<&str> = reasons.iter().map(|reason| reason.detail.as_str()).collect();
                details.join(" ")
            }
            Self::RateLimited { retry_after_seconds } => {
                format!("Too many requests came from your network. Try again in {retry_after_seconds} seconds.")
            }
            Self::Aws(_) | Self::Hash(_) | Self::Panicked => {
                "The service cannot answer at the moment. Send the same request again in a minute.".to_owned()
            }
        }
    }

    /// The answer to a program; what the caller is not told goes to the log, once, here.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
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
        self.stamp(respond("application/problem+json", body.to_string()))
    }

    /// Gives `response`, which shows this problem, its status and headers, and logs it.
    #[must_use]
    pub fn stamp(&self, mut response: Response<Body>) -> Response<Body> {
        self.log();
        *response.status_mut() = self.status();
        let header = match self {
            Self::MethodNotAllowed(allowed) => {
                Some((header::ALLOW, HeaderValue::from_static(allowed)))
            }
            Self::RateLimited {
                retry_after_seconds,
            } => Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds))),
            Self::UnsupportedMediaType(_) => Some((
                header::ACCEPT,
                HeaderValue::from_static(super::body::ACCEPTED),
            )),
            _ => None,
        };
        response.headers_mut().extend(header);
        response
    }

    fn log(&self) {
        let code = self.code();
        match self {
            Self::Aws(error) => tracing::error!(code, error = chain(error), "a call to AWS failed"),
            Self::Hash(error) => tracing::error!(code, error = chain(error), "hashing failed"),
            Self::Panicked => tracing::error!(code, "the handler panicked"),
            _ => tracing::info!(code, "refused"),
        }
    }
}

impl From<InvalidAddress> for Problem {
    fn from(_: InvalidAddress) -> Self {
        Self::field(
            "email",
            "email has to be one e-mail address, such as ada@example.com.".to_owned(),
        )
    }
}

impl From<AwsError> for Problem {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        Self::Hash(error)
    }
}
