//! The mailer with messages that are repeated or unreadable, and with an SES or a DynamoDB that
//! fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, stream};
use local::inbox::StoredEmail;
use rules::recovery::{DeliveryState, EmailId};
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    functions::{NO_FAILURES, at, sequence_number, stream_record},
    proxy::{Action, Call, SEND_EMAIL},
};
use tokio::{sync::Notify, time::sleep};

const BOB: &str = "bob@example.com";

const CY: &str = "cy@example.com";

/// Concurrent batches of a large run.
const LANES: usize = 8;

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

/// Returns the recipients of all emails, in alphabetical order: concurrent emails have no order.
pub(crate) fn recipients(app: &TestApp) -> Vec<String> {
    let mut recipients: Vec<String> = app
        .emails()
        .into_iter()
        .flat_map(|email| email.to)
        .collect();
    recipients.sort();
    recipients
}

/// Delivers `record` and returns its email.
pub(crate) async fn email_for(app: &TestApp, record: Value) -> StoredEmail {
    assert_eq!(app.functions.deliver(&[record], at(0)).await, NO_FAILURES);
    app.emails().pop().expect("an email")
}

/// Returns the state of the last email to `address`, and its reason.
async fn last_state(app: &TestApp, address: &str) -> (Option<DeliveryState>, String) {
    let user = app.user(address).await.expect("a user");
    let email = user.recovery.emails.last().expect("a recorded email");
    let outcome = email.outcome.as_ref();
    (
        outcome.map(|outcome| outcome.state),
        outcome
            .and_then(|outcome| outcome.reason.clone())
            .unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_batch_delivered_twice_sends_working_links() {
    let (app, records) = three().await;
    assert_eq!(app.functions.deliver(&records, at(1)).await, NO_FAILURES);
    assert_eq!(app.functions.deliver(&records, at(2)).await, NO_FAILURES);
    assert_eq!(recipients(&app), [ADA, ADA, BOB, BOB, CY, CY]);
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
async fn unreadable_messages_return_and_delay_no_other() {
    let app = start([user(ADA)]).await;
    let changed = |number: u32, change: fn(&mut Value)| {
        let mut record = stream_record("reset_requested", ADA, number);
        change(&mut record);
        record
    };
    let unreadable = [
        changed(1, |record| record["eventName"] = json!(null)),
        changed(2, |record| {
            record["dynamodb"]["NewImage"]["kind"] = json!({ "S": "greeting" });
        }),
        changed(3, |record| {
            record["dynamodb"]["NewImage"]["email"] = json!({ "S": "no address" });
        }),
        changed(4, |record| record["dynamodb"]["NewImage"] = json!(null)),
    ];
    let deletion = changed(5, |record| record["eventName"] = json!("REMOVE"));
    let mut records = unreadable.to_vec();
    records.extend([deletion, stream_record("reset_requested", ADA, 6)]);
    let failed = app.functions.deliver(&records, at(0)).await;
    assert_eq!(failed, ["1", "2", "3", "4"]);
    assert_eq!(recipients(&app), [ADA]);
}

#[tokio::test]
async fn an_empty_batch_succeeds() {
    let app = start([]).await;
    assert_eq!(app.functions.deliver(&[], at(0)).await, NO_FAILURES);
}

#[tokio::test]
async fn an_ses_failure_returns_only_its_own_message() {
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
        assert_eq!(failed, [sequence_number(&records[1])]);
        assert_eq!(recipients(&app), [ADA, CY]);
        let (state, reason) = last_state(&app, BOB).await;
        assert_eq!(state, Some(DeliveryState::Waiting));
        assert!(reason.starts_with("SendEmail: "), "{reason}");

        // It is delivered again, within the cool-down of the first attempt.
        app.ses.pass_all();
        let again = app.functions.deliver(&records[1..2], at(5)).await;
        assert_eq!(again, NO_FAILURES);
        assert_eq!(recipients(&app), [ADA, BOB, CY]);
        assert_eq!(last_state(&app, BOB).await.0, Some(DeliveryState::Sent));
        let link = app.link_in(&app.emails_to(BOB)[0]);
        app.functions
            .confirm(&link.token, GOOD_PASSWORD, at(6))
            .await
            .assert_worked();
    }
}

#[tokio::test]
async fn a_dynamodb_failure_returns_only_its_own_message() {
    for operation in ["GetItem", "UpdateItem", "PutItem"] {
        let (app, records) = three().await;
        app.dynamodb.intercept(move |call| {
            if call.operation == operation && call.body.to_string().contains(BOB) {
                Action::error(400, "ResourceNotFoundException", "no table")
            } else {
                Action::Pass
            }
        });
        let failed = app.functions.deliver(&records, at(0)).await;
        assert_eq!(failed, [sequence_number(&records[1])], "{operation}");
        assert_eq!(recipients(&app), [ADA, CY]);
        app.dynamodb.pass_all();
        let again = app.functions.deliver(&records[1..2], at(5)).await;
        assert_eq!(again, NO_FAILURES);
        assert_eq!(recipients(&app), [ADA, BOB, CY]);
    }
}

/// Delivers the messages of Ada, Bob and Cy while SES responds to Ada's with `code`. Returns whether
/// Ada's returns to the queue, and the number of calls for it.
async fn refuse_ada(code: &'static str, message: &str) -> (TestApp, Vec<Value>, bool, usize) {
    let (app, records) = three().await;
    let refusal = Action::error(400, code, message);
    app.ses.intercept(move |call| {
        if is_to(call, ADA) {
            refusal.clone()
        } else {
            Action::Pass
        }
    });
    let failed = app.functions.deliver(&records, at(0)).await;
    assert_eq!(recipients(&app), [BOB, CY], "{code}: {message}");
    let calls = app.ses.take_calls();
    let calls = calls.iter().filter(|call| is_to(call, ADA)).count();
    let is_returned = failed == [sequence_number(&records[0])];
    assert!(is_returned || failed.is_empty());
    (app, records, is_returned, calls)
}

fn not_verified(identities: &str) -> String {
    format!(
        "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: {identities}"
    )
}

#[tokio::test]
async fn a_refusal_of_the_recipient_is_final_and_recorded() {
    for (code, message) in [
        (
            "BadRequestException",
            "Local address contains control or whitespace".to_owned(),
        ),
        ("BadRequestException", "Illegal address".to_owned()),
        ("BadRequestException", "Missing final '@domain'".to_owned()),
        (
            "MessageRejected",
            "Address is on the suppression list for your account: ada@example.com".to_owned(),
        ),
        ("MessageRejected", not_verified(ADA)),
    ] {
        let (app, _, is_returned, calls) = refuse_ada(code, &message).await;
        assert_eq!((is_returned, calls), (false, 1), "{code}: {message}");
        let (state, reason) = last_state(&app, ADA).await;
        assert_eq!(state, Some(DeliveryState::Refused), "{message}");
        assert!(!reason.contains('@'), "{reason}");
    }
}

#[tokio::test]
async fn every_other_refusal_returns_to_the_queue() {
    for (code, message) in [
        ("MessageRejected", not_verified("no-reply@example.com")),
        ("MessageRejected", not_verified(&format!("no-reply@example.com, {ADA}"))),
        (
            "MessageRejected",
            "Sending paused for this account. For more information, please check the inbox of the email address associated with your AWS account.".to_owned(),
        ),
        ("MessageRejected", "a text that nobody has seen yet".to_owned()),
        ("BadRequestException", "a text that nobody has seen yet".to_owned()),
        ("SendingPausedException", "Email sending is paused.".to_owned()),
        ("MailFromDomainNotVerifiedException", "The MAIL FROM domain is not verified.".to_owned()),
        ("AccountSuspendedException", "The account is suspended.".to_owned()),
        ("LimitExceededException", "Too many resources.".to_owned()),
        ("NotFoundException", "The configuration set does not exist.".to_owned()),
        ("AccessDeniedException", "not authorized to perform ses:SendEmail".to_owned()),
        ("ThrottlingException", "Maximum sending rate exceeded.".to_owned()),
    ] {
        let (app, records, is_returned, _) = refuse_ada(code, &message).await;
        assert!(is_returned, "{code}: {message}");
        let (state, reason) = last_state(&app, ADA).await;
        assert_eq!(state, Some(DeliveryState::Waiting), "{message}");
        assert!(reason.contains(code) && !reason.contains('@'), "{reason}");

        app.ses.pass_all();
        let again = app.functions.deliver(&records[..1], at(1)).await;
        assert_eq!(again, NO_FAILURES);
        assert_eq!(recipients(&app), [ADA, BOB, CY]);
    }
}

#[tokio::test]
async fn a_sender_with_a_comma_in_its_name_is_quoted() {
    let app = TestApp::builder()
        .with_ada()
        .manual_delivery()
        .set("MAIL_FROM", "Acme, Inc. <no-reply@example.com>")
        .start()
        .await;
    let email = email_for(&app, stream_record("reset_requested", ADA, 1)).await;
    assert_eq!(email.from, "\"Acme, Inc.\" <no-reply@example.com>");
}

#[tokio::test]
async fn a_row_that_takes_no_update_returns_only_its_own_message() {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (name, value) in [
        ("recovery_version", AttributeValue::Null(true)),
        ("recovery_version", text("1")),
        ("recovery_version", AttributeValue::N("1.5".to_owned())),
        // With it the row has 409,560 bytes; DynamoDB's limit is 409,600.
        ("note", text(&"x".repeat(409_500))),
    ] {
        let (app, records) = three().await;
        app.set_attribute("users", ("email", BOB), name, value)
            .await;
        for attempt in 0..3 {
            let failed = app.functions.deliver(&records, at(attempt)).await;
            assert_eq!(failed, [sequence_number(&records[1])], "{name}");
        }
        let emails = app.emails_to(BOB).len();
        assert_eq!(emails, 0, "an email that the row does not record");
        assert!(!app.emails_to(ADA).is_empty() && !app.emails_to(CY).is_empty());
    }
}

#[tokio::test]
async fn an_email_known_to_be_sent_is_not_sent_again() {
    let (app, records) = three().await;
    let deliver = async || app.functions.deliver(&records[..1], at(1)).await;
    assert_eq!(deliver().await, NO_FAILURES);
    let user = app.ada().await;
    let id = user.recovery.emails[0].id.clone();
    let mut event = tests::lambda::sample_event("mailer-delivery.json");
    event["detail"]["mail"]["tags"]["mail"] = json!([id.as_str()]);
    event["detail"]["mail"]["destination"] = json!([ADA]);
    event["detail"]["delivery"]["recipients"] = json!([ADA]);
    app.functions
        .record_outcome(&event)
        .await
        .expect("recorded");
    assert_eq!(
        last_state(&app, ADA).await.0,
        Some(DeliveryState::Delivered)
    );

    assert_eq!(deliver().await, NO_FAILURES);
    assert_eq!(recipients(&app), [ADA]);
}

#[tokio::test]
async fn a_message_that_is_twice_in_a_batch_sends_one_email() {
    let (app, records) = three().await;
    let mut twice = records[0].clone();
    twice["dynamodb"]["SequenceNumber"] = json!("twice");
    let batch = [records[0].clone(), records[1].clone(), twice];
    assert_eq!(app.functions.deliver(&batch, at(0)).await, NO_FAILURES);
    assert_eq!(recipients(&app), [ADA, BOB]);
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
async fn a_batch_without_time_left_returns() {
    let (app, records) = three().await;
    let failed = app.functions.deliver_too_late(&records, at(0)).await;
    let all: Vec<String> = records.iter().map(sequence_number).collect();
    assert_eq!(failed, all);
    assert_eq!(recipients(&app), [""; 0]);
    // None of them is lost.
    assert_eq!(app.functions.deliver(&records, at(0)).await, NO_FAILURES);
    assert_eq!(recipients(&app), [ADA, BOB, CY]);
}

#[tokio::test]
async fn with_little_time_left_each_account_gets_one_email() {
    let (app, mut records) = three().await;
    records.push(stream_record("password_changed", ADA, 9));
    let failed = app.functions.deliver_with_little_time(&records, at(0));
    assert_eq!(failed.await, ["9"]);
    assert_eq!(recipients(&app), [ADA, BOB, CY]);
}

/// Holds SES's responses until `count` emails are on their way at the same time.
fn hold_until(app: &TestApp, count: usize) {
    let (go, mut seen) = (Arc::new(Notify::new()), 0);
    app.ses.intercept(move |call| {
        if call.operation != SEND_EMAIL {
            return Action::Pass;
        }
        seen += 1;
        if seen == count {
            let go = go.clone();
            // Some of the others may not be waiting yet.
            tokio::spawn(async move {
                loop {
                    go.notify_waiters();
                    sleep(Duration::from_millis(10)).await;
                }
            });
            return Action::Pass;
        }
        Action::Hold(go.clone())
    });
}

#[tokio::test]
async fn the_emails_of_a_batch_are_sent_concurrently() {
    let users: Vec<User> = (0..10)
        .map(|n| user(&format!("user-{n}@example.com")))
        .collect();
    let app = start(users.clone()).await;
    let records: Vec<Value> = users
        .iter()
        .zip(1..)
        .map(|(user, number)| stream_record("reset_requested", user.email.as_str(), number))
        .collect();
    // SES responds to none of them before it has all ten.
    hold_until(&app, 10);
    assert_eq!(app.functions.deliver(&records, at(0)).await, NO_FAILURES);
    assert_eq!(recipients(&app).len(), 10);
}

#[tokio::test]
async fn the_emails_of_one_account_are_sent_in_order() {
    let app = start([user(ADA)]).await;
    let records = [
        stream_record("password_changed", ADA, 1),
        stream_record("password_changed", ADA, 2),
        stream_record("password_changed", ADA, 3),
    ];
    app.ses
        .intercept(|_| Action::Delay(Duration::from_millis(50)));
    assert_eq!(app.functions.deliver(&records, at(0)).await, NO_FAILURES);
    let user = app.ada().await;
    let ids: Vec<EmailId> = user
        .recovery
        .emails
        .into_iter()
        .map(|email| email.id)
        .collect();
    let in_order = [1, 2, 3].map(|number| EmailId::new(&format!("request#192.0.2.1#{number}"), 1));
    assert_eq!(ids, in_order);
    // Concurrent writes to the row would have conflicted.
    let reads = app.dynamodb.take_operations();
    assert_eq!(reads, ["GetItem", "UpdateItem"].repeat(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_batches_for_one_account_all_succeed() {
    let app = start([user(ADA)]).await;
    let record = |number| stream_record("password_changed", ADA, number);
    let (one, other): (Vec<Value>, Vec<Value>) = (
        (1..=10).map(record).collect(),
        (11..=20).map(record).collect(),
    );
    let failed = futures::join!(
        app.functions.deliver(&one, at(0)),
        app.functions.deliver(&other, at(0))
    );
    assert_eq!(failed, (Vec::new(), Vec::new()));
    assert_eq!(app.emails_to(ADA).len(), 20);
    assert_eq!(app.ada().await.recovery.email_count, 20);
}

/// Why the emails of a tenth of the accounts fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Refused,
    Throttled,
    Paused,
    Unverified,
    Unknown,
    NoUpdate,
    Unreadable,
    None,
}

impl Failure {
    /// Each failure has one account in ten, and three have none.
    fn of(number: usize) -> Self {
        match number % 10 {
            0 => Self::Refused,
            1 => Self::Throttled,
            2 => Self::Paused,
            3 => Self::Unverified,
            4 => Self::Unknown,
            5 => Self::NoUpdate,
            6 => Self::Unreadable,
            _ => Self::None,
        }
    }

    /// Returns whether the message returns to the queue.
    fn returns(self) -> bool {
        !matches!(self, Self::Refused | Self::None)
    }

    /// Returns the stream record for account `number`.
    fn record(number: usize) -> Value {
        let is_unreadable = Self::of(number) == Self::Unreadable;
        let kind = if is_unreadable {
            "greeting"
        } else {
            "reset_requested"
        };
        let id = u32::try_from(number).expect("a small number");
        stream_record(kind, &address(number), id)
    }

    fn action(self) -> Action {
        let later = |code: &str, text: &str| Action::error(400, code, text);
        match self {
            Self::Refused => later("BadRequestException", "Illegal address"),
            Self::Throttled => later("TooManyRequestsException", "Maximum sending rate exceeded."),
            Self::Paused => later("MessageRejected", "Sending paused for this account."),
            Self::Unverified => later("MessageRejected", &not_verified("no-reply@example.com")),
            Self::Unknown => later("BadRequestException", "a text that nobody has seen yet"),
            Self::None | Self::NoUpdate | Self::Unreadable => Action::Pass,
        }
    }
}

fn address(number: usize) -> String {
    format!("user-{number}@example.com")
}

/// Delivers `records` in batches of ten, several at a time. Returns the IDs of those that failed.
async fn deliver_in_batches(app: &TestApp, records: &[Value]) -> BTreeSet<String> {
    let batches: Vec<_> = records
        .chunks(10)
        .map(|batch| app.functions.deliver(batch, at(0)))
        .collect();
    let failed = stream::iter(batches).buffer_unordered(LANES);
    let failed: Vec<Vec<String>> = failed.collect().await;
    failed.into_iter().flatten().collect()
}

/// Returns the number of emails by recipient.
fn count_emails(app: &TestApp) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for recipient in recipients(app) {
        *counts.entry(recipient).or_default() += 1;
    }
    counts
}

/// Returns the account's number in an address of [`address`].
fn number_in(text: &str) -> Option<usize> {
    let start = text.find("user-")? + "user-".len();
    let digits: String = text[start..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_1000_messages_only_the_failing_ones_are_not_sent() {
    const MESSAGES: usize = 1_000;
    let app = start([]).await;
    let records: Vec<Value> = (0..MESSAGES).map(Failure::record).collect();
    stream::iter(0..MESSAGES)
        .for_each_concurrent(LANES, async |number| {
            let email = address(number);
            // Not `app.add`: a search of the logs for so many addresses takes long.
            let created = app.users().create(&user(&email)).await;
            assert!(created.expect("DynamoDB responds"));
            if Failure::of(number) == Failure::NoUpdate {
                let null = AttributeValue::Null(true);
                app.set_attribute("users", ("email", &email), "recovery_version", null)
                    .await;
            }
        })
        .await;
    app.ses.intercept(|call| {
        let to = call.body["Destination"]["ToAddresses"][0].as_str();
        to.and_then(number_in)
            .map_or(Action::Pass, |number| Failure::of(number).action())
    });
    let returned = deliver_in_batches(&app, &records).await;
    let emails = count_emails(&app);
    for number in 0..MESSAGES {
        let (id, failure) = (number.to_string(), Failure::of(number));
        assert_eq!(returned.contains(&id), failure.returns(), "{failure:?}");
        let expected = (failure == Failure::None).then_some(&1);
        assert_eq!(emails.get(&address(number)), expected, "{failure:?}");
    }

    // What returned is sent once the cause is gone; what needs a change of the data stays.
    app.ses.pass_all();
    let again: Vec<Value> = records
        .iter()
        .filter(|record| returned.contains(&sequence_number(record)))
        .cloned()
        .collect();
    let left = deliver_in_batches(&app, &again).await;
    let emails = count_emails(&app);
    for number in 0..MESSAGES {
        let (id, failure) = (number.to_string(), Failure::of(number));
        let stays = matches!(failure, Failure::NoUpdate | Failure::Unreadable);
        assert_eq!(left.contains(&id), stays, "{failure:?}");
        let is_sent = !stays && failure != Failure::Refused;
        let expected = is_sent.then_some(&1);
        assert_eq!(emails.get(&address(number)), expected, "{failure:?}");
    }
}
