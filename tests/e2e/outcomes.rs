//! Delivery outcomes: SES reports them to the mailer, which records them in the user's row.

use std::sync::Arc;
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    functions::{NO_FAILURES, at},
    lambda::sample_event,
    proxy::{Action, SEND_EMAIL},
    wait_for,
};

use aws::tables::{SuppressionClearing, Users};
use aws_sdk_dynamodb::types::AttributeValue;
use rules::{
    address::EmailAddress,
    recovery::{DeliveryState, SentEmail},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

async fn start() -> TestApp {
    TestApp::builder()
        .manual_delivery()
        .without_email_budget()
        .with_cheap_hashes()
        .user(user(ADA))
        .start()
        .await
}

/// Requests an email for Ada and delivers the stream's last record.
async fn request_and_deliver(app: &TestApp, seconds: i64) {
    let functions = &app.functions;
    let requested = functions.request_reset(ADA, at(seconds)).await;
    requested.assert_worked();
    let record = app.stream_records().await.pop().expect("a record");
    assert_eq!(functions.deliver(&[record], at(seconds)).await, NO_FAILURES);
}

/// Returns the sample event `name` about the last email sent to SES.
fn sample_outcome(app: &TestApp, name: &str) -> Value {
    let sent = app.ses.calls().pop().expect("an email").body;
    let tags = sent["EmailTags"].as_array().expect("tags");
    let tag = |name: &str| {
        let mut tags = tags.iter();
        let tag = tags.find(|tag| tag["Name"] == name).expect("the tag");
        json!([tag["Value"]])
    };
    let mut event = sample_event(name);
    event["detail"]["mail"]["tags"] = json!({ "kind": tag("kind"), "mail": tag("mail") });
    event["detail"]["mail"]["destination"] = sent["Destination"]["ToAddresses"].clone();
    event
}

async fn deliver_event(app: &TestApp, event: &Value) {
    app.functions
        .record_outcome(event)
        .await
        .expect("DynamoDB responds");
}

async fn recorded_emails(app: &TestApp) -> Vec<SentEmail> {
    app.ada().await.recovery.emails
}

async fn states(app: &TestApp) -> Vec<Option<DeliveryState>> {
    let state = |email: SentEmail| email.outcome.map(|outcome| outcome.state);
    recorded_emails(app).await.into_iter().map(state).collect()
}

async fn is_suppressed(app: &TestApp) -> bool {
    app.ada().await.suppression().is_some()
}

async fn clear(app: &TestApp) -> SuppressionClearing {
    let users = Users::new(app.dynamodb_client().clone(), "users".to_owned());
    let email = EmailAddress::parse(ADA).expect("an address");
    users
        .clear_suppression(&email)
        .await
        .expect("DynamoDB responds")
}

#[tokio::test]
async fn a_permanent_bounce_stops_email_until_an_operator_clears_it() {
    let app = start().await;
    request_and_deliver(&app, 0).await;
    let link = app.link_in(&app.emails()[0]);
    let bounce = sample_outcome(&app, "mailer-bounce.json");
    deliver_event(&app, &bounce).await;
    assert_eq!(states(&app).await, [Some(DeliveryState::Bounced)]);
    let reason = recorded_emails(&app).await[0]
        .outcome
        .clone()
        .and_then(|outcome| outcome.reason);
    assert_eq!(
        reason.as_deref(),
        Some("Permanent General 5.1.1 smtp; 550 5.1.1 (address) User unknown")
    );

    // No link and no notice is sent. The sent link still works, because it may have been read.
    request_and_deliver(&app, 10).await;
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(20))
        .await
        .assert_worked();
    let records = app.stream_records().await;
    assert_eq!(
        app.functions.deliver(&records[2..], at(20)).await,
        NO_FAILURES
    );
    assert_eq!(app.emails().len(), 1);
    assert_eq!(app.rows("tokens").await.len(), 0);

    assert_eq!(clear(&app).await, SuppressionClearing::Cleared);
    assert_eq!(clear(&app).await, SuppressionClearing::NotSuppressed);
    // An event that EventBridge delivers twice does not overrule the operator.
    deliver_event(&app, &bounce).await;
    request_and_deliver(&app, 30).await;
    assert_eq!(app.emails().len(), 2);
}

#[tokio::test]
async fn a_complaint_stops_email_unless_it_is_withdrawn() {
    let app = start().await;
    request_and_deliver(&app, 0).await;
    let complaint = sample_outcome(&app, "mailer-complaint.json");
    let mut taken_back = complaint.clone();
    taken_back["detail"]["complaint"]["complaintFeedbackType"] = json!("not-spam");
    deliver_event(&app, &sample_outcome(&app, "mailer-delivery.json")).await;
    assert!(!is_suppressed(&app).await);
    deliver_event(&app, &complaint).await;
    assert!(is_suppressed(&app).await);
    deliver_event(&app, &taken_back).await;
    deliver_event(&app, &complaint).await;
    assert!(!is_suppressed(&app).await);
    assert_eq!(states(&app).await, [Some(DeliveryState::NotSpam)]);
}

#[tokio::test]
async fn a_transient_bounce_does_not_stop_email() {
    let app = start().await;
    request_and_deliver(&app, 0).await;
    let mut bounce = sample_outcome(&app, "mailer-bounce.json");
    bounce["detail"]["bounce"]["bounceType"] = json!("Transient");
    deliver_event(&app, &bounce).await;
    assert_eq!(states(&app).await, [Some(DeliveryState::SoftBounced)]);
    request_and_deliver(&app, 10).await;
    assert_eq!(app.emails().len(), 2);
}

#[tokio::test]
async fn a_late_delivery_event_neither_hides_a_bounce_nor_costs_a_write() {
    let app = start().await;
    request_and_deliver(&app, 0).await;
    let (bounce, delivery) = (
        sample_outcome(&app, "mailer-bounce.json"),
        sample_outcome(&app, "mailer-delivery.json"),
    );
    app.dynamodb.clear_calls();
    deliver_event(&app, &bounce).await;
    assert_eq!(app.dynamodb.take_operations(), ["GetItem", "UpdateItem"]);
    for event in [&delivery, &bounce] {
        deliver_event(&app, event).await;
        assert_eq!(app.dynamodb.take_operations(), ["GetItem"]);
    }
    assert_eq!(states(&app).await, [Some(DeliveryState::Bounced)]);
}

#[tokio::test]
async fn a_suppression_ends_when_the_address_changes() {
    let app = start().await;
    request_and_deliver(&app, 0).await;
    let bounce = sample_outcome(&app, "mailer-bounce.json");
    deliver_event(&app, &bounce).await;
    let mut row = app.rows("users").await.pop().expect("Ada's row");
    let address = "ada.lovelace@example.com";
    app.secrets.add(address);
    row.insert("mail_to".to_owned(), AttributeValue::S(address.to_owned()));
    app.put("users", row).await;
    request_and_deliver(&app, 10).await;
    assert_eq!(app.emails_to(address).len(), 1);
    assert!(!is_suppressed(&app).await);
}

#[tokio::test]
async fn an_event_about_an_unknown_email_changes_nothing() {
    let app = start().await;
    request_and_deliver(&app, 0).await;
    let bounce = sample_outcome(&app, "mailer-bounce.json");
    app.secrets.add("bob@example.com");
    for (pointer, value, calls) in [
        (
            "/detail/mail/destination",
            json!(["bob@example.com"]),
            &["GetItem"][..],
        ),
        (
            "/detail/mail/tags/mail",
            json!(["0123456789abcdef0123456789abcdef"]),
            &["GetItem"],
        ),
        ("/detail/mail/tags", json!({}), &[]),
        ("/detail/eventType", json!("Open"), &[]),
        ("/detail/bounce", json!("gone"), &[]),
    ] {
        let mut event = bounce.clone();
        *event.pointer_mut(pointer).expect("a member") = value;
        app.dynamodb.clear_calls();
        deliver_event(&app, &event).await;
        assert_eq!(app.dynamodb.take_operations(), calls, "{pointer}");
    }
    assert_eq!(states(&app).await, [None]);
    assert!(!is_suppressed(&app).await);
}

#[tokio::test]
async fn a_dynamodb_failure_leads_to_a_retry_of_the_event() {
    let app = start().await;
    request_and_deliver(&app, 0).await;
    let bounce = sample_outcome(&app, "mailer-bounce.json");
    for operation in ["GetItem", "UpdateItem"] {
        app.dynamodb.intercept_operation(
            operation,
            Action::error(400, "ResourceNotFoundException", "no table"),
        );
        let failed = app.functions.record_outcome(&bounce).await;
        failed.expect_err(operation);
    }
    app.dynamodb.pass_all();
    deliver_event(&app, &bounce).await;
    assert!(is_suppressed(&app).await);
}

#[tokio::test]
async fn a_concurrent_email_does_not_lose_the_outcome_of_another() {
    let app = Arc::new(start().await);
    request_and_deliver(&app, 0).await;
    let bounce = sample_outcome(&app, "mailer-bounce.json");
    // The write of the second email waits. It is based on a row without the first one's bounce.
    app.functions
        .request_reset(ADA, at(10))
        .await
        .assert_worked();
    let record = app.stream_records().await.pop().expect("a record");
    let go = Arc::new(Notify::new());
    let (held, mut writes) = (go.clone(), 0);
    app.dynamodb.clear_calls();
    app.dynamodb.intercept(move |call| {
        writes += usize::from(call.operation == "UpdateItem");
        if call.operation == "UpdateItem" && writes == 1 {
            Action::Hold(held.clone())
        } else {
            Action::Pass
        }
    });
    let deliver = async { app.functions.deliver(&[record], at(10)).await };
    let tell = async {
        let look = async || {
            let calls = app.dynamodb.calls();
            calls
                .iter()
                .any(|call| call.operation == "UpdateItem")
                .then_some(())
        };
        wait_for("the second email's write", look).await;
        deliver_event(&app, &bounce).await;
        go.notify_one();
    };
    let (failed, ()) = tokio::join!(deliver, tell);
    assert_eq!(failed, NO_FAILURES);
    assert_eq!(states(&app).await, [Some(DeliveryState::Bounced)]);
    assert_eq!(app.emails().len(), 1, "email was stopped before the second");
}

#[tokio::test]
async fn both_emails_are_recorded_before_they_are_sent() {
    let app = start().await;
    app.dynamodb.clear_calls();
    app.functions
        .request_reset(ADA, at(0))
        .await
        .assert_worked();
    let records = app.stream_records().await;
    let _ = app.dynamodb.take_calls();
    assert_eq!(app.functions.deliver(&records, at(0)).await, NO_FAILURES);
    assert_eq!(
        app.dynamodb.take_operations(),
        ["GetItem", "UpdateItem", "PutItem"]
    );
    let link = app.link_in(&app.emails()[0]);
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(1))
        .await
        .assert_worked();
    let records = app.stream_records().await;
    let _ = app.dynamodb.take_calls();
    assert_eq!(
        app.functions.deliver(&records[1..], at(2)).await,
        NO_FAILURES
    );
    assert_eq!(app.dynamodb.take_operations(), ["GetItem", "UpdateItem"]);
    assert_eq!(app.ses.take_operations(), [SEND_EMAIL, SEND_EMAIL]);
    let kinds: Vec<&str> = recorded_emails(&app)
        .await
        .iter()
        .map(|email| email.kind.as_str())
        .collect();
    assert_eq!(kinds, ["reset_requested", "password_changed"]);
}

#[tokio::test]
async fn an_email_refused_by_ses_is_recorded() {
    let app = start().await;
    app.ses.intercept(|_| {
        Action::error(
            400,
            "BadRequestException",
            "Illegal address: ada@example.com",
        )
    });
    request_and_deliver(&app, 0).await;
    assert_eq!(states(&app).await, [Some(DeliveryState::Refused)]);
    let reason = recorded_emails(&app).await[0]
        .outcome
        .clone()
        .and_then(|outcome| outcome.reason);
    assert!(
        reason
            .expect("a reason")
            .starts_with("SendEmail: BadRequestException")
    );
}

#[tokio::test]
async fn the_local_mailbox_simulator_produces_every_outcome() {
    let (bounce, complaint, success) = (
        "bounce+ada@simulator.amazonses.com",
        "complaint@simulator.amazonses.com",
        "success@simulator.amazonses.com",
    );
    let app = TestApp::builder()
        .user(user(bounce))
        .user(user(complaint))
        .user(user(success))
        .start()
        .await;
    for (address, state, stops) in [
        (bounce, DeliveryState::Bounced, true),
        (complaint, DeliveryState::Complained, true),
        (success, DeliveryState::Delivered, false),
    ] {
        app.request_reset(address).await.assert_worked();
        let look = async || {
            let user = app.user(address).await?;
            let outcome = user.recovery.emails.first()?.outcome.clone()?;
            (outcome.state == state).then_some(user)
        };
        let user = wait_for(state.as_str(), look).await;
        assert_eq!(user.suppression().is_some(), stops, "{state:?}");
    }
}
