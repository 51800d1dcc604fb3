//! The fields of both resources.

use super::http::{ADDRESS, start, valid_fields, valid_json};
use serde_json::{Value, json};
use tests::{
    app::{GOOD_PASSWORD, UNKNOWN_TOKEN, WEAK_PASSWORD},
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, JSON, MULTIPART, form, multipart},
};

/// Returns JSON values that are not strings.
fn non_strings() -> [Value; 11] {
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
async fn a_repeated_or_non_string_field_gets_400() {
    let app = start().await;
    for (path, field) in [
        (FORGOT_PASSWORD, "email"),
        (CHANGE_PASSWORD, "forgot_password_hash"),
        (CHANGE_PASSWORD, "new_password"),
        (CHANGE_PASSWORD, "email"),
    ] {
        let good = valid_json(path);
        for value in non_strings() {
            let mut body = good.clone();
            body[field] = value;
            app.assert_refused(&app.post(path, &body).await, 400, "invalid_params");
        }
        let fields: Vec<(&str, &str)> = self::valid_fields(path)
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
        let mut body = valid_json(path);
        body.as_object_mut().expect("an object").remove(field);
        let response = app.post(path, &body).await;
        assert!(
            response.json()["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(field)),
            "{response:?}"
        );
        app.assert_refused(&response, 400, "invalid_params");
    }
    let body =
        json!({ "email": ADDRESS, "next": "//evil.example", "is_superuser": true, "user_id": [1] });
    app.post(FORGOT_PASSWORD, &body).await.assert_worked();
}

#[tokio::test]
async fn an_invalid_address_gets_400() {
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
        let mut body = valid_json(CHANGE_PASSWORD);
        body["email"] = json!(typed);
        app.assert_refused(
            &app.post(CHANGE_PASSWORD, &body).await,
            400,
            "invalid_params",
        );
    }
}

#[tokio::test]
async fn a_malformed_token_is_refused_before_any_read() {
    let app = start().await;
    for token in [
        "0",
        "x",
        "null",
        &UNKNOWN_TOKEN[1..],
        &format!("{UNKNOWN_TOKEN}A"),
        &format!("{UNKNOWN_TOKEN}="),
        &UNKNOWN_TOKEN.replace('A', "+"),
        &UNKNOWN_TOKEN.replace('A', "é"),
    ] {
        app.assert_refused(
            &app.confirm(token, GOOD_PASSWORD).await,
            400,
            "invalid_token",
        );
    }
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_response() {
    let app = start().await;
    let malformed = app.confirm("x", GOOD_PASSWORD).await.without_date_and_id();
    let unknown = app
        .confirm(UNKNOWN_TOKEN, GOOD_PASSWORD)
        .await
        .without_date_and_id();
    assert_eq!(malformed, unknown);
    // A response to an unknown token does not reveal whether the password is weak.
    assert_eq!(
        app.confirm(UNKNOWN_TOKEN, WEAK_PASSWORD)
            .await
            .without_date_and_id(),
        unknown
    );
}
