//! `doctor` passes on the local system, and names each fault with advice.

use std::collections::BTreeMap;
use tests::{
    app::{ADA, TestApp, user},
    command::{CommandOutput, manage},
    http::FORGOT_PASSWORD,
    proxy::{Action, Proxy},
    wait_for,
};

use aws::tables::User;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TimeToLiveSpecification,
};
use serde_json::{Value, json};

/// Returns an operator's environment for `app`.
pub(crate) fn operator(app: &TestApp) -> BTreeMap<String, String> {
    let mut env = app.environment();
    env.insert("RESET_URL".to_owned(), app.url(FORGOT_PASSWORD));
    // `--aws` also asks Lambda.
    let nothing = "http://127.0.0.1:1".to_owned();
    env.insert("AWS_ENDPOINT_URL_LAMBDA".to_owned(), nothing);
    env
}

/// Responds with a JSON body.
fn json_response(body: &Value) -> Action {
    let response = http::Response::builder().header("content-type", "application/json");
    let response = response.body(body.to_string().into());
    Action::Respond(response.expect("a response"))
}

pub(crate) async fn doctor(options: &str, env: &BTreeMap<String, String>) -> CommandOutput {
    manage(&format!("doctor --output json {options}"), env, "").await
}

/// Returns the state, the detail and the advice of the finding about `what`.
pub(crate) fn finding(output: &CommandOutput, what: &str) -> (String, String, String) {
    let findings = output.json();
    let findings = findings.as_array().expect("a list");
    let found = findings
        .iter()
        .find(|finding| {
            finding["what"]
                .as_str()
                .is_some_and(|name| name.starts_with(what))
        })
        .unwrap_or_else(|| panic!("{what} in {findings:?}"));
    let text = |name: &str| found[name].as_str().expect("text").to_owned();
    (text("state"), text("detail"), text("advice"))
}

/// Panics unless `what` is reported as a problem with this detail and advice.
pub(crate) fn assert_problem(output: &CommandOutput, what: &str, detail: &str, advice: &str) {
    assert_eq!(output.code, 3, "{output:?}");
    let (state, found_detail, found_advice) = finding(output, what);
    assert_eq!(state, "problem", "{what}");
    assert!(found_detail.contains(detail), "{detail} in {found_detail}");
    assert!(found_advice.contains(advice), "{advice} in {found_advice}");
}

#[tokio::test]
async fn the_local_system_passes() {
    let app = TestApp::builder().user(user(ADA)).start().await;
    let env = operator(&app);
    let output = doctor(&format!("--address {ADA}"), &env).await;
    assert_eq!(output.code, 0, "{output:?}");
    let findings = output.json();
    let states: Vec<&Value> = findings
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| &finding["state"])
        .collect();
    assert!(
        states.len() >= 18 && states.iter().all(|state| *state == "ok"),
        "{findings}"
    );
    assert!(finding(&output, "RESET_URL").1.contains("200"));
    assert!(finding(&output, "account").1.contains("5 links"));

    let text = manage("doctor", &env, "").await;
    assert_eq!(text.code, 0, "{text:?}");
    assert!(
        text.out
            .contains("ok       table outbox, stream: feeds the mailer"),
        "{text:?}"
    );
}

/// Creates a table with one key.
async fn create_table(app: &TestApp, name: &str, key: &str, stream: Option<StreamViewType>) {
    let stream = stream.map(|view| {
        let stream = StreamSpecification::builder().stream_enabled(true);
        stream.stream_view_type(view).build().expect("a stream")
    });
    let attribute = AttributeDefinition::builder()
        .attribute_name(key)
        .attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder()
        .attribute_name(key)
        .key_type(KeyType::Hash);
    let create = app
        .dynamodb_client()
        .create_table()
        .table_name(name)
        .attribute_definitions(attribute.build().expect("an attribute"))
        .key_schema(schema.build().expect("a key"))
        .billing_mode(BillingMode::PayPerRequest)
        .set_stream_specification(stream);
    create.send().await.expect("DynamoDB responds");
}

#[tokio::test]
async fn a_misconfigured_table_is_reported() {
    let app = TestApp::builder().start().await;
    create_table(&app, "people", "id", None).await;
    create_table(&app, "links", "token_digest", None).await;
    create_table(&app, "owed", "id", Some(StreamViewType::KeysOnly)).await;
    let ttl = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name("at");
    let update = app
        .dynamodb_client()
        .update_time_to_live()
        .table_name("owed");
    let update = update.time_to_live_specification(ttl.build().expect("a specification"));
    update.send().await.expect("DynamoDB responds");

    let options = "--users-table people --tokens-table links --outbox-table owed";
    let output = doctor(options, &operator(&app)).await;
    assert_problem(&output, "table people", "its key is id", "`migrate`");
    assert_problem(
        &output,
        "table links, TTL",
        "is off",
        "update-time-to-live --table-name links",
    );
    assert_problem(
        &output,
        "table owed, TTL",
        "uses the attribute at",
        "AttributeName=expires_at",
    );
    assert_problem(&output, "table owed, stream", "KEYS_ONLY", "NEW_IMAGE");
    // The write that probes permissions uses the table's own key.
    let (state, detail, _) = finding(&output, "table people, your permissions");
    assert_eq!(
        (state.as_str(), detail.as_str()),
        ("ok", "allow reads and writes")
    );
    let output = doctor("--users-table nowhere", &operator(&app)).await;
    assert_problem(&output, "table nowhere", "does not exist", "`migrate`");
}

#[tokio::test]
async fn a_missing_permission_is_reported() {
    let app = TestApp::builder().start().await;
    let refused = || Action::error(400, "AccessDeniedException", "not authorized");
    for (operation, what) in [
        ("UpdateItem", "table users, your permissions"),
        ("Scan", "table users, your permissions"),
        ("DescribeTimeToLive", "table tokens, TTL"),
        ("DescribeTable", "table outbox"),
    ] {
        app.dynamodb.intercept_operation(operation, refused());
        let output = doctor("", &operator(&app)).await;
        assert_problem(&output, what, "AccessDenied", operation);
    }
    app.dynamodb.pass_all();
    app.ses.intercept(move |_| refused());
    let output = doctor(&format!("--address {ADA}"), &operator(&app)).await;
    for (what, operation) in [
        ("SES account", "ses:GetAccount"),
        ("SES identity", "ses:GetEmailIdentity"),
        ("SES suppression", "ses:GetSuppressedDestination"),
    ] {
        assert_problem(&output, what, "AccessDenied", operation);
    }
}

#[tokio::test]
async fn ses_restrictions_are_reported() {
    let app = TestApp::builder().start().await;
    let response = |body: &'static str| {
        let response = http::Response::builder().header("content-type", "application/json");
        Action::Respond(response.body(body.into()).expect("a response"))
    };
    let account = r#"{"ProductionAccessEnabled": false, "SendingEnabled": false, "EnforcementStatus": "SHUTDOWN",
        "SendQuota": {"Max24HourSend": 200, "MaxSendRate": 1, "SentLast24Hours": 200}}"#;
    let unverified = r#"{"IdentityType": "DOMAIN", "VerifiedForSendingStatus": false}"#;
    app.ses
        .intercept(move |call| match call.operation.as_str() {
            "GET /v2/email/account" => response(account),
            "GET /v2/email/identities/example.com" => response(unverified),
            _ => Action::error(404, "NotFoundException", "not found"),
        });
    let mut env = operator(&app);
    env.insert("SES_CONFIGURATION_SET".to_owned(), "mails".to_owned());
    let output = doctor("", &env).await;
    assert_problem(&output, "SES account", "SHUTDOWN", "AWS sent");
    assert_problem(
        &output,
        "SES sandbox",
        "only reaches verified addresses",
        "production access",
    );
    assert_problem(&output, "SES quota", "200 of 200 emails", "Service Quotas");
    assert_problem(
        &output,
        "SES identity",
        "example.com is not verified yet",
        "records",
    );
    assert_problem(
        &output,
        "SES configuration set mails",
        "does not exist",
        "SES_CONFIGURATION_SET",
    );

    app.ses.pass_all();
    let output = doctor("--address suppressionlist@simulator.amazonses.com", &env).await;
    assert_problem(
        &output,
        "SES suppression list",
        "BOUNCE",
        "delete-suppressed-destination",
    );
}

#[tokio::test]
async fn invalid_settings_and_an_unusable_reset_url_are_reported() {
    let app = TestApp::builder().start().await;
    let mut env = operator(&app);
    env.insert("CLIENT_LIMIT".to_owned(), "many".to_owned());
    env.insert("PASSWORD_MIN_LENGTH".to_owned(), "4".to_owned());
    env.insert("RESET_URL".to_owned(), app.url("/nowhere"));
    let output = doctor("", &env).await;
    assert_problem(
        &output,
        "settings of request",
        "CLIENT_LIMIT is \"many\"",
        "set it",
    );
    assert_problem(
        &output,
        "settings of confirm",
        "PASSWORD_MIN_LENGTH",
        "set it",
    );
    assert_problem(&output, "RESET_URL", "returns 404", "deployed");

    let secret = "0".repeat(32);
    let behind_an_edge = TestApp::builder()
        .set("ORIGIN_SECRET", &secret)
        .start()
        .await;
    env.insert("RESET_URL".to_owned(), behind_an_edge.url(FORGOT_PASSWORD));
    assert_problem(
        &doctor("", &env).await,
        "RESET_URL",
        "returns 403",
        "the address of the edge",
    );

    env.insert("RESET_URL".to_owned(), "http://127.0.0.1:1/".to_owned());
    assert_problem(
        &doctor("", &env).await,
        "RESET_URL",
        "does not respond",
        "resolves",
    );
    // On AWS there are no defaults, and a page on loopback is unusable.
    assert_problem(
        &doctor("--aws --name-server 127.0.0.1:1", &env).await,
        "RESET_URL",
        "their own machine",
        "https://",
    );
    env.remove("MAIL_FROM");
    assert_problem(
        &doctor("--aws", &env).await,
        "settings of mailer",
        "MAIL_FROM is not set",
        "set it",
    );
}

#[tokio::test]
async fn reasons_why_an_account_gets_no_email_are_reported() {
    let app = TestApp::builder()
        .set("ACCOUNT_LIMIT_PER_HOUR", "1")
        .user(user(ADA))
        .user(user("bounce@simulator.amazonses.com"))
        .user(User {
            is_active: false,
            ..user("gone@example.com")
        })
        .start()
        .await;
    let env = operator(&app);
    let examine = async |address: &str| doctor(&format!("--address {address}"), &env).await;
    assert_problem(
        &examine("nobody@example.com").await,
        "account nobody@",
        "does not exist",
        "users add",
    );
    assert_problem(
        &examine("gone@example.com").await,
        "account gone@",
        "not active",
        "activate",
    );
    app.request_link(ADA).await;
    assert_problem(
        &examine(ADA).await,
        "account ada@",
        "all 1 links allowed in an hour",
        "wait",
    );
    app.request_reset("bounce@simulator.amazonses.com")
        .await
        .assert_worked();
    let has_bounced = async || {
        let user = app.user("bounce@simulator.amazonses.com").await?;
        user.suppression().map(drop)
    };
    wait_for("the bounce", has_bounced).await;
    let output = examine("bounce@simulator.amazonses.com").await;
    assert_problem(
        &output,
        "account bounce@",
        "is suppressed",
        "clear-suppression",
    );
    manage("doctor --address nonsense", &env, "")
        .await
        .assert_failed(2, &["'nonsense'", "expected an email address"]);
}

/// Panics unless `what` is reported as advice with this detail and advice.
fn assert_advice(output: &CommandOutput, what: &str, detail: &str, advice: &str) {
    let (state, found_detail, found_advice) = finding(output, what);
    assert_eq!(state, "advice", "{what}");
    assert!(found_detail.contains(detail), "{detail} in {found_detail}");
    assert!(found_advice.contains(advice), "{advice} in {found_advice}");
}

#[tokio::test]
async fn a_configuration_set_that_tracks_recipients_is_reported() {
    let app = TestApp::builder().start().await;
    let mut env = operator(&app);
    env.insert("SES_CONFIGURATION_SET".to_owned(), "mails".to_owned());
    let (tracking, events) = (
        "SES configuration set mails, tracking",
        "SES configuration set mails, events",
    );
    let output = doctor("", &env).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(finding(&output, tracking).1, "is off");
    assert_eq!(finding(&output, events).1, "reach EventBridge");

    let set = json!({ "TrackingOptions": { "CustomRedirectDomain": "go.example.com", "HttpsPolicy": "REQUIRE" } });
    let destinations = json!({ "EventDestinations": [
        { "Name": "stats", "Enabled": true, "MatchingEventTypes": ["CLICK", "DELIVERY"] },
        { "Name": "old", "Enabled": false, "MatchingEventTypes": ["OPEN"] },
        {
            "Name": "bus", "Enabled": true, "MatchingEventTypes": ["BOUNCE", "COMPLAINT"],
            "EventBridgeDestination": { "EventBusArn": "arn:aws:events:us-east-1:1:event-bus/default" },
        },
    ] });
    app.ses
        .intercept(move |call| match call.operation.as_str() {
            "GET /v2/email/configuration-sets/mails" => json_response(&set),
            "GET /v2/email/configuration-sets/mails/event-destinations" => {
                json_response(&destinations)
            }
            _ => Action::Pass,
        });
    let output = doctor("", &env).await;
    let detail = "is on for clicks, through go.example.com (HTTPS: REQUIRE); the emails of this \
                  system opt out";
    assert_advice(&output, tracking, detail, "use a set that tracks neither");
    let missing = "DELIVERY, DELIVERY_DELAY, REJECT";
    assert_advice(&output, events, missing, "default event bus");

    let engaged =
        json!({ "VdmOptions": { "DashboardOptions": { "EngagementMetrics": "ENABLED" } } });
    app.ses
        .intercept(move |call| match call.operation.as_str() {
            "GET /v2/email/configuration-sets/mails" => json_response(&engaged),
            _ => Action::Pass,
        });
    let detail = "clicks and opens, through a host of AWS";
    assert_advice(&doctor("", &env).await, tracking, detail, "opt-out");
}

#[tokio::test]
async fn the_concurrency_of_a_new_account_is_reported() {
    let app = TestApp::builder().start().await;
    let lambda = Proxy::start("http://127.0.0.1:1").await;
    let mut env = operator(&app);
    env.insert("AWS_ENDPOINT_URL_LAMBDA".to_owned(), lambda.url());
    let limits = |total: i32, unreserved: i32| {
        let limit =
            json!({ "ConcurrentExecutions": total, "UnreservedConcurrentExecutions": unreserved });
        json_response(&json!({ "AccountLimit": limit }))
    };
    lambda.intercept(move |_| limits(10, 10));
    let output = doctor("--aws", &env).await;
    let detail = "10 calls at once in this region, 10 of them not reserved";
    let advice = "--quota-code L-B99A9384";
    assert_advice(&output, "Lambda concurrency", detail, advice);
    lambda.intercept(move |_| limits(1000, 900));
    let (state, ..) = finding(&doctor("--aws", &env).await, "Lambda concurrency");
    assert_eq!(state, "ok");
    lambda.intercept(|_| Action::error(403, "AccessDeniedException", "not authorized"));
    let output = doctor("--aws", &env).await;
    let advice = "lambda:GetAccountSettings";
    assert_problem(&output, "Lambda concurrency", "AccessDenied", advice);
}

/// Describes a users table that `key` encrypts.
fn encrypted_table(key: &str) -> Action {
    json_response(&json!({ "Table": {
        "TableName": "users",
        "TableStatus": "ACTIVE",
        "KeySchema": [{ "AttributeName": "email", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "email", "AttributeType": "S" }],
        "SSEDescription": { "Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key },
    } }))
}

#[tokio::test]
async fn a_users_table_with_a_key_that_the_functions_may_not_use_is_reported() {
    const KEY: &str = "arn:aws:kms:eu-central-1:123456789012:key/6f0e6a4e-0000";
    let app = TestApp::builder().start().await;
    app.dynamodb.intercept(|call| {
        if call.operation == "DescribeTable" && call.body["TableName"] == "users" {
            return encrypted_table(KEY);
        }
        Action::Pass
    });
    let kms = Proxy::start("http://127.0.0.1:1").await;
    let manager = |manager: &'static str| {
        let metadata = json!({ "KeyId": KEY, "KeyManager": manager });
        json_response(&json!({ "KeyMetadata": metadata }))
    };
    kms.intercept(move |_| manager("CUSTOMER"));
    let mut env = operator(&app);
    env.insert("AWS_ENDPOINT_URL_KMS".to_owned(), kms.url());
    let what = "table users, encryption";
    // The key of a table that the stack created needs no permission.
    let output = doctor("--aws", &env).await;
    assert!(!output.out.contains(what), "{output:?}");

    env.insert("USERS_TABLE_NAME".to_owned(), "users".to_owned());
    let output = doctor("--aws", &env).await;
    let advice = format!("UsersTableKmsKeyArn={KEY}");
    assert_problem(&output, what, "every reset fails", &advice);
    kms.intercept(move |_| manager("AWS"));
    let (_, detail, _) = finding(&doctor("--aws", &env).await, what);
    assert_eq!(detail, "uses a key of AWS, which needs no permission");
    kms.intercept(|_| Action::error(400, "AccessDeniedException", "not authorized"));
    let output = doctor("--aws", &env).await;
    assert_problem(&output, what, "AccessDenied", "kms:DescribeKey");
    env.insert("USERS_TABLE_KMS_KEY_ARN".to_owned(), KEY.to_owned());
    let (_, detail, _) = finding(&doctor("--aws", &env).await, what);
    assert_eq!(detail, "the functions may use the table's key");
}
