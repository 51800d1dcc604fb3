//! Methods, paths, content types and pages of both resources. Refused requests read no table.

use http::Method;
use serde_json::{Value, json};
use tests::{
    app::{GOOD_PASSWORD, TestApp, UNKNOWN_TOKEN, user},
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, JSON, MULTIPART, form, multipart, send},
};

pub(crate) const ADDRESS: &str = "ada.king@example.com";

const MAX_BODY_BYTES: usize = 16 * 1024;

pub(crate) async fn start() -> TestApp {
    TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .user(user(ADDRESS))
        .start()
        .await
}

/// Returns the fields of a valid request to the resource.
pub(crate) fn valid_fields(path: &str) -> Vec<(&'static str, &'static str)> {
    if path.starts_with(FORGOT_PASSWORD.trim_end_matches('/')) {
        vec![("email", ADDRESS)]
    } else {
        vec![
            ("forgot_password_hash", UNKNOWN_TOKEN),
            ("new_password", GOOD_PASSWORD),
        ]
    }
}

pub(crate) fn valid_json(path: &str) -> Value {
    valid_fields(path)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

#[tokio::test]
async fn a_request_is_accepted_in_three_formats_with_and_without_a_slash() {
    let app = start().await;
    for path in [FORGOT_PASSWORD, FORGOT_PASSWORD.trim_end_matches('/')] {
        for (content_type, body) in [
            (JSON, valid_json(path).to_string()),
            (
                "application/json; charset=utf-8",
                valid_json(path).to_string(),
            ),
            (FORM, form(&valid_fields(path))),
            (
                "application/x-www-form-urlencoded; charset=UTF-8",
                form(&valid_fields(path)),
            ),
            (MULTIPART, multipart(&valid_fields(path))),
        ] {
            let response = app.post_as(path, content_type, body).await;
            response.assert_worked();
            assert_eq!(response.header("content-type"), Some("application/json"));
            response.assert_security_headers();
        }
    }
    assert_eq!(app.dynamodb.take_operations(), ["UpdateItem"; 10]);
}

#[tokio::test]
async fn a_change_is_accepted_in_three_formats_with_and_without_a_slash() {
    let app = start().await;
    for path in [CHANGE_PASSWORD, CHANGE_PASSWORD.trim_end_matches('/')] {
        for (content_type, body) in [
            (JSON, valid_json(path).to_string()),
            (FORM, form(&valid_fields(path))),
            (MULTIPART, multipart(&valid_fields(path))),
        ] {
            // The token is well-formed and unknown.
            let response = app.post_as(path, content_type, body).await;
            response.assert_problem(400, "invalid_token");
            response.assert_security_headers();
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
async fn a_get_returns_the_page_and_changes_nothing() {
    let app = start().await;
    for path in PATHS {
        let url = format!(
            "{}?email={ADDRESS}&token={UNKNOWN_TOKEN}&lang=\"><script>",
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
            assert!(
                !text.contains(UNKNOWN_TOKEN) && !text.contains(ADDRESS),
                "{text}"
            );
        }
    }
    assert_eq!(app.dynamodb.take_operations(), [""; 0]);
}

#[tokio::test]
async fn other_methods_get_405_with_allow() {
    let app = start().await;
    for path in PATHS {
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            let body = valid_json(path).to_string();
            let response = send(method, &app.url(path), &[("content-type", JSON)], body).await;
            app.assert_refused(&response, 405, "method_not_allowed");
            assert_eq!(response.header("allow"), Some("GET, HEAD, POST"));
        }
    }
    for path in ["/.well-known/change-password", "/openapi.json"] {
        for method in [Method::POST, Method::PUT, Method::OPTIONS] {
            let response = send(method, &app.url(path), &[("content-type", FORM)], "").await;
            app.assert_refused(&response, 405, "method_not_allowed");
            assert_eq!(response.header("allow"), Some("GET, HEAD"));
        }
    }
}

#[tokio::test]
async fn a_browser_gets_a_page_with_the_same_status() {
    let app = start().await;
    let strange = "\"><script>alert(1)</script>";
    for (path, content_type, body, status) in [
        (
            FORGOT_PASSWORD,
            FORM,
            form(&valid_fields(FORGOT_PASSWORD)),
            200,
        ),
        (FORGOT_PASSWORD, FORM, form(&[("email", strange)]), 400),
        (FORGOT_PASSWORD, MULTIPART, "broken".to_owned(), 400),
        (FORGOT_PASSWORD, FORM, "x".repeat(MAX_BODY_BYTES + 1), 413),
        (
            FORGOT_PASSWORD,
            "application/x-www-form-urlencoded; charset=x",
            form(&valid_fields(FORGOT_PASSWORD)),
            415,
        ),
        (
            CHANGE_PASSWORD,
            FORM,
            form(&valid_fields(CHANGE_PASSWORD)),
            400,
        ),
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
    // Only the valid request and the well-formed token caused a call.
    assert_eq!(app.dynamodb.take_operations(), ["UpdateItem", "GetItem"]);
}

#[tokio::test]
async fn an_unknown_path_gets_404() {
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
        let response = app
            .post_as(path, JSON, valid_json(FORGOT_PASSWORD).to_string())
            .await;
        app.assert_refused(&response, 404, "not_found");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let response = send(method, &app.url("/nowhere"), &[], "").await;
        app.assert_refused(&response, 404, "not_found");
    }
    let head = send(Method::HEAD, &app.url("/nowhere"), &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
    head.assert_security_headers();
}

#[tokio::test]
async fn another_content_type_charset_or_encoding_gets_415() {
    let app = start().await;
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        let body = valid_json(path).to_string();
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
            let response = app.post_as(path, content_type, body.clone()).await;
            app.assert_refused(&response, 415, "unsupported_media_type");
            assert!(
                response
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
            let response = send(Method::POST, &app.url(path), &headers, body.clone()).await;
            app.assert_refused(&response, 415, "unsupported_media_type");
        }
    }
}

#[tokio::test]
async fn a_body_over_16_kib_gets_413() {
    let app = start().await;
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        let body = valid_json(path).to_string();
        let padded = |length: usize| body.clone() + &" ".repeat(length - body.len());
        let largest = app.post_as(path, JSON, padded(MAX_BODY_BYTES)).await;
        assert_ne!(largest.status, 413);
        app.dynamodb.clear_calls();
        for content_type in [JSON, FORM, MULTIPART, "text/plain"] {
            let response = app
                .post_as(path, content_type, padded(MAX_BODY_BYTES + 1))
                .await;
            app.assert_refused(&response, 413, "payload_too_large");
        }
    }
}

#[tokio::test]
async fn an_unparsable_body_gets_400() {
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
                let response = app.post_as(path, content_type, body).await;
                app.assert_refused(&response, 400, "invalid_params");
            }
        }
        let deep = format!(
            r#"{{"email": {0}, "forgot_password_hash": {0}}}"#,
            "[".repeat(7_000)
        );
        app.assert_refused(&app.post_as(path, JSON, deep).await, 400, "invalid_params");
        let without_boundary = app
            .post_as(path, "multipart/form-data", multipart(&valid_fields(path)))
            .await;
        app.assert_refused(&without_boundary, 400, "invalid_params");
        let without_body = send(Method::POST, &app.url(path), &[], "").await;
        app.assert_refused(&without_body, 400, "invalid_params");
    }
}
