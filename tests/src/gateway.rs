//! Responses of a function to API Gateway, a function URL or a load balancer.

use serde_json::{Value, json};

use crate::http::PROBLEM_JSON;

/// Returns the status, the content type and the JSON body of a response.
#[must_use]
pub fn parts(response: &Value) -> (u64, &str, Value) {
    let body = response["body"].as_str().unwrap_or_default();
    (
        response["statusCode"].as_u64().expect("a status"),
        header(response, "content-type"),
        serde_json::from_str(body).unwrap_or_default(),
    )
}

/// Returns a header, wherever this kind of gateway expects it.
#[must_use]
pub fn header<'a>(response: &'a Value, name: &str) -> &'a str {
    let multi_value = &response["multiValueHeaders"][name][0];
    response["headers"][name]
        .as_str()
        .or(multi_value.as_str())
        .unwrap_or_default()
}

/// Panics unless the response is `200 {"worked": true}`.
pub fn assert_worked(response: &Value) {
    assert_eq!(
        parts(response),
        (200, "application/json", json!({ "worked": true })),
        "{response}"
    );
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header(response, name), value, "{response}");
    }
    assert_eq!(response["isBase64Encoded"], false);
}

/// Panics unless the response is a problem with this status and code.
pub fn assert_problem(response: &Value, status: u64, code: &str) {
    let (found, content_type, body) = parts(response);
    assert_eq!(
        (found, content_type, body["code"].as_str()),
        (status, PROBLEM_JSON, Some(code)),
        "{response}"
    );
}
