//! The API under test.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::{
    body::{self, Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
};
use serde_json::Value;
use tokio::time::timeout;

use crate::https::{self, HttpsClient};

/// Path of the resource that requests an email.
pub(super) const FORGOT_PASSWORD: &str = "/core/user/forgot-password";
/// Path of the resource that sets a password.
pub(super) const CHANGE_PASSWORD: &str = "/core/user/change-forgotten-password";

/// Timeout of a response, in seconds.
const TIMEOUT_SECONDS: u64 = 15;
/// Maximum size of a response; a page has about 20 KB.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The API under test.
pub(super) struct Api {
    /// URL without a trailing slash.
    pub(super) url: String,
    client: HttpsClient,
}

/// A response of the API.
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Api {
    /// Creates a client of the API at `url`.
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            client: https::client(),
        }
    }

    /// Gets the page at `path`.
    pub(super) async fn get(&self, path: &str) -> Result<Response> {
        let accept = (header::ACCEPT, HeaderValue::from_static("text/html"));
        self.send(Method::GET, path, [accept], Body::empty()).await
    }

    /// Posts `body` as JSON to `path`.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Response> {
        self.post_with(path, [], body).await
    }

    /// Posts `body` as JSON with additional `headers` to `path`.
    pub(super) async fn post_with<const N: usize>(
        &self,
        path: &str,
        headers: [(HeaderName, HeaderValue); N],
        body: &Value,
    ) -> Result<Response> {
        let json = HeaderValue::from_static("application/json");
        let headers = headers.into_iter().chain([(header::CONTENT_TYPE, json)]);
        let body = Body::from(body.to_string());
        self.send(Method::POST, path, headers, body).await
    }

    /// Sends a request to `path`.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Body,
    ) -> Result<Response> {
        let url = format!("{}{path}", self.url);
        let mut request = Request::builder().method(method).uri(url).body(body)?;
        request.headers_mut().extend(headers);
        let exchange = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            Ok::<_, anyhow::Error>(Response {
                status: parts.status,
                headers: parts.headers,
                body: body::to_bytes(Body::new(body), MAX_BODY_BYTES).await?,
            })
        };
        match timeout(Duration::from_secs(TIMEOUT_SECONDS), exchange).await {
            Err(_) => bail!("does not respond within {TIMEOUT_SECONDS} seconds"),
            Ok(response) => response.context("does not respond"),
        }
    }
}

impl Response {
    /// Returns the header `name`, or an empty text.
    pub(super) fn header(&self, name: HeaderName) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Returns the body as JSON, or null if it is something else.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Describes the response by its status and, for a problem, its code.
    pub(super) fn describe(&self) -> String {
        let status = self.status.as_u16();
        match self.json()["code"].as_str() {
            Some(code) => format!("{status} {code}"),
            None => status.to_string(),
        }
    }
}
