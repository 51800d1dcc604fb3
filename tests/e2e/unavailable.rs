//! Changes whose transaction fails or whose response is lost, and a DynamoDB that does not work.

use std::{collections::HashMap, time::Instant};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, UNKNOWN_TOKEN, user},
    functions::{Functions, at},
    http::HttpResponse,
    lambda::FUNCTION_TIMEOUT,
    link::Link,
    proxy::{Action, TRANSACTION},
};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use rules::token::ResetToken;

/// Changes Ada's password while each transaction meets `action`. Returns the link, the response and
/// the number of transactions.
async fn confirm_against(
    app: &TestApp,
    mut action: impl FnMut(usize) -> Action + Send + 'static,
) -> (Link, HttpResponse, usize) {
    let link = app.request_link(ADA).await;
    let mut transactions = 0;
    app.dynamodb.clear_calls();
    app.dynamodb.intercept(move |call| {
        if call.operation != TRANSACTION {
            return Action::Pass;
        }
        transactions += 1;
        action(transactions)
    });
    let start = Instant::now();
    let response = app.confirm(&link.token, GOOD_PASSWORD).await;
    assert!(
        start.elapsed() < FUNCTION_TIMEOUT * 2 / 3,
        "{:?}",
        start.elapsed()
    );
    app.dynamodb.pass_all();
    let attempts = app
        .dynamodb
        .take_calls()
        .iter()
        .filter(|call| call.operation == TRANSACTION)
        .count();
    (link, response, attempts)
}

#[tokio::test]
async fn a_lost_response_to_the_transaction_is_still_a_success() {
    let app = TestApp::with_ada().await;
    let (_, response, attempts) = confirm_against(&app, |number| {
        if number == 1 {
            Action::LoseResponse
        } else {
            Action::Pass
        }
    })
    .await;
    response.assert_worked();
    assert_eq!(attempts, 2);
    assert_eq!(app.ada().await.session_epoch, 1);
    app.assert_password_of_ada(GOOD_PASSWORD).await;
    app.assert_one_notice().await;
}

#[tokio::test]
async fn a_lost_response_is_still_a_success_after_the_sdk_gives_up() {
    let app = TestApp::with_ada().await;
    let busy = Action::error(400, "TransactionInProgressException", "still busy");
    // The SDK gives up after three attempts. The fourth is our own and must have the same
    // ClientRequestToken.
    let (_, response, attempts) = confirm_against(&app, move |number| match number {
        1 => Action::LoseResponse,
        2 | 3 => busy.clone(),
        _ => Action::Pass,
    })
    .await;
    response.assert_worked();
    assert_eq!(attempts, 4);
    app.assert_password_of_ada(GOOD_PASSWORD).await;
    app.assert_one_notice().await;
}

#[tokio::test]
async fn a_conflict_is_retried() {
    let app = TestApp::with_ada().await;
    let conflict = Action::cancelled(&["None", "TransactionConflict", "None"]);
    let (_, response, attempts) = confirm_against(&app, move |number| {
        if number <= 2 {
            conflict.clone()
        } else {
            Action::Pass
        }
    })
    .await;
    response.assert_worked();
    assert_eq!(attempts, 3);
    app.assert_one_notice().await;
}

#[tokio::test]
async fn a_permanent_conflict_is_unavailable_and_spends_no_token() {
    let app = TestApp::with_ada().await;
    let conflict = Action::cancelled(&["TransactionConflict", "None", "None"]);
    let (link, response, attempts) = confirm_against(&app, move |_| conflict.clone()).await;
    response.assert_problem(503, "unavailable");
    assert!(attempts > 2, "{attempts}");
    app.assert_ada_is_unchanged().await;
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
    app.assert_one_notice().await;
}

#[tokio::test]
async fn a_failed_condition_takes_precedence_over_a_conflict() {
    let app = TestApp::with_ada().await;
    let cancelled = Action::cancelled(&["ConditionalCheckFailed", "TransactionConflict", "None"]);
    let (_, response, attempts) = confirm_against(&app, move |_| cancelled.clone()).await;
    response.assert_problem(400, "invalid_token");
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn a_repeat_after_an_applied_503_says_to_try_the_new_password() {
    let app = TestApp::with_ada().await;
    let (link, response, _) = confirm_against(&app, |_| Action::LoseResponse).await;
    response.assert_problem(503, "unavailable");
    let repeat = app.confirm(&link.token, GOOD_PASSWORD).await;
    repeat.assert_problem(400, "invalid_token");
    assert!(
        repeat.json()["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("try to sign in with it")),
        "{repeat:?}"
    );
    app.assert_password_of_ada(GOOD_PASSWORD).await;
    assert_eq!(app.ada().await.session_epoch, 1);
    app.assert_one_notice().await;
}

/// Panics unless both functions respond with 503 in time, without a change.
async fn assert_unavailable(app: &TestApp, token: &ResetToken) {
    let start = Instant::now();
    let (requested, confirmed) = futures::join!(
        app.request_reset(ADA),
        app.confirm(token.expose(), GOOD_PASSWORD)
    );
    for response in [requested, confirmed] {
        response.assert_problem(503, "unavailable");
        assert!(
            response.json()["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("again")),
            "{response:?}"
        );
    }
    assert!(
        start.elapsed() < FUNCTION_TIMEOUT * 2 / 3,
        "{:?}",
        start.elapsed()
    );
    app.assert_ada_is_unchanged().await;
}

#[tokio::test]
async fn a_dynamodb_failure_gets_503_in_time_and_changes_nothing() {
    let actions = [
        Action::error(500, "InternalServerError", "it is ada@example.com's fault"),
        Action::error(400, "ThrottlingException", "slow down"),
        Action::error(
            400,
            "ResourceNotFoundException",
            "no table for ada@example.com",
        ),
        Action::error(400, "AccessDeniedException", "not yours"),
        Action::Cut,
        // No response at all.
        Action::Delay(FUNCTION_TIMEOUT * 10),
    ];
    // Concurrently, because most of the time is spent between retries.
    join_all(actions.map(|action| async {
        let app = TestApp::builder()
            .manual_delivery()
            .with_cheap_hashes()
            .user(user(ADA))
            .start()
            .await;
        let token = app.put_token(ADA, at(0), at(60)).await;
        app.dynamodb.intercept(move |_| action.clone());
        assert_unavailable(&app, &token).await;
        app.dynamodb.pass_all();
        app.confirm(token.expose(), GOOD_PASSWORD)
            .await
            .assert_worked();
    }))
    .await;
}

#[tokio::test]
async fn refused_connections_to_dynamodb_get_503_in_time() {
    let app = TestApp::builder().manual_delivery().start().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let mut environment = app.environment();
    environment.insert(
        "AWS_ENDPOINT_URL_DYNAMODB".to_owned(),
        format!("http://{closed}"),
    );
    let functions = Functions::new(&environment);
    let start = Instant::now();
    let token = UNKNOWN_TOKEN;
    let (requested, confirmed) = futures::join!(
        functions.request_reset(ADA, at(0)),
        functions.confirm(token, GOOD_PASSWORD, at(0))
    );
    requested.assert_problem(503, "unavailable");
    confirmed.assert_problem(503, "unavailable");
    assert!(
        start.elapsed() < FUNCTION_TIMEOUT * 2 / 3,
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_unreadable_token_row_is_an_invalid_token() {
    let app = TestApp::with_ada().await;
    let token =
        ResetToken::generate(&mut rand::rngs::SysRng).expect("the system's generator works");
    let row = HashMap::from([(
        "token_digest".to_owned(),
        AttributeValue::S(token.digest().as_str().to_owned()),
    )]);
    app.put("tokens", row).await;
    app.confirm(token.expose(), GOOD_PASSWORD)
        .await
        .assert_problem(400, "invalid_token");
}
