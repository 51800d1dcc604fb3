//! Attacks of docs/security.md on tokens and links. The number in a test's name is the attack's
//! row.

use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp, UNKNOWN_TOKEN, WEAK_PASSWORD, user},
    functions::at,
    http::{CHANGE_PASSWORD, FORM, HttpResponse, form, send},
};

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

const EVE: &str = "eve@example.com";

/// Panics unless a change with `token` is refused before any read, with and without an address.
async fn assert_token_is_refused(app: &TestApp, token: Option<&Value>) {
    for email in [None, Some(ADA)] {
        let mut body = json!({ "new_password": GOOD_PASSWORD });
        for (name, value) in [
            ("email", email.map(Value::from)),
            ("forgot_password_hash", token.cloned()),
        ] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let response = app.post(CHANGE_PASSWORD, &body).await;
        app.assert_refused(&response, 400, "invalid_params");
    }
}

#[tokio::test]
async fn attack_05_an_object_list_or_boolean_token_is_refused_before_any_read() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for token in [
        json!({}),
        json!({ "$gt": 0 }),
        json!({ "S": UNKNOWN_TOKEN }),
        json!(true),
        json!(false),
        json!([]),
        json!([UNKNOWN_TOKEN]),
    ] {
        assert_token_is_refused(&app, Some(&token)).await;
    }
    app.assert_ada_is_unchanged().await;
}

#[tokio::test]
async fn attack_06_a_number_as_the_token_is_refused_before_any_read() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for token in [json!(0), json!(-1), json!(1.5), json!(1e300)] {
        assert_token_is_refused(&app, Some(&token)).await;
    }
    // In a form every value is text. It is still refused before any read.
    let body = form(&[
        ("forgot_password_hash", "0"),
        ("new_password", GOOD_PASSWORD),
    ]);
    let response = app.post_as(CHANGE_PASSWORD, FORM, body).await;
    app.assert_refused(&response, 400, "invalid_token");
    app.assert_ada_is_unchanged().await;
}

#[tokio::test]
async fn attack_07_an_empty_or_missing_token_never_matches() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for token in [
        None,
        Some(json!("")),
        Some(json!(null)),
        Some(json!([null])),
        Some(json!([""])),
    ] {
        assert_token_is_refused(&app, token.as_ref()).await;
    }
    for blank in [" ", "\t", "\u{a0}", "null", "undefined", "%00", "\0"] {
        let response = app.confirm_with_email(ADA, blank, GOOD_PASSWORD).await;
        app.assert_refused(&response, 400, "invalid_token");
    }
    app.assert_ada_is_unchanged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attack_08_one_of_fifty_concurrent_changes_with_one_token_succeeds() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    let passwords: Vec<String> = (0..50)
        .map(|number| format!("{GOOD_PASSWORD} {number}"))
        .collect();
    let confirm = |password| app.confirm(&link.token, password);
    let responses = join_all(passwords.iter().map(|password| confirm(password))).await;

    let (won, lost): (Vec<_>, Vec<_>) = responses
        .iter()
        .zip(&passwords)
        .partition(|(response, _)| response.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 49));
    for (response, _) in lost {
        response.assert_problem(400, "invalid_token");
    }
    let afterwards = confirm(OTHER_PASSWORD).await;
    afterwards.assert_problem(400, "invalid_token");
    app.assert_changed_once(won[0].1).await;
}

#[tokio::test]
async fn attack_09_the_first_change_invalidates_every_link() {
    for first in [0, 1] {
        let app = TestApp::with_ada().await;
        let links = [app.request_link(ADA).await, app.request_link(ADA).await];
        // Both links are valid; only the password is refused.
        for link in &links {
            let weak = app.confirm(&link.token, WEAK_PASSWORD).await;
            weak.assert_problem(422, "weak_password");
        }
        let used = app.confirm(&links[first].token, GOOD_PASSWORD).await;
        used.assert_worked();
        for link in &links {
            let late = app.confirm(&link.token, OTHER_PASSWORD).await;
            late.assert_problem(400, "invalid_token");
        }
        app.assert_changed_once(GOOD_PASSWORD).await;

        // A link requested afterwards works.
        let later = app.request_link(ADA).await;
        app.confirm(&later.token, OTHER_PASSWORD)
            .await
            .assert_worked();
    }
}

#[tokio::test]
async fn attack_21_a_token_with_another_address_is_refused_and_not_spent() {
    let app = TestApp::with_ada().await;
    app.add(&user(EVE)).await;
    let link = app.request_link(ADA).await;
    app.dynamodb.clear_calls();
    let without = json!({ "email": ADA, "new_password": GOOD_PASSWORD });
    app.assert_refused(
        &app.post(CHANGE_PASSWORD, &without).await,
        400,
        "invalid_params",
    );
    for email in [EVE, "nobody@example.com", "ada@example.org"] {
        let other = app
            .confirm_with_email(email, &link.token, GOOD_PASSWORD)
            .await;
        other.assert_problem(400, "invalid_token");
    }
    app.assert_ada_is_unchanged().await;
    let eve = app.user(EVE).await.expect("a row");
    assert_eq!((eve.password_hash, eve.session_epoch), (None, 0));
    app.confirm_with_email(ADA, &link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
}

#[tokio::test]
async fn attack_22_a_change_does_not_sign_the_user_in() {
    let app = TestApp::with_ada().await;
    let links = [app.request_link(ADA).await, app.request_link(ADA).await];
    let response = app.confirm(&links[0].token, GOOD_PASSWORD).await;
    assert_eq!(response.json(), json!({ "worked": true }));
    let fields = [
        ("forgot_password_hash", links[1].token.as_str()),
        ("new_password", OTHER_PASSWORD),
    ];
    let headers = [("content-type", FORM), ("accept", "text/html")];
    let page = send(
        Method::POST,
        &app.url(CHANGE_PASSWORD),
        &headers,
        form(&fields),
    )
    .await;
    for response in [response, page] {
        for name in ["set-cookie", "authorization", "location", "refresh"] {
            assert_eq!(response.header(name), None, "{response:?}");
        }
    }
}

#[tokio::test]
async fn attack_23_opening_a_link_does_not_spend_it() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    app.dynamodb.clear_calls();
    let page = link.url.split('#').next().expect("an address");
    // Some scanners move the fragment into the query.
    let query = link.url.replacen('#', "?", 1);
    let field = format!("{page}?forgot_password_hash={}", link.token);
    for url in [page, &query, &field] {
        for method in [Method::HEAD].into_iter().chain([Method::GET; 5]) {
            send(method, url, &[], "").await;
        }
    }
    assert_eq!(app.dynamodb.take_operations(), [""; 0]);
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
}

#[tokio::test]
async fn attack_26_an_expired_token_that_is_not_deleted_yet_is_refused() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let token = app.put_token(ADA, at(0), at(60)).await;
    let confirm = async |now| {
        let response = app.functions.confirm(token.expose(), GOOD_PASSWORD, now);
        response.await
    };
    for late in [at(60), at(86_400)] {
        app.dynamodb.clear_calls();
        confirm(late).await.assert_problem(400, "invalid_token");
        // The row is enough to refuse it, before the password is checked and hashed.
        assert_eq!(app.dynamodb.take_operations(), ["GetItem"]);
    }
    // The same over HTTP, by the machine's clock.
    let (day, second) = (chrono::TimeDelta::days(1), chrono::TimeDelta::seconds(1));
    let started = chrono::DateTime::from(std::time::SystemTime::now());
    let old = app.put_token(ADA, started - day, started - second).await;
    let response: HttpResponse = app.confirm(old.expose(), GOOD_PASSWORD).await;
    response.assert_problem(400, "invalid_token");
    app.assert_ada_is_unchanged().await;
    // The first token was only used too late.
    confirm(at(59)).await.assert_worked();
}
