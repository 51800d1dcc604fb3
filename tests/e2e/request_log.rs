//! The fields that each log line of a request has, and the reference in a 503.

use std::collections::BTreeSet;

use futures::future::join_all;
use http::Method;
use rules::address::EmailAddress;
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, UNKNOWN_TOKEN},
    functions::at,
    gateway,
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, HttpResponse, JSON, form, send},
    lambda::{Function, sample_event, with_variables},
    logs::{captured_since, mark},
    proxy::Action,
    wait_for,
};

/// Key for digests of clients.
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Returns the log lines in `text`, without metrics.
fn lines(text: &str) -> Vec<Value> {
    let values = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    values
        .filter(|line: &Value| line.get("level").is_some())
        .collect()
}

/// Returns the distinct values of the field `name`, null if it is missing, in the lines of
/// `function`: at least one line per request.
async fn values(function: &Function, name: &str, requests: usize) -> BTreeSet<String> {
    let look = async || {
        let lines = lines(&function.logs());
        (lines.len() >= requests).then_some(lines)
    };
    let lines = wait_for("a line for each request", look).await;
    lines.iter().map(|line| line[name].to_string()).collect()
}

fn one(value: &str) -> BTreeSet<String> {
    BTreeSet::from([json!(value).to_string()])
}

fn unavailable() -> Action {
    Action::error(400, "AccessDeniedException", "not yours")
}

#[tokio::test]
async fn every_line_of_a_request_has_the_ids_of_gateway_and_lambda() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    app.dynamodb.intercept(|_| unavailable());
    for (name, id) in [
        ("", Some("JKJaXmPLvHcESHA=")),
        ("-rest", Some("c6af9ac6-7b61-11e6-9a41-93e8deadbeef")),
        (
            "-function-url",
            Some("e1506fd5-9e7b-434f-bd42-4f8fa224b599"),
        ),
        // A load balancer gives a request no ID.
        ("-alb", None),
    ] {
        for function in ["request", "confirm"] {
            let event = sample_event(&format!("{function}{name}.json"));
            let function = Function::start(function, &app.environment());
            let response = function.invoke(&event).await.expect("a response");
            gateway::assert_problem(&response, 503, "unavailable");
            let lambda_ids = Vec::from_iter(values(&function, "lambda_request_id", 1).await);
            let [lambda_id] = &lambda_ids[..] else {
                panic!("several IDs: {}", function.logs());
            };
            let lambda_id = lambda_id.trim_matches('"');
            assert!(lambda_id.starts_with("8476a536-"), "{lambda_id}");
            let id = id.unwrap_or(lambda_id);
            assert_eq!(gateway::parts(&response).2["reference"], id, "{response}");
            assert_eq!(values(&function, "request_id", 1).await, one(id));
        }
    }
}

#[tokio::test]
async fn a_malformed_id_is_neither_logged_nor_shown() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    app.dynamodb.intercept(|_| unavailable());
    let request = Function::start("request", &app.environment());
    for id in ["<b>id</b>", "a\nb", ADA, &"a".repeat(65), ""] {
        let mut event = sample_event("request.json");
        event["requestContext"]["requestId"] = json!(id);
        let response = request.invoke(&event).await.expect("a response");
        gateway::assert_problem(&response, 503, "unavailable");
        assert_eq!(gateway::parts(&response).2.get("reference"), None);
    }
    assert_eq!(
        values(&request, "request_id", 5).await,
        BTreeSet::from(["null".to_owned()])
    );
}

#[tokio::test]
async fn the_client_is_logged_as_the_setting_says_and_never_in_full() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let digest = [("LOG_CLIENT", "digest"), ("LOG_CLIENT_KEY", KEY)];
    // printf 192.0.2.77 | openssl dgst -sha256 -hmac "$KEY" | cut -c-16
    let (v4_digest, v6_digest) = ("7e7e1b357c2ba6b4", "18c0b80ce87d2103");
    for (variables, address, client) in [
        (&[][..], "192.0.2.77", Some("192.0.2.0/24")),
        (&[][..], "2001:db8:1:2:3:4:5:6", Some("2001:db8:1::/48")),
        (&[][..], "::ffff:192.0.2.77", Some("192.0.2.0/24")),
        (&[("LOG_CLIENT", "off")][..], "192.0.2.77", None),
        (&digest[..], "192.0.2.77", Some(v4_digest)),
        (&digest[..], "2001:db8:1:2:3:4:5:6", Some(v6_digest)),
    ] {
        let environment = with_variables(&app.environment(), variables);
        for name in ["request", "confirm"] {
            let function = Function::start(name, &environment);
            let mut event = sample_event(&format!("{name}.json"));
            event["requestContext"]["http"]["sourceIp"] = json!(address);
            for body in ["{", event["body"].clone().as_str().expect("a body")] {
                event["body"] = json!(body);
                function.invoke(&event).await.expect("a response");
            }
            let expected = client.map_or("null".to_owned(), |client| json!(client).to_string());
            assert_eq!(
                values(&function, "client", 2).await,
                BTreeSet::from([expected])
            );
            for part in ["192.0.2.77", "2001:db8:1:2", KEY] {
                assert!(!function.logs().contains(part), "{}", function.logs());
            }
        }
    }
}

#[tokio::test]
async fn concurrent_requests_keep_their_own_ids() {
    let app = TestApp::builder().manual_delivery().start().await;
    let log_start = mark();
    // The log also has the lines of other tests, so no other test uses these addresses.
    let emails = (0..20).map(|n| format!("concurrent-{n}@example.com"));
    let emails: Vec<String> = emails.collect();
    let responses = join_all(emails.iter().map(|email| app.request_reset(email))).await;
    let lines = lines(&captured_since(log_start));
    for (email, response) in emails.iter().zip(&responses) {
        let account = EmailAddress::parse(email).expect("an address").digest();
        let line = lines
            .iter()
            .find(|line| line["account"] == account)
            .expect("a line");
        assert_eq!(line["request_id"], gateway_id(response), "{line}");
        assert_eq!(line["client"], "127.0.0.0/24");
    }
    let ids: BTreeSet<_> = responses.iter().map(gateway_id).collect();
    assert_eq!(ids.len(), emails.len());
}

/// Returns the ID in the header that API Gateway adds.
fn gateway_id(response: &HttpResponse) -> &str {
    response.header("apigw-requestid").expect("an ID")
}

#[tokio::test]
async fn a_503_tells_programs_and_people_the_reference() {
    let app = TestApp::builder().manual_delivery().start().await;
    app.dynamodb.intercept(|_| unavailable());
    let fields = [
        ("email", ADA),
        ("forgot_password_hash", UNKNOWN_TOKEN),
        ("new_password", GOOD_PASSWORD),
    ];
    let body: Value = fields.into_iter().collect();
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        let response = app.post_as(path, JSON, body.to_string()).await;
        response.assert_problem(503, "unavailable");
        assert_eq!(response.json()["reference"], gateway_id(&response));

        for (language, word) in [
            ("ar", "الرقم المرجعي:"),
            ("de", "Referenz:"),
            ("en", "Reference:"),
            ("es", "Referencia:"),
            ("fr", "Référence\u{a0}:"),
            ("pt-BR", "Referência:"),
        ] {
            let url = format!("{}?lang={language}", app.url(path));
            let headers = [("content-type", FORM), ("accept", "text/html")];
            let page = send(Method::POST, &url, &headers, form(&fields)).await;
            assert_eq!(page.status, 503);
            let id = gateway_id(&page);
            let reference = format!("{word} <span dir=\"ltr\">{id}</span></p>");
            assert!(page.text().contains(&reference), "{reference} in {page:?}");
        }
    }
}

#[tokio::test]
async fn only_a_503_with_an_id_has_a_reference() {
    let app = TestApp::builder().manual_delivery().start().await;
    let refused = app.post(CHANGE_PASSWORD, &json!({})).await;
    refused.assert_problem(400, "invalid_params");
    assert_eq!(refused.json().get("reference"), None);
    let headers = [("content-type", FORM), ("accept", "text/html")];
    let page = send(Method::POST, &app.url(FORGOT_PASSWORD), &headers, "").await;
    assert_eq!(page.status, 400);
    assert!(!page.text().contains(gateway_id(&page)), "{page:?}");

    app.dynamodb.intercept(|_| unavailable());
    let without_id = app.functions.request_reset(ADA, at(0)).await;
    without_id.assert_problem(503, "unavailable");
    assert_eq!(without_id.json().get("reference"), None);
}
