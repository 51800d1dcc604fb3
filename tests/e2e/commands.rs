//! The operator's command: output, exit codes and errors.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    command::{manage, start},
    http,
    panel::{Browser, ROOT},
};

use axum::{
    Router,
    body::Bytes,
    http::{Method, StatusCode},
    routing::post,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
};

/// Returns CloudFormation's description of the stack `recovery` with `outputs`.
pub(super) fn described(outputs: &[(&str, &str)]) -> String {
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

pub(super) const OUTPUTS: [(&str, &str); 4] = [
    ("UsersTableName", "users"),
    ("TokensTableName", "tokens"),
    ("OutboxTableName", "outbox"),
    ("ResetUrl", "https://app.example.com/reset"),
];

/// Starts a CloudFormation endpoint that gives every request the same response. Returns its URL and
/// the requests.
pub(super) async fn cloudformation(
    status: StatusCode,
    response: String,
) -> (String, Arc<Mutex<Vec<Bytes>>>) {
    let asked = Arc::<Mutex<Vec<Bytes>>>::default();
    let keep = asked.clone();
    let handler = post(move |body: Bytes| {
        keep.lock().expect("no panic").push(body);
        async move { (status, [("content-type", "text/xml")], response) }
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(axum::serve(listener, Router::new().route("/", handler)).into_future());
    (url, asked)
}

/// Returns an operator's environment for `app`, with CloudFormation at `url`.
pub(super) fn operator(app: &TestApp, url: &str) -> BTreeMap<String, String> {
    let mut environment = app.environment();
    environment.insert("AWS_ENDPOINT_URL_CLOUDFORMATION".to_owned(), url.to_owned());
    environment
}

#[tokio::test]
async fn lists_can_be_json_and_not_found_has_its_own_exit_code() {
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
        .assert_failed(2, &["'nonsense'", "expected an email address"]);
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
async fn a_named_stack_supplies_tables_and_settings() {
    let app = TestApp::builder().user(user(ADA)).start().await;
    let (url, asked) = cloudformation(StatusCode::OK, described(&OUTPUTS)).await;
    let mut env = operator(&app, &url);
    // The stack's names take precedence.
    env.insert("USERS_TABLE".to_owned(), "people".to_owned());

    let list = manage("users list --stack recovery --output json", &env, "").await;
    assert_eq!(
        (list.code, &list.json()[0]["email"]),
        (0, &ADA.into()),
        "{list:?}"
    );
    let asked = String::from_utf8(asked.lock().expect("no panic")[0].to_vec()).expect("text");
    assert!(asked.contains("Action=DescribeStacks") && asked.contains("StackName=recovery"));

    // The stack requires 40 characters.
    let add = "users add grace@example.com --password-stdin --stack recovery";
    manage(add, &env, GOOD_PASSWORD)
        .await
        .assert_failed(1, &["40"]);
    // A named table takes precedence over the stack's and is not created.
    let none = manage(&format!("{add} --users-table people"), &env, "").await;
    none.assert_failed(4, &["no table people"]);
    assert!(app.user("grace@example.com").await.is_none());
}

#[tokio::test]
async fn an_unreadable_stack_is_explained() {
    let app = TestApp::builder().start().await;
    let missing = refused("ValidationError", "Stack with id recovery does not exist");
    let denied = refused("AccessDenied", "User: arn is not authorized");
    for (status, response, code, parts) in [
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
        let (url, _) = cloudformation(status, response).await;
        let mut env = operator(&app, &url);
        env.insert("AWS_REGION".to_owned(), "us-east-1".to_owned());
        let output = manage("users list --stack recovery", &env, "").await;
        output.assert_failed(code, &parts);
    }
}

#[tokio::test]
async fn a_missing_region_or_missing_credentials_are_explained() {
    let env = [("AWS_EC2_METADATA_DISABLED", "true")];
    let mut env: BTreeMap<_, _> = env
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let output = manage("users list --aws", &env, "").await;
    output.assert_failed(1, &["no AWS region is set", "AWS_PROFILE"]);
    env.insert("AWS_REGION".to_owned(), "eu-central-1".to_owned());
    let output = manage("users list --aws", &env, "").await;
    output.assert_failed(1, &["no AWS credentials found", "aws sso login"]);
}

/// Returns a free port.
async fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let address = listener.and_then(|listener| listener.local_addr());
    address.expect("a port").port()
}

#[tokio::test]
async fn the_panel_of_a_stack_shows_its_users_and_writes_nothing() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(user(ADA))
        .start()
        .await;
    let add = "createsuperuser --email root@example.com --password-stdin";
    let added = manage(add, &app.environment(), GOOD_PASSWORD).await;
    assert_eq!(added.code, 0, "{added:?}");
    app.dynamodb.clear_calls();
    let (url, _) = cloudformation(StatusCode::OK, described(&OUTPUTS)).await;
    let port = free_port().await;
    let args = format!("admin --stack recovery --port {port}");
    let mut process = start(&args, &operator(&app, &url));
    let panel = format!("http://127.0.0.1:{port}");
    let mut line = String::new();
    let mut out = BufReader::new(process.stdout.take().expect("a pipe"));
    out.read_line(&mut line).await.expect("a line with the URL");
    assert!(
        line.contains(&panel) && line.contains("stack recovery"),
        "{line}"
    );

    let browser = Browser::sign_in(&panel, ROOT).await;
    let page = browser.get("/admin/").await.text();
    for part in ["stack recovery, ", ADA, "Requests", "in CloudWatch"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("/inbox/"));
    // Only the panel is served.
    let response = http::send(
        Method::GET,
        &format!("{panel}/core/user/forgot-password/"),
        &[],
        "",
    )
    .await;
    assert_eq!(response.status, 404);
    let calls = app.dynamodb.take_operations();
    let writes = ["CreateTable", "PutItem", "UpdateItem", "DeleteItem"];
    assert!(
        !calls.iter().any(|call| writes.contains(&call.as_str())),
        "{calls:?}"
    );
}

#[tokio::test]
async fn the_panel_requires_its_tables_to_be_named() {
    let app = TestApp::builder().start().await;
    let env = app.environment();
    manage("admin", &env, "")
        .await
        .assert_failed(2, &["--stack <NAME>", "--users-table <NAME>"]);
    let none = manage("admin --users-table people", &env, "").await;
    none.assert_failed(4, &["no table people"]);
}

#[tokio::test]
async fn completions_exist_for_three_shells() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef manage"),
        ("fish", "complete -c manage"),
    ] {
        let output = manage(&format!("completions {shell}"), &BTreeMap::new(), "").await;
        assert_eq!(output.code, 0);
        assert!(output.out.contains(part) && output.out.contains("createsuperuser"));
    }
}

#[tokio::test]
async fn a_closed_pipe_is_not_an_error() {
    let app = TestApp::builder().user(user(ADA)).start().await;
    for args in [
        "users list",
        "users list --output json",
        "doctor --output json",
    ] {
        let mut process = start(args, &app.environment());
        // As `| head -0` does.
        drop(process.stdout.take());
        let output = process.wait_with_output().await.expect("output");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && error.is_empty(),
            "{args}: {error}"
        );
    }
}
