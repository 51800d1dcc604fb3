//! The real binaries, as Lambda runs them, with the sample events of `events/`.

use std::collections::BTreeMap;

use passwords::{Password, verify};
use rules::recovery::DeliveryState;
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp},
    http::PROBLEM_JSON,
    lambda::{Function, run_to_end, sample_event, with_token},
    within_one_rate_window,
};

/// The status, content type and body of an answer to a gateway.
fn http(answer: &Value) -> (u64, &str, Value) {
    let body = answer["body"].as_str().unwrap_or_default();
    (
        answer["statusCode"].as_u64().expect("a status"),
        header(answer, "content-type"),
        serde_json::from_str(body).unwrap_or_default(),
    )
}

/// A header, from wherever this kind of gateway looks for it.
fn header<'a>(answer: &'a Value, name: &str) -> &'a str {
    let many = &answer["multiValueHeaders"][name][0];
    answer["headers"][name]
        .as_str()
        .or(many.as_str())
        .unwrap_or_default()
}

fn assert_worked(answer: &Value) {
    assert_eq!(
        http(answer),
        (200, "application/json", json!({ "worked": true })),
        "{answer}"
    );
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header(answer, name), value, "{answer}");
    }
    assert_eq!(answer["isBase64Encoded"], false);
}

fn assert_problem(answer: &Value, status: u64, code: &str) {
    let (found, content_type, body) = http(answer);
    assert_eq!(
        (found, content_type, body["code"].as_str()),
        (status, PROBLEM_JSON, Some(code)),
        "{answer}"
    );
}

/// What the outbox's stream holds since record number `from`, as Lambda hands it over.
async fn stream_event(app: &TestApp, from: usize) -> Value {
    json!({ "Records": app.stream_records().await.split_off(from) })
}

#[tokio::test]
async fn the_whole_journey_goes_through_the_binaries_behind_every_gateway() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let environment = app.environment();
    let request = Function::start("request", &environment);
    let confirm = Function::start("confirm", &environment);
    let mailer = Function::start("mailer", &environment);

    for (round, (asking, setting)) in [
        ("request.json", "confirm.json"),
        ("request-rest.json", "confirm-rest.json"),
        ("request-alb.json", "confirm-alb.json"),
        ("request-function-url.json", "confirm-function-url.json"),
    ]
    .into_iter()
    .enumerate()
    {
        let (records, mails) = (2 * round, 2 * round);
        assert_worked(
            &request
                .invoke(&sample_event(asking))
                .await
                .expect("a response"),
        );
        let response = mailer.invoke(&stream_event(&app, records).await).await;
        assert_eq!(response, Ok(json!({ "batchItemFailures": [] })));
        let link = app.link_in(&app.emails()[mails]);

        let change = with_token(sample_event(setting), &link.token);
        assert_worked(&confirm.invoke(&change).await.expect("a response"));
        let ada = app.user(ADA).await.expect("she is there");
        assert!(verify(
            &Password::new(GOOD_PASSWORD),
            ada.password_hash.as_deref().unwrap_or_default()
        ));
        assert_eq!(usize::try_from(ada.session_epoch), Ok(round + 1));
        assert_problem(
            &confirm.invoke(&change).await.expect("a response"),
            400,
            "invalid_token",
        );

        mailer
            .invoke(&stream_event(&app, records + 1).await)
            .await
            .expect("a response");
        assert_eq!(
            app.emails()[mails + 1].subject,
            "Your password for Example was changed"
        );
    }
    for (function, metric) in [
        (request, r#""function":"stack-request","requests":1}"#),
        (confirm, r#""function":"stack-confirm","resets":1}"#),
        (mailer, r#""function":"stack-mailer","mails_sent":1}"#),
    ] {
        app.secrets.assert_absent_from(&function.logs());
        assert!(function.logs().contains(metric), "{metric} is written");
    }
}

#[tokio::test]
async fn the_mailer_takes_the_sample_events() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let mailer = Function::start("mailer", &app.environment());
    for name in ["mailer.json", "mailer-password-changed.json"] {
        assert_eq!(
            mailer.invoke(&sample_event(name)).await,
            Ok(json!({ "batchItemFailures": [] }))
        );
    }
    let subjects: Vec<String> = app
        .emails_to(ADA)
        .into_iter()
        .map(|mail| mail.subject)
        .collect();
    assert_eq!(
        subjects,
        [
            "Set a new password for Example",
            "Your password for Example was changed"
        ]
    );
}

#[tokio::test]
async fn the_mailer_is_told_by_the_sample_events_what_became_of_the_sample_mail() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let mailer = Function::start("mailer", &app.environment());
    let nothing = Ok(json!({ "batchItemFailures": [] }));
    assert_eq!(mailer.invoke(&sample_event("mailer.json")).await, nothing);
    for (name, state) in [
        ("mailer-delivery.json", DeliveryState::Delivered),
        ("mailer-complaint.json", DeliveryState::Complained),
        ("mailer-bounce.json", DeliveryState::Bounced),
        ("mailer-delivery.json", DeliveryState::Bounced),
    ] {
        assert_eq!(mailer.invoke(&sample_event(name)).await, Ok(Value::Null));
        let user = app.user(ADA).await.expect("is there");
        let outcome = user.recovery.emails[0].outcome.clone();
        assert_eq!(outcome.map(|outcome| outcome.state), Some(state), "{name}");
    }
    let metrics = |name: &str| mailer.logs().matches(&format!("\"{name}\":1")).count();
    let counted = [
        "mails_delivered",
        "mails_complained",
        "mails_bounced",
        "mail_events_skipped",
    ];
    assert_eq!(counted.map(metrics), [1; 4], "{}", mailer.logs());
    app.secrets.assert_absent_from(&mailer.logs());
}

#[tokio::test]
async fn the_mailer_reports_what_has_to_come_again() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let mailer = Function::start("mailer", &app.environment());
    app.ses
        .intercept(|_| tests::proxy::Action::error(400, "SendingPausedException", "paused"));
    let sample = sample_event("mailer.json");
    let number = &sample["Records"][0]["dynamodb"]["SequenceNumber"];
    let reported = mailer.invoke(&sample).await;
    assert_eq!(
        reported,
        Ok(json!({ "batchItemFailures": [{ "itemIdentifier": number }] }))
    );
    app.ses.pass_all();
    assert_eq!(
        mailer.invoke(&sample).await,
        Ok(json!({ "batchItemFailures": [] }))
    );
    assert_eq!(app.emails().len(), 1);
}

#[tokio::test]
async fn a_placeholder_instead_of_a_token_is_answered_as_any_invalid_token() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let confirm = Function::start("confirm", &app.environment());
    for name in [
        "confirm.json",
        "confirm-rest.json",
        "confirm-alb.json",
        "confirm-function-url.json",
    ] {
        assert_problem(
            &confirm
                .invoke(&sample_event(name))
                .await
                .expect("a response"),
            400,
            "invalid_token",
        );
    }
}

/// `environment` with other values for some variables; an empty one is taken out.
fn with(
    environment: &BTreeMap<String, String>,
    changes: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let mut environment = environment.clone();
    for (name, value) in changes {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    environment.retain(|_, value| !value.is_empty());
    environment
}

#[tokio::test]
async fn a_missing_or_wrong_setting_stops_the_start_with_a_sentence_that_names_it() {
    let environment = TestApp::with_ada_and_manual_delivery().await.environment();
    for (function, name, value, held) in [
        ("request", "AWS_REGION", "", "is not set"),
        ("request", "AWS_ACCESS_KEY_ID", "", "is not set"),
        ("request", "CLIENT_LIMIT", "many", "holds \"many\""),
        ("request", "CLIENT_WINDOW_SECONDS", "0", "holds \"0\""),
        ("request", "CORS_ORIGINS", "*", "holds \"*\""),
        ("request", "OUTBOX_TABLE", "o", "holds \"o\""),
        ("request", "AWS_LAMBDA_LOG_LEVEL", "loud", "holds \"loud\""),
        (
            "request",
            "SSL_CERT_FILE",
            "/nowhere/roots.pem",
            "holds \"/nowhere/roots.pem\"",
        ),
        ("confirm", "AWS_REGION", "", "is not set"),
        ("confirm", "AWS_SECRET_ACCESS_KEY", "", "is not set"),
        ("confirm", "PASSWORD_MIN_LENGTH", "7", "holds \"7\""),
        ("confirm", "PASSWORD_MIN_SCORE", "5", "holds \"5\""),
        ("confirm", "ARGON2_MEMORY_KIB", "1", "holds \"1\""),
        ("confirm", "PASSWORD_HASH_FORMAT", "md5", "holds \"md5\""),
        (
            "confirm",
            "PWNED_PASSWORDS_URL",
            "http://example.com/",
            "holds \"http://example.com/\"",
        ),
        ("mailer", "AWS_REGION", "", "is not set"),
        ("mailer", "RESET_URL", "", "is not set"),
        (
            "mailer",
            "RESET_URL",
            "http://app.example.com/",
            "holds \"http://app.example.com/\"",
        ),
        ("mailer", "MAIL_FROM", "", "is not set"),
        ("mailer", "MAIL_FROM", "nobody", "holds \"nobody\""),
        ("mailer", "TOKEN_TTL_HOURS", "25", "holds \"25\""),
        ("mailer", "ACCOUNT_LIMIT_PER_HOUR", "-1", "holds \"-1\""),
    ] {
        let (status, said) = run_to_end(function, &with(&environment, &[(name, value)])).await;
        assert!(!status.success(), "{function} {name}={value}: {status}");
        assert!(
            said.starts_with(&format!("{function} cannot run: {name} {held}")),
            "{said}"
        );
        assert!(
            said.contains("it should hold") && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_function_needs_no_setting_of_another() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let environment = with(
        &app.environment(),
        &[
            ("RESET_URL", ""),
            ("MAIL_FROM", ""),
            ("APP_NAME", ""),
            ("AWS_ENDPOINT_URL_SESV2", ""),
        ],
    );
    let request = Function::start("request", &environment);
    assert_worked(
        &request
            .invoke(&sample_event("request.json"))
            .await
            .expect("a response"),
    );
    let confirm = Function::start("confirm", &environment);
    assert_problem(
        &confirm
            .invoke(&sample_event("confirm.json"))
            .await
            .expect("a response"),
        400,
        "invalid_token",
    );
}

#[tokio::test]
async fn a_panic_is_an_error_answer_and_the_next_event_is_served() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let request = Function::start("request", &app.environment());
    let mut broken = sample_event("request.json");
    broken["isBase64Encoded"] = json!(true);
    broken["body"] = json!("ada@example.com is no base64");
    for _ in 0..2 {
        let error = request
            .invoke(&broken)
            .await
            .expect_err("it cannot be read");
        assert!(error["errorMessage"].is_string(), "{error}");
        assert_worked(
            &request
                .invoke(&sample_event("request.json"))
                .await
                .expect("a response"),
        );
    }
    app.secrets.assert_absent_from(&request.logs());
    assert!(request.logs().contains("panicked"), "{}", request.logs());
}

#[tokio::test]
async fn an_event_of_another_kind_is_an_error_and_the_next_one_is_served() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let request = Function::start("request", &app.environment());
    for foreign in [
        json!({}),
        json!(null),
        json!("ada@example.com"),
        sample_event("mailer.json"),
        json!({ "email": ADA }),
    ] {
        request
            .invoke(&foreign)
            .await
            .expect_err("it is no HTTP event");
    }
    assert_worked(
        &request
            .invoke(&sample_event("request.json"))
            .await
            .expect("a response"),
    );

    let mailer = Function::start("mailer", &app.environment());
    for foreign in [
        json!({}),
        json!({ "Records": 1 }),
        sample_event("request.json"),
    ] {
        mailer.invoke(&foreign).await.expect_err("it is no batch");
    }
    assert_eq!(
        mailer.invoke(&sample_event("mailer.json")).await,
        Ok(json!({ "batchItemFailures": [] }))
    );
}

/// The sample event `name` with `host` in all places that a URL could be built from.
fn hostile(name: &str, host: &str) -> Value {
    let mut event = sample_event(name);
    for header in [
        "host",
        "Host",
        "x-forwarded-host",
        "x-forwarded-proto",
        "X-Forwarded-Proto",
    ] {
        event["headers"][header] = json!(host);
        if event["multiValueHeaders"].is_object() {
            event["multiValueHeaders"][header] = json!([host]);
        }
    }
    event["queryStringParameters"] = json!({ "lang": host, host: host });
    for field in ["path", "rawPath", "rawQueryString"] {
        if event[field].is_string() {
            event[field] = json!(format!("//{host}/%zz?{host}"));
        }
    }
    event
}

#[tokio::test]
async fn a_hostile_host_breaks_nothing_and_moves_no_link() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let request = Function::start("request", &app.environment());
    let mailer = Function::start("mailer", &app.environment());
    let hosts = [
        "evil.example",
        "evil example",
        "",
        "http://evil.example/",
        "[::1",
        "evil.example:99999",
        "é",
    ];
    let names = [
        "request.json",
        "request-rest.json",
        "request-alb.json",
        "request-function-url.json",
    ];
    for name in names {
        for host in hosts {
            let hostile = hostile(name, host);
            match request.invoke(&hostile).await {
                Ok(answer) => assert!(
                    [200, 429].contains(&http(&answer).0),
                    "{name} {host:?}: {answer}"
                ),
                Err(error) => panic!("{name} {host:?}: {error}"),
            }
        }
    }
    mailer
        .invoke(&stream_event(&app, 0).await)
        .await
        .expect("a response");
    let expected = &app.environment()["RESET_URL"];
    let mails = app.emails();
    assert!(!mails.is_empty());
    for mail in mails {
        assert!(app.link_in(&mail).url.starts_with(&format!("{expected}#")));
    }
}

/// The statuses of requests whose events are `sample` after each of `changes`, of which a client
/// has one.
async fn statuses(sample: &str, changes: &[(&str, Value)]) -> Vec<u64> {
    within_one_rate_window(86_400, async || {
        let app = TestApp::with_ada_and_manual_delivery().await;
        statuses_of(&app, sample, changes).await
    })
    .await
}

async fn statuses_of(app: &TestApp, sample: &str, changes: &[(&str, Value)]) -> Vec<u64> {
    let limits = [("CLIENT_LIMIT", "1"), ("CLIENT_WINDOW_SECONDS", "86400")];
    let request = Function::start("request", &with(&app.environment(), &limits));
    let mut statuses = Vec::new();
    for (pointer, value) in changes {
        let mut event = sample_event(sample);
        *event
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer} in {sample}")) = value.clone();
        let answer = request.invoke(&event).await.expect("a response");
        if http(&answer).0 == 429 {
            assert_problem(&answer, 429, "rate_limited");
            assert!(
                header(&answer, "retry-after")
                    .parse::<u32>()
                    .is_ok_and(|seconds| seconds > 0),
                "{answer}"
            );
        }
        statuses.push(http(&answer).0);
    }
    statuses
}

#[tokio::test]
async fn behind_a_balancer_the_last_forwarded_address_is_the_client() {
    let pointer = "/headers/x-forwarded-for";
    let events = [
        "10.0.0.1, 203.0.113.9",
        "10.0.0.2, 203.0.113.9",
        "203.0.113.9",
        "evil, 203.0.113.9:4711",
        "203.0.113.9, 203.0.113.10",
        "",
    ];
    let events = events.map(|addresses| (pointer, json!(addresses)));
    assert_eq!(
        statuses("request-alb.json", &events).await,
        [200, 429, 429, 429, 200, 200]
    );
}

#[tokio::test]
async fn behind_a_gateway_no_header_is_the_client() {
    let pointer = "/headers/x-forwarded-for";
    let events = ["192.0.2.1", "198.51.100.1", "198.51.100.2, 192.0.2.9", ""]
        .map(|address| (pointer, json!(address)));
    assert_eq!(
        statuses("request.json", &events).await,
        [200, 429, 429, 429]
    );
    let rest = events.map(|(_, address)| ("/headers/X-Forwarded-For", address));
    assert_eq!(
        statuses("request-rest.json", &rest).await,
        [200, 429, 429, 429]
    );
}

#[tokio::test]
async fn an_ipv6_network_is_one_client() {
    let pointer = "/requestContext/http/sourceIp";
    let addresses = [
        "2001:db8:1:2:3:4:5:6",
        "2001:db8:1:2::1",
        "2001:0db8:0001:0002:ffff::",
        "2001:db8:1:3::1",
    ];
    let events = addresses.map(|address| (pointer, json!(address)));
    assert_eq!(
        statuses("request-function-url.json", &events).await,
        [200, 429, 429, 200]
    );
}

#[tokio::test]
async fn the_resource_is_the_functions_whatever_the_path() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let request = Function::start("request", &app.environment());
    for path in [
        "/prod/core/user/forgot-password",
        "/",
        "/api/v1/core/user/forgot-password/",
    ] {
        let mut event = sample_event("request.json");
        event["rawPath"] = json!(path);
        event["requestContext"]["http"]["path"] = json!(path);
        assert_worked(&request.invoke(&event).await.expect("a response"));
    }
}

#[tokio::test]
async fn a_problem_is_an_answer_behind_every_gateway() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let request = Function::start("request", &app.environment());
    for name in [
        "request.json",
        "request-rest.json",
        "request-alb.json",
        "request-function-url.json",
    ] {
        let mut empty = sample_event(name);
        empty["body"] = json!(null);
        assert_problem(
            &request.invoke(&empty).await.expect("a response"),
            400,
            "invalid_params",
        );
        let mut large = sample_event(name);
        (large["body"], large["isBase64Encoded"]) =
            (json!("x".repeat(16 * 1024 + 1)), json!(false));
        assert_problem(
            &request.invoke(&large).await.expect("a response"),
            413,
            "payload_too_large",
        );
    }
}
