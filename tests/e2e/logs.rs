//! No log line contains an address, token, password or link, at the most verbose level, whatever
//! goes wrong (attack 24 in docs/security.md).
//!
//! Every test with a [`TestApp`] ends with the same search. These tests cause every kind of error.

use std::collections::BTreeMap;
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp, WEAK_PASSWORD, user},
    command,
    functions::at,
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, JSON, MULTIPART, form, multipart, send},
    lambda::{Function, sample_event, with_token},
    link::Link,
    logs::{Secrets, captured_since, mark},
    proxy::{Action, SEND_EMAIL},
    wait_for,
};

use futures::future::join_all;
use http::Method;
use local::inbox::StoredEmail;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

const ADDRESS: &str = "ada.lovelace+work@example.com";

/// Returns errors that quote the request, as the services sometimes do.
fn quoting_errors() -> Vec<Action> {
    let quote = format!("{ADDRESS} {GOOD_PASSWORD}");
    [
        (400, "ValidationException"),
        (400, "ResourceNotFoundException"),
        (400, "AccessDeniedException"),
        (400, "MessageRejected"),
        (400, "BadRequestException"),
        (500, "InternalServerError"),
    ]
    .map(|(status, code)| Action::error(status, code, &quote))
    .into_iter()
    .chain([
        Action::Cut,
        Action::cancelled(&[ADDRESS, "None", "None"]),
        Action::Respond(http::Response::new(quote.clone().into())),
    ])
    .collect()
}

#[tokio::test]
async fn a_refused_request_is_logged_by_code_only() {
    let app = TestApp::builder().manual_delivery().start().await;
    let secrets = [
        ("email", ADDRESS),
        ("forgot_password_hash", "not-a-token-but-still-secret"),
        ("new_password", GOOD_PASSWORD),
    ];
    for (_, secret) in secrets {
        app.secrets.add(secret);
    }
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        for (content_type, body) in [
            (JSON, format!("{{\"email\": \"{ADDRESS}\"")),
            (JSON, json!({ "email": [ADDRESS], "new_password": { "x": GOOD_PASSWORD }, "forgot_password_hash": 1 }).to_string()),
            (JSON, format!("[\"{ADDRESS}\"]")),
            (FORM, form(&[secrets, secrets].concat())),
            (FORM, form(&secrets)),
            (MULTIPART, multipart(&secrets).replace("--x--", "")),
            (MULTIPART, multipart(&[secrets, secrets].concat())),
            (ADDRESS, form(&secrets)),
            ("text/plain; charset=\"ada.lovelace+work@example.com\"", form(&secrets)),
        ] {
            let response = send(Method::POST, &app.url(path), &[("content-type", content_type)], body).await;
            assert!(response.status == 400 || response.status == 415 || path == FORGOT_PASSWORD, "{response:?}");
        }
        let query = format!("{}?{}", app.url(path), form(&secrets));
        send(Method::PUT, &query, &[("x-note", ADDRESS)], form(&secrets)).await;
    }
    send(
        Method::GET,
        &format!("{}/{ADDRESS}", app.url("/core")),
        &[],
        "",
    )
    .await;
}

#[tokio::test]
async fn a_services_error_is_logged_without_the_data_that_it_quotes() {
    let log_start = mark();
    let operations = [
        "GetItem",
        "UpdateItem",
        "PutItem",
        "TransactWriteItems",
        SEND_EMAIL,
    ];
    let cases = quoting_errors()
        .into_iter()
        .flat_map(|action| operations.map(|operation| (operation, action.clone())));
    // Concurrently, because most of the time is spent between retries.
    join_all(cases.map(|(operation, action)| run_all(operation, action))).await;
    let logs = captured_since(log_start);
    assert!(logs.contains("the email will be retried") && logs.contains("a call to AWS failed"));
}

/// Runs every function while calls of `operation` meet `action`.
async fn run_all(operation: &'static str, action: Action) {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .without_email_budget()
        .user(user(ADDRESS))
        .start()
        .await;
    app.functions
        .request_reset(ADDRESS, at(0))
        .await
        .assert_worked();
    let records = app.stream_records().await;
    assert!(app.functions.deliver(&records, at(0)).await.is_empty());
    let link = app.link_in(&app.emails()[0]);
    app.dynamodb.intercept_operation(operation, action.clone());
    app.ses.intercept_operation(operation, action);
    let delivered = app.functions.deliver(&records, at(1));
    let (requested, confirmed, _) = futures::join!(
        app.request_reset(ADDRESS),
        app.confirm(&link.token, GOOD_PASSWORD),
        delivered
    );
    for response in [requested, confirmed] {
        assert!(
            !String::from_utf8_lossy(&response.body).contains(ADDRESS),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn the_binaries_log_no_secret_when_services_fail() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .without_email_budget()
        .user(user("ada@example.com"))
        .start()
        .await;
    let environment = app.environment();
    let request = Function::start("request", &environment);
    let confirm = Function::start("confirm", &environment);
    let mailer = Function::start("mailer", &environment);
    for secret in [GOOD_PASSWORD, "ada%40example.com"] {
        app.secrets.add(secret);
    }

    mailer
        .invoke(&sample_event("mailer.json"))
        .await
        .expect("a response");
    let link = app.link_in(&app.emails()[0]);
    let change = with_token(sample_event("confirm-alb.json"), &link.token);
    let quote = format!("ada@example.com {} {GOOD_PASSWORD}", link.token);
    for action in [
        Action::error(400, "ValidationException", &quote),
        Action::Cut,
    ] {
        let ses = action.clone();
        app.ses.intercept(move |_| ses.clone());
        mailer
            .invoke(&sample_event("mailer.json"))
            .await
            .expect("a response");
        app.dynamodb.intercept(move |_| action.clone());
        let (mailer_event, request_event) = (
            sample_event("mailer.json"),
            sample_event("request-rest.json"),
        );
        let (delivered, requested, confirmed) = futures::join!(
            mailer.invoke(&mailer_event),
            request.invoke(&request_event),
            confirm.invoke(&change)
        );
        assert!(delivered.is_ok() && requested.is_ok() && confirmed.is_ok());
        app.dynamodb.pass_all();
    }
    let mut panicking = change.clone();
    panicking["isBase64Encoded"] = json!(true);
    confirm
        .invoke(&panicking)
        .await
        .expect_err("its body is no base64");
    confirm
        .invoke(&json!({ "body": quote }))
        .await
        .expect_err("it is no HTTP event");
    confirm
        .invoke(&json!(quote))
        .await
        .expect_err("it is no HTTP event");
    confirm.invoke(&change).await.expect("a response");

    for function in [&request, &confirm, &mailer] {
        let logs = function.logs();
        assert!(logs.contains("ERROR"), "{logs}");
        app.secrets.assert_absent_from(&logs);
    }
}

/// Returns the links in the inbox of a `runserver` at `api`, newest first.
async fn links_at(api: &str) -> Vec<Link> {
    let inbox = send(Method::GET, &format!("{api}/inbox.json"), &[], "").await;
    let emails: Vec<StoredEmail> = serde_json::from_value(inbox.json()).expect("emails");
    emails
        .iter()
        .filter_map(|email| Link::find(&email.text))
        .collect()
}

#[tokio::test]
async fn runserver_logs_no_secret() {
    let args = "runserver --memory --port 0 --dynamodb-port 0 --ses-port 0 --log-level trace";
    let mut process = command::start(args, &BTreeMap::new());
    let stdout = process.stdout.take().expect("a pipe");
    // Standard output names the demo account on purpose.
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next_line().await.expect("text").unwrap_or_default();
    let url = first.split_whitespace().last().expect("an address");
    let api = url
        .strip_suffix(FORGOT_PASSWORD)
        .expect("the path of the request");
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let headers = [("content-type", FORM)];
        let url = format!("{api}{path}");
        send(Method::POST, &url, &headers, form(fields)).await
    };

    let secrets = Secrets::default();
    for email in ["ada@example.com", "somebody@example.com"] {
        secrets.add(email);
        post(FORGOT_PASSWORD, &[("email", email)])
            .await
            .assert_worked();
    }
    let look = async || links_at(api).await.pop();
    let link = wait_for("an email", look).await;
    for (password, status) in [
        (WEAK_PASSWORD, 422),
        (GOOD_PASSWORD, 200),
        (GOOD_PASSWORD, 400),
    ] {
        let fields = [
            ("forgot_password_hash", link.token.as_str()),
            ("new_password", password),
        ];
        secrets.add(password);
        assert_eq!(post(CHANGE_PASSWORD, &fields).await.status, status);
    }
    secrets.add(&link.token);
    secrets.add(&link.url);

    process.start_kill().expect("a running process");
    let output = process.wait_with_output().await.expect("output");
    let logs = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in ["email sent", "password changed", "weak_password"] {
        assert!(logs.contains(line), "{line} in {logs}");
    }
    secrets.assert_absent_from(&logs);
}

#[tokio::test]
async fn an_invalid_batch_is_logged_without_its_content() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user("ada@example.com"))
        .start()
        .await;
    let mailer = Function::start("mailer", &app.environment());
    for foreign in [
        json!("ada@example.com"),
        json!({ "Records": "ada@example.com" }),
        sample_event("request.json"),
    ] {
        mailer.invoke(&foreign).await.expect_err("it is no batch");
    }
    app.secrets.assert_absent_from(&mailer.logs());
}

#[tokio::test]
async fn attack_24_no_log_line_contains_an_address_token_password_or_link() {
    let log_start = mark();
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    for (password, email) in [
        (WEAK_PASSWORD, ADA),
        (OTHER_PASSWORD, "eve@example.com"),
        (GOOD_PASSWORD, ADA),
        (GOOD_PASSWORD, ADA),
    ] {
        app.confirm_with_email(email, &link.token, password).await;
    }
    app.wait_for_email(ADA, 2).await;
    app.wait_for_mailer().await;
    let logs = captured_since(log_start);
    app.secrets.assert_absent_from(&logs);
    // Empty logs would pass the search, too.
    for line in [
        "reset email requested",
        "email sent",
        "invalid_token",
        "weak_password",
        "password changed",
    ] {
        assert!(logs.contains(line), "{line}");
    }
}
