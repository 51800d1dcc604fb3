//! The limit per client and the email budget per account.

use chrono::{DateTime, Utc};
use futures::future::join_all;
use tests::{
    app::{ADA, TestApp, user},
    functions::{Functions, NO_FAILURES, at},
    http::HttpResponse,
};

async fn request_times(
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
async fn a_client_over_its_limit_is_told_when_to_retry() {
    let app = TestApp::builder()
        .manual_delivery()
        .set("CLIENT_LIMIT", "3")
        .set("CLIENT_WINDOW_SECONDS", "600")
        .start()
        .await;
    let functions = &app.functions;
    request_times(functions, "192.0.2.1", 3, at(0))
        .await
        .assert_worked();
    let limited = functions.request_reset("other@example.com", at(15)).await;
    limited.assert_problem(429, "rate_limited");
    assert_eq!(limited.header("retry-after"), Some("585"));
    let at_the_end = functions.request_reset(ADA, at(599)).await;
    assert_eq!(at_the_end.header("retry-after"), Some("1"));

    // Other clients are not affected, and the next window starts afresh.
    functions
        .request_reset_from("192.0.2.2", ADA, at(15))
        .await
        .assert_worked();
    functions.request_reset(ADA, at(600)).await.assert_worked();
    // Refused requests put nothing into the outbox.
    assert_eq!(app.stream_records().await.len(), 5);
}

#[tokio::test]
async fn malformed_requests_do_not_count() {
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
async fn fifty_concurrent_requests_are_counted_exactly() {
    let app = TestApp::builder()
        .manual_delivery()
        .set("CLIENT_LIMIT", "20")
        .start()
        .await;
    let responses = join_all((0..50).map(|_| app.functions.request_reset(ADA, at(0)))).await;
    assert_eq!(
        responses
            .iter()
            .filter(|response| response.status == 200)
            .count(),
        20
    );
    assert_eq!(
        responses
            .iter()
            .filter(|response| response.status == 429)
            .count(),
        30
    );
}

/// Requests and delivers at each of `times`, in seconds. Returns the number of emails after each.
async fn email_counts(app: &TestApp, times: &[i64]) -> Vec<usize> {
    let mut counts = Vec::new();
    for seconds in times {
        let before = app.stream_records().await.len();
        app.functions
            .request_reset(ADA, at(*seconds))
            .await
            .assert_worked();
        let new = app.stream_records().await.split_off(before);
        assert_eq!(app.functions.deliver(&new, at(*seconds)).await, NO_FAILURES);
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
        email_counts(&app, &[0, 1, 59, 60, 61, 119, 120]).await,
        [1, 1, 1, 2, 2, 2, 3]
    );
}

#[tokio::test]
async fn an_account_gets_at_most_five_emails_in_any_hour() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .start()
        .await;
    let times = [
        0, 600, 1_200, 1_800, 2_400, 3_000, 3_599, 3_600, 3_700, 4_200,
    ];
    assert_eq!(
        email_counts(&app, &times).await,
        [1, 2, 3, 4, 5, 5, 5, 6, 6, 7]
    );
}
