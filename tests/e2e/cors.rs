//! Cross-origin requests.

use super::http::{start, valid_json};
use http::Method;
use tests::{
    app::TestApp,
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, JSON, send},
};

#[tokio::test]
async fn cors_is_off_until_origins_are_listed() {
    let app = start().await;
    let origin = ("origin", "https://app.example.com");
    let preflight = [origin, ("access-control-request-method", "POST")];
    let response = send(Method::OPTIONS, &app.url(FORGOT_PASSWORD), &preflight, "").await;
    app.assert_refused(&response, 405, "method_not_allowed");
    let response = send(
        Method::POST,
        &app.url(FORGOT_PASSWORD),
        &[origin, ("content-type", JSON)],
        valid_json(FORGOT_PASSWORD).to_string(),
    )
    .await;
    response.assert_worked();
    assert!(
        response
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control")),
        "{response:?}"
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
            let response = send(
                Method::POST,
                &app.url(path),
                &[("origin", origin), ("content-type", JSON)],
                "{}",
            )
            .await;
            app.assert_refused(&response, 400, "invalid_params");
            assert_eq!(response.header("access-control-allow-origin"), expected);
            assert_eq!(response.header("vary"), Some("origin"));
            assert_eq!(response.header("access-control-allow-credentials"), None);
        }
    }
}

#[tokio::test]
async fn a_listed_origin_can_read_that_a_path_is_unknown() {
    let origin = ("origin", "https://app.example.com");
    let app = TestApp::builder()
        .manual_delivery()
        .set("CORS_ORIGINS", origin.1)
        .start()
        .await;
    let url = app.url("/core/user/forgotten-password/");
    let headers = [origin, ("access-control-request-method", "POST")];
    let preflight = send(Method::OPTIONS, &url, &headers, "").await;
    assert_eq!(preflight.status.as_u16(), 204);
    let response = send(Method::POST, &url, &[origin, ("content-type", JSON)], "{}").await;
    app.assert_refused(&response, 404, "not_found");
    assert_eq!(
        response.header("access-control-allow-origin"),
        Some(origin.1)
    );
}
