//! The OpenAPI description must match the system.

use std::collections::BTreeSet;

use http::Method;
use local::gateway::{CHANGE_FORGOTTEN_PASSWORD, FORGOT_PASSWORD, WELL_KNOWN};
use rules::weakness::Weakness;
use serde_json::{Value, json};
use tests::{app::TestApp, http::send};
use web::Problem;

/// Returns the description that the system serves.
async fn described(app: &TestApp) -> Value {
    let response = send(Method::GET, &app.url("/openapi.json"), &[], "").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    response.json()
}

/// Returns `value`, or what it refers to.
fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("within the description");
            let found = root.pointer(pointer);
            resolve(root, found.unwrap_or_else(|| panic!("no {reference}")))
        }
        None => value,
    }
}

/// Returns status and code of each problem that the description lists for a POST to `path`.
fn described_problems(root: &Value, path: &str) -> BTreeSet<(String, String)> {
    let responses = root["paths"][path]["post"]["responses"]
        .as_object()
        .unwrap_or_else(|| panic!("no responses of {path}"));
    let mut problems = BTreeSet::new();
    for (status, response) in responses {
        let content = &resolve(root, response)["content"]["application/problem+json"];
        let schema = resolve(root, &content["schema"]);
        let codes = schema.pointer("/allOf/1/properties/code/enum");
        for code in codes.and_then(Value::as_array).into_iter().flatten() {
            let code = code.as_str().expect("a code is a string");
            problems.insert((status.clone(), code.to_owned()));
        }
    }
    problems
}

/// Returns one problem of each kind except the failures of AWS calls, which share the last one's
/// code.
fn problems() -> Vec<Problem> {
    vec![
        Problem::body(""),
        Problem::InvalidToken,
        Problem::Forbidden,
        Problem::NotFound,
        Problem::MethodNotAllowed(""),
        Problem::PayloadTooLarge,
        Problem::UnsupportedMediaType(""),
        Problem::WeakPassword(Vec::new()),
        Problem::RateLimited {
            retry_after_seconds: 1,
        },
        Problem::Panicked,
    ]
}

/// Returns whether the first and the second resource can respond with `problem`. The match is
/// exhaustive, so a new kind must be added here, and in [`problems`].
fn is_answered(problem: &Problem) -> [bool; 2] {
    match problem {
        Problem::NotFound => [false, false],
        Problem::RateLimited { .. } => [true, false],
        Problem::InvalidToken | Problem::WeakPassword(_) => [false, true],
        Problem::InvalidParams { .. }
        | Problem::Forbidden
        | Problem::MethodNotAllowed(_)
        | Problem::PayloadTooLarge
        | Problem::UnsupportedMediaType(_)
        | Problem::Aws(_)
        | Problem::Internal(_)
        | Problem::Panicked => [true, true],
    }
}

/// Returns status and code of each problem that the resource (0 or 1) responds with.
fn answered_problems(resource: usize) -> BTreeSet<(String, String)> {
    problems()
        .into_iter()
        .filter(|problem| is_answered(problem)[resource])
        .map(|problem| {
            let code = problem.code().to_owned();
            (
                problem.into_response(None).status().as_str().to_owned(),
                code,
            )
        })
        .collect()
}

#[tokio::test]
async fn the_description_lists_exactly_the_routed_paths() {
    let app = TestApp::builder().manual_delivery().start().await;
    let root = described(&app).await;
    let described: BTreeSet<&str> = root["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(String::as_str)
        .collect();
    let routed: BTreeSet<&str> = FORGOT_PASSWORD
        .into_iter()
        .chain(CHANGE_FORGOTTEN_PASSWORD)
        .chain([WELL_KNOWN])
        .collect();
    assert_eq!(described, routed);

    for path in described {
        let response = send(Method::GET, &app.url(path), &[], "").await;
        let responses = &root["paths"][path]["get"]["responses"];
        assert!(
            responses.get(response.status.as_str()).is_some(),
            "{path}: {response:?}"
        );
    }
}

#[tokio::test]
async fn the_description_lists_exactly_the_possible_problems() {
    let app = TestApp::builder().manual_delivery().start().await;
    let root = described(&app).await;
    for (resource, paths) in [FORGOT_PASSWORD, CHANGE_FORGOTTEN_PASSWORD]
        .into_iter()
        .enumerate()
    {
        for path in paths {
            assert_eq!(
                described_problems(&root, path),
                answered_problems(resource),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn every_operation_describes_the_responses_of_api_gateway() {
    let app = TestApp::builder().manual_delivery().start().await;
    let root = described(&app).await;
    let paths = root["paths"].as_object().expect("paths");
    for (path, method) in paths
        .keys()
        .flat_map(|path| ["get", "post"].map(|method| (path, method)))
    {
        let responses = &root["paths"][path][method]["responses"];
        let statuses: &[&str] = match method {
            _ if responses.is_null() => &[],
            "post" => &["403", "413", "429", "500", "503"],
            _ => &["429", "500", "503"],
        };
        for status in statuses {
            let response = resolve(&root, &responses[status]);
            let schema = &response["content"]["application/json"]["schema"];
            let required = &resolve(&root, schema)["required"];
            assert_eq!(*required, json!(["message"]), "{method} {path} {status}");
        }
    }
}

#[tokio::test]
async fn the_description_lists_exactly_the_password_weaknesses() {
    let app = TestApp::builder().manual_delivery().start().await;
    let root = described(&app).await;
    let codes = &root["components"]["schemas"]["Reason"]["properties"]["code"]["enum"];
    let described: Vec<&str> = codes
        .as_array()
        .expect("the codes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(described, Weakness::ALL.map(Weakness::code));
}
