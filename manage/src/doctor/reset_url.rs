//! Whether `RESET_URL`, which emailed links open, serves a page.

use std::time::Duration;

use anyhow::Result;
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rules::environment::is_local;
use tokio::time::timeout;
use url::Url;

use super::finding::Finding;

/// Timeout of the page, in seconds.
const TIMEOUT_SECONDS: u64 = 5;

/// Checks whether `url` serves a page.
pub(super) async fn check(url: &Url, is_aws: bool) -> Finding {
    let what = format!("RESET_URL {url}");
    if is_aws && is_local(url) {
        return Finding::problem(
            what,
            "points recipients to their own machine",
            "set it to the https:// address of the page",
        );
    }
    let advice = "check that the page is deployed and its host name resolves";
    match timeout(Duration::from_secs(TIMEOUT_SECONDS), get(url)).await {
        Err(_) => {
            let detail = format!("does not respond within {TIMEOUT_SECONDS} seconds");
            Finding::problem(what, detail, advice)
        }
        Ok(Err(error)) => Finding::problem(what, format!("does not respond: {error:#}"), advice),
        Ok(Ok(status)) if status.is_success() || status.is_redirection() => {
            Finding::ok(what, format!("returns {}", status.as_u16()))
        }
        Ok(Ok(status)) => Finding::problem(
            what,
            format!("returns {} instead of a page", status.as_u16()),
            advice,
        ),
    }
}

async fn get(url: &Url) -> Result<StatusCode> {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::get(url.as_str())
        .header(header::ACCEPT, "text/html")
        .body(Body::empty())?;
    Ok(client.request(request).await?.status())
}
