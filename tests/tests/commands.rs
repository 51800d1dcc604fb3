//! The operator's command: what it prints, how it ends, and what it says where it cannot.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use tests::{
    app::{GOOD_PASSWORD, TestApp, user},
    command::manage,
};
use tokio::net::TcpListener;

const ADA: &str = "ada@example.com";

/// What CloudFormation answers for the stack `recovery`, with `outputs`.
fn described(outputs: &[(&str, &str)]) -> String {
    let output = |(key, value): &(&str, &str)| {
        format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
    };
    let outputs = outputs.iter().map(output).collect::<Vec<_>>().concat();
    format!(
        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
         <DescribeStacksResult><Stacks><member><StackName>recovery</StackName>\
         <CreationTime>2026-01-05T10:00:00Z</CreationTime>\
         <StackStatus>CREATE_COMPLETE</StackStatus><Parameters><member>\
         <ParameterKey>PasswordMinLength</ParameterKey><ParameterValue>40</ParameterValue>\
         </member></Parameters><Outputs>{outputs}</Outputs></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    )
}

fn refused(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error>\
         <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    )
}

const OUTPUTS: [(&str, &str); 4] = [
    ("UsersTableName", "users"),
    ("TokensTableName", "tokens"),
    ("OutboxTableName", "outbox"),
    ("ResetUrl", "https://app.example.com/reset"),
];

/// An endpoint of CloudFormation that answers everything with one answer and keeps what it was
/// asked; its address.
async fn cloudformation(status: StatusCode, answer: String) -> (String, Arc<Mutex<Vec<Bytes>>>) {
    let asked = Arc::<Mutex<Vec<Bytes>>>::default();
    let keep = asked.clone();
    let handler = post(move |body: Bytes| {
        keep.lock().expect("no panic").push(body);
        async move { (status, [("content-type", "text/xml")], answer) }
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(axum::serve(listener, Router::new().route("/", handler)).into_future());
    (url, asked)
}

/// The environment of somebody who works on `app`, with CloudFormation at `url`.
fn operator(app: &TestApp, url: &str) -> BTreeMap<String, String> {
    let mut environment = app.environment();
    environment.insert("AWS_ENDPOINT_URL_CLOUDFORMATION".to_owned(), url.to_owned());
    environment
}

#[tokio::test]
async fn lists_are_json_too_and_what_is_not_there_has_a_code_of_its_own() {
    let app = TestApp::builder().user(user(ADA)).start().await;
    let env = app.environment();

    let list = manage("users list --output json", &env, "").await;
    assert_eq!((list.code, &list.json()[0]["email"]), (0, &ADA.into()));
    let show = manage("users show ada@example.com --output json", &env, "").await;
    assert_eq!((show.code, &show.json()["email"]), (0, &ADA.into()));
    let migrate = manage("migrate --output json", &env, "").await;
    assert_eq!(migrate.code, 0);
    assert_eq!(migrate.json()[0]["table"], "users");
    assert_eq!(migrate.json()[0]["made"], false);

    let url = &env["AWS_ENDPOINT_URL_DYNAMODB"];
    for command in ["users show", "users clear-suppression"] {
        let nobody = manage(&format!("{command} nobody@example.com"), &env, "").await;
        nobody.assert_failed(
            4,
            &["no user with the address nobody@example.com", url, "users"],
        );
    }
    for command in ["users list", "users show ada@example.com"] {
        let none = manage(&format!("{command} --users-table people"), &env, "").await;
        none.assert_failed(4, &["no table people", "`migrate`", url]);
    }
    manage("users show nonsense", &env, "")
        .await
        .assert_failed(1, &["\"nonsense\""]);
    manage("users show", &env, "")
        .await
        .assert_failed(2, &["<EMAIL>"]);
    manage("users list --stack", &env, "")
        .await
        .assert_failed(2, &["--stack <NAME>"]);
    let help = manage("--help", &env, "").await;
    assert!(help.out.contains("Exit codes: 0 done"), "{}", help.out);
}

#[tokio::test]
async fn a_stack_is_named_and_its_tables_and_settings_hold() {
    let app = TestApp::builder().user(user(ADA)).start().await;
    let (url, asked) = cloudformation(StatusCode::OK, described(&OUTPUTS)).await;
    let mut env = operator(&app, &url);
    // The stack's names come first.
    env.insert("USERS_TABLE".to_owned(), "people".to_owned());

    let list = manage("users list --stack recovery --output json", &env, "").await;
    assert_eq!(
        (list.code, &list.json()[0]["email"]),
        (0, &ADA.into()),
        "{list:?}"
    );
    let asked = String::from_utf8(asked.lock().expect("no panic")[0].to_vec()).expect("text");
    assert!(asked.contains("Action=DescribeStacks") && asked.contains("StackName=recovery"));

    // The stack asks for 40 characters.
    let add = "users add grace@example.com --password-stdin --stack recovery";
    manage(add, &env, GOOD_PASSWORD)
        .await
        .assert_failed(1, &["40"]);
    // A table that is named is the one, and on AWS none is made unasked.
    let none = manage(&format!("{add} --users-table people"), &env, "").await;
    none.assert_failed(4, &["no table people"]);
    assert!(app.user("grace@example.com").await.is_none());
}

#[tokio::test]
async fn a_stack_that_cannot_be_read_is_a_sentence() {
    let app = TestApp::builder().start().await;
    let missing = refused("ValidationError", "Stack with id recovery does not exist");
    let denied = refused("AccessDenied", "User: arn is not authorized");
    for (status, answer, code, parts) in [
        (
            400,
            missing,
            4,
            ["there is no stack recovery in us-east-1", "AWS_REGION"],
        ),
        (
            403,
            denied,
            1,
            [
                "stack recovery in us-east-1",
                "cloudformation:DescribeStacks",
            ],
        ),
        (
            200,
            described(&OUTPUTS[..1]),
            1,
            ["no output TokensTableName", "--tokens-table"],
        ),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let (url, _) = cloudformation(status, answer).await;
        let mut env = operator(&app, &url);
        env.insert("AWS_REGION".to_owned(), "us-east-1".to_owned());
        let ended = manage("users list --stack recovery", &env, "").await;
        ended.assert_failed(code, &parts);
    }
}

#[tokio::test]
async fn a_missing_region_and_missing_credentials_are_said() {
    let env = [("AWS_EC2_METADATA_DISABLED", "true")];
    let mut env: BTreeMap<_, _> = env
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let ended = manage("users list --aws", &env, "").await;
    ended.assert_failed(1, &["no AWS region is set", "AWS_PROFILE"]);
    env.insert("AWS_REGION".to_owned(), "eu-central-1".to_owned());
    let ended = manage("users list --aws", &env, "").await;
    ended.assert_failed(1, &["no AWS credentials are found", "aws sso login"]);
}

#[tokio::test]
async fn shells_can_complete_the_commands() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef manage"),
        ("fish", "complete -c manage"),
    ] {
        let ended = manage(&format!("completions {shell}"), &BTreeMap::new(), "").await;
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains(part) && ended.out.contains("createsuperuser"));
    }
}
