//! `smoke` passes on the local system, and names each part that is broken.

use std::{collections::BTreeMap, net::Ipv4Addr};
use tests::{
    app::{TestApp, user},
    command::{CommandOutput, manage},
    http::{self, HttpResponse},
    proxy::{Action, SEND_EMAIL},
    wait_for,
};

use ::http::{HeaderMap, HeaderValue, Method, Uri, header};
use aws::tables::User;
use axum::{Router, body::Bytes, response::IntoResponse};
use rules::{
    address::EmailAddress,
    recovery::{DeliveryOutcome, DeliveryState},
};
use serde_json::Value;
use tokio::net::TcpListener;

use super::commands::{OUTPUTS, cloudformation, described, operator};

const SIMULATOR: &str = "success@simulator.amazonses.com";
const ORIGIN: &str = "https://app.example.com";
const HEADERS: &str = "security headers";
const DELIVERY: &str = "email to success@";

/// Returns a system with the simulator's account.
async fn start() -> TestApp {
    TestApp::builder()
        .without_email_budget()
        .user(user(SIMULATOR))
        .start()
        .await
}

async fn smoke_at(url: &str, options: &str, env: &BTreeMap<String, String>) -> CommandOutput {
    let args = format!("smoke --output json --api-url {url} {options}");
    manage(&args, env, "").await
}

async fn smoke(app: &TestApp, options: &str) -> CommandOutput {
    smoke_at(&app.url(""), options, &app.environment()).await
}

/// Returns the subject, the detail and the advice of each problem.
fn problems(output: &CommandOutput) -> Vec<[String; 3]> {
    let findings = output.json();
    let is_problem = |finding: &&Value| finding["state"] == "problem";
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    findings
        .as_array()
        .expect("a list")
        .iter()
        .filter(is_problem)
        .map(|finding| ["what", "detail", "advice"].map(|name| text(&finding[name])))
        .collect()
}

/// Panics unless the only problem is about `what`, with this detail and advice.
fn assert_only_problem(output: &CommandOutput, what: &str, detail: &str, advice: &str) {
    assert_eq!(output.code, 3, "{output:?}");
    let problems = problems(output);
    let [[subject, found_detail, found_advice]] = &problems[..] else {
        panic!("not one problem: {problems:?}");
    };
    assert!(subject.starts_with(what), "{what}: {problems:?}");
    assert!(found_detail.contains(detail), "{detail} in {found_detail}");
    assert!(found_advice.contains(advice), "{advice} in {found_advice}");
}

/// Starts a server in front of `app` that lets `alter` change each response. Returns its URL.
async fn front(
    app: &TestApp,
    alter: impl Fn(&Method, &str, &mut HttpResponse) + Clone + Send + Sync + 'static,
) -> String {
    front_with(app, HeaderMap::new(), alter).await
}

/// Starts a server like that of [`front`] that also adds the headers `added` to each request.
async fn front_with(
    app: &TestApp,
    added: HeaderMap,
    alter: impl Fn(&Method, &str, &mut HttpResponse) + Clone + Send + Sync + 'static,
) -> String {
    let upstream = app.url("");
    let handler = move |method: Method, uri: Uri, mut headers: HeaderMap, body: Bytes| {
        let (alter, url) = (alter.clone(), format!("{upstream}{uri}"));
        headers.extend(added.clone());
        async move {
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .filter(|(name, _)| *name != header::HOST && *name != header::CONTENT_LENGTH)
                .map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII")))
                .collect();
            let mut response = http::send(method.clone(), &url, &headers, body).await;
            alter(&method, uri.path(), &mut response);
            response.headers.remove(header::CONTENT_LENGTH);
            (response.status, response.headers, response.body).into_response()
        }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(axum::serve(listener, Router::new().fallback(handler)).into_future());
    url
}

#[tokio::test]
async fn the_local_system_holds() {
    let app = start().await;
    let output = smoke(&app, "").await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(problems(&output), [[""; 3]; 0]);
    let findings = output.json();
    let findings = findings.as_array().expect("a list");
    let subjects: Vec<&str> = findings
        .iter()
        .map(|finding| finding["what"].as_str().expect("text"))
        .collect();
    for path in ["forgot-password", "change-forgotten-password"] {
        for end in ["", "/"] {
            for method in ["GET", "POST"] {
                let step = format!("{method} /core/user/{path}{end}");
                let has_step = |what: &&str| what.split(',').next() == Some(step.as_str());
                assert!(subjects.iter().any(has_step), "{step} in {subjects:?}");
            }
        }
    }
    assert_eq!(app.emails_to(SIMULATOR).len(), 1);

    let table = manage(
        &format!("smoke --api-url {}/", app.url("")),
        &app.environment(),
        "",
    )
    .await;
    assert_eq!(table.code, 0, "{table:?}");
    for line in [
        "ok       CORS: is off",
        "ok       email to success@simulator.amazonses.com: was delivered after",
    ] {
        assert!(table.out.contains(line), "{line} in {table:?}");
    }
    for email in app.emails() {
        let token = app.link_in(&email).token;
        assert!(!table.out.contains(&token) && !output.out.contains(&token));
    }
}

#[tokio::test]
async fn a_stack_names_its_api_and_its_origins() {
    let app = start().await;
    let url = app.url("");
    let outputs = [&OUTPUTS[..], &[("ApiUrl", &url)]].concat();
    let (cloudformation, _) = cloudformation(::http::StatusCode::OK, described(&outputs)).await;
    let env = operator(&app, &cloudformation);
    let output = manage("smoke --stack recovery --output json", &env, "").await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.json()[0]["what"], format!("API {url}"));

    app.delete("users", ("email", SIMULATOR)).await;
    let output = manage("smoke --stack recovery --output json", &env, "").await;
    let advice = format!("`users add {SIMULATOR} --stack recovery`");
    assert_only_problem(&output, "account success@", "does not exist", &advice);

    let unknown = manage("smoke --aws", &env, "").await;
    unknown.assert_failed(4, &["--stack NAME", "--api-url URL"]);
}

#[tokio::test]
async fn without_the_account_nothing_changes() {
    let app = TestApp::builder().start().await;
    let output = smoke(&app, "").await;
    let advice = format!("`users add {SIMULATOR}`");
    assert_only_problem(&output, "account success@", "does not exist", &advice);
    for table in ["users", "tokens", "outbox"] {
        assert_eq!(app.rows(table).await.len(), 0, "{table}");
    }
}

#[tokio::test]
async fn a_spent_budget_is_reported_at_once() {
    let app = TestApp::builder()
        .set("ACCOUNT_LIMIT_PER_HOUR", "2")
        .user(user(SIMULATOR))
        .start()
        .await;
    assert_eq!(smoke(&app, "").await.code, 0);
    assert_only_problem(
        &smoke(&app, "").await,
        "account success@",
        "a moment ago",
        "again in ",
    );
    let mut env = app.environment();
    env.insert("ACCOUNT_LIMIT_PER_HOUR".to_owned(), "1".to_owned());
    assert_only_problem(
        &smoke_at(&app.url(""), "", &env).await,
        "account success@",
        "all 1 links allowed in an hour",
        "wait",
    );
    assert_eq!(app.emails_to(SIMULATOR).len(), 1);
}

#[tokio::test]
async fn an_account_that_gets_no_email_is_reported() {
    let app = TestApp::builder()
        .user(User {
            is_active: false,
            ..user(SIMULATOR)
        })
        .start()
        .await;
    let output = smoke(&app, "").await;
    assert_only_problem(&output, "account success@", "is not active", "activate");
}

#[tokio::test]
async fn a_spent_client_limit_is_reported() {
    let app = TestApp::builder()
        .set("CLIENT_LIMIT", "1")
        .set("CLIENT_WINDOW_SECONDS", "86400")
        .without_email_budget()
        .user(user(SIMULATOR))
        .start()
        .await;
    let story = async || {
        app.request_reset("nobody@example.com").await;
        smoke(&app, "").await
    };
    assert_only_problem(
        &tests::within_one_rate_window(86_400, story).await,
        "POST /core/user/forgot-password/",
        "over CLIENT_LIMIT",
        "again in ",
    );
}

#[tokio::test]
async fn an_email_that_is_not_delivered_is_reported() {
    let app = start().await;
    app.ses
        .intercept_operation(SEND_EMAIL, Action::accept_email());
    let output = smoke(&app, "--timeout-seconds 5").await;
    assert_only_problem(
        &output,
        DELIVERY,
        "reported no delivery within 5 seconds",
        "event bus",
    );

    app.ses.intercept_operation(
        SEND_EMAIL,
        Action::error(400, "MessageRejected", "Email address is not verified."),
    );
    let output = smoke(&app, "--timeout-seconds 5").await;
    assert_only_problem(&output, DELIVERY, "is not delivered after", "`doctor`");

    let app = TestApp::builder()
        .manual_delivery()
        .user(user(SIMULATOR))
        .start()
        .await;
    let output = smoke(&app, "--timeout-seconds 1").await;
    assert_only_problem(
        &output,
        DELIVERY,
        "was not sent within 1 seconds",
        "`doctor`",
    );
}

#[tokio::test]
async fn a_bounce_is_reported_before_the_time_limit() {
    let app = start().await;
    app.ses
        .intercept_operation(SEND_EMAIL, Action::accept_email());
    let bounce = async {
        let sent = async || app.user(SIMULATOR).await?.recovery.emails.pop();
        let email = wait_for("the email", sent).await;
        let outcome = DeliveryOutcome::new(DeliveryState::Bounced, email.at).because(&"5.1.1");
        let address = EmailAddress::parse(SIMULATOR).expect("an address");
        let users = app.users();
        let recorded = users.record_outcome(&address, &email.id, SIMULATOR, &outcome);
        recorded.await.expect("DynamoDB responds");
    };
    let (output, ()) = tokio::join!(smoke(&app, ""), bounce);
    assert_only_problem(&output, DELIVERY, "came back for good (5.1.1)", "`doctor`");

    let output = smoke(&app, "").await;
    assert_only_problem(
        &output,
        "account success@",
        "is suppressed",
        "clear-suppression",
    );
}

#[tokio::test]
async fn an_altered_response_is_reported() {
    type Alter = fn(&Method, &str, &mut HttpResponse);
    let app = start().await;
    let rows: [(&str, &str, Alter); 8] = [
        (HEADERS, "cache-control: no-store", |_, _, response| {
            let cached = HeaderValue::from_static("max-age=60");
            response.headers.insert(header::CACHE_CONTROL, cached);
        }),
        (HEADERS, "strict-transport-security", |_, path, response| {
            if path.ends_with('/') {
                response.headers.remove(header::STRICT_TRANSPORT_SECURITY);
            }
        }),
        (HEADERS, "content-security-policy", |_, _, response| {
            response.headers.remove(header::CONTENT_SECURITY_POLICY);
        }),
        (
            "GET /core/user/forgot-password/",
            "returns another page",
            |method, path, response| {
                if method == Method::GET && path.ends_with("forgot-password/") {
                    response.body = "<html>".into();
                }
            },
        ),
        (
            "GET /core/user/change-forgotten-password",
            "returns 404",
            |method, path, response| {
                if method == Method::GET && path.ends_with("change-forgotten-password") {
                    response.status = ::http::StatusCode::NOT_FOUND;
                }
            },
        ),
        (
            "POST /core/user/forgot-password, no address",
            "returns 200 instead of 400 invalid_params",
            |method, path, response| {
                if method == Method::POST && path.ends_with("forgot-password") {
                    *response = HttpResponse {
                        status: ::http::StatusCode::OK,
                        body: "{}".into(),
                        ..response.clone()
                    };
                }
            },
        ),
        (
            "POST /core/user/change-forgotten-password/, made-up token",
            "returns 503 unavailable",
            |method, path, response| {
                if method == Method::POST && path.ends_with("change-forgotten-password/") {
                    response.status = ::http::StatusCode::SERVICE_UNAVAILABLE;
                    response.body = r#"{"code": "unavailable"}"#.into();
                }
            },
        ),
        ("CORS", "https://smoke.invalid", |_, _, response| {
            let any = HeaderValue::from_static("*");
            let name = header::ACCESS_CONTROL_ALLOW_ORIGIN;
            response.headers.insert(name, any);
        }),
    ];
    for (what, detail, alter) in rows {
        let url = front(&app, alter).await;
        let output = smoke_at(&url, "", &app.environment()).await;
        assert_only_problem(&output, what, detail, "");
        // The other steps ran all the same.
        assert!(output.out.contains("was delivered"), "{output:?}");
    }
}

#[tokio::test]
async fn listed_origins_are_checked() {
    let app = TestApp::builder()
        .set("CORS_ORIGINS", ORIGIN)
        .without_email_budget()
        .user(user(SIMULATOR))
        .start()
        .await;
    let output = smoke(&app, "").await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.out.contains("allows the listed origins"));

    let mut env = app.environment();
    env.insert(
        "CORS_ORIGINS".to_owned(),
        "https://other.example".to_owned(),
    );
    let output = smoke_at(&app.url(""), "", &env).await;
    assert_only_problem(
        &output,
        "CORS",
        "from https://other.example",
        "CORS_ORIGINS",
    );

    for method in [Method::OPTIONS, Method::POST] {
        let url = front(&app, move |sent, _, response| {
            if *sent == method {
                let name = header::ACCESS_CONTROL_ALLOW_ORIGIN;
                response.headers.remove(name);
            }
        });
        let output = smoke_at(&url.await, "", &app.environment()).await;
        assert_only_problem(&output, "CORS", "which is listed", "CDN");
    }
}

#[tokio::test]
async fn a_system_behind_an_edge_holds_through_its_edge_only() {
    let secret = "origin-secret-4f1c8a9e2b7d6035c1e8f4a9";
    let app = TestApp::builder()
        .set("ORIGIN_SECRET", secret)
        .set("CLIENT_ADDRESS_HEADER", "CloudFront-Viewer-Address")
        .without_email_budget()
        .user(user(SIMULATOR))
        .start()
        .await;
    app.secrets.add(secret);
    let edge = |secret: &'static str| {
        let headers = [
            ("x-origin-verify", secret),
            ("cloudfront-viewer-address", "2001:db8::9:46532"),
        ];
        let headers = headers.map(|(name, value)| {
            (
                name.parse().expect("a name"),
                HeaderValue::from_static(value),
            )
        });
        front_with(&app, headers.into_iter().collect(), |_, _, _| {})
    };
    let output = smoke_at(&edge(secret).await, "", &app.environment()).await;
    assert_eq!(output.code, 0, "{output:?}");

    let another = edge("another-secret-4f1c8a9e2b7d6035c1e8f4a9").await;
    for url in [app.url(""), another] {
        let output = smoke_at(&url, "", &app.environment()).await;
        assert_only_problem(&output, "API", "through its edge only", "`--api-url`");
        assert_eq!(output.json().as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn an_api_that_does_not_respond_is_the_only_finding() {
    let app = start().await;
    let output = smoke_at("http://127.0.0.1:1", "", &app.environment()).await;
    assert_only_problem(&output, "API", "does not respond", "`cargo run`");
    assert_eq!(output.json().as_array().map(Vec::len), Some(1));
    manage("smoke --api-url nonsense", &app.environment(), "")
        .await
        .assert_failed(2, &["--api-url"]);
}
