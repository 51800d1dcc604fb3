//! What must hold when things happen at once, twice, too often, too late, or when DynamoDB does
//! not play along.

use std::{collections::HashMap, sync::Arc, time::Instant};

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use passwords::{Password, verify};
use rules::{recovery::EmailKind, token::ResetToken};
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp, WEAK_PASSWORD, user},
    functions::{Functions, at},
    http::HttpResponse,
    lambda::FUNCTION_TIMEOUT,
    link::Link,
    proxy::{Action, SEND_EMAIL},
};
use tokio::sync::Notify;

const TRANSACTION: &str = "TransactWriteItems";
const NOTICE: &str = "Your password for Example was changed";

async fn stored(app: &TestApp) -> User {
    app.user(ADA).await.expect("she is there")
}

async fn assert_password_is(app: &TestApp, password: &str) {
    let hash = stored(app).await.password_hash.expect("a password");
    assert!(
        verify(&Password::new(password), &hash),
        "another password is stored"
    );
}

async fn assert_unchanged(app: &TestApp) {
    let user = stored(app).await;
    assert_eq!((user.password_hash, user.session_epoch), (None, 0));
}

/// Rows of the outbox that owe a notice.
async fn notices_owed(app: &TestApp) -> usize {
    let kind = AttributeValue::S(EmailKind::PasswordChanged.as_str().to_owned());
    let email = AttributeValue::S(ADA.to_owned());
    app.rows("outbox")
        .await
        .iter()
        .filter(|row| row["kind"] == kind && row["email"] == email)
        .count()
}

/// One notice is owed and one was mailed, and no more will be.
async fn assert_one_notice(app: &TestApp) {
    app.wait_for_mailer().await;
    assert_eq!(notices_owed(app).await, 1);
    assert_eq!(
        app.emails_to(ADA)
            .iter()
            .filter(|mail| mail.subject == NOTICE)
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_links_used_at_once_are_one_change() {
    let app = TestApp::with_ada().await;
    let links = [app.request_link(ADA).await, app.request_link(ADA).await];
    let answers = join_all(
        links
            .iter()
            .map(|link| app.confirm(&link.token, GOOD_PASSWORD)),
    )
    .await;
    let mut outcomes: Vec<(u16, String)> =
        answers.iter().map(HttpResponse::status_and_code).collect();
    outcomes.sort();
    assert_eq!(
        outcomes,
        [(200, String::new()), (400, "invalid_token".to_owned())]
    );
    assert_eq!(stored(&app).await.session_epoch, 1);
    assert_one_notice(&app).await;
}

/// The answer to a change when `happens` comes between its decision and its transaction.
async fn confirm_while(
    app: &TestApp,
    token: &str,
    happens: impl Future<Output = ()>,
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
        happens.await;
        go.notify_one();
    };
    let (answer, ()) = futures::join!(
        app.functions.confirm(token, GOOD_PASSWORD, at(1)),
        interfere
    );
    app.dynamodb.pass_all();
    answer
}

/// Sets one attribute of a row.
async fn set(app: &TestApp, table: &str, key: (&str, &str), name: &str, value: AttributeValue) {
    let update = app.dynamodb_client().update_item().table_name(table);
    let update = update
        .key(key.0, AttributeValue::S(key.1.to_owned()))
        .update_expression("SET #name = :value")
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", value);
    Box::pin(update.send()).await.expect("DynamoDB responds");
}

/// Deletes a row.
async fn delete(app: &TestApp, table: &str, key: (&str, &str)) {
    let delete = app.dynamodb_client().delete_item().table_name(table);
    let delete = delete.key(key.0, AttributeValue::S(key.1.to_owned()));
    Box::pin(delete.send()).await.expect("DynamoDB responds");
}

#[tokio::test]
async fn a_token_that_expires_or_goes_during_the_hashing_is_refused_by_the_transaction() {
    let app = TestApp::with_ada().await;
    let token = app.put_token(ADA, at(0), at(60)).await;
    let digest = token.digest();
    let key = ("token_digest", digest.as_str());
    let then = AttributeValue::N(at(1).timestamp().to_string());
    let answer = confirm_while(
        &app,
        token.expose(),
        set(&app, "tokens", key, "expires_at", then),
    )
    .await;
    answer.assert_problem(400, "invalid_token");

    let still = AttributeValue::N(at(60).timestamp().to_string());
    set(&app, "tokens", key, "expires_at", still).await;
    confirm_while(&app, token.expose(), delete(&app, "tokens", key))
        .await
        .assert_problem(400, "invalid_token");
    assert_unchanged(&app).await;
    assert_eq!(notices_owed(&app).await, 0);
}

#[tokio::test]
async fn a_link_that_is_older_than_the_last_change_is_refused() {
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
async fn an_account_that_is_switched_off_is_refused_and_unchanged() {
    let app = TestApp::with_ada().await;
    let key = ("email", ADA);
    let token = app.put_token(ADA, at(0), at(60)).await;
    let off = set(&app, "users", key, "is_active", AttributeValue::Bool(false));
    confirm_while(&app, token.expose(), off)
        .await
        .assert_problem(400, "invalid_token");
    app.functions
        .confirm(token.expose(), GOOD_PASSWORD, at(2))
        .await
        .assert_problem(400, "invalid_token");
    assert_unchanged(&app).await;
    assert_eq!(notices_owed(&app).await, 0);
    // The token was not spent on it.
    set(&app, "users", key, "is_active", AttributeValue::Bool(true)).await;
    app.functions
        .confirm(token.expose(), GOOD_PASSWORD, at(3))
        .await
        .assert_worked();
}

#[tokio::test]
async fn an_account_that_is_deleted_is_refused_and_not_made_again() {
    let app = TestApp::with_ada().await;
    let token = app.put_token(ADA, at(0), at(60)).await;
    let gone = delete(&app, "users", ("email", ADA));
    confirm_while(&app, token.expose(), gone)
        .await
        .assert_problem(400, "invalid_token");
    app.functions
        .confirm(token.expose(), GOOD_PASSWORD, at(2))
        .await
        .assert_problem(400, "invalid_token");
    assert!(app.user(ADA).await.is_none());
    assert_eq!(notices_owed(&app).await, 0);
}

#[tokio::test]
async fn a_deleted_account_gets_no_mail() {
    let app = TestApp::with_ada().await;
    app.request_reset("gone@example.com").await.assert_worked();
    app.wait_for_mailer().await;
    assert!(app.emails().is_empty());
    assert!(app.rows("tokens").await.is_empty());
    assert!(app.user("gone@example.com").await.is_none());
}

#[tokio::test]
async fn a_request_makes_one_call_and_no_other() {
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
async fn a_mail_makes_three_calls_and_is_then_sent() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .start()
        .await;
    app.request_reset(ADA).await.assert_worked();
    app.dynamodb.clear_calls();
    // A mail whose token is not kept yet would be a dead link, should the process end here.
    let dynamodb = app.dynamodb.clone();
    app.ses.intercept(move |_| match dynamodb.calls().len() {
        3 => Action::Pass,
        _ => Action::error(400, "BadRequestException", "too early"),
    });
    assert_eq!(
        app.functions
            .deliver(&app.stream_records().await, at(0))
            .await,
        [""; 0]
    );
    assert_eq!(
        app.dynamodb.take_operations(),
        ["GetItem", "UpdateItem", "PutItem"]
    );
    assert_eq!(app.ses.take_operations(), [SEND_EMAIL]);
    assert_eq!(app.emails().len(), 1);
}

#[tokio::test]
async fn a_mail_for_nobody_makes_one_call() {
    let app = TestApp::builder().manual_delivery().start().await;
    app.request_reset("nobody@example.com")
        .await
        .assert_worked();
    app.dynamodb.clear_calls();
    assert_eq!(
        app.functions
            .deliver(&app.stream_records().await, at(0))
            .await,
        [""; 0]
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
async fn no_call_holds_a_token_or_a_password() {
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

async fn ask_times(
    functions: &Functions,
    client: &str,
    times: usize,
    now: DateTime<Utc>,
) -> HttpResponse {
    for _ in 1..times {
        functions
            .request_reset_from(client, ADA, now)
            .await
            .assert_worked();
    }
    functions.request_reset_from(client, ADA, now).await
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let app = TestApp::builder()
        .manual_delivery()
        .set("CLIENT_LIMIT", "3")
        .set("CLIENT_WINDOW_SECONDS", "600")
        .start()
        .await;
    let functions = &app.functions;
    ask_times(functions, "192.0.2.1", 3, at(0))
        .await
        .assert_worked();
    let limited = functions.request_reset("other@example.com", at(15)).await;
    limited.assert_problem(429, "rate_limited");
    assert_eq!(limited.header("retry-after"), Some("585"));
    let at_the_end = functions.request_reset(ADA, at(599)).await;
    assert_eq!(at_the_end.header("retry-after"), Some("1"));

    // Others are none the wiser, and a new window is a new start.
    functions
        .request_reset_from("192.0.2.2", ADA, at(15))
        .await
        .assert_worked();
    functions.request_reset(ADA, at(600)).await.assert_worked();
    // What was refused is owed nothing.
    assert_eq!(app.stream_records().await.len(), 5);
}

#[tokio::test]
async fn what_the_syntax_refuses_counts_for_nothing() {
    let app = TestApp::builder()
        .manual_delivery()
        .set("CLIENT_LIMIT", "1")
        .start()
        .await;
    let ask = |email| app.functions.request_reset(email, at(0));
    for _ in 0..3 {
        ask("nobody").await.assert_problem(400, "invalid_params");
    }
    ask(ADA).await.assert_worked();
    ask(ADA).await.assert_problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_requests_at_once_are_counted_exactly() {
    let app = TestApp::builder()
        .manual_delivery()
        .set("CLIENT_LIMIT", "20")
        .start()
        .await;
    let answers = join_all((0..50).map(|_| app.functions.request_reset(ADA, at(0)))).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        20
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 429).count(),
        30
    );
}

/// Asks at `times` in seconds, lets the mailer do its work, and counts the mails.
async fn mails_after(app: &TestApp, times: &[i64]) -> Vec<usize> {
    let mut counts = Vec::new();
    for seconds in times {
        let before = app.stream_records().await.len();
        app.functions
            .request_reset(ADA, at(*seconds))
            .await
            .assert_worked();
        let new = app.stream_records().await.split_off(before);
        assert_eq!(app.functions.deliver(&new, at(*seconds)).await, [""; 0]);
        counts.push(app.emails_to(ADA).len());
    }
    counts
}

#[tokio::test]
async fn the_cool_down_of_an_account_is_silent() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .start()
        .await;
    assert_eq!(
        mails_after(&app, &[0, 1, 59, 60, 61, 119, 120]).await,
        [1, 1, 1, 2, 2, 2, 3]
    );
}

#[tokio::test]
async fn an_account_gets_five_mails_in_any_hour() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .start()
        .await;
    let times = [
        0, 600, 1_200, 1_800, 2_400, 3_000, 3_599, 3_600, 3_700, 4_200,
    ];
    assert_eq!(
        mails_after(&app, &times).await,
        [1, 2, 3, 4, 5, 5, 5, 6, 6, 7]
    );
}

/// A system with one link, whose transactions meet `action`; how often they did, and the answer.
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
    let answer = app.confirm(&link.token, GOOD_PASSWORD).await;
    assert!(
        start.elapsed() < FUNCTION_TIMEOUT * 2 / 3,
        "{:?}",
        start.elapsed()
    );
    app.dynamodb.pass_all();
    let tries = app
        .dynamodb
        .take_calls()
        .iter()
        .filter(|call| call.operation == TRANSACTION)
        .count();
    (link, answer, tries)
}

#[tokio::test]
async fn a_lost_answer_to_the_transaction_is_still_a_success() {
    let app = TestApp::with_ada().await;
    let (_, answer, tries) = confirm_against(&app, |number| {
        if number == 1 {
            Action::LoseResponse
        } else {
            Action::Pass
        }
    })
    .await;
    answer.assert_worked();
    assert_eq!(tries, 2);
    assert_eq!(stored(&app).await.session_epoch, 1);
    assert_password_is(&app, GOOD_PASSWORD).await;
    assert_one_notice(&app).await;
}

#[tokio::test]
async fn a_lost_answer_behind_the_retries_of_the_sdk_is_still_a_success() {
    let app = TestApp::with_ada().await;
    let busy = Action::error(400, "TransactionInProgressException", "still busy");
    // The SDK gives up after three; the fourth is of our own and has to have the same name.
    let (_, answer, tries) = confirm_against(&app, move |number| match number {
        1 => Action::LoseResponse,
        2 | 3 => busy.clone(),
        _ => Action::Pass,
    })
    .await;
    answer.assert_worked();
    assert_eq!(tries, 4);
    assert_password_is(&app, GOOD_PASSWORD).await;
    assert_one_notice(&app).await;
}

#[tokio::test]
async fn a_conflict_is_tried_again() {
    let app = TestApp::with_ada().await;
    let conflict = Action::cancelled(&["None", "TransactionConflict", "None"]);
    let (_, answer, tries) = confirm_against(&app, move |number| {
        if number <= 2 {
            conflict.clone()
        } else {
            Action::Pass
        }
    })
    .await;
    answer.assert_worked();
    assert_eq!(tries, 3);
    assert_one_notice(&app).await;
}

#[tokio::test]
async fn a_conflict_without_end_is_unavailable_and_spends_nothing() {
    let app = TestApp::with_ada().await;
    let conflict = Action::cancelled(&["TransactionConflict", "None", "None"]);
    let (link, answer, tries) = confirm_against(&app, move |_| conflict.clone()).await;
    answer.assert_problem(503, "unavailable");
    assert!(tries > 2, "{tries}");
    assert_unchanged(&app).await;
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
    assert_one_notice(&app).await;
}

#[tokio::test]
async fn a_failed_condition_beside_a_conflict_is_an_invalid_token() {
    let app = TestApp::with_ada().await;
    let cancelled = Action::cancelled(&["ConditionalCheckFailed", "TransactionConflict", "None"]);
    let (_, answer, tries) = confirm_against(&app, move |_| cancelled.clone()).await;
    answer.assert_problem(400, "invalid_token");
    assert_eq!(tries, 1);
}

#[tokio::test]
async fn after_a_503_whose_write_was_applied_the_repeat_says_to_try_the_new_password() {
    let app = TestApp::with_ada().await;
    let (link, answer, _) = confirm_against(&app, |_| Action::LoseResponse).await;
    answer.assert_problem(503, "unavailable");
    let repeat = app.confirm(&link.token, GOOD_PASSWORD).await;
    repeat.assert_problem(400, "invalid_token");
    assert!(
        repeat.json()["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("try to sign in with it")),
        "{repeat:?}"
    );
    assert_password_is(&app, GOOD_PASSWORD).await;
    assert_eq!(stored(&app).await.session_epoch, 1);
    assert_one_notice(&app).await;
}

/// A function that DynamoDB does not answer answers 503 in good time, and nothing is changed.
async fn assert_unavailable(app: &TestApp, token: &ResetToken) {
    let start = Instant::now();
    let (asked, confirmed) = futures::join!(
        app.request_reset(ADA),
        app.confirm(token.expose(), GOOD_PASSWORD)
    );
    for answer in [asked, confirmed] {
        answer.assert_problem(503, "unavailable");
        assert!(
            answer.json()["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("again")),
            "{answer:?}"
        );
    }
    assert!(
        start.elapsed() < FUNCTION_TIMEOUT * 2 / 3,
        "{:?}",
        start.elapsed()
    );
    assert_unchanged(app).await;
}

#[tokio::test]
async fn dynamodb_out_of_order_is_answered_503_in_time_and_then_all_goes_on() {
    let fates = [
        Action::error(500, "InternalServerError", "it is ada@example.com's fault"),
        Action::error(400, "ThrottlingException", "slow down"),
        Action::error(
            400,
            "ResourceNotFoundException",
            "no table for ada@example.com",
        ),
        Action::error(400, "AccessDeniedException", "not yours"),
        Action::Cut,
        // It never answers.
        Action::Delay(FUNCTION_TIMEOUT * 10),
    ];
    // Side by side, since most of the time goes into waits between tries.
    join_all(fates.map(|action| async {
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
async fn dynamodb_that_refuses_connections_is_answered_503_in_time() {
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
    let token = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let (asked, confirmed) = futures::join!(
        functions.request_reset(ADA, at(0)),
        functions.confirm(token, GOOD_PASSWORD, at(0))
    );
    asked.assert_problem(503, "unavailable");
    confirmed.assert_problem(503, "unavailable");
    assert!(
        start.elapsed() < FUNCTION_TIMEOUT * 2 / 3,
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_row_of_a_token_that_makes_no_sense_is_an_invalid_token() {
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
