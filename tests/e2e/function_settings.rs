//! The settings with which the functions start.

use tests::{
    app::TestApp,
    gateway,
    lambda::{Function, run_to_end, sample_event, with_variables},
};

#[tokio::test]
async fn a_missing_or_invalid_setting_stops_the_start_and_is_named() {
    let environment = TestApp::with_ada_and_manual_delivery().await.environment();
    for (function, name, value, held) in [
        ("request", "AWS_REGION", "", "is not set"),
        ("request", "AWS_ACCESS_KEY_ID", "", "is not set"),
        ("request", "CLIENT_LIMIT", "many", "is \"many\""),
        ("request", "CLIENT_WINDOW_SECONDS", "0", "is \"0\""),
        ("request", "CORS_ORIGINS", "*", "is \"*\""),
        ("request", "OUTBOX_TABLE", "o", "is \"o\""),
        ("request", "ORIGIN_SECRET", "too short", "is invalid"),
        ("confirm", "ORIGIN_SECRET", "too short", "is invalid"),
        (
            "request",
            "CLIENT_ADDRESS_HEADER",
            "X-Real-IP",
            "is \"X-Real-IP\"",
        ),
        ("request", "AWS_LAMBDA_LOG_LEVEL", "loud", "is \"loud\""),
        ("request", "LOG_CLIENT", "address", "is \"address\""),
        ("request", "LOG_CLIENT_KEY", "too short", "is invalid"),
        (
            "request",
            "SSL_CERT_FILE",
            "/nowhere/roots.pem",
            "is \"/nowhere/roots.pem\"",
        ),
        ("confirm", "AWS_REGION", "", "is not set"),
        ("confirm", "AWS_SECRET_ACCESS_KEY", "", "is not set"),
        ("confirm", "PASSWORD_MIN_LENGTH", "7", "is \"7\""),
        ("confirm", "PASSWORD_MIN_SCORE", "5", "is \"5\""),
        ("confirm", "ARGON2_MEMORY_KIB", "1", "is \"1\""),
        ("confirm", "PASSWORD_HASH_FORMAT", "md5", "is \"md5\""),
        (
            "confirm",
            "PWNED_PASSWORDS_URL",
            "http://example.com/",
            "is \"http://example.com/\"",
        ),
        ("mailer", "AWS_REGION", "", "is not set"),
        ("mailer", "RESET_URL", "", "is not set"),
        (
            "mailer",
            "RESET_URL",
            "http://app.example.com/",
            "is \"http://app.example.com/\"",
        ),
        ("mailer", "MAIL_FROM", "", "is not set"),
        ("mailer", "MAIL_FROM", "nobody", "is \"nobody\""),
        ("mailer", "TOKEN_TTL_HOURS", "25", "is \"25\""),
        ("mailer", "ACCOUNT_LIMIT_PER_HOUR", "-1", "is \"-1\""),
    ] {
        let (status, message) =
            run_to_end(function, &with_variables(&environment, &[(name, value)])).await;
        assert!(!status.success(), "{function} {name}={value}: {status}");
        assert!(
            message.starts_with(&format!("{function} cannot run: {name} {held}")),
            "{message}"
        );
        assert!(
            message.contains("it must be") && message.lines().count() == 1,
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_function_needs_only_its_own_settings() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let environment = with_variables(
        &app.environment(),
        &[
            ("RESET_URL", ""),
            ("MAIL_FROM", ""),
            ("APP_NAME", ""),
            ("AWS_ENDPOINT_URL_SESV2", ""),
        ],
    );
    let request = Function::start("request", &environment);
    gateway::assert_worked(
        &request
            .invoke(&sample_event("request.json"))
            .await
            .expect("a response"),
    );
    let confirm = Function::start("confirm", &environment);
    gateway::assert_problem(
        &confirm
            .invoke(&sample_event("confirm.json"))
            .await
            .expect("a response"),
        400,
        "invalid_token",
    );
}
