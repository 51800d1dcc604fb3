//! Attacks of docs/security.md that try to learn who has an account. The number in a test's name is
//! the attack's row.

use tests::{
    app::{ADA, TestApp, user},
    functions::{at, stream_record},
    proxy::{Action, Call},
    wait_for,
};

use aws::tables::User;
use serde_json::{Value, json};

#[tokio::test]
async fn attack_10_known_and_unknown_addresses_get_the_same_response_while_ses_fails() {
    let app = TestApp::with_ada().await;
    app.ses
        .intercept(|_| Action::error(500, "InternalFailure", "out of order"));
    let (known, unknown) = (
        app.request_reset(ADA).await,
        app.request_reset("nobody@example.com").await,
    );
    known.assert_worked();
    assert_eq!(known.without_date_and_id(), unknown.without_date_and_id());
    wait_for("an email to fail", async || app.ses.calls().pop()).await;
}

#[tokio::test]
async fn attack_11_responses_do_not_reveal_the_cool_down() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(user(ADA))
        .start()
        .await;
    app.request_link(ADA).await;
    let mut responses = Vec::new();
    for email in [ADA, "nobody@example.com", ADA, "nobody@example.com"] {
        responses.push(app.request_reset(email).await.without_date_and_id());
    }
    app.wait_for_mailer().await;
    assert_eq!(
        app.emails().len(),
        1,
        "no second email within the cool-down"
    );
    responses[0].assert_worked();
    assert!(
        responses.iter().all(|response| *response == responses[0]),
        "{responses:?}"
    );
}

/// Returns the operation and the body of a call, without the values that differ in every call.
fn shape(call: &Call) -> Value {
    let mut body = call.body.clone();
    for pointer in [
        "/Key/id/S",
        "/ExpressionAttributeValues/:email/S",
        "/ExpressionAttributeValues/:at/N",
        "/ExpressionAttributeValues/:expires_at/N",
    ] {
        let value = body.pointer_mut(pointer);
        *value.unwrap_or_else(|| panic!("{pointer} in {}", call.body)) = json!("*");
    }
    json!({ "operation": call.operation, "body": body })
}

#[tokio::test]
async fn attack_12_every_address_causes_the_same_call_of_the_same_size() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .user(user("eva@example.com"))
        .user(User {
            is_active: false,
            ..user("bob@example.com")
        })
        .start()
        .await;
    // Eva's budget is spent.
    let spent = stream_record("reset_requested", "eva@example.com", 1);
    app.functions.deliver(&[spent], at(0)).await;
    app.dynamodb.clear_calls();

    let mut seen = Vec::new();
    // Known, over budget, inactive, unknown, and a non-canonical spelling.
    for email in [
        ADA,
        "eva@example.com",
        "bob@example.com",
        "non@example.com",
        "ADA@EXAMPLE.COM",
    ] {
        let response = app.request_reset(email).await.without_date_and_id();
        let calls = app.dynamodb.take_calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        let size = calls[0].body.to_string().len();
        seen.push((response, shape(&calls[0]), size));
    }
    assert_eq!(app.ses.take_operations().len(), 1, "Eva's");
    seen[0].0.assert_worked();
    assert_eq!(seen[0].1["operation"], "UpdateItem");
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
}
