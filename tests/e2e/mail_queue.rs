//! The queue between the outbox and the mailer: an email that cannot be sent yet holds up no other,
//! and is sent later without help.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use tests::{
    app::{ADA, TestApp, user},
    builder::Builder,
    command::Runserver,
    functions::{mail_event, stream_record},
    lambda::Function,
    proxy::Action,
    wait_for,
};

const BOB: &str = "bob@example.com";

/// Values with which DynamoDB takes no update of Bob's row.
fn blockers() -> [(&'static str, AttributeValue); 4] {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    [
        ("recovery_version", AttributeValue::Null(true)),
        ("recovery_version", text("one")),
        ("recovery_version", AttributeValue::N("1.5".to_owned())),
        // 40 bytes below the limit of 400 KiB.
        ("note", text(&"x".repeat(409_500))),
    ]
}

/// A system with Ada and Bob whose messages return after a second.
fn builder() -> Builder {
    TestApp::builder()
        .with_ada()
        .user(user(BOB))
        .set("MAIL_QUEUE_VISIBILITY_SECONDS", "1")
}

#[tokio::test]
async fn a_row_that_takes_no_update_holds_up_nobody() {
    for (name, value) in blockers() {
        let app = builder().start().await;
        app.set_attribute("users", ("email", BOB), name, value)
            .await;
        // Enough for both of the mailer's concurrent invocations, if they had to wait.
        for _ in 0..3 {
            app.request_reset(BOB).await.assert_worked();
        }
        for _ in 0..3 {
            app.request_link(ADA).await;
        }
        assert_eq!(app.emails_to(BOB).len(), 0, "{name}");

        // Once the row takes updates, Bob's emails are sent without help.
        let sane = AttributeValue::N("0".to_owned());
        app.set_attribute("users", ("email", BOB), name, sane).await;
        app.wait_for_email(BOB, 3).await;
    }
}

#[tokio::test]
async fn emails_wait_while_sending_is_paused() {
    let app = builder().start().await;
    let paused = "Sending paused for this account.";
    app.ses
        .intercept(move |_| Action::error(400, "MessageRejected", paused));
    for email in [ADA, BOB, ADA] {
        app.request_reset(email).await.assert_worked();
    }
    app.wait_for_mailer().await;
    let calls = async || (app.ses.calls().len() >= 6).then_some(());
    wait_for("the second attempts", calls).await;
    assert_eq!(app.emails().len(), 0);

    app.ses.pass_all();
    app.wait_for_email(ADA, 2).await;
    app.wait_for_email(BOB, 1).await;
    app.wait_for_mailer().await;
    assert_eq!(app.emails().len(), 3);
}

#[tokio::test]
async fn lambda_gets_only_the_message_that_failed() {
    for (name, value) in blockers() {
        let app = builder().manual_delivery().start().await;
        app.set_attribute("users", ("email", BOB), name, value)
            .await;
        let mailer = Function::start("mailer", &app.environment());
        let event = mail_event(&[
            stream_record("reset_requested", BOB, 1),
            stream_record("reset_requested", ADA, 2),
            stream_record("password_changed", BOB, 3),
        ]);
        let failed = ["1", "3"].map(|id| json!({ "itemIdentifier": id }));
        let response = mailer.invoke(&event).await;
        assert_eq!(response, Ok(json!({ "batchItemFailures": failed })));
        assert_eq!(app.emails_to(ADA).len(), 1);
        let logs = mailer.logs();
        let digest = user(BOB).email.digest();
        assert!(
            logs.contains(&format!("\"account\":\"{digest}\"")),
            "{logs}"
        );
        app.secrets.assert_absent_from(&logs);
    }
}

#[tokio::test]
async fn a_killed_system_sends_waiting_emails_after_a_restart() {
    let name = format!("account-recovery-{}-kill", std::process::id());
    let data = std::env::temp_dir().join(name);
    let args = format!("--data {}", data.display());
    // SES is unreachable, so the email waits.
    let unreachable = ("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:1");
    let environment =
        BTreeMap::from([unreachable].map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut system = Runserver::start(&args, &environment).await;
    system.request_reset(ADA).await.assert_worked();
    let queue = data.join("mail-queue.jsonl");
    let received = async || {
        let text = std::fs::read_to_string(&queue).unwrap_or_default();
        text.contains("received").then_some(())
    };
    wait_for("the mailer to try", received).await;
    system.process.kill().await.expect("it was running");

    for _ in 0..2 {
        let mut system = Runserver::start(&args, &BTreeMap::new()).await;
        let sent = async || (!system.subjects().await.is_empty()).then_some(());
        wait_for("the email", sent).await;
        // It is sent once, and not again after another kill.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(system.subjects().await.len(), 1);
        system.process.kill().await.expect("it was running");
    }
    let _ = std::fs::remove_dir_all(&data);
}
