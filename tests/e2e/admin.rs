//! The admin panel, over HTTP.

use std::collections::BTreeSet;

use aws::tables::{Outbox, User};
use aws_sdk_dynamodb::types::{
    AttributeValue, PutRequest, WriteRequest, builders::PutRequestBuilder,
};
use chrono::DateTime;
use tests::{
    app::{ADA, OTHER_PASSWORD, TestApp, user},
    logs,
    panel::{Browser, ROOT, between, location, start, user_with_password},
    wait_for,
};

/// Adds `count` users with addresses such as `name-000@example.com`.
async fn add_many(app: &TestApp, name: &str, count: usize) {
    let user = |number: usize| {
        let email = format!("{name}-{number:03}@example.com");
        PutRequest::builder().item("email", AttributeValue::S(email))
    };
    put_all(app, "users", (0..count).map(user)).await;
}

async fn put_all(app: &TestApp, table: &str, rows: impl Iterator<Item = PutRequestBuilder>) {
    let write = |row: PutRequestBuilder| {
        let put = row.build().expect("an item");
        WriteRequest::builder().put_request(put).build()
    };
    let all: Vec<WriteRequest> = rows.map(write).collect();
    for chunk in all.chunks(25) {
        let write = app
            .dynamodb_client()
            .batch_write_item()
            .request_items(table, chunk.to_vec());
        write.send().await.expect("DynamoDB responds");
    }
}

#[tokio::test]
async fn a_large_outbox_is_counted_within_a_limit() {
    let app = TestApp::builder().manual_delivery().start().await;
    let row = |number: usize| {
        let text = AttributeValue::S;
        PutRequest::builder()
            .item("id", text(format!("request#192.0.2.1#{number}")))
            .item("kind", text("reset_requested".to_owned()))
            .item("at", AttributeValue::N(number.to_string()))
    };
    put_all(&app, "outbox", (1000..2001).map(row)).await;
    let outbox = Outbox::new(app.dynamodb_client().clone(), "outbox".to_owned());
    let count = async |since, max_reads| {
        let mut rows = 0;
        let since = DateTime::from_timestamp_millis(since).expect("a time");
        let is_whole = outbox.for_each_since(since, max_reads, |_, _, _| rows += 1);
        (is_whole.await.expect("DynamoDB responds"), rows)
    };
    assert_eq!(count(0, 1).await, (false, 1000));
    assert_eq!(count(0, 2).await, (true, 1001));
    assert_eq!(count(1999, 2).await, (true, 2));
}

/// Follows the list from `path` on. Returns the addresses on each page.
async fn walk(browser: &Browser, path: &str) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let response = browser.get(&path).await;
        assert_eq!(response.status, 200);
        let page = response.text();
        let rows = page.split("<tr><th scope=\"row\"><a href=\"").skip(1);
        let address = |row: &str| between(row, "\">", "</a>").to_owned();
        pages.push(rows.map(address).collect());
        next = page
            .split_once("rel=\"next\" href=\"")
            .map(|(_, rest)| rest.split('"').next().expect("an end"))
            .map(|href| href.replace("&#38;", "&").replace("&amp;", "&"));
        assert!(pages.len() < 10, "endless pages");
    }
    pages
}

#[tokio::test]
async fn users_are_listed_and_searched_page_by_page() {
    let app = start().await;
    add_many(&app, "many", 120).await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;

    let pages = walk(&browser, "/admin/").await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [50, 50, 22]);
    let all: BTreeSet<String> = pages.into_iter().flatten().collect();
    assert_eq!(all.len(), 122);
    assert!(all.contains(ROOT) && all.contains("many-119@example.com"));

    let pages = walk(&browser, "/admin/?search=MANY-").await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [50, 50, 20]);
    let found: BTreeSet<String> = pages.into_iter().flatten().collect();
    assert_eq!(found.len(), 120);

    let found = walk(&browser, "/admin/?search=many-01").await.concat();
    assert_eq!(found.len(), 10);
    app.dynamodb.clear_calls();
    let exact = walk(&browser, "/admin/?search=%20Ada%40Example.com").await;
    assert_eq!(exact, [[ADA]]);
    assert!(
        !app.dynamodb
            .calls()
            .iter()
            .any(|call| call.operation == "Scan" && call.body["TableName"] == "users"),
        "an exact address is looked up"
    );
    assert_eq!(walk(&browser, "/admin/?search=zzz").await, [[""; 0]]);
}

#[tokio::test]
async fn a_users_page_shows_recovery_state_and_escapes_the_users_text() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(user_with_password(ROOT, true).await)
        .user(User {
            name: Some("<script>alert(1)</script>\"'&".to_owned()),
            locale: Some("\"><img src=x>".to_owned()),
            ..user_with_password(ADA, false).await
        })
        .start()
        .await;
    let link = app.request_link(ADA).await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;

    let page = browser.user_page(ADA).await;
    assert!(page.contains("<th scope=\"row\">Links mailed in the last hour</th><td>1</td>"));
    assert!(page.contains("<th scope=\"row\">Links left in this hour</th><td>4 of 5</td>"));
    assert_eq!(page.matches("works until").count(), 1, "{page}");
    assert!(page.contains("<th scope=\"row\">Last reset</th><td>never</td>"));
    for absent in [link.token.as_str(), "<script", "<img", "$argon2"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains("&#60;script&#62;"), "{page}");
    let digest = app.rows("tokens").await[0]["token_digest"].clone();
    assert!(!page.contains(digest.as_s().expect("text")));

    // The mailer does not send during the cool-down.
    assert_eq!(browser.act("send-reset", ADA).await.status, 409);

    app.confirm(&link.token, OTHER_PASSWORD)
        .await
        .assert_worked();
    let page = browser.user_page(ADA).await;
    assert!(!page.contains("works until"), "the link is spent");
    assert!(page.contains("<th scope=\"row\">Session epoch</th><td>1</td>"));
    assert!(!page.contains("<th scope=\"row\">Last reset</th><td>never</td>"));
    let list = browser.get("/admin/").await.text();
    assert!(!list.contains("<script"));
    assert!(list.contains("Requests, by the hour: 1 in all"));
    assert!(list.contains("Passwords reset, by the hour: 1 in all"));
}

#[tokio::test]
async fn a_deactivated_user_gets_no_link() {
    let app = start().await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;
    let question = browser
        .get("/admin/users/deactivate/?email=ada@example.com")
        .await;
    assert_eq!(question.status, 200);
    assert!(app.ada().await.is_active, "not confirmed yet");

    let done = browser.act("deactivate", ADA).await;
    let page = browser.get(location(&done)).await.text();
    assert!(page.contains("role=\"status\""), "{page}");
    assert!(!app.ada().await.is_active);
    app.request_reset(ADA).await.assert_worked();
    app.wait_for_mailer().await;
    assert!(app.emails_to(ADA).is_empty());
    assert_eq!(browser.act("send-reset", ADA).await.status, 409);
    assert_eq!(browser.act("deactivate", ADA).await.status, 409);

    assert_eq!(browser.act("activate", ADA).await.status, 303);
    app.request_link(ADA).await;
}

#[tokio::test]
async fn a_bounce_is_shown_and_an_administrator_can_clear_it() {
    const BOUNCING: &str = "bounce@simulator.amazonses.com";
    let app = TestApp::builder()
        .with_cheap_hashes()
        .without_email_budget()
        .user(user_with_password(ROOT, true).await)
        .user(user(BOUNCING))
        .start()
        .await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;
    assert_eq!(browser.act("clear-suppression", BOUNCING).await.status, 409);
    app.request_reset(BOUNCING).await.assert_worked();
    let look = async || {
        let page = browser.user_page(BOUNCING).await;
        page.contains("Mail to this address is stopped since")
            .then_some(page)
    };
    let page = wait_for("the bounce", look).await;
    for shown in [
        "<td>link</td><td>came back for good",
        "<td>Permanent General 5.1.1 smtp; 550 5.1.1 user unknown</td>",
        "Mail to the address is stopped; see above.",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert_eq!(browser.act("send-reset", BOUNCING).await.status, 409);

    let done = browser.act("clear-suppression", BOUNCING).await;
    let page = browser.get(location(&done)).await.text();
    assert!(
        page.contains("Mail to the address is sent again."),
        "{page}"
    );
    assert!(!page.contains("is stopped since") && page.contains("came back for good"));
    assert_eq!(browser.act("send-reset", BOUNCING).await.status, 303);
    app.wait_for_email(BOUNCING, 2).await;
}

#[tokio::test]
async fn a_reset_email_sent_by_an_administrator_works() {
    let log_start = logs::mark();
    let app = start().await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;
    for count in 1..=2 {
        assert_eq!(browser.act("send-reset", ADA).await.status, 303);
        app.wait_for_link(ADA, count).await;
    }
    let link = app.wait_for_link(ADA, 2).await;
    app.confirm(&link.token, OTHER_PASSWORD)
        .await
        .assert_worked();

    let logs = logs::captured_since(log_start);
    let (ada, root) = (user(ADA).email.digest(), user(ROOT).email.digest());
    let is_logged = |line: &str| {
        let parts = ["administrator action", &ada, &root];
        parts.iter().all(|part| line.contains(part))
    };
    assert!(logs.lines().any(is_logged), "{logs}");
}

#[tokio::test]
async fn administrators_cannot_deactivate_themselves_or_act_on_unknown_users() {
    let app = start().await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;
    let page = browser.user_page(ROOT).await;
    assert!(!page.contains("/admin/users/deactivate/"));
    assert_eq!(
        browser.act("deactivate", "ROOT@example.com").await.status,
        409
    );
    assert!(app.user(ROOT).await.expect("a row").is_active);

    app.secrets.add("nobody@example.com");
    for email in ["nobody@example.com", "", "nonsense"] {
        assert_eq!(browser.act("activate", email).await.status, 404, "{email}");
    }
    assert_eq!(browser.act("set-password", ADA).await.status, 404);
    assert!(app.user("nobody@example.com").await.is_none());
}
