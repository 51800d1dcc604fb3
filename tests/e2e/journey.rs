//! The whole journey, from a forgotten password to a new one.

use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, WEAK_PASSWORD, cheap_hash, has_password, user},
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, JSON, send},
};

use aws::tables::User;
use http::Method;
use serde_json::json;

const OLD_PASSWORD: &str = "an old password that she forgot";

async fn ada() -> User {
    User {
        name: Some("Ada".to_owned()),
        password_hash: Some(cheap_hash(OLD_PASSWORD).await),
        session_epoch: 7,
        ..user(ADA)
    }
}

#[tokio::test]
async fn a_forgotten_password_is_replaced() {
    let app = TestApp::builder().user(ada().await).start().await;

    app.request_reset(ADA).await.assert_worked();
    let email = app.wait_for_email(ADA, 1).await;
    assert_eq!(email.subject, "Set a new password for Example");
    let link = app.link_in(&email);
    assert_eq!(link.email, ADA);
    assert!(link.url.starts_with(&format!(
        "{}#",
        app.url("/core/user/change-forgotten-password/")
    )));

    let weak = app.confirm(&link.token, WEAK_PASSWORD).await;
    weak.assert_problem(422, "weak_password");
    let before = app.ada().await;
    assert!(
        has_password(&before, OLD_PASSWORD),
        "nothing has changed yet"
    );

    // White space around a pasted token is ignored.
    let pasted = format!(" {}\n", link.token);
    app.confirm_with_email("Ada@Example.com", &pasted, GOOD_PASSWORD)
        .await
        .assert_worked();
    let after = app.ada().await;
    assert!(has_password(&after, GOOD_PASSWORD));
    assert!(!has_password(&after, OLD_PASSWORD));
    let hash = after.password_hash.as_deref().unwrap_or_default();
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert_eq!(after.session_epoch, 8);
    assert!(after.password_changed_at > before.password_changed_at);

    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_problem(400, "invalid_token");
    let notice = app.wait_for_email(ADA, 2).await;
    assert_eq!(notice.subject, "Your password for Example was changed");
    assert!(!notice.text.contains(&link.token) && !notice.html.contains(&link.token));
    assert!(app.rows("tokens").await.is_empty());
}

#[tokio::test]
async fn every_weakness_of_a_password_is_reported_with_advice() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(ada().await)
        .start()
        .await;
    let link = app.request_link(ADA).await;
    for (password, codes) in [
        ("short", &["too_short", "too_guessable"][..]),
        (WEAK_PASSWORD, &["too_guessable"]),
        ("Ada@Example.com 2026", &["contains_account"]),
        (&"long and longer ".repeat(17), &["too_long"]),
    ] {
        let response = app.confirm(&link.token, password).await;
        response.assert_problem(422, "weak_password");
        let problem = response.json();
        let reasons = problem["reasons"].as_array().expect("a list");
        let found: Vec<&str> = reasons
            .iter()
            .filter_map(|reason| reason["code"].as_str())
            .collect();
        assert_eq!(found, codes, "{password}");
        for reason in reasons {
            let advice = reason["detail"].as_str().expect("a sentence");
            assert!(
                problem["detail"]
                    .as_str()
                    .is_some_and(|detail| detail.contains(advice)),
                "{problem}"
            );
        }
    }
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
}

#[tokio::test]
async fn a_password_made_of_the_users_name_is_weak() {
    let grace = User {
        name: Some("Grace Brewster Hopper".to_owned()),
        ..user("someone@example.com")
    };
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(grace)
        .start()
        .await;
    let link = app.request_link("someone@example.com").await;
    let response = app.confirm(&link.token, "gracebrewsterhopper1").await;
    response.assert_problem(422, "weak_password");
    assert_eq!(response.json()["reasons"][0]["code"], "contains_account");
}

#[tokio::test]
async fn password_settings_are_applied() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .set("PASSWORD_MIN_LENGTH", "8")
        .set("PASSWORD_HASH_FORMAT", "django")
        .user(user(ADA))
        .start()
        .await;
    let link = app.request_link(ADA).await;
    app.confirm(&link.token, "kWv7 0pZqL").await.assert_worked();
    let user = app.ada().await;
    assert!(has_password(&user, "kWv7 0pZqL"));
    let hash = user.password_hash.unwrap_or_default();
    assert!(
        hash.starts_with("argon2$argon2id$v=19$m=64,t=1,p=1$"),
        "{hash}"
    );
}

#[tokio::test]
async fn check_only_judges_a_password_and_changes_nothing() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .user(user(ADA))
        .start()
        .await;
    let email = {
        app.request_reset(ADA).await.assert_worked();
        app.functions
            .deliver(&app.stream_records().await, tests::functions::at(0))
            .await;
        app.emails().pop().expect("an email")
    };
    let link = app.link_in(&email);
    app.dynamodb.clear_calls();
    let check = async |token: &str, password: &str| {
        let body =
            json!({ "forgot_password_hash": token, "new_password": password, "check_only": "1" });
        app.post(CHANGE_PASSWORD, &body).await
    };
    check(&link.token, GOOD_PASSWORD).await.assert_worked();
    check(&link.token, WEAK_PASSWORD)
        .await
        .assert_problem(422, "weak_password");
    let other = "A".repeat(link.token.len());
    check(&other, WEAK_PASSWORD)
        .await
        .assert_problem(400, "invalid_token");
    assert_eq!(app.dynamodb.take_operations(), ["GetItem"; 3]);
    assert!(
        app.user(ADA)
            .await
            .is_some_and(|ada| ada.password_hash.is_none())
    );
}

#[tokio::test]
async fn emails_are_in_the_accounts_language_or_the_browsers() {
    let spanish = User {
        locale: Some("es".to_owned()),
        ..user("eva@example.com")
    };
    let app = TestApp::builder()
        .user(user(ADA))
        .user(spanish)
        .start()
        .await;
    for (email, subject) in [
        (ADA, "Defina uma nova senha para Example"),
        ("eva@example.com", "Elige una contraseña nueva para Example"),
    ] {
        let headers = [
            ("content-type", JSON),
            ("accept-language", "tlh, pt-BR;q=0.9, en;q=0.1"),
        ];
        let body = json!({ "email": email }).to_string();
        send(Method::POST, &app.url(FORGOT_PASSWORD), &headers, body)
            .await
            .assert_worked();
        assert_eq!(app.wait_for_email(email, 1).await.subject, subject);
    }
}

#[tokio::test]
async fn norm_03_requests_and_wrong_tokens_do_not_change_the_account() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(ada().await)
        .start()
        .await;
    let account = async || {
        let mut row = app.rows("users").await.pop().expect("a row");
        row.retain(|name, _| !name.starts_with("recovery_"));
        row
    };
    let before = account().await;
    let link = app.request_link(ADA).await;
    for number in 0..20 {
        let wrong = app.confirm(&format!("{number:043}"), GOOD_PASSWORD).await;
        wrong.assert_problem(400, "invalid_token");
    }
    assert_eq!(account().await, before);
    // Wrong tokens do not lock the account.
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
}

#[tokio::test]
async fn norm_12_pages_forbid_foreign_content_and_framing() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        let page = send(Method::GET, &app.url(path), &[], "").await;
        page.assert_security_headers();
        let policy = page.header("content-security-policy").expect("a policy");
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        for directive in [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(directives.contains(&directive), "{directive} in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'));
    }
}

#[tokio::test]
async fn norm_13_undocumented_fields_are_ignored() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    let body = json!({
        "forgot_password_hash": link.token, "new_password": GOOD_PASSWORD,
        "is_superuser": true, "is_active": false, "user_id": "u-2", "mail_to": "eve@example.com",
        "name": "Eve", "session_epoch": 99, "password_hash": "x", "issued_at": 0,
    });
    app.post(CHANGE_PASSWORD, &body).await.assert_worked();
    let ada = app.ada().await;
    assert!(ada.is_active && !ada.is_superuser && has_password(&ada, GOOD_PASSWORD));
    assert_eq!(
        (ada.user_id.as_str(), ada.mail_to.as_str(), ada.name),
        ("u-1", ADA, None)
    );
    assert_eq!(ada.session_epoch, 1);
}

#[tokio::test]
async fn norm_15_a_long_password_is_not_truncated() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    let all: String = GOOD_PASSWORD.chars().cycle().take(255).collect();
    let long = format!("{all}\u{1f40e}");
    app.confirm(&link.token, &long).await.assert_worked();
    let ada = app.ada().await;
    assert!(has_password(&ada, &long));
    assert!(!has_password(&ada, &all) && !has_password(&ada, &format!("{all}x")));
}
