//! A plain HTTP client. It sends exactly the given headers and follows no redirects.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

/// Path of the resource that requests a reset email.
pub const FORGOT_PASSWORD: &str = "/core/user/forgot-password/";
/// Path of the resource that sets a new password.
pub const CHANGE_PASSWORD: &str = "/core/user/change-forgotten-password/";
/// Content type of a problem (RFC 9457 §3).
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Content type of JSON.
pub const JSON: &str = "application/json";
/// Content type of a form.
pub const FORM: &str = "application/x-www-form-urlencoded";
/// Content type of [`multipart`].
pub const MULTIPART: &str = "multipart/form-data; boundary=x";

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl HttpResponse {
    /// Returns the body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("a body in UTF-8")
    }

    /// Returns the status and the problem's code, which is empty if there is none.
    #[must_use]
    pub fn status_and_code(&self) -> (u16, String) {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        (
            self.status.as_u16(),
            json["code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// Returns the header `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a header in ASCII"))
    }

    /// Removes the headers that differ between any two responses: `Date` and the gateway's ID.
    #[must_use]
    pub fn without_date_and_id(mut self) -> Self {
        self.headers.remove(header::DATE);
        self.headers.remove("apigw-requestid");
        self
    }

    /// Panics unless the response is `200 {"worked": true}`.
    pub fn assert_worked(&self) {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.json(), serde_json::json!({ "worked": true }));
    }

    /// Panics unless the response is a problem with this status and code.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(
            self.status_and_code(),
            (status, code.to_owned()),
            "{self:?}"
        );
        assert_eq!(self.header("content-type"), Some(PROBLEM_JSON));
    }

    /// Panics if a header that every response must have is missing, or if there is a cookie.
    pub fn assert_security_headers(&self) {
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

/// Sends one request on its own connection.
pub async fn send(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> HttpResponse {
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
        .expect("a response")
        .into_parts();
    let body = body.collect().await.expect("a complete body").to_bytes();
    HttpResponse {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// Builds a `multipart/form-data` body with the boundary `x`.
#[must_use]
pub fn multipart(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--x--\r\n"
}

/// Builds an `application/x-www-form-urlencoded` body.
#[must_use]
pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}
