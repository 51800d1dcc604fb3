//! The emails and their content.

use super::mailer::{email_for, recipients, start};
use aws::tables::User;
use serde_json::json;
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    functions::{NO_FAILURES, at, stream_record},
};

#[tokio::test]
async fn email_goes_to_the_registered_address_not_the_typed_one() {
    let app = start([user("Ada.Lovelace+Work@Example.com")]).await;
    app.functions
        .request_reset("ADA.LOVELACE+WORK@EXAMPLE.COM", at(0))
        .await
        .assert_worked();
    assert_eq!(
        app.functions
            .deliver(&app.stream_records().await, at(0))
            .await,
        NO_FAILURES
    );
    let email = app.emails().pop().expect("an email");
    assert_eq!(email.to, ["Ada.Lovelace+Work@Example.com"]);
    assert!(email.text.contains("Ada.Lovelace+Work@Example.com") && !email.text.contains("ADA"));
    assert_eq!(app.link_in(&email).email, "ada.lovelace+work@example.com");
}

#[tokio::test]
async fn an_inactive_account_gets_no_link() {
    let app = start([User {
        is_active: false,
        ..user(ADA)
    }])
    .await;
    assert_eq!(
        app.functions
            .deliver(&[stream_record("reset_requested", ADA, 1)], at(0))
            .await,
        NO_FAILURES
    );
    assert!(recipients(&app).is_empty());
    assert!(app.rows("tokens").await.is_empty());
}

#[tokio::test]
async fn emails_are_in_the_users_language() {
    for (locale, link, notice) in [
        (
            Some("pt-BR"),
            "Defina uma nova senha para Example",
            "Sua senha de Example foi alterada",
        ),
        (
            Some("es"),
            "Elige una contraseña nueva para Example",
            "Tu contraseña de Example ha cambiado",
        ),
        (
            Some("es-MX"),
            "Elige una contraseña nueva para Example",
            "Tu contraseña de Example ha cambiado",
        ),
        (
            Some("en-GB"),
            "Set a new password for Example",
            "Your password for Example was changed",
        ),
        (
            Some("xx\r\n"),
            "Set a new password for Example",
            "Your password for Example was changed",
        ),
        (
            None,
            "Set a new password for Example",
            "Your password for Example was changed",
        ),
    ] {
        let app = start([User {
            locale: locale.map(str::to_owned),
            ..user(ADA)
        }])
        .await;
        assert_eq!(
            email_for(&app, stream_record("reset_requested", ADA, 1))
                .await
                .subject,
            link
        );
        assert_eq!(
            email_for(&app, stream_record("password_changed", ADA, 2))
                .await
                .subject,
            notice
        );
    }
}

#[tokio::test]
async fn emails_are_marked_as_automatic_and_show_the_configured_sender() {
    let app = TestApp::builder()
        .manual_delivery()
        .set("MAIL_FROM", "Engine <no-reply@engine.example>")
        .set("MAIL_REPLY_TO", "help@engine.example")
        .set("SES_CONFIGURATION_SET", "recovery")
        .set("SUPPORT_URL", "https://engine.example/help")
        .set("APP_NAME", "Analytical Engine")
        .set("RESET_URL", "https://engine.example/reset?from=mail")
        .user(user(ADA))
        .start()
        .await;
    for (kind, subject) in [
        (
            "reset_requested",
            "Set a new password for Analytical Engine",
        ),
        (
            "password_changed",
            "Your password for Analytical Engine was changed",
        ),
    ] {
        let email = email_for(&app, stream_record(kind, ADA, 1)).await;
        assert_eq!(
            (email.from.as_str(), email.subject.as_str()),
            ("Engine <no-reply@engine.example>", subject)
        );
        assert_eq!(email.headers["Auto-Submitted"], "auto-generated");
        assert_eq!(email.headers["Reply-To"], "help@engine.example");
        assert!(
            email.text.contains("https://engine.example/help")
                && email.html.contains("https://engine.example/help")
        );
        let sent = &app.ses.take_calls()[0].body;
        assert_eq!(sent["ConfigurationSetName"], "recovery");
        assert_eq!(
            sent["EmailTags"][0],
            json!({ "Name": "kind", "Value": kind })
        );
    }
    let link = app.link_in(&app.emails()[0]);
    assert!(
        link.url
            .starts_with("https://engine.example/reset?from=mail#email=ada@example.com&token=")
    );
}

#[tokio::test]
async fn ses_tracks_neither_links_nor_opens() {
    let app = TestApp::builder()
        .manual_delivery()
        .set("SUPPORT_URL", "https://example.com/help")
        .user(user(ADA))
        .start()
        .await;
    for (kind, links) in [("reset_requested", 3), ("password_changed", 1)] {
        let email = email_for(&app, stream_record(kind, ADA, 1)).await;
        let sent = &app.ses.take_calls()[0].body;
        let html = sent["Content"]["Simple"]["Body"]["Html"]["Data"].as_str();
        let html = html.expect("an HTML part");
        let opted_out = html.matches("<a ses:no-track href=").count();
        assert_eq!((opted_out, html.matches("<a ").count()), (links, links));
        assert_eq!(
            sent["ConfigurationOverrides"]["Tracking"],
            json!({ "ClickTrackingEnabled": "DISABLED", "OpenTrackingEnabled": "DISABLED" })
        );
        // The inbox shows what recipients get.
        assert_eq!(email.html, html.replace(" ses:no-track", ""));
    }
}

#[tokio::test]
async fn a_link_is_valid_until_the_time_in_the_email() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .set("TOKEN_TTL_HOURS", "2")
        .user(user(ADA))
        .start()
        .await;
    let email = email_for(&app, stream_record("reset_requested", ADA, 1)).await;
    for part in [&email.text, &email.html] {
        assert!(part.contains("1 January 2100, 14:00 UTC"), "{part}");
    }
    let link = app.link_in(&email);
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(2 * 3_600))
        .await
        .assert_problem(400, "invalid_token");
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(2 * 3_600 - 1))
        .await
        .assert_worked();
}

#[tokio::test]
async fn a_notice_is_sent_even_when_the_budget_is_spent() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .set("ACCOUNT_LIMIT_PER_HOUR", "1")
        .user(user(ADA))
        .start()
        .await;
    let link = app.link_in(&email_for(&app, stream_record("reset_requested", ADA, 1)).await);
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(1))
        .await
        .assert_worked();
    let records = app.stream_records().await;
    assert_eq!(app.functions.deliver(&records, at(2)).await, NO_FAILURES);
    let notice = app.emails().pop().expect("an email");
    assert_eq!(notice.subject, "Your password for Example was changed");
    assert!(
        notice
            .text
            .contains("was changed on 1 January 2100, 12:00 UTC"),
        "{}",
        notice.text
    );
}

#[tokio::test]
async fn a_notice_does_not_use_the_budget() {
    let builder = TestApp::builder().manual_delivery().with_cheap_hashes();
    let builder = builder.set("ACCOUNT_LIMIT_PER_HOUR", "1").user(user(ADA));
    let app = builder.start().await;
    let notice = email_for(&app, stream_record("password_changed", ADA, 1)).await;
    assert_eq!(notice.subject, "Your password for Example was changed");
    let email = email_for(&app, stream_record("reset_requested", ADA, 2)).await;
    app.link_in(&email);
}
