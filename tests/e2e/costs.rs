//! The calls and the capacity units of one reset, as DynamoDB reports them. `docs/cost.md` repeats
//! these figures.

use aws::tables::User;
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    functions::at,
};

/// Starts a system with Ada, manual delivery and a DynamoDB that reports consumed capacity.
async fn metered() -> TestApp {
    let ada = User {
        name: Some("Ada Lovelace".to_owned()),
        locale: Some("en".to_owned()),
        ..user(ADA)
    };
    let app = TestApp::builder()
        .without_email_budget()
        .user(ada)
        .manual_delivery()
        .start()
        .await;
    app.dynamodb.report_capacity();
    app
}

/// Returns the calls since the last time, with the units that each consumed.
fn bill(app: &TestApp) -> Vec<(String, f64)> {
    let (operations, units) = (
        app.dynamodb.take_operations(),
        app.dynamodb.take_capacity_units(),
    );
    assert_eq!(
        operations.len(),
        units.len(),
        "every call reports its units"
    );
    operations.into_iter().zip(units).collect()
}

fn assert_bill(app: &TestApp, expected: &[(&str, f64)]) {
    let expected: Vec<(String, f64)> = expected
        .iter()
        .map(|(operation, units)| ((*operation).to_owned(), *units))
        .collect();
    assert_eq!(bill(app), expected);
}

/// Delivers SES's event that email number `index` was delivered.
async fn deliver_event(app: &TestApp, index: usize) {
    let sent = app.ses.calls()[index].body.clone();
    let tag = |name: &str| {
        let tags = sent["EmailTags"].as_array().expect("tags");
        let tag = tags.iter().find(|tag| tag["Name"] == name);
        tag.map_or(Value::Null, |tag| json!([tag["Value"]]))
    };
    let email =
        json!({ "destination": [ADA], "tags": { "mail": tag("mail"), "kind": tag("kind") } });
    let event = json!({
        "source": "aws.ses",
        "detail": {
            "eventType": "Delivery",
            "mail": email,
            "delivery": { "timestamp": "2026-01-05T09:30:14.344Z", "smtpResponse": "250 2.6.0 Message received" },
        },
    });
    app.functions
        .record_outcome(&event)
        .await
        .expect("DynamoDB responds");
}

#[tokio::test]
async fn each_step_of_a_reset_consumes_the_documented_units() {
    let app = metered().await;
    app.functions
        .request_reset(ADA, at(0))
        .await
        .assert_worked();
    assert_bill(&app, &[("UpdateItem", 1.0)]);

    let records = app.stream_records().await;
    assert_eq!(app.functions.deliver(&records, at(1)).await.len(), 0);
    assert_bill(
        &app,
        &[("GetItem", 1.0), ("UpdateItem", 1.0), ("PutItem", 1.0)],
    );
    deliver_event(&app, 0).await;
    assert_bill(&app, &[("GetItem", 1.0), ("UpdateItem", 1.0)]);

    let link = app.link_in(&app.emails()[0]);
    app.functions
        .confirm(&link.token, GOOD_PASSWORD, at(60))
        .await
        .assert_worked();
    assert_bill(&app, &[("GetItem", 1.0), ("TransactWriteItems", 6.0)]);

    let notice = app.stream_records().await.split_off(records.len());
    assert_eq!(app.functions.deliver(&notice, at(61)).await.len(), 0);
    assert_bill(&app, &[("GetItem", 1.0), ("UpdateItem", 1.0)]);
    deliver_event(&app, 1).await;
    assert_bill(&app, &[("GetItem", 1.0), ("UpdateItem", 1.0)]);
}

#[tokio::test]
async fn a_request_costs_one_write_for_every_address() {
    let app = metered().await;
    for (second, email) in (0..).zip([ADA, "nobody@example.com", ADA]) {
        app.functions
            .request_reset(email, at(second))
            .await
            .assert_worked();
        assert_bill(&app, &[("UpdateItem", 1.0)]);
    }
}
