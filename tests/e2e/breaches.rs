//! The lookup of breached passwords, against a range API in the test.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use tests::app::{GOOD_PASSWORD, OTHER_PASSWORD, TestApp, user};
use tokio::net::TcpListener;

const ADDRESS: &str = "ada@example.com";
/// SHA-1 of [`GOOD_PASSWORD`] (`printf 'correct horse battery staple' | sha1sum`).
const PREFIX: &str = "ABF7A";
const SUFFIX: &str = "AD6438836DBE526AA231ABDE2D0EEF74D42";

/// Path and headers of each call to the API.
type Calls = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// Starts a range API that knows one password and responds with `status`.
async fn range_api(status: StatusCode) -> (String, Calls) {
    let calls = Calls::default();
    let response =
        async move |State(calls): State<Calls>, Path(prefix): Path<String>, headers: HeaderMap| {
            calls.lock().expect("no panic").push((prefix, headers));
            let padding = "00000000000000000000000000000000000:0";
            (status, format!("{padding}\r\n{SUFFIX}:42\r\n{padding}"))
        };
    let router = Router::new()
        .route("/range/{prefix}", get(response))
        .with_state(calls.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/range/", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, calls)
}

async fn app_with(url: &str) -> TestApp {
    let app = TestApp::builder().with_cheap_hashes().user(user(ADDRESS));
    app.set("PWNED_PASSWORDS_URL", url).start().await
}

#[tokio::test]
async fn a_breached_password_is_refused_and_the_link_stays_valid() {
    let (url, calls) = range_api(StatusCode::OK).await;
    let app = app_with(&url).await;
    let link = app.request_link(ADDRESS).await;

    let refused = app.confirm(&link.token, GOOD_PASSWORD).await;
    refused.assert_problem(422, "weak_password");
    assert_eq!(refused.json()["reasons"][0]["code"], "breached");
    app.confirm(&link.token, OTHER_PASSWORD)
        .await
        .assert_worked();

    let calls = calls.lock().expect("no panic");
    let (prefix, headers) = &calls[0];
    assert_eq!(prefix, PREFIX, "only five digits of the hash");
    assert_eq!(headers["add-padding"], "true");
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn a_failing_range_api_does_not_prevent_a_change() {
    let (failing, _) = range_api(StatusCode::SERVICE_UNAVAILABLE).await;
    for url in [failing.as_str(), "http://127.0.0.1:9/range/"] {
        let app = app_with(url).await;
        let link = app.request_link(ADDRESS).await;
        app.confirm(&link.token, GOOD_PASSWORD)
            .await
            .assert_worked();
    }
}

#[tokio::test]
async fn a_weak_password_is_refused_without_a_lookup() {
    let (url, calls) = range_api(StatusCode::OK).await;
    let app = app_with(&url).await;
    let link = app.request_link(ADDRESS).await;
    app.confirm(&link.token, "password1234567")
        .await
        .assert_problem(422, "weak_password");
    assert!(calls.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn the_range_api_can_be_given_by_its_host() {
    let (url, calls) = range_api(StatusCode::OK).await;
    let app = app_with(url.trim_end_matches("/range/")).await;
    let link = app.request_link(ADDRESS).await;
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_problem(422, "weak_password");
    assert_eq!(calls.lock().expect("no panic").len(), 1);
}
