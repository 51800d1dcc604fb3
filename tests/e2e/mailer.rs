//! The mailer with records that are repeated or unreadable, and with an SES or a DynamoDB that
//! fails.

use aws::tables::User;
use local::inbox::StoredEmail;
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    functions::{NO_FAILURES, at, sequence_number, stream_record},
    proxy::{Action, Call},
};

const BOB: &str = "bob@example.com";

const CY: &str = "cy@example.com";

/// Starts a system with `users` and manual delivery.
pub(crate) async fn start(users: impl IntoIterator<Item = User>) -> TestApp {
    let builder = TestApp::builder().manual_delivery().with_cheap_hashes();
    users
        .into_iter()
        .fold(builder, tests::builder::Builder::user)
        .start()
        .await
}

/// Requests emails for Ada, Bob and Cy. Returns the stream records.
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

pub(crate) fn recipients(app: &TestApp) -> Vec<String> {
    app.emails()
        .into_iter()
        .flat_map(|email| email.to)
        .collect()
}

/// Delivers `record` and returns its email.
pub(crate) async fn email_for(app: &TestApp, record: Value) -> StoredEmail {
    assert_eq!(app.functions.deliver(&[record], at(0)).await, NO_FAILURES);
    app.emails().pop().expect("an email")
}

#[tokio::test]
async fn a_batch_delivered_twice_sends_working_links() {
    let (app, records) = three().await;
    assert_eq!(app.functions.deliver(&records, at(1)).await, NO_FAILURES);
    assert_eq!(app.functions.deliver(&records, at(2)).await, NO_FAILURES);
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
    // A batch that is delivered twice is charged once.
    assert_eq!(
        app.user(CY)
            .await
            .map(|cy| (cy.recovery.emails.len(), cy.recovery.email_count)),
        Some((1, 1))
    );
}

#[tokio::test]
async fn a_record_redelivered_after_its_link_was_used_sends_a_working_link() {
    let (app, records) = three().await;
    assert_eq!(
        app.functions.deliver(&records[..1], at(1)).await,
        NO_FAILURES
    );
    let first = app.link_in(&app.emails_to(ADA)[0]);
    app.functions
        .confirm(&first.token, GOOD_PASSWORD, at(2))
        .await
        .assert_worked();
    assert_eq!(
        app.functions.deliver(&records[..1], at(3)).await,
        NO_FAILURES
    );
    let second = app.link_in(&app.emails_to(ADA)[1]);
    app.functions
        .confirm(&second.token, GOOD_PASSWORD, at(4))
        .await
        .assert_worked();
}

#[tokio::test]
async fn unreadable_records_are_skipped_and_delay_no_other() {
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
    assert_eq!(app.functions.deliver(&records, at(0)).await, NO_FAILURES);
    assert_eq!(recipients(&app), [ADA]);
}

#[tokio::test]
async fn an_empty_batch_succeeds() {
    let app = start([]).await;
    assert_eq!(app.functions.deliver(&[], at(0)).await, NO_FAILURES);
}

#[tokio::test]
async fn an_ses_failure_reports_the_failed_record_and_those_behind_it() {
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

        // Lambda delivers them again, within the cool-down of the first attempt.
        app.ses.pass_all();
        assert_eq!(
            app.functions.deliver(&records[1..], at(5)).await,
            NO_FAILURES
        );
        assert_eq!(recipients(&app), [ADA, BOB, CY]);
        let link = app.link_in(&app.emails_to(BOB)[0]);
        app.functions
            .confirm(&link.token, GOOD_PASSWORD, at(6))
            .await
            .assert_worked();
    }
}

#[tokio::test]
async fn a_dynamodb_failure_reports_the_failed_record_and_those_behind_it() {
    for operation in ["GetItem", "UpdateItem", "PutItem"] {
        let (app, records) = three().await;
        let mut seen = 0;
        app.dynamodb.intercept(move |call| {
            seen += usize::from(call.operation == operation);
            // The first call is for Ada.
            if call.operation == operation && seen > 1 {
                Action::error(400, "ResourceNotFoundException", "no table")
            } else {
                Action::Pass
            }
        });
        let failed = app.functions.deliver(&records, at(0)).await;
        assert_eq!(
            failed,
            [sequence_number(&records[1]), sequence_number(&records[2])],
            "{operation}"
        );
        app.dynamodb.pass_all();
        assert_eq!(
            app.functions.deliver(&records[1..], at(5)).await,
            NO_FAILURES
        );
        assert_eq!(recipients(&app), [ADA, BOB, CY]);
    }
}

/// Delivers three records while SES responds to the first, Ada's, with `code`. Returns the number
/// of failed records and of calls for Ada's email.
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
    let calls = app
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
    (failed.len(), calls)
}

#[tokio::test]
async fn an_address_refused_by_ses_is_not_retried() {
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
async fn a_problem_with_the_sender_is_retried() {
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
async fn an_account_that_changes_concurrently_is_read_again() {
    let (app, records) = three().await;
    let failed = Action::error(
        400,
        "ConditionalCheckFailedException",
        "The conditional request failed",
    );
    app.dynamodb.intercept_call("UpdateItem", 1, failed);
    app.dynamodb.clear_calls();
    assert_eq!(
        app.functions.deliver(&records[..1], at(0)).await,
        NO_FAILURES
    );
    assert_eq!(
        app.dynamodb.take_operations(),
        ["GetItem", "UpdateItem", "GetItem", "UpdateItem", "PutItem"]
    );
    assert_eq!(recipients(&app), [ADA]);
}

#[tokio::test]
async fn a_batch_with_little_time_left_is_returned() {
    // Half of the time has passed. The first record is still handled, or such a function would
    // never make progress.
    let (app, records) = three().await;
    let failed = app
        .functions
        .deliver_after_soft_deadline(&records, at(0))
        .await;
    assert_eq!(
        failed,
        [sequence_number(&records[1]), sequence_number(&records[2])]
    );
    assert_eq!(recipients(&app), [ADA]);
}
