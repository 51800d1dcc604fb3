//! The mailer, fed by hand with what the outbox's stream holds: whatever comes twice, comes
//! broken, or meets an SES that does not want it.

use aws::tables::User;
use local::inbox::StoredMail;
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    functions::{at, sequence_number, stream_record},
    proxy::{Action, Call},
};

const BOB: &str = "bob@example.com";
const CY: &str = "cy@example.com";
const NOTHING: [&str; 0] = [];

/// A system with `users`, whose stream is read by the test.
async fn start(users: impl IntoIterator<Item = User>) -> TestApp {
    let builder = TestApp::builder().manual_delivery().with_cheap_hashes();
    users
        .into_iter()
        .fold(builder, tests::builder::Builder::user)
        .start()
        .await
}

/// Ada, Bob and Cy have each asked for a mail; the records of it.
async fn three() -> (TestApp, Vec<Value>) {
    let app = start([user(ADA), user(BOB), user(CY)]).await;
    for email in [ADA, BOB, CY] {
        app.functions
            .request_reset(email, at(0))
            .await
            .assert_worked();
    }
    let records = app.stream_records().await;
    assert_eq!(records.len(), 3);
    (app, records)
}

fn is_to(call: &Call, address: &str) -> bool {
    call.body["Destination"]["ToAddresses"] == json!([address])
}

fn recipients(app: &TestApp) -> Vec<String> {
    app.emails().into_iter().flat_map(|mail| mail.to).collect()
}

/// The one mail that `record` makes.
async fn mail_for(app: &TestApp, record: Value) -> StoredMail {
    assert_eq!(app.functions.deliver(&[record], at(0)).await, NOTHING);
    app.emails().pop().expect("a mail")
}

#[tokio::test]
async fn the_same_batch_twice_leaves_links_that_work_and_no_error() {
    let (app, records) = three().await;
    assert_eq!(app.functions.deliver(&records, at(1)).await, NOTHING);
    assert_eq!(app.functions.deliver(&records, at(2)).await, NOTHING);
    assert_eq!(recipients(&app), [ADA, BOB, CY, ADA, BOB, CY]);
    let link = app.link_in(&app.emails_to(ADA)[1]);
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(3))
        .await
        .assert_worked();
    let first = app.link_in(&app.emails_to(BOB)[0]);
    app.functions
        .confirm(&first.token, GOOD_PASSWORD, at(3))
        .await
        .assert_worked();
    // A batch that comes twice is one mail of the budget.
    assert_eq!(
        app.user(CY)
            .await
            .map(|cy| (cy.recovery.emails.len(), cy.recovery.email_count)),
        Some((1, 1))
    );
}

#[tokio::test]
async fn a_record_that_comes_after_its_link_was_used_gives_one_that_works() {
    let (app, records) = three().await;
    assert_eq!(app.functions.deliver(&records[..1], at(1)).await, NOTHING);
    let first = app.link_in(&app.emails_to(ADA)[0]);
    app.functions
        .confirm(&first.token, GOOD_PASSWORD, at(2))
        .await
        .assert_worked();
    assert_eq!(app.functions.deliver(&records[..1], at(3)).await, NOTHING);
    let second = app.link_in(&app.emails_to(ADA)[1]);
    app.functions
        .confirm(&second.token, GOOD_PASSWORD, at(4))
        .await
        .assert_worked();
}

#[tokio::test]
async fn foreign_records_are_skipped_and_hold_up_nobody() {
    let app = start([user(ADA)]).await;
    let mut removed = stream_record("reset_requested", ADA, 1);
    removed["eventName"] = json!("REMOVE");
    let mut without_kind = stream_record("reset_requested", ADA, 2);
    without_kind["dynamodb"]["NewImage"]
        .as_object_mut()
        .expect("a row")
        .remove("kind");
    let mut without_number = stream_record("greeting", ADA, 3);
    without_number["dynamodb"]
        .as_object_mut()
        .expect("a change")
        .remove("SequenceNumber");
    let records = [
        json!(null),
        json!("garbage"),
        json!([]),
        json!({}),
        json!({ "eventName": "INSERT" }),
        removed,
        without_kind,
        without_number,
        stream_record("reset_requested", "no address", 4),
        json!({ "Records": [stream_record("reset_requested", ADA, 5)] }),
        stream_record("reset_requested", ADA, 6),
    ];
    assert_eq!(app.functions.deliver(&records, at(0)).await, NOTHING);
    assert_eq!(recipients(&app), [ADA]);
}

#[tokio::test]
async fn an_empty_batch_is_done() {
    let app = start([]).await;
    assert_eq!(app.functions.deliver(&[], at(0)).await, NOTHING);
}

#[tokio::test]
async fn a_failing_ses_reports_the_failed_record_and_those_behind_it() {
    for action in [
        Action::error(500, "InternalFailure", "out of order"),
        Action::error(429, "TooManyRequestsException", "slow down"),
        Action::Cut,
    ] {
        let (app, records) = three().await;
        app.ses.intercept(move |call| {
            if is_to(call, BOB) {
                action.clone()
            } else {
                Action::Pass
            }
        });
        let failed = app.functions.deliver(&records, at(0)).await;
        assert_eq!(
            failed,
            [sequence_number(&records[1]), sequence_number(&records[2])]
        );
        assert_eq!(recipients(&app), [ADA]);

        // Lambda delivers them again, within the cool-down of the first try.
        app.ses.pass_all();
        assert_eq!(app.functions.deliver(&records[1..], at(5)).await, NOTHING);
        assert_eq!(recipients(&app), [ADA, BOB, CY]);
        let link = app.link_in(&app.emails_to(BOB)[0]);
        app.functions
            .confirm(&link.token, GOOD_PASSWORD, at(6))
            .await
            .assert_worked();
    }
}

#[tokio::test]
async fn a_failing_dynamodb_reports_the_failed_record_and_those_behind_it() {
    for target in ["GetItem", "UpdateItem", "PutItem"] {
        let (app, records) = three().await;
        let mut seen = 0;
        app.dynamodb.intercept(move |call| {
            seen += usize::from(call.operation == target);
            // The first is Ada's.
            if call.operation == target && seen > 1 {
                Action::error(400, "ResourceNotFoundException", "no table")
            } else {
                Action::Pass
            }
        });
        let failed = app.functions.deliver(&records, at(0)).await;
        assert_eq!(
            failed,
            [sequence_number(&records[1]), sequence_number(&records[2])],
            "{target}"
        );
        app.dynamodb.pass_all();
        assert_eq!(app.functions.deliver(&records[1..], at(5)).await, NOTHING);
        assert_eq!(recipients(&app), [ADA, BOB, CY]);
    }
}

/// What becomes of Ada's mail, the first of three, when SES answers it with `code`: the records
/// that are reported, and how often SES was asked.
async fn first_of_three(code: &'static str, message: &'static str) -> (usize, usize) {
    let (app, records) = three().await;
    app.ses.intercept(move |call| {
        if is_to(call, ADA) {
            Action::error(400, code, message)
        } else {
            Action::Pass
        }
    });
    let failed = app.functions.deliver(&records, at(0)).await;
    let asked = app
        .ses
        .take_calls()
        .iter()
        .filter(|call| is_to(call, ADA))
        .count();
    let sent = recipients(&app).len();
    assert_eq!(
        failed.len() + sent + usize::from(failed.is_empty()),
        3,
        "all or none of those behind it"
    );
    (failed.len(), asked)
}

#[tokio::test]
async fn an_address_that_ses_refuses_is_not_tried_again() {
    for (code, message) in [
        (
            "BadRequestException",
            "Local address contains control or whitespace",
        ),
        ("BadRequestException", "Illegal address: ada@example.com"),
        (
            "MessageRejected",
            "Address is on the suppression list for your account: ada@example.com",
        ),
    ] {
        assert_eq!(
            first_of_three(code, message).await,
            (0, 1),
            "{code}: {message}"
        );
    }
}

#[tokio::test]
async fn what_is_about_the_sender_is_kept_for_later() {
    let unverified = "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: no-reply@example.com";
    for (code, message) in [
        ("MessageRejected", unverified),
        ("SendingPausedException", "Email sending is paused."),
        (
            "MailFromDomainNotVerifiedException",
            "The MAIL FROM domain is not verified.",
        ),
        ("AccountSuspendedException", "The account is suspended."),
        ("LimitExceededException", "Too many resources."),
        ("NotFoundException", "The configuration set does not exist."),
        (
            "AccessDeniedException",
            "not authorized to perform ses:SendEmail",
        ),
    ] {
        assert_eq!(first_of_three(code, message).await.0, 3, "{code}");
    }
}

#[tokio::test]
async fn an_account_that_changes_meanwhile_is_read_again() {
    let (app, records) = three().await;
    let mut failures = 0;
    app.dynamodb.intercept(move |call| {
        failures += usize::from(call.operation == "UpdateItem");
        if call.operation == "UpdateItem" && failures == 1 {
            Action::error(
                400,
                "ConditionalCheckFailedException",
                "The conditional request failed",
            )
        } else {
            Action::Pass
        }
    });
    app.dynamodb.clear_calls();
    assert_eq!(app.functions.deliver(&records[..1], at(0)).await, NOTHING);
    assert_eq!(
        app.dynamodb.take_operations(),
        ["GetItem", "UpdateItem", "GetItem", "UpdateItem", "PutItem"]
    );
    assert_eq!(recipients(&app), [ADA]);
}

#[tokio::test]
async fn a_batch_with_little_time_left_is_handed_back() {
    // The deadline is the runtime's; here it has passed. The first record is begun all the same,
    // or a function without time would never get on.
    let (app, records) = three().await;
    let failed = app.functions.deliver_after_half_time(&records, at(0)).await;
    assert_eq!(
        failed,
        [sequence_number(&records[1]), sequence_number(&records[2])]
    );
    assert_eq!(recipients(&app), [ADA]);
}

#[tokio::test]
async fn mail_goes_to_the_registered_address_and_not_to_the_typed_one() {
    let app = start([user("Ada.Lovelace+Work@Example.com")]).await;
    app.functions
        .request_reset("ADA.LOVELACE+WORK@EXAMPLE.COM", at(0))
        .await
        .assert_worked();
    assert_eq!(
        app.functions
            .deliver(&app.stream_records().await, at(0))
            .await,
        NOTHING
    );
    let mail = app.emails().pop().expect("a mail");
    assert_eq!(mail.to, ["Ada.Lovelace+Work@Example.com"]);
    assert!(mail.text.contains("Ada.Lovelace+Work@Example.com") && !mail.text.contains("ADA"));
    assert_eq!(app.link_in(&mail).email, "ada.lovelace+work@example.com");
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
        NOTHING
    );
    assert_eq!(recipients(&app), NOTHING);
    assert!(app.rows("tokens").await.is_empty());
}

#[tokio::test]
async fn mails_are_in_the_language_of_their_reader() {
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
            mail_for(&app, stream_record("reset_requested", ADA, 1))
                .await
                .subject,
            link
        );
        assert_eq!(
            mail_for(&app, stream_record("password_changed", ADA, 2))
                .await
                .subject,
            notice
        );
    }
}

#[tokio::test]
async fn a_mail_says_that_no_person_wrote_it_and_who_did() {
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
        let mail = mail_for(&app, stream_record(kind, ADA, 1)).await;
        assert_eq!(
            (mail.from.as_str(), mail.subject.as_str()),
            ("Engine <no-reply@engine.example>", subject)
        );
        assert_eq!(mail.headers["Auto-Submitted"], "auto-generated");
        assert_eq!(mail.headers["Reply-To"], "help@engine.example");
        assert!(
            mail.text.contains("https://engine.example/help")
                && mail.html.contains("https://engine.example/help")
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
async fn the_link_holds_as_long_as_the_mail_says() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .set("TOKEN_TTL_HOURS", "2")
        .user(user(ADA))
        .start()
        .await;
    let mail = mail_for(&app, stream_record("reset_requested", ADA, 1)).await;
    for part in [&mail.text, &mail.html] {
        assert!(part.contains("1 January 2100, 14:00 UTC"), "{part}");
    }
    let link = app.link_in(&mail);
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
async fn the_notice_comes_whatever_the_budget() {
    let app = TestApp::builder()
        .manual_delivery()
        .with_cheap_hashes()
        .set("ACCOUNT_LIMIT_PER_HOUR", "1")
        .user(user(ADA))
        .start()
        .await;
    let link = app.link_in(&mail_for(&app, stream_record("reset_requested", ADA, 1)).await);
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(1))
        .await
        .assert_worked();
    let records = app.stream_records().await;
    assert_eq!(app.functions.deliver(&records, at(2)).await, NOTHING);
    let notice = app.emails().pop().expect("a mail");
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
async fn a_notice_costs_no_link() {
    let builder = TestApp::builder().manual_delivery().with_cheap_hashes();
    let builder = builder.set("ACCOUNT_LIMIT_PER_HOUR", "1").user(user(ADA));
    let app = builder.start().await;
    let notice = mail_for(&app, stream_record("password_changed", ADA, 1)).await;
    assert_eq!(notice.subject, "Your password for Example was changed");
    let mail = mail_for(&app, stream_record("reset_requested", ADA, 2)).await;
    app.link_in(&mail);
}
