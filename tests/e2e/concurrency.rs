//! Changes that meet other changes, or rows that change meanwhile.

use std::sync::Arc;
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp},
    functions::at,
    http::HttpResponse,
    proxy::{Action, TRANSACTION},
};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use tokio::sync::Notify;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_links_used_at_once_make_one_change() {
    let app = TestApp::with_ada().await;
    let links = [app.request_link(ADA).await, app.request_link(ADA).await];
    let responses = join_all(
        links
            .iter()
            .map(|link| app.confirm(&link.token, GOOD_PASSWORD)),
    )
    .await;
    let mut outcomes: Vec<(u16, String)> = responses
        .iter()
        .map(HttpResponse::status_and_code)
        .collect();
    outcomes.sort();
    assert_eq!(
        outcomes,
        [(200, String::new()), (400, "invalid_token".to_owned())]
    );
    assert_eq!(app.ada().await.session_epoch, 1);
    app.assert_one_notice().await;
}

/// Changes Ada's password and runs `interference` after the token is read and before the
/// transaction. Returns the response.
async fn confirm_while(
    app: &TestApp,
    token: &str,
    interference: impl Future<Output = ()>,
) -> HttpResponse {
    let (go, held) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    app.dynamodb.clear_calls();
    app.dynamodb.intercept({
        let (go, held) = (go.clone(), held.clone());
        move |call| {
            if call.operation != TRANSACTION {
                return Action::Pass;
            }
            held.notify_one();
            Action::Hold(go.clone())
        }
    });
    let interfere = async {
        held.notified().await;
        interference.await;
        go.notify_one();
    };
    let (response, ()) = futures::join!(
        app.functions.confirm(token, GOOD_PASSWORD, at(1)),
        interfere
    );
    app.dynamodb.pass_all();
    response
}

#[tokio::test]
async fn a_token_that_expires_or_is_deleted_during_hashing_is_refused() {
    let app = TestApp::with_ada().await;
    let token = app.put_token(ADA, at(0), at(60)).await;
    let digest = token.digest();
    let key = ("token_digest", digest.as_str());
    let then = AttributeValue::N(at(1).timestamp().to_string());
    let response = confirm_while(
        &app,
        token.expose(),
        app.set_attribute("tokens", key, "expires_at", then),
    )
    .await;
    response.assert_problem(400, "invalid_token");

    let still = AttributeValue::N(at(60).timestamp().to_string());
    app.set_attribute("tokens", key, "expires_at", still).await;
    confirm_while(&app, token.expose(), app.delete("tokens", key))
        .await
        .assert_problem(400, "invalid_token");
    app.assert_ada_is_unchanged().await;
    assert_eq!(app.owed_notices().await, 0);
}

#[tokio::test]
async fn a_link_older_than_the_last_change_is_refused() {
    let app = TestApp::with_ada().await;
    let (older, newer) = (
        app.put_token(ADA, at(0), at(3_600)).await,
        app.put_token(ADA, at(20), at(3_600)).await,
    );
    let first = app.put_token(ADA, at(0), at(3_600)).await;
    app.functions
        .confirm(first.expose(), GOOD_PASSWORD, at(10))
        .await
        .assert_worked();
    app.functions
        .confirm(older.expose(), OTHER_PASSWORD, at(30))
        .await
        .assert_problem(400, "invalid_token");
    app.functions
        .confirm(newer.expose(), OTHER_PASSWORD, at(30))
        .await
        .assert_worked();
}

#[tokio::test]
async fn an_account_deactivated_during_a_change_is_not_changed() {
    let app = TestApp::with_ada().await;
    let key = ("email", ADA);
    let token = app.put_token(ADA, at(0), at(60)).await;
    let off = app.set_attribute("users", key, "is_active", AttributeValue::Bool(false));
    confirm_while(&app, token.expose(), off)
        .await
        .assert_problem(400, "invalid_token");
    app.functions
        .confirm(token.expose(), GOOD_PASSWORD, at(2))
        .await
        .assert_problem(400, "invalid_token");
    app.assert_ada_is_unchanged().await;
    assert_eq!(app.owed_notices().await, 0);
    // The token was not spent.
    app.set_attribute("users", key, "is_active", AttributeValue::Bool(true))
        .await;
    app.functions
        .confirm(token.expose(), GOOD_PASSWORD, at(3))
        .await
        .assert_worked();
}

#[tokio::test]
async fn an_account_deleted_during_a_change_is_not_recreated() {
    let app = TestApp::with_ada().await;
    let token = app.put_token(ADA, at(0), at(60)).await;
    let gone = app.delete("users", ("email", ADA));
    confirm_while(&app, token.expose(), gone)
        .await
        .assert_problem(400, "invalid_token");
    app.functions
        .confirm(token.expose(), GOOD_PASSWORD, at(2))
        .await
        .assert_problem(400, "invalid_token");
    assert!(app.user(ADA).await.is_none());
    assert_eq!(app.owed_notices().await, 0);
}
