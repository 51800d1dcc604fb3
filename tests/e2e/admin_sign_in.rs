//! Sign-in, sessions and forms of the admin panel.

use std::collections::BTreeSet;

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp},
    panel::{
        Browser, ROOT, cookie, form_token, get, location, post, start, try_sign_in,
        user_with_password,
    },
};

#[tokio::test]
async fn every_page_requires_sign_in() {
    let app = start().await;
    for path in [
        "/admin/",
        "/admin/?search=ada",
        "/admin/users/?email=ada@example.com",
        "/admin/users/deactivate/?email=ada@example.com",
    ] {
        for headers in [&[][..], &[("cookie", "admin_session=made-up")]] {
            assert_eq!(
                location(&get(&app.url(path), headers).await),
                "/admin/sign-in/",
                "{path}"
            );
        }
    }
    let response = post(&app.url("/admin/users/deactivate/"), &[], &[("email", ADA)]).await;
    assert_eq!(location(&response), "/admin/sign-in/");
    assert!(app.ada().await.is_active);
}

#[tokio::test]
async fn a_superuser_signs_in_and_out() {
    let app = start().await;
    let first = Browser::sign_in(&app.url(""), ROOT).await;
    let second = Browser::sign_in(&app.url(""), ROOT).await;
    assert_ne!(first.cookie, second.cookie);

    // A sign-in with a session's cookie ends that session.
    let form = first.get("/admin/sign-in/").await;
    let cookies = format!("{}; {}", cookie(&form, "admin_sign_in"), first.cookie);
    let token = form_token(&form);
    let fields = [
        ("form_token", token.as_str()),
        ("email", " Root@Example.COM "),
        ("password", GOOD_PASSWORD),
    ];
    let again = post(
        &app.url("/admin/sign-in/"),
        &[("cookie", &cookies)],
        &fields,
    )
    .await;
    assert_eq!(location(&again), "/admin/");
    assert_ne!(cookie(&again, "admin_session"), first.cookie);
    assert_eq!(location(&first.get("/admin/").await), "/admin/sign-in/");

    let token = second.form_token.as_str();
    let out = second
        .post("/admin/sign-out/", &[("form_token", token)])
        .await;
    assert_eq!(location(&out), "/admin/sign-in/");
    assert_eq!(location(&second.get("/admin/").await), "/admin/sign-in/");
}

#[tokio::test]
async fn a_failed_sign_in_does_not_reveal_why() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(user_with_password(ROOT, true).await)
        .user(user_with_password(ADA, false).await)
        .user(User {
            is_active: false,
            ..user_with_password("gone@example.com", true).await
        })
        .start()
        .await;
    let mut responses = BTreeSet::new();
    for (email, password) in [
        (ROOT, OTHER_PASSWORD),
        (ADA, GOOD_PASSWORD),
        ("gone@example.com", GOOD_PASSWORD),
        ("nobody@example.com", GOOD_PASSWORD),
    ] {
        let response = try_sign_in(&app.url(""), email, password).await;
        assert!(response.header("set-cookie").is_none());
        let page = response
            .text()
            .replace(&format!("value=\"{email}\""), "")
            .replace(&form_token(&response), "");
        assert!(!page.contains(password));
        responses.insert((response.status.as_u16(), page));
    }
    assert_eq!(responses.len(), 1, "{responses:?}");
    assert_eq!(responses.first().expect("one").0, 422);
}

#[tokio::test]
async fn sign_in_attempts_are_limited() {
    let app = start().await;
    for _ in 0..5 {
        let response = try_sign_in(&app.url(""), ROOT, OTHER_PASSWORD).await;
        assert_eq!(response.status, 422);
    }
    let limited = try_sign_in(&app.url(""), ROOT, GOOD_PASSWORD).await;
    assert_eq!(limited.status, 429);
    let seconds: i64 = limited
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .expect("seconds");
    assert!((1..=15).contains(&seconds), "{seconds}");
    assert!(limited.text().contains(&format!("in {seconds} seconds")));
    let another = try_sign_in(&app.url(""), ADA, OTHER_PASSWORD).await;
    assert_eq!(another.status, 422, "the limit is per account");
}

#[tokio::test]
async fn a_known_browser_is_not_locked_out() {
    let app = start().await;
    let signed_in = try_sign_in(&app.url(""), ROOT, GOOD_PASSWORD).await;
    let known = cookie(&signed_in, "admin_browser");
    while try_sign_in(&app.url(""), ROOT, OTHER_PASSWORD).await.status != 429 {}

    let sign_in = async |password: &str| {
        let form = get(&app.url("/admin/sign-in/"), &[]).await;
        let cookies = format!("{}; {known}", cookie(&form, "admin_sign_in"));
        let token = form_token(&form);
        let fields = [
            ("form_token", token.as_str()),
            ("email", ROOT),
            ("password", password),
        ];
        post(
            &app.url("/admin/sign-in/"),
            &[("cookie", &cookies)],
            &fields,
        )
        .await
    };
    for _ in 0..4 {
        assert_eq!(sign_in(OTHER_PASSWORD).await.status, 422);
    }
    let again = sign_in(GOOD_PASSWORD).await;
    assert_eq!(location(&again), "/admin/");
}

#[tokio::test]
async fn a_form_without_its_token_is_refused() {
    let app = start().await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;
    let other = Browser::sign_in(&app.url(""), ROOT).await;
    for token in [
        None,
        Some(""),
        Some("wrong"),
        Some(other.form_token.as_str()),
    ] {
        let mut fields = vec![("email", ADA)];
        fields.extend(token.map(|token| ("form_token", token)));
        for path in [
            "/admin/users/deactivate/",
            "/admin/users/send-reset/",
            "/admin/sign-out/",
        ] {
            let response = browser.post(path, &fields).await;
            assert_eq!(response.status, 403, "{path} {token:?}");
        }
    }
    assert!(app.ada().await.is_active);
    assert_eq!(browser.get("/admin/").await.status, 200);

    let fields = [("email", ROOT), ("password", GOOD_PASSWORD)];
    let sign_in = post(&app.url("/admin/sign-in/"), &[], &fields).await;
    assert_eq!(sign_in.status, 403);
}

#[tokio::test]
async fn other_hosts_and_sites_are_refused() {
    let app = start().await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;
    for host in [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1:1",
        "localhost",
    ] {
        let headers = [("host", host), ("cookie", browser.cookie.as_str())];
        for path in ["/admin/", "/admin/sign-in/"] {
            let response = get(&app.url(path), &headers).await;
            assert_eq!(response.status, 403, "{host}");
            assert!(!response.text().contains(ADA));
        }
    }
    let port = app.url("").rsplit(':').next().expect("a port").to_owned();
    let host = format!("localhost:{port}");
    let local = [("host", host.as_str()), ("cookie", &browser.cookie)];
    assert_eq!(get(&app.url("/admin/"), &local).await.status, 200);

    let fields = [("form_token", browser.form_token.as_str()), ("email", ADA)];
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let headers = [("cookie", browser.cookie.as_str()), (name, value)];
        let response = post(&app.url("/admin/users/deactivate/"), &headers, &fields).await;
        assert_eq!(response.status, 403, "{name}: {value}");
    }
    assert!(app.ada().await.is_active);

    // What a browser sends from the panel's own pages, whose referrer policy is `no-referrer`.
    let headers = [
        ("cookie", browser.cookie.as_str()),
        ("origin", "null"),
        ("sec-fetch-site", "same-origin"),
    ];
    let response = post(&app.url("/admin/users/deactivate/"), &headers, &fields).await;
    assert_eq!(response.status, 303);
}

#[tokio::test]
async fn a_session_ends_when_the_user_loses_access() {
    for (attribute, value) in [
        ("is_active", AttributeValue::Bool(false)),
        ("is_superuser", AttributeValue::Bool(false)),
        ("session_epoch", AttributeValue::N("1".to_owned())),
    ] {
        let app = start().await;
        let browser = Browser::sign_in(&app.url(""), ROOT).await;
        let update = app
            .dynamodb_client()
            .update_item()
            .table_name("users")
            .key("email", AttributeValue::S(ROOT.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", attribute)
            .expression_attribute_values(":value", value);
        update.send().await.expect("DynamoDB responds");
        assert_eq!(
            location(&browser.get("/admin/").await),
            "/admin/sign-in/",
            "{attribute}"
        );
    }
}

#[tokio::test]
async fn pages_have_strict_headers_and_no_script() {
    let app = start().await;
    let browser = Browser::sign_in(&app.url(""), ROOT).await;
    for path in [
        "/admin/",
        "/admin/sign-in/",
        "/admin/users/?email=ada@example.com",
        "/admin/users/deactivate/?email=ada@example.com",
        "/admin/users/?email=nobody@example.com",
        "/admin/users/set-password/?email=ada@example.com",
    ] {
        let response = browser.get(path).await;
        let policy = response
            .header("content-security-policy")
            .expect("a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(policy.contains("form-action 'self'; frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains("script"));
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(response.header(name), Some(value), "{path}");
        }
        let page = response.text();
        assert_eq!(page.matches("<h1>").count(), 1, "{path}");
        assert!(!page.contains("<script") && !page.contains("style=\""));
        let has_password = page.contains("type=\"password\"") || page.contains("name=\"password");
        assert_eq!(has_password, path == "/admin/sign-in/", "{path}");
    }
}
