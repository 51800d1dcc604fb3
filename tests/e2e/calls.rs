//! The calls that each function makes.

use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, WEAK_PASSWORD, user},
    functions::{NO_FAILURES, at},
    proxy::{Action, SEND_EMAIL, TRANSACTION},
};

#[tokio::test]
async fn an_unknown_address_gets_no_email() {
    let app = TestApp::with_ada().await;
    app.request_reset("gone@example.com").await.assert_worked();
    app.wait_for_mailer().await;
    assert!(app.emails().is_empty());
    assert!(app.rows("tokens").await.is_empty());
    assert!(app.user("gone@example.com").await.is_none());
}

#[tokio::test]
async fn a_request_makes_exactly_one_call() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .start()
        .await;
    for email in [ADA, "nobody@example.com"] {
        app.request_reset(email).await.assert_worked();
        assert_eq!(app.dynamodb.take_operations(), ["UpdateItem"]);
    }
    assert_eq!(app.ses.take_operations(), [""; 0]);
}

#[tokio::test]
async fn an_email_is_sent_after_three_calls() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .start()
        .await;
    app.request_reset(ADA).await.assert_worked();
    app.dynamodb.clear_calls();
    // SES accepts the email only after the token is stored: a crash must not leave a dead link.
    let dynamodb = app.dynamodb.clone();
    app.ses.intercept(move |_| match dynamodb.calls().len() {
        3 => Action::Pass,
        _ => Action::error(400, "BadRequestException", "too early"),
    });
    assert_eq!(
        app.functions
            .deliver(&app.stream_records().await, at(0))
            .await,
        NO_FAILURES
    );
    assert_eq!(
        app.dynamodb.take_operations(),
        ["GetItem", "UpdateItem", "PutItem"]
    );
    assert_eq!(app.ses.take_operations(), [SEND_EMAIL]);
    assert_eq!(app.emails().len(), 1);
}

#[tokio::test]
async fn an_email_to_an_unknown_address_makes_one_call() {
    let app = TestApp::builder().manual_delivery().start().await;
    app.request_reset("nobody@example.com")
        .await
        .assert_worked();
    app.dynamodb.clear_calls();
    assert_eq!(
        app.functions
            .deliver(&app.stream_records().await, at(0))
            .await,
        NO_FAILURES
    );
    assert_eq!(app.dynamodb.take_operations(), ["GetItem"]);
    assert_eq!(app.ses.take_operations(), [""; 0]);
}

#[tokio::test]
async fn a_change_makes_a_read_and_a_transaction() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .user(user(ADA))
        .start()
        .await;
    let token = app.put_token(ADA, at(0), at(60)).await;
    app.confirm(token.expose(), WEAK_PASSWORD)
        .await
        .assert_problem(422, "weak_password");
    assert_eq!(app.dynamodb.take_operations(), ["GetItem"]);
    app.confirm(token.expose(), GOOD_PASSWORD)
        .await
        .assert_worked();
    let calls = app.dynamodb.take_calls();
    assert_eq!(
        calls
            .iter()
            .map(|call| call.operation.as_str())
            .collect::<Vec<_>>(),
        ["GetItem", TRANSACTION]
    );
    assert_eq!(calls[0].body["ConsistentRead"], true);
    assert!(calls[1].body["ClientRequestToken"].is_string());
}

#[tokio::test]
async fn no_call_contains_a_token_or_a_password() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    app.confirm(&link.token, WEAK_PASSWORD)
        .await
        .assert_problem(422, "weak_password");
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
    app.wait_for_mailer().await;
    for call in app.dynamodb.calls() {
        let body = call.body.to_string();
        assert!(
            [link.token.as_str(), GOOD_PASSWORD, WEAK_PASSWORD]
                .iter()
                .all(|secret| !body.contains(secret)),
            "{body}"
        );
    }
}
