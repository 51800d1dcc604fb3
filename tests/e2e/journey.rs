//! The whole journey: a forgotten password becomes a new one.

use std::sync::Arc;

use aws::tables::User;
use http::Method;
use passwords::{HashFormat, HashParams, Password, PasswordHasher, verify};
use rand::rngs::SysRng;
use serde_json::json;
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, WEAK_PASSWORD, user},
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, JSON, send},
};

const OLD_PASSWORD: &str = "an old password that she forgot";

async fn ada() -> User {
    let costs = HashParams {
        memory_kib: 64,
        iterations: 1,
        parallelism: 1,
        format: HashFormat::Phc,
    };
    let hasher = PasswordHasher::new(costs).expect("valid costs");
    let hash = hasher
        .hash(Arc::new(Password::new(OLD_PASSWORD)), &mut SysRng)
        .await
        .expect("hashes");
    User {
        name: Some("Ada".to_owned()),
        password_hash: Some(hash),
        session_epoch: 7,
        ..user(ADA)
    }
}

fn opens(password: &str, user: &User) -> bool {
    verify(
        &Password::new(password),
        user.password_hash.as_deref().unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_forgotten_password_becomes_a_new_one() {
    let app = TestApp::builder().user(ada().await).start().await;

    app.request_reset(ADA).await.assert_worked();
    let mail = app.wait_for_email(ADA, 1).await;
    assert_eq!(mail.subject, "Set a new password for Example");
    let link = app.link_in(&mail);
    assert_eq!(link.email, ADA);
    assert!(link.url.starts_with(&format!(
        "{}#",
        app.url("/core/user/change-forgotten-password/")
    )));

    let weak = app.confirm(&link.token, WEAK_PASSWORD).await;
    weak.assert_problem(422, "weak_password");
    let before = app.user(ADA).await.expect("she is there");
    assert!(opens(OLD_PASSWORD, &before), "nothing has changed yet");

    // White space around a pasted token is none of it.
    let pasted = format!(" {}\n", link.token);
    app.confirm_with_email("Ada@Example.com", &pasted, GOOD_PASSWORD)
        .await
        .assert_worked();
    let after = app.user(ADA).await.expect("she is there");
    assert!(opens(GOOD_PASSWORD, &after));
    assert!(!opens(OLD_PASSWORD, &after));
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
async fn every_reason_against_a_password_is_given_with_what_to_do() {
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
        let answer = app.confirm(&link.token, password).await;
        answer.assert_problem(422, "weak_password");
        let problem = answer.json();
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
async fn the_name_in_the_account_counts_against_a_password() {
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
    let answer = app.confirm(&link.token, "gracebrewsterhopper1").await;
    answer.assert_problem(422, "weak_password");
    assert_eq!(answer.json()["reasons"][0]["code"], "contains_account");
}

#[tokio::test]
async fn the_settings_of_passwords_hold() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .set("PASSWORD_MIN_LENGTH", "8")
        .set("PASSWORD_HASH_FORMAT", "django")
        .user(user(ADA))
        .start()
        .await;
    let link = app.request_link(ADA).await;
    app.confirm(&link.token, "kWv7 0pZqL").await.assert_worked();
    let user = app.user(ADA).await.expect("she is there");
    assert!(opens("kWv7 0pZqL", &user));
    let hash = user.password_hash.unwrap_or_default();
    assert!(
        hash.starts_with("argon2$argon2id$v=19$m=64,t=1,p=1$"),
        "{hash}"
    );
}

#[tokio::test]
async fn a_check_says_what_would_become_of_a_password_and_changes_nothing() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .user(user(ADA))
        .start()
        .await;
    let mail = {
        app.request_reset(ADA).await.assert_worked();
        app.functions
            .deliver(&app.stream_records().await, tests::functions::at(0))
            .await;
        app.emails().pop().expect("a mail")
    };
    let link = app.link_in(&mail);
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
async fn mails_are_in_the_language_of_the_account_else_of_the_browser() {
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
async fn norm_03_neither_asking_nor_guessing_changes_the_account() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(ada().await)
        .start()
        .await;
    let account = async || {
        let mut row = app.rows("users").await.pop().expect("she is there");
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
    // Nor does guessing lock anybody out.
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
}

#[tokio::test]
async fn norm_12_pages_load_run_and_frame_nothing_else() {
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
async fn norm_13_fields_beside_the_documented_ones_set_nothing() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    let body = json!({
        "forgot_password_hash": link.token, "new_password": GOOD_PASSWORD,
        "is_superuser": true, "is_active": false, "user_id": "u-2", "mail_to": "eve@example.com",
        "name": "Eve", "session_epoch": 99, "password_hash": "x", "issued_at": 0,
    });
    app.post(CHANGE_PASSWORD, &body).await.assert_worked();
    let ada = app.user(ADA).await.expect("she is there");
    assert!(ada.is_active && !ada.is_superuser && opens(GOOD_PASSWORD, &ada));
    assert_eq!(
        (ada.user_id.as_str(), ada.mail_to.as_str(), ada.name),
        ("u-1", ADA, None)
    );
    assert_eq!(ada.session_epoch, 1);
}

#[tokio::test]
async fn norm_15_a_long_password_counts_to_its_last_character() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    let all: String = GOOD_PASSWORD.chars().cycle().take(255).collect();
    let long = format!("{all}\u{1f40e}");
    app.confirm(&link.token, &long).await.assert_worked();
    let ada = app.user(ADA).await.expect("she is there");
    assert!(opens(&long, &ada));
    assert!(!opens(&all, &ada) && !opens(&format!("{all}x"), &ada));
}
