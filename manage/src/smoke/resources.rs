//! Checks of both resources: their pages, what they refuse, and the headers of every response.

use anyhow::{Result, bail};
use axum::http::{self, StatusCode, header};
use rand::rngs::SysRng;
use rules::token::ResetToken;
use serde_json::{Value, json};

use super::api::{Api, CHANGE_PASSWORD, FORGOT_PASSWORD, Response};
use crate::{finding::Finding, random_hex};

/// The resources, and a field that only the page of each has.
const RESOURCES: [(&str, &str); 2] = [
    (FORGOT_PASSWORD, "email"),
    (CHANGE_PASSWORD, "new_password"),
];
/// Both spellings of a path end in one of these.
const ENDS: [&str; 2] = ["", "/"];

/// Advice on a response that is not the function's.
const ADVICE: &str = "check the API's routes and what is in front of it, then the function's log";

/// Checks whether anything responds at the API's URL, and to requests that come this way.
pub(super) async fn check_reachable(api: &Api) -> Finding {
    let subject = format!("API {}", api.url);
    match api.post(FORGOT_PASSWORD, &json!({})).await {
        Ok(response) if response.json()["code"] == "forbidden" => Finding::problem(
            subject,
            "accepts requests through its edge only (403 forbidden)",
            "pass the edge's address as `--api-url`; if this is it, the edge does not send a secret \
             of the stack (docs/edge.md)",
        ),
        Ok(_) => Finding::ok(subject, "responds"),
        Err(error) => Finding::problem(
            subject,
            format!("{error:#}"),
            "start the local system with `cargo run`, or check the DNS record and certificate of \
             the API's domain",
        ),
    }
}

/// Checks both spellings of both resources.
pub(super) async fn check(api: &Api) -> Vec<Finding> {
    let mut findings = Vec::new();
    for end in ENDS {
        for (path, field) in RESOURCES {
            let path = format!("{path}{end}");
            let subject = format!("GET {path}");
            findings.push(finding(
                subject,
                "serves the page",
                check_page(api, &path, field).await,
            ));
        }
        let path = format!("{FORGOT_PASSWORD}{end}");
        findings.push(finding(
            format!("POST {path}, no address"),
            "is refused with invalid_params",
            check_refusal(api, &path, &json!({}), "invalid_params").await,
        ));
        let path = format!("{CHANGE_PASSWORD}{end}");
        findings.push(finding(
            format!("POST {path}, made-up token"),
            "is refused with invalid_token",
            check_made_up_token(api, &path).await,
        ));
    }
    findings.push(check_headers(api).await);
    findings
}

fn finding(subject: String, held: &str, result: Result<()>) -> Finding {
    match result {
        Ok(()) => Finding::ok(subject, held),
        Err(error) => Finding::problem(subject, format!("{error:#}"), ADVICE),
    }
}

async fn check_page(api: &Api, path: &str, field: &str) -> Result<()> {
    let page = api.get(path).await?;
    let is_html = page.header(header::CONTENT_TYPE).starts_with("text/html");
    if page.status != StatusCode::OK || !is_html {
        bail!("returns {} instead of a page", page.describe());
    }
    let input = format!("name=\"{field}\"");
    if !String::from_utf8_lossy(&page.body).contains(&input) {
        bail!("returns another page, without the field {field}");
    }
    Ok(())
}

/// Posts a well-formed token that nobody was sent. Only a read of the tokens table can refuse it.
async fn check_made_up_token(api: &Api, path: &str) -> Result<()> {
    let token = ResetToken::generate(&mut SysRng)?;
    let body = json!({ "forgot_password_hash": token.expose(), "new_password": random_hex()? });
    check_refusal(api, path, &body, "invalid_token").await
}

async fn check_refusal(api: &Api, path: &str, body: &Value, code: &str) -> Result<()> {
    let response = api.post(path, body).await?;
    if response.status != StatusCode::BAD_REQUEST || response.json()["code"] != code {
        bail!("returns {} instead of 400 {code}", response.describe());
    }
    Ok(())
}

/// Checks the headers of the pages and of problems, under both spellings.
async fn check_headers(api: &Api) -> Finding {
    let subject = "security headers";
    let mut faults = Vec::new();
    for end in ENDS {
        for (path, _) in RESOURCES {
            let path = format!("{path}{end}");
            match api.get(&path).await {
                Ok(page) => {
                    let missing = missing_headers(&page).chain(missing_policy(&page));
                    faults.extend(missing.map(|name| format!("GET {path} lacks {name}")));
                }
                Err(error) => faults.push(format!("GET {path} {error:#}")),
            }
            match api.post(&path, &json!({})).await {
                Ok(problem) => {
                    let missing = missing_headers(&problem);
                    faults.extend(missing.map(|name| format!("POST {path} lacks {name}")));
                }
                Err(error) => faults.push(format!("POST {path} {error:#}")),
            }
        }
    }
    if faults.is_empty() {
        return Finding::ok(subject, "are on every response, so nothing is cached");
    }
    Finding::problem(
        subject,
        faults.join("; "),
        "whatever is in front of the API must pass its headers on unchanged",
    )
}

/// Returns the headers that every response must have and `response` has not, with their values.
fn missing_headers(response: &Response) -> impl Iterator<Item = String> {
    let expected = web::secured(http::Response::new(()));
    let missing = expected.headers().iter().filter_map(|(name, value)| {
        let is_there = response.headers.get_all(name).iter().eq([value]);
        let value = String::from_utf8_lossy(value.as_bytes());
        (!is_there).then(|| format!("{name}: {value}"))
    });
    missing.collect::<Vec<_>>().into_iter()
}

fn missing_policy(page: &Response) -> Option<String> {
    let policy = page.header(header::CONTENT_SECURITY_POLICY);
    let is_strict = policy.contains("default-src 'none'") && !policy.contains("unsafe-inline");
    (!is_strict).then(|| "a strict content-security-policy".to_owned())
}
