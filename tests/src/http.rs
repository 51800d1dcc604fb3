//! A plain HTTP client: it sends what it is told, headers and all, and follows nothing.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

/// The path of the first resource: a mail is asked for.
pub const FORGOT: &str = "/core/user/forgot-password/";
/// The path of the second: a new password is set.
pub const CHANGE: &str = "/core/user/change-forgotten-password/";
/// The content type of a problem (RFC 9457 §3).
pub const PROBLEM: &str = "application/problem+json";
/// The content types of the three formats, the last with the boundary `x`.
pub const JSON: &str = "application/json";
/// See [`JSON`].
pub const FORM: &str = "application/x-www-form-urlencoded";
/// See [`JSON`].
pub const MULTIPART: &str = "multipart/form-data; boundary=x";

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("an answer in JSON: {self:?}"))
    }

    /// The status and the problem's code, or an empty one.
    #[must_use]
    pub fn outcome(&self) -> (u16, String) {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        (
            self.status.as_u16(),
            json["code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// The header `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// The answer without the one header that tells the time.
    #[must_use]
    pub fn without_date(mut self) -> Self {
        self.headers.remove(header::DATE);
        self
    }

    /// Panics where it is not `200 {"worked": true}`.
    pub fn assert_worked(&self) {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.json(), serde_json::json!({ "worked": true }));
    }

    /// Panics where it is not a problem with this status and code.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.outcome(), (status, code.to_owned()), "{self:?}");
        assert_eq!(self.header("content-type"), Some(PROBLEM));
    }

    /// Panics where a header that every answer has is missing, or where there is a cookie.
    pub fn assert_secured(&self) {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            (
                "strict-transport-security",
                "max-age=63072000; includeSubDomains",
            ),
        ] {
            assert_eq!(self.header(name), Some(value), "{self:?}");
        }
        assert_eq!(self.header("set-cookie"), None);
    }
}

/// Sends one request on a connection of its own.
pub async fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(body.into()))
        .expect("a valid request");
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (parts, body) = client
        .request(request)
        .await
        .expect("an answer")
        .into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// A body of `multipart/form-data` with the boundary `x`.
#[must_use]
pub fn multipart(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--x--\r\n"
}

/// A body of `application/x-www-form-urlencoded`.
#[must_use]
pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}
