//! The check that exactly the origins in `CORS_ORIGINS` may call the API from a browser.

use anyhow::{Result, bail};
use axum::{
    body::Body,
    http::{HeaderValue, Method, header},
};
use rules::environment::Environment;
use serde_json::json;
use web::CorsOrigins;

use super::api::{Api, CHANGE_PASSWORD, FORGOT_PASSWORD, Response};
use crate::finding::Finding;

/// An origin that no list has, because its domain is reserved (RFC 6761 §6.4).
const STRANGER: HeaderValue = HeaderValue::from_static("https://smoke.invalid");

/// Checks what the API tells browsers on other origins.
pub(super) async fn check(api: &Api, env: &Environment<'_>) -> Finding {
    let subject = "CORS";
    let origins = match CorsOrigins::read(env) {
        Ok(origins) => origins,
        Err(error) => return Finding::problem(subject, error.to_string(), "correct the setting"),
    };
    match check_origins(api, origins.list()).await {
        Err(error) => Finding::problem(
            subject,
            format!("{error:#}"),
            "run `smoke` with the CORS_ORIGINS of the system; a gateway or CDN in front of the API \
             must leave CORS to it",
        ),
        Ok(()) if origins.list().is_empty() => {
            Finding::ok(subject, "is off: no other origin may call the API")
        }
        Ok(()) => Finding::ok(subject, "allows the listed origins and no other"),
    }
}

async fn check_origins(api: &Api, listed: &[HeaderValue]) -> Result<()> {
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        for origin in listed {
            check_allowed(api, path, origin).await?;
        }
        check_refused(api, path).await?;
    }
    Ok(())
}

async fn check_allowed(api: &Api, path: &str, origin: &HeaderValue) -> Result<()> {
    let name = String::from_utf8_lossy(origin.as_bytes());
    let preflight = preflight(api, path, origin).await?;
    let methods = preflight.header(header::ACCESS_CONTROL_ALLOW_METHODS);
    let headers = preflight.header(header::ACCESS_CONTROL_ALLOW_HEADERS);
    let is_complete = methods.contains("POST") && headers.contains("content-type");
    let is_allowed = preflight.status.is_success() && allowed_origin(&preflight) == name;
    if !is_complete || !is_allowed {
        bail!("{path} refuses a POST of JSON from {name}, which is listed");
    }
    if allowed_origin(&post(api, path, origin).await?) != name {
        bail!("{path} hides its response from {name}, which is listed");
    }
    Ok(())
}

async fn check_refused(api: &Api, path: &str) -> Result<()> {
    let preflight = preflight(api, path, &STRANGER).await?;
    let response = post(api, path, &STRANGER).await?;
    if [preflight, response]
        .iter()
        .any(|one| !allowed_origin(one).is_empty())
    {
        bail!("{path} allows {STRANGER:?}, which is not listed");
    }
    Ok(())
}

async fn preflight(api: &Api, path: &str, origin: &HeaderValue) -> Result<Response> {
    let headers = [
        (header::ORIGIN, origin.clone()),
        (
            header::ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("POST"),
        ),
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::from_static("content-type"),
        ),
    ];
    api.send(Method::OPTIONS, path, headers, Body::empty())
        .await
}

/// Posts a body that is refused.
async fn post(api: &Api, path: &str, origin: &HeaderValue) -> Result<Response> {
    let origin = (header::ORIGIN, origin.clone());
    api.post_with(path, [origin], &json!({})).await
}

fn allowed_origin(response: &Response) -> &str {
    response.header(header::ACCESS_CONTROL_ALLOW_ORIGIN)
}
