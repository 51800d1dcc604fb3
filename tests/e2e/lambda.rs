//! The binaries as Lambda runs them, with the sample events in `events/`.

use passwords::{Password, verify};
use rules::recovery::DeliveryState;
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp},
    functions::mail_event,
    gateway,
    lambda::{Function, sample_event, with_token},
};

/// Returns the event with the outbox's stream records from number `from` on.
async fn new_messages(app: &TestApp, from: usize) -> Value {
    mail_event(&app.stream_records().await.split_off(from))
}

#[tokio::test]
async fn a_reset_works_through_the_binaries_behind_every_gateway() {
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
        let (records, emails) = (2 * round, 2 * round);
        gateway::assert_worked(
            &request
                .invoke(&sample_event(asking))
                .await
                .expect("a response"),
        );
        let response = mailer.invoke(&new_messages(&app, records).await).await;
        assert_eq!(response, Ok(json!({ "batchItemFailures": [] })));
        let link = app.link_in(&app.emails()[emails]);

        let change = with_token(sample_event(setting), &link.token);
        gateway::assert_worked(&confirm.invoke(&change).await.expect("a response"));
        let ada = app.ada().await;
        assert!(verify(
            &Password::new(GOOD_PASSWORD),
            ada.password_hash.as_deref().unwrap_or_default()
        ));
        assert_eq!(usize::try_from(ada.session_epoch), Ok(round + 1));
        gateway::assert_problem(
            &confirm.invoke(&change).await.expect("a response"),
            400,
            "invalid_token",
        );

        mailer
            .invoke(&new_messages(&app, records + 1).await)
            .await
            .expect("a response");
        assert_eq!(
            app.emails()[emails + 1].subject,
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
async fn the_mailer_handles_the_sample_events() {
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
        .map(|email| email.subject)
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
async fn the_mailer_records_the_outcomes_in_the_sample_events() {
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
        let user = app.ada().await;
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
async fn the_mailer_reports_messages_that_return() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let mailer = Function::start("mailer", &app.environment());
    app.ses
        .intercept(|_| tests::proxy::Action::error(400, "SendingPausedException", "paused"));
    let sample = sample_event("mailer.json");
    let id = &sample["Records"][0]["messageId"];
    let reported = mailer.invoke(&sample).await;
    assert_eq!(
        reported,
        Ok(json!({ "batchItemFailures": [{ "itemIdentifier": id }] }))
    );
    app.ses.pass_all();
    assert_eq!(
        mailer.invoke(&sample).await,
        Ok(json!({ "batchItemFailures": [] }))
    );
    assert_eq!(app.emails().len(), 1);
}

#[tokio::test]
async fn the_placeholder_in_the_sample_events_is_an_invalid_token() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let confirm = Function::start("confirm", &app.environment());
    for name in [
        "confirm.json",
        "confirm-rest.json",
        "confirm-alb.json",
        "confirm-function-url.json",
    ] {
        gateway::assert_problem(
            &confirm
                .invoke(&sample_event(name))
                .await
                .expect("a response"),
            400,
            "invalid_token",
        );
    }
}

#[tokio::test]
async fn after_a_panic_the_next_event_is_served() {
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
        gateway::assert_worked(
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
async fn after_an_unknown_event_the_next_one_is_served() {
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
    gateway::assert_worked(
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

/// Returns the sample event `name` with `host` wherever a URL could be built from it.
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
async fn a_hostile_host_does_not_change_the_link() {
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
                Ok(response) => assert!(
                    [200, 429].contains(&gateway::parts(&response).0),
                    "{name} {host:?}: {response}"
                ),
                Err(error) => panic!("{name} {host:?}: {error}"),
            }
        }
    }
    mailer
        .invoke(&new_messages(&app, 0).await)
        .await
        .expect("a response");
    let expected = &app.environment()["RESET_URL"];
    let emails = app.emails();
    assert!(!emails.is_empty());
    for email in emails {
        assert!(app.link_in(&email).url.starts_with(&format!("{expected}#")));
    }
}

#[tokio::test]
async fn a_function_serves_its_resource_under_any_path() {
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
        gateway::assert_worked(&request.invoke(&event).await.expect("a response"));
    }
}

/// Returns `event` as an HTTP API sends it for a request to `path` by the route `route_key`.
fn routed(mut event: Value, route_key: &str, path: &str) -> Value {
    event["rawPath"] = json!(path);
    event["requestContext"]["http"]["path"] = json!(path);
    event["routeKey"] = json!(route_key);
    event["requestContext"]["routeKey"] = json!(route_key);
    event
}

#[tokio::test]
async fn request_serves_its_own_path_only_by_a_catch_all_route() {
    let own = "/core/user/forgot-password";
    let greedy = &format!("ANY {own}/{{proxy+}}");
    let app = TestApp::with_ada_and_manual_delivery().await;
    let request = Function::start("request", &app.environment());
    for (route_key, path, is_own) in [
        ("$default", "/", false),
        ("$default", "/forgot-password", false),
        ("$default", &format!("{own}/x"), false),
        ("$default", "/core/user/change-forgotten-password", false),
        ("$default", own, true),
        ("$default", &format!("/prod{own}/"), true),
        (greedy, &format!("{own}/x"), false),
        (greedy, &format!("{own}/"), true),
        ("ANY /{proxy+}", "/reset", true),
    ] {
        let event = routed(sample_event("request.json"), route_key, path);
        let response = request.invoke(&event).await.expect("a response");
        if is_own {
            gateway::assert_worked(&response);
        } else {
            gateway::assert_problem(&response, 404, "not_found");
        }
    }
    let function_url = sample_event("request-function-url.json");
    let event = routed(function_url, "$default", "/reset");
    gateway::assert_worked(&request.invoke(&event).await.expect("a response"));
}

#[tokio::test]
async fn confirm_serves_its_own_path_only_by_a_catch_all_route() {
    let own = "/core/user/change-forgotten-password";
    let greedy = &format!("ANY {own}/{{proxy+}}");
    let app = TestApp::with_ada_and_manual_delivery().await;
    let confirm = Function::start("confirm", &app.environment());
    let (not_found, served) = ((404, "not_found"), (400, "invalid_token"));
    for (sample, route_key, path, (status, code)) in [
        (
            "confirm.json",
            "$default",
            "/core/user/forgot-password",
            not_found,
        ),
        ("confirm.json", greedy, &format!("{own}/x"), not_found),
        ("confirm.json", greedy, &format!("{own}/"), served),
        ("confirm.json", "$default", own, served),
        ("confirm-function-url.json", "$default", "/reset", served),
    ] {
        let event = routed(sample_event(sample), route_key, path);
        let response = confirm.invoke(&event).await.expect("a response");
        gateway::assert_problem(&response, status, code);
    }
}

#[tokio::test]
async fn problems_are_returned_behind_every_gateway() {
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
        gateway::assert_problem(
            &request.invoke(&empty).await.expect("a response"),
            400,
            "invalid_params",
        );
        let mut large = sample_event(name);
        (large["body"], large["isBase64Encoded"]) =
            (json!("x".repeat(16 * 1024 + 1)), json!(false));
        gateway::assert_problem(
            &request.invoke(&large).await.expect("a response"),
            413,
            "payload_too_large",
        );
    }
}
