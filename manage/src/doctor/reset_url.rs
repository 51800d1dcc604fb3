//! The check of `RESET_URL`, the page that emailed links open.

use std::time::Duration;

use anyhow::Result;
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use rules::environment::is_local;
use tokio::time::timeout;
use url::Url;

use crate::{finding::Finding, https};

/// Timeout of the page, in seconds.
const TIMEOUT_SECONDS: u64 = 5;

/// Returns whether `url` serves a page.
pub(super) async fn check(url: &Url, is_aws: bool) -> Finding {
    let subject = format!("RESET_URL {url}");
    if is_aws && is_local(url) {
        return Finding::problem(
            subject,
            "points recipients to their own machine",
            "set it to the https:// address of the page",
        );
    }
    let advice = "check that the page is deployed and its host name resolves";
    match timeout(Duration::from_secs(TIMEOUT_SECONDS), get(url)).await {
        Err(_) => {
            let detail = format!("does not respond within {TIMEOUT_SECONDS} seconds");
            Finding::problem(subject, detail, advice)
        }
        Ok(Err(error)) => Finding::problem(subject, format!("does not respond: {error:#}"), advice),
        Ok(Ok(status)) if status.is_success() || status.is_redirection() => {
            Finding::ok(subject, format!("returns {}", status.as_u16()))
        }
        Ok(Ok(StatusCode::FORBIDDEN)) => Finding::problem(
            subject,
            "returns 403 instead of a page",
            "if ORIGIN_SECRET is set, set RESET_URL to the address of the edge (docs/edge.md)",
        ),
        Ok(Ok(status)) => Finding::problem(
            subject,
            format!("returns {} instead of a page", status.as_u16()),
            advice,
        ),
    }
}

async fn get(url: &Url) -> Result<StatusCode> {
    let request = Request::get(url.as_str())
        .header(header::ACCEPT, "text/html")
        .body(Body::empty())?;
    Ok(https::client().request(request).await?.status())
}
