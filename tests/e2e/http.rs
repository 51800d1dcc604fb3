//! Both resources over HTTP: what is accepted, what is refused and how, and that nothing is
//! refused by way of a table.

use http::Method;
use serde_json::{Value, json};
use tests::{
    app::{GOOD_PASSWORD, TestApp, WEAK_PASSWORD, user},
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, JSON, MULTIPART, form, multipart, send},
};

const ADDRESS: &str = "ada.king@example.com";
/// Has a token's shape.
const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const MAX_BODY_BYTES: usize = 16 * 1024;

async fn start() -> TestApp {
    TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .user(user(ADDRESS))
        .start()
        .await
}

/// A body that the resource takes.
fn good(path: &str) -> Vec<(&'static str, &'static str)> {
    if path.starts_with(FORGOT_PASSWORD.trim_end_matches('/')) {
        vec![("email", ADDRESS)]
    } else {
        vec![
            ("forgot_password_hash", TOKEN),
            ("new_password", GOOD_PASSWORD),
        ]
    }
}

fn good_json(path: &str) -> Value {
    good(path)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

#[tokio::test]
async fn a_request_is_taken_in_three_formats_with_and_without_a_slash() {
    let app = start().await;
    for path in [FORGOT_PASSWORD, FORGOT_PASSWORD.trim_end_matches('/')] {
        for (content_type, body) in [
            (JSON, good_json(path).to_string()),
            (
                "application/json; charset=utf-8",
                good_json(path).to_string(),
            ),
            (FORM, form(&good(path))),
            (
                "application/x-www-form-urlencoded; charset=UTF-8",
                form(&good(path)),
            ),
            (MULTIPART, multipart(&good(path))),
        ] {
            let answer = app.post_as(path, content_type, body).await;
            answer.assert_worked();
            assert_eq!(answer.header("content-type"), Some("application/json"));
            answer.assert_security_headers();
        }
    }
    assert_eq!(app.dynamodb.take_operations(), ["UpdateItem"; 10]);
}

#[tokio::test]
async fn a_change_is_taken_in_three_formats_with_and_without_a_slash() {
    let app = start().await;
    for path in [CHANGE_PASSWORD, CHANGE_PASSWORD.trim_end_matches('/')] {
        for (content_type, body) in [
            (JSON, good_json(path).to_string()),
            (FORM, form(&good(path))),
            (MULTIPART, multipart(&good(path))),
        ] {
            // Understood, looked for and not found.
            let answer = app.post_as(path, content_type, body).await;
            answer.assert_problem(400, "invalid_token");
            answer.assert_security_headers();
            assert_eq!(app.dynamodb.take_operations(), ["GetItem"]);
        }
    }
}

const PATHS: [&str; 4] = [
    FORGOT_PASSWORD,
    CHANGE_PASSWORD,
    "/core/user/forgot-password",
    "/core/user/change-forgotten-password",
];

#[tokio::test]
async fn a_get_is_answered_with_the_page_and_changes_nothing() {
    let app = start().await;
    for path in PATHS {
        let url = format!(
            "{}?email={ADDRESS}&token={TOKEN}&lang=\"><script>",
            app.url(path)
        );
        for method in [Method::GET, Method::HEAD] {
            let page = send(
                method.clone(),
                &url.replace(['"', '<', '>'], "%3C"),
                &[],
                "",
            )
            .await;
            assert_eq!(page.status, 200);
            assert_eq!(
                page.header("content-type"),
                Some("text/html; charset=utf-8")
            );
            assert!(page.header("content-security-policy").is_some());
            page.assert_security_headers();
            assert_eq!(page.body.is_empty(), method == Method::HEAD);
            let text = String::from_utf8_lossy(&page.body).into_owned();
            assert!(!text.contains(TOKEN) && !text.contains(ADDRESS), "{text}");
        }
    }
    assert_eq!(app.dynamodb.take_operations(), [""; 0]);
}

#[tokio::test]
async fn other_methods_are_answered_405_with_allow() {
    let app = start().await;
    for path in PATHS {
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let body = good_json(path).to_string();
            let answer = send(method, &app.url(path), &[("content-type", JSON)], body).await;
            app.assert_refused(&answer, 405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
        }
    }
    for path in ["/.well-known/change-password", "/openapi.json"] {
        for method in [Method::POST, Method::PUT, Method::OPTIONS] {
            let answer = send(method, &app.url(path), &[("content-type", FORM)], "").await;
            app.assert_refused(&answer, 405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
    }
}

#[tokio::test]
async fn a_form_in_a_browser_is_answered_with_a_page_of_the_same_status() {
    let app = start().await;
    let strange = "\"><script>alert(1)</script>";
    for (path, content_type, body, status) in [
        (FORGOT_PASSWORD, FORM, form(&good(FORGOT_PASSWORD)), 200),
        (FORGOT_PASSWORD, FORM, form(&[("email", strange)]), 400),
        (FORGOT_PASSWORD, MULTIPART, "broken".to_owned(), 400),
        (FORGOT_PASSWORD, FORM, "x".repeat(MAX_BODY_BYTES + 1), 413),
        (
            FORGOT_PASSWORD,
            "application/x-www-form-urlencoded; charset=x",
            form(&good(FORGOT_PASSWORD)),
            415,
        ),
        (CHANGE_PASSWORD, FORM, form(&good(CHANGE_PASSWORD)), 400),
        (
            CHANGE_PASSWORD,
            MULTIPART,
            multipart(&[
                ("forgot_password_hash", strange),
                ("new_password", GOOD_PASSWORD),
            ]),
            400,
        ),
        (
            CHANGE_PASSWORD,
            FORM,
            form(&[("new_password", GOOD_PASSWORD), ("email", strange)]),
            400,
        ),
    ] {
        let headers = [
            ("content-type", content_type),
            ("accept", "text/html,application/xhtml+xml"),
        ];
        let page = send(Method::POST, &app.url(path), &headers, body.clone()).await;
        assert_eq!(page.status.as_u16(), status, "{path} {body}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        page.assert_security_headers();
        let text = String::from_utf8_lossy(&page.body).into_owned();
        assert!(
            !text.contains(strange) && !text.contains(GOOD_PASSWORD),
            "{text}"
        );
    }
    // The one request and the one token of the right shape.
    assert_eq!(app.dynamodb.take_operations(), ["UpdateItem", "GetItem"]);
}

#[tokio::test]
async fn an_unknown_path_is_answered_404() {
    let app = start().await;
    for path in [
        "/",
        "/core/user/",
        "/core/user/forgot-password/x",
        "/core/user/forgot-password//",
        "//core//user/forgot-password/",
        "/CORE/USER/FORGOT_PASSWORD-PASSWORD/",
        "/core/user/forgot%2Dpassword%2F",
        "/core/user/../user/forgot-password/",
    ] {
        let answer = app
            .post_as(path, JSON, good_json(FORGOT_PASSWORD).to_string())
            .await;
        app.assert_refused(&answer, 404, "not_found");
    }
}

#[tokio::test]
async fn another_content_type_charset_or_encoding_is_answered_415() {
    let app = start().await;
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        let body = good_json(path).to_string();
        for content_type in [
            "text/plain",
            "application/xml",
            "application/octet-stream",
            "json",
            "",
            "application/json; charset=iso-8859-1",
            "application/x-www-form-urlencoded; charset=utf-16",
            "text/html",
            "application/json, text/plain",
        ] {
            let answer = app.post_as(path, content_type, body.clone()).await;
            app.assert_refused(&answer, 415, "unsupported_media_type");
            assert!(
                answer
                    .header("accept")
                    .is_some_and(|accept| accept.contains(JSON))
            );
        }
        let none = send(Method::POST, &app.url(path), &[], body.clone()).await;
        app.assert_refused(&none, 415, "unsupported_media_type");
        let twice = [("content-type", JSON), ("content-type", FORM)];
        app.assert_refused(
            &send(Method::POST, &app.url(path), &twice, body.clone()).await,
            415,
            "unsupported_media_type",
        );
        for encoding in ["gzip", "br", "x"] {
            let headers = [("content-type", JSON), ("content-encoding", encoding)];
            let answer = send(Method::POST, &app.url(path), &headers, body.clone()).await;
            app.assert_refused(&answer, 415, "unsupported_media_type");
        }
    }
}

#[tokio::test]
async fn a_body_over_16_kib_is_answered_413() {
    let app = start().await;
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        let body = good_json(path).to_string();
        let padded = |length: usize| body.clone() + &" ".repeat(length - body.len());
        let largest = app.post_as(path, JSON, padded(MAX_BODY_BYTES)).await;
        assert_ne!(largest.status, 413);
        app.dynamodb.clear_calls();
        for content_type in [JSON, FORM, MULTIPART, "text/plain"] {
            let answer = app
                .post_as(path, content_type, padded(MAX_BODY_BYTES + 1))
                .await;
            app.assert_refused(&answer, 413, "payload_too_large");
        }
    }
}

#[tokio::test]
async fn what_does_not_parse_is_answered_400() {
    let app = start().await;
    let binary: Vec<u8> = (0..=255).collect();
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        for content_type in [JSON, FORM, MULTIPART] {
            for body in [
                &b""[..],
                b"{",
                b"[]",
                b"null",
                b"\"email\"",
                b"{} {}",
                b"\0",
                b"\xff\xfe{\0}\0",
                b"&&&===",
                b"--x--",
                b"--x\r\n",
                &binary,
            ] {
                let answer = app.post_as(path, content_type, body).await;
                app.assert_refused(&answer, 400, "invalid_params");
            }
        }
        let deep = format!(
            r#"{{"email": {0}, "forgot_password_hash": {0}}}"#,
            "[".repeat(7_000)
        );
        app.assert_refused(&app.post_as(path, JSON, deep).await, 400, "invalid_params");
        let without_boundary = app
            .post_as(path, "multipart/form-data", multipart(&good(path)))
            .await;
        app.assert_refused(&without_boundary, 400, "invalid_params");
        let without_body = send(Method::POST, &app.url(path), &[], "").await;
        app.assert_refused(&without_body, 400, "invalid_params");
    }
}

/// What a field must not be.
fn no_strings() -> [Value; 11] {
    [
        json!(null),
        json!([ADDRESS]),
        json!([ADDRESS, "eve@example.com"]),
        json!([null]),
        json!([]),
        json!({}),
        json!({ "$gt": 0 }),
        json!(true),
        json!(0),
        json!(1.5),
        json!(""),
    ]
}

#[tokio::test]
async fn a_field_that_is_no_string_or_comes_twice_is_answered_400() {
    let app = start().await;
    for (path, field) in [
        (FORGOT_PASSWORD, "email"),
        (CHANGE_PASSWORD, "forgot_password_hash"),
        (CHANGE_PASSWORD, "new_password"),
        (CHANGE_PASSWORD, "email"),
    ] {
        let good = good_json(path);
        for value in no_strings() {
            let mut body = good.clone();
            body[field] = value;
            app.assert_refused(&app.post(path, &body).await, 400, "invalid_params");
        }
        let fields: Vec<(&str, &str)> = self::good(path)
            .into_iter()
            .filter(|(name, _)| *name != field)
            .collect();
        let with = |more: &[(&'static str, &'static str)]| [&fields, more].concat();
        let twice = with(&[(field, "ada.king@example.com"), (field, "eve@example.com")]);
        let empty = with(&[(field, "")]);
        for (content_type, body) in [
            (FORM, form(&twice)),
            (FORM, form(&empty)),
            (MULTIPART, multipart(&twice)),
            (MULTIPART, multipart(&empty)),
            (
                JSON,
                format!(
                    r#"{{"{field}": "a", "{field}": "b", {}"#,
                    good.to_string().trim_start_matches('{')
                ),
            ),
        ] {
            app.assert_refused(
                &app.post_as(path, content_type, body).await,
                400,
                "invalid_params",
            );
        }
        let file = format!("name=\"{field}\"; filename=\"f\"");
        let file = multipart(&with(&[(field, "x")])).replace(&format!("name=\"{field}\""), &file);
        app.assert_refused(
            &app.post_as(path, MULTIPART, file).await,
            400,
            "invalid_params",
        );
    }
}

#[tokio::test]
async fn a_missing_field_is_named_and_an_unknown_one_is_ignored() {
    let app = start().await;
    for (path, field) in [
        (FORGOT_PASSWORD, "email"),
        (CHANGE_PASSWORD, "forgot_password_hash"),
        (CHANGE_PASSWORD, "new_password"),
    ] {
        let mut body = good_json(path);
        body.as_object_mut().expect("an object").remove(field);
        let answer = app.post(path, &body).await;
        assert!(
            answer.json()["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(field)),
            "{answer:?}"
        );
        app.assert_refused(&answer, 400, "invalid_params");
    }
    let body =
        json!({ "email": ADDRESS, "next": "//evil.example", "is_superuser": true, "user_id": [1] });
    app.post(FORGOT_PASSWORD, &body).await.assert_worked();
}

#[tokio::test]
async fn what_is_no_address_is_answered_400() {
    let app = start().await;
    for typed in [
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "ada king@example.com",
        "\"ada\"@example.com",
        "ada@[192.0.2.1]",
        "ada.king@example.com,eve@example.com",
        "ada.king@example.com;eve@example.com",
        "ada.king@example.com eve@example.com",
        "ada.king@example.com\r\nBcc: eve@example.com",
        "ada.king@example.com\n.\n",
        "ada\0@example.com",
        "<ada.king@example.com>",
        "ada.king@example.com#x",
        "mailto:ada.king@example.com",
        "ada:king@example.com",
        "ada.king@example.com.",
    ] {
        app.secrets.add(typed);
        app.assert_refused(
            &app.post(FORGOT_PASSWORD, &json!({ "email": typed })).await,
            400,
            "invalid_params",
        );
        let mut body = good_json(CHANGE_PASSWORD);
        body["email"] = json!(typed);
        app.assert_refused(
            &app.post(CHANGE_PASSWORD, &body).await,
            400,
            "invalid_params",
        );
    }
}

#[tokio::test]
async fn a_malformed_token_is_answered_invalid_token_before_any_read() {
    let app = start().await;
    for token in [
        "0",
        "x",
        "null",
        &TOKEN[1..],
        &format!("{TOKEN}A"),
        &format!("{TOKEN}="),
        &TOKEN.replace('A', "+"),
        &TOKEN.replace('A', "é"),
    ] {
        app.assert_refused(
            &app.confirm(token, GOOD_PASSWORD).await,
            400,
            "invalid_token",
        );
    }
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_answer() {
    let app = start().await;
    let malformed = app.confirm("x", GOOD_PASSWORD).await.without_date();
    let unknown = app.confirm(TOKEN, GOOD_PASSWORD).await.without_date();
    assert_eq!(malformed, unknown);
    // Nor does an unknown token say what the policy makes of a password.
    assert_eq!(
        app.confirm(TOKEN, WEAK_PASSWORD).await.without_date(),
        unknown
    );
}

#[tokio::test]
async fn cors_is_off_until_origins_are_listed() {
    let app = start().await;
    let origin = ("origin", "https://app.example.com");
    let preflight = [origin, ("access-control-request-method", "POST")];
    let answer = send(Method::OPTIONS, &app.url(FORGOT_PASSWORD), &preflight, "").await;
    app.assert_refused(&answer, 405, "method_not_allowed");
    let answer = send(
        Method::POST,
        &app.url(FORGOT_PASSWORD),
        &[origin, ("content-type", JSON)],
        good_json(FORGOT_PASSWORD).to_string(),
    )
    .await;
    answer.assert_worked();
    assert!(
        answer
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_listed_origin_may_call_and_another_may_not() {
    let origins = "https://app.example.com, http://localhost:3000";
    let app = TestApp::builder()
        .manual_delivery()
        .set("CORS_ORIGINS", origins)
        .start()
        .await;
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        for (origin, allowed) in [
            ("https://app.example.com", true),
            ("http://localhost:3000", true),
            ("https://evil.example", false),
            ("null", false),
            ("https://app.example.com.evil.example", false),
            ("http://app.example.com", false),
        ] {
            let expected = allowed.then_some(origin);
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ];
            let preflight = send(Method::OPTIONS, &app.url(path), &headers, "").await;
            assert_eq!(preflight.status.as_u16(), if allowed { 204 } else { 405 });
            assert_eq!(preflight.header("access-control-allow-origin"), expected);
            assert_eq!(
                preflight.header("access-control-allow-methods"),
                allowed.then_some("GET, POST")
            );
            assert_eq!(
                preflight.header("access-control-allow-headers"),
                allowed.then_some("content-type")
            );
            preflight.assert_security_headers();

            // A problem can be read from there, too.
            let answer = send(
                Method::POST,
                &app.url(path),
                &[("origin", origin), ("content-type", JSON)],
                "{}",
            )
            .await;
            app.assert_refused(&answer, 400, "invalid_params");
            assert_eq!(answer.header("access-control-allow-origin"), expected);
            assert_eq!(answer.header("vary"), Some("origin"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
}
