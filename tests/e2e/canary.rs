//! The canary gets an email every five minutes, its deliveries count, and `doctor` knows it.

use aws::tables::User;
use rules::{canary, recovery::DeliveryState};
use serde_json::{Value, json};
use tests::{
    app::{TestApp, user},
    command::manage,
    functions::{Functions, NO_FAILURES, at, mail_event},
    gateway,
    lambda::{Function, sample_event},
    proxy::Action,
};

async fn with_canary() -> TestApp {
    let builder = TestApp::builder().user(user(canary::ADDRESS));
    builder.manual_delivery().start().await
}

/// Returns SES's report that the latest email to `account` was delivered.
fn delivery(account: &User) -> Value {
    let latest = account.recovery.emails.last().expect("an email");
    let mut event = sample_event("mailer-delivery.json");
    event["detail"]["mail"]["destination"] = json!([account.mail_to]);
    event["detail"]["mail"]["tags"]["mail"] = json!([latest.id.as_str()]);
    event
}

#[tokio::test]
async fn the_canary_counts_its_delivery_and_nothing_else() {
    let app = with_canary().await;
    let environment = app.environment();
    let request = Function::start("request", &environment);
    let mailer = Function::start("mailer", &environment);

    let response = request.invoke(&sample_event("request-canary.json")).await;
    gateway::assert_worked(&response.expect("a response"));
    app.ses.intercept(|_| Action::accept_email());
    let messages = mail_event(&app.stream_records().await);
    let sent = mailer.invoke(&messages).await;
    assert_eq!(sent, Ok(json!({ "batchItemFailures": [] })));
    assert_eq!(app.ses.calls().len(), 1);
    let account = app.user(canary::ADDRESS).await.expect("the account");
    assert_eq!(mailer.invoke(&delivery(&account)).await, Ok(Value::Null));

    let account = app.user(canary::ADDRESS).await.expect("the account");
    let outcome = account.recovery.emails[0].outcome.as_ref();
    assert_eq!(
        outcome.map(|outcome| outcome.state),
        Some(DeliveryState::Delivered)
    );
    let logs = mailer.logs();
    assert!(logs.contains(r#""canary_delivered":1"#), "{logs}");
    for metric in ["mails_sent", "mails_delivered"] {
        assert!(!logs.contains(metric), "{metric} in {logs}");
    }
}

#[tokio::test]
async fn no_setting_delays_the_canary() {
    let builder = TestApp::builder().user(user(canary::ADDRESS));
    let strict = builder
        .set("ACCOUNT_LIMIT_PER_HOUR", "1")
        .set("ACCOUNT_COOLDOWN_SECONDS", "3600");
    let app = strict.manual_delivery().start().await;
    let functions = Functions::new(&app.environment());
    for call in 0..15 {
        let now = at(call * 300);
        let requested = functions.request_reset(canary::ADDRESS, now).await;
        requested.assert_worked();
        let latest = app.stream_records().await.pop().expect("a record");
        assert_eq!(functions.deliver(&[latest], now).await, NO_FAILURES);
    }
    assert_eq!(app.emails_to(canary::ADDRESS).len(), 15);
}

#[tokio::test]
async fn strangers_get_the_canary_twenty_emails_an_hour() {
    let app = with_canary().await;
    let functions = Functions::new(&app.environment());
    for second in (0..3_600).step_by(60) {
        let now = at(second);
        let client = format!("192.0.2.{}", second / 60);
        let requested = functions.request_reset_from(&client, canary::ADDRESS, now);
        requested.await.assert_worked();
        let latest = app.stream_records().await.pop().expect("a record");
        assert_eq!(functions.deliver(&[latest], now).await, NO_FAILURES);
    }
    assert_eq!(app.emails_to(canary::ADDRESS).len(), 20);
}

/// Returns `doctor`'s findings about the canary as (state, detail, advice).
async fn findings(app: &TestApp, settings: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let mut env = app.environment();
    for (name, value) in settings {
        env.insert((*name).to_owned(), (*value).to_owned());
    }
    let output = manage("doctor --output json", &env, "").await.json();
    let findings = output.as_array().expect("a list").iter();
    findings
        .filter(|finding| {
            finding["what"]
                .as_str()
                .is_some_and(|what| what.starts_with("canary"))
        })
        .map(|finding| {
            let text = |name: &str| finding[name].as_str().expect("text").to_owned();
            (text("state"), text("detail"), text("advice"))
        })
        .collect()
}

#[tokio::test]
async fn doctor_asks_for_the_account_and_a_sufficient_client_limit() {
    let app = TestApp::builder().start().await;
    assert_eq!(findings(&app, &[]).await, []);

    let [account, limit] = &findings(&app, &[("CANARY", "on")]).await[..] else {
        panic!("two findings");
    };
    assert_eq!(account.0, "problem");
    assert_eq!(
        account.2,
        format!("add it: `users add {}`", canary::ADDRESS)
    );
    assert_eq!(limit.0, "ok");

    app.add(&user(canary::ADDRESS)).await;
    let tight = [
        ("CANARY", "on"),
        ("CLIENT_LIMIT", "12"),
        ("CLIENT_WINDOW_SECONDS", "3600"),
    ];
    let [account, limit] = &findings(&app, &tight).await[..] else {
        panic!("two findings");
    };
    assert_eq!(account.0, "ok");
    assert_eq!(
        (&*limit.0, &*limit.2),
        ("problem", "raise ClientLimit or lower ClientWindowSeconds")
    );
    assert!(limit.1.contains("needs 13"), "{}", limit.1);
}
