//! Attacks of docs/security.md with headers, paths, parameters and bodies. The number in a test's
//! name is the attack's row.

use std::time::Duration;
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, UNKNOWN_TOKEN},
    functions::at,
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, JSON, MULTIPART, multipart, send},
    within_one_rate_window,
};

use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

#[tokio::test]
async fn attack_04_no_header_changes_the_link() {
    let app = TestApp::with_ada().await;
    let headers = [
        ("content-type", JSON),
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-server", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-original-url", "https://evil.example/"),
        ("forwarded", "host=evil.example;proto=https"),
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example/"),
    ];
    let body = json!({ "email": ADA }).to_string();
    let response = send(Method::POST, &app.url(FORGOT_PASSWORD), &headers, body).await;
    response.assert_worked();
    let email = app.wait_for_email(ADA, 1).await;
    let expected = format!("{}#", app.url(CHANGE_PASSWORD));
    assert!(app.link_in(&email).url.starts_with(&expected));
    assert!(!email.text.contains("evil") && !email.html.contains("evil"));
}

/// Returns the statuses of five requests with the headers and body that `vary` returns. The limit
/// per client is three.
async fn limited(vary: impl Fn(usize) -> ([(&'static str, String); 3], Value)) -> Vec<u16> {
    within_one_rate_window(86_400, async || {
        let app = TestApp::builder()
            .manual_delivery()
            .set("CLIENT_LIMIT", "3")
            .set("CLIENT_WINDOW_SECONDS", "86400")
            .start()
            .await;
        let mut statuses = Vec::new();
        for number in 0..5 {
            let (headers, body) = vary(number);
            let headers = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .chain([("content-type", JSON)]);
            let headers: Vec<_> = headers.collect();
            let response = send(
                Method::POST,
                &app.url(FORGOT_PASSWORD),
                &headers,
                body.to_string(),
            )
            .await;
            statuses.push(response.status.as_u16());
        }
        statuses
    })
    .await
}

#[tokio::test]
async fn attack_13_other_fields_and_headers_do_not_evade_the_limit() {
    let statuses = limited(|number| {
        let headers = [
            ("user-agent", format!("agent/{number}")),
            ("accept-language", format!("en;q=0.{number}")),
            ("cookie", format!("session={number}")),
        ];
        let body = json!({
            "email": format!("a{number}@example.com"), "nonce": number, "client": number, "ip": "::1",
        });
        (headers, body)
    })
    .await;
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn attack_14_forwarded_headers_and_ipv6_neighbours_do_not_evade_the_limit() {
    let statuses = limited(|number| {
        let address = format!("198.51.100.{number}");
        let headers = [
            ("x-forwarded-for", address.clone()),
            ("x-real-ip", address.clone()),
            ("forwarded", format!("for={address}")),
        ];
        (headers, json!({ "email": ADA }))
    })
    .await;
    assert_eq!(statuses, [200, 200, 200, 429, 429]);

    // The loopback interface has only one IPv6 address, so the gateway names the others.
    let app = TestApp::builder()
        .manual_delivery()
        .set("CLIENT_LIMIT", "2")
        .start()
        .await;
    let mut statuses = Vec::new();
    for client in [
        "2001:db8:1:2::1",
        "2001:db8:1:2:ffff::2",
        "2001:db8:1:2:3:4:5:6",
        "2001:db8:1:3::1",
    ] {
        let response = app.functions.request_reset_from(client, ADA, at(0)).await;
        statuses.push(response.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[tokio::test]
async fn attack_15_another_spelling_of_the_path_is_not_found() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for path in [
        "//core//user/forgot-password/",
        "/CORE/user/forgot-password/",
        "/core/user/Forgot-Password",
        "/core/user/forgot%2Dpassword/",
        "/core%2Fuser/forgot-password/",
        "/core/user/./forgot-password/",
        "/core/user/../user/forgot-password/",
        "/core/user/forgot-password//",
        "/core/user/forgot-password/x",
        "/core/user/forgot-password;x/",
    ] {
        let response = app.post(path, &json!({ "email": ADA })).await;
        app.assert_refused(&response, 404, "not_found");
    }
}

#[tokio::test]
async fn attack_16_redirect_parameters_are_ignored() {
    let app = TestApp::with_ada().await;
    for target in [
        "//evil.example",
        "/%5Cevil.example",
        "https://evil.example/",
    ] {
        let body = json!({
            "email": ADA, "next": target, "redirect": target, "redirect_to": target,
            "callback_url": target, "reset_url": target,
        });
        let path = format!("{FORGOT_PASSWORD}?next={target}&redirect={target}&RESET_URL={target}");
        let response = app.post(&path, &body).await;
        response.assert_worked();
        assert_eq!(response.header("location"), None);
    }
    let email = app.wait_for_email(ADA, 3).await;
    assert!(!email.html.contains("evil") && !email.text.contains("evil"));
    let link = app.link_in(&email);
    let body = json!({
        "forgot_password_hash": link.token, "new_password": GOOD_PASSWORD, "next": "//evil.example",
    });
    let response = app.post(CHANGE_PASSWORD, &body).await;
    response.assert_worked();
    assert_eq!(response.header("location"), None);
}

#[tokio::test]
async fn attack_17_large_or_deep_bodies_are_refused_before_any_read() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let mebibyte = 1024 * 1024;
    let large = "x".repeat(mebibyte);
    let part = multipart(&[("other", "x")]).replace("--x--\r\n", "");
    let (depth, parts) = (7_000, 250);
    for (content_type, body, status, code) in [
        (
            JSON,
            format!(r#"{{"forgot_password_hash":"{UNKNOWN_TOKEN}","new_password":"{large}"}}"#),
            413,
            "payload_too_large",
        ),
        (JSON, "[".repeat(mebibyte), 413, "payload_too_large"),
        (
            FORM,
            format!("forgot_password_hash={UNKNOWN_TOKEN}&new_password={large}"),
            413,
            "payload_too_large",
        ),
        (
            MULTIPART,
            part.repeat(mebibyte / part.len()) + "--x--\r\n",
            413,
            "payload_too_large",
        ),
        // Within the size limit.
        (JSON, "[".repeat(2 * depth), 400, "invalid_params"),
        (
            JSON,
            format!(
                r#"{{"new_password":{}{}}}"#,
                "[".repeat(depth),
                "]".repeat(depth)
            ),
            400,
            "invalid_params",
        ),
        (MULTIPART, part.repeat(parts), 400, "invalid_params"),
        (FORM, "&".repeat(2 * depth), 400, "invalid_params"),
    ] {
        for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
            let response = app.post_as(path, content_type, body.clone());
            // The slowest takes milliseconds.
            let response = timeout(Duration::from_secs(5), response).await;
            app.assert_refused(&response.expect("a response in time"), status, code);
        }
    }
}
