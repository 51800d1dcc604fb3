//! The address that the mailed link leads to.

use std::time::Duration;

use anyhow::Result;
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;
use url::{Host, Url};

use super::Finding;

/// How long the page may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether people who follow the link find a page.
pub(super) async fn examine(url: &Url, is_aws: bool) -> Finding {
    let what = format!("RESET_URL {url}");
    if is_aws && is_local(url) {
        return Finding::problem(
            what,
            "leads whoever gets a mail to their own machine",
            "set it to the https:// address of the page",
        );
    }
    let advice = "look whether the page is deployed and its name resolves";
    match timeout(PATIENCE, get(url)).await {
        Err(_) => Finding::problem(what, "does not answer within five seconds", advice),
        Ok(Err(error)) => Finding::problem(what, format!("does not answer: {error:#}"), advice),
        Ok(Ok(status)) if status.is_success() || status.is_redirection() => {
            Finding::ok(what, format!("answers {}", status.as_u16()))
        }
        Ok(Ok(status)) => Finding::problem(
            what,
            format!("answers {}, and no page", status.as_u16()),
            advice,
        ),
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
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
