//! The admin panel, over HTTP.

use std::collections::BTreeSet;

use ::http::Method;
use aws::tables::{Outbox, User};
use aws_sdk_dynamodb::types::{
    AttributeValue, PutRequest, WriteRequest, builders::PutRequestBuilder,
};
use chrono::DateTime;
use passwords::{HashFormat, HashParams, Password, PasswordHasher};
use tests::{
    app::{GOOD_PASSWORD, OTHER_PASSWORD, TestApp, user},
    http::{self, FORM, HttpResponse},
    logs,
};

const ROOT: &str = "root@example.com";
const ADA: &str = "ada@example.com";

/// The cookies and the form token of somebody who is signed in.
struct Browser<'a> {
    app: &'a TestApp,
    cookie: String,
    token: String,
}

impl<'a> Browser<'a> {
    /// Signs in as `email`.
    async fn sign_in(app: &'a TestApp, email: &str) -> Self {
        let answer = try_sign_in(app, email, GOOD_PASSWORD).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let mut browser = Self {
            app,
            cookie: cookie(&answer, "admin_session"),
            token: String::new(),
        };
        browser.token = form_token(&browser.get("/admin/").await);
        browser
    }

    async fn get(&self, path: &str) -> HttpResponse {
        get(self.app, path, &[("cookie", &self.cookie)]).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> HttpResponse {
        let headers = [("cookie", self.cookie.as_str())];
        post(self.app, path, &headers, fields).await
    }

    /// Confirms the action `name` for `email`.
    async fn act(&self, name: &str, email: &str) -> HttpResponse {
        let fields = [("form_token", self.token.as_str()), ("email", email)];
        self.post(&format!("/admin/users/{name}/"), &fields).await
    }

    async fn page_of(&self, email: &str) -> String {
        text(&self.get(&format!("/admin/users/?email={email}")).await)
    }
}

async fn get(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> HttpResponse {
    http::send(Method::GET, &app.url(path), headers, "").await
}

async fn post(
    app: &TestApp,
    path: &str,
    headers: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> HttpResponse {
    let mut all = vec![("content-type", FORM)];
    all.extend(headers);
    http::send(Method::POST, &app.url(path), &all, http::form(fields)).await
}

async fn try_sign_in(app: &TestApp, email: &str, password: &str) -> HttpResponse {
    app.secrets.add(email);
    app.secrets.add(password);
    let form = get(app, "/admin/sign-in/", &[]).await;
    let cookie = cookie(&form, "admin_sign_in");
    let token = form_token(&form);
    let fields = [
        ("form_token", token.as_str()),
        ("email", email),
        ("password", password),
    ];
    post(app, "/admin/sign-in/", &[("cookie", &cookie)], &fields).await
}

fn text(answer: &HttpResponse) -> String {
    String::from_utf8(answer.body.to_vec()).expect("a page in UTF-8")
}

/// The cookie `name` that an answer sets, as a browser sends it back.
fn cookie(answer: &HttpResponse, name: &str) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter();
    let mut cookies = cookies.map(|cookie| cookie.to_str().expect("ASCII"));
    let cookie = cookies.find(|cookie| cookie.starts_with(&format!("{name}=")));
    let cookie = cookie.unwrap_or_else(|| panic!("a cookie {name} in {answer:?}"));
    for attribute in ["; Path=/admin", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().expect("a pair").to_owned()
}

fn form_token(answer: &HttpResponse) -> String {
    between(&text(answer), "name=\"form_token\" value=\"", "\"").to_owned()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("{before} in {text}"));
    rest.split_once(after).expect("an end").0
}

async fn with_password(mail_to: &str, is_superuser: bool) -> User {
    let costs = HashParams {
        memory_kib: 64,
        iterations: 1,
        parallelism: 1,
        format: HashFormat::Phc,
    };
    let hasher = PasswordHasher::new(costs).expect("valid costs");
    let password = std::sync::Arc::new(Password::new(GOOD_PASSWORD));
    let hash = hasher.hash(password, &mut rand::rngs::SysRng).await;
    User {
        password_hash: Some(hash.expect("a hash")),
        is_superuser,
        ..user(mail_to)
    }
}

/// A system with the superuser [`ROOT`] and the user [`ADA`].
async fn start() -> TestApp {
    TestApp::builder()
        .with_cheap_hashes()
        .without_email_budget()
        .user(with_password(ROOT, true).await)
        .user(with_password(ADA, false).await)
        .start()
        .await
}

fn location(answer: &HttpResponse) -> &str {
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("location").expect("a place to go on")
}

#[tokio::test]
async fn nobody_sees_a_page_without_signing_in() {
    let app = start().await;
    for path in [
        "/admin/",
        "/admin/?search=ada",
        "/admin/users/?email=ada@example.com",
        "/admin/users/deactivate/?email=ada@example.com",
    ] {
        for headers in [&[][..], &[("cookie", "admin_session=made-up")]] {
            assert_eq!(
                location(&get(&app, path, headers).await),
                "/admin/sign-in/",
                "{path}"
            );
        }
    }
    let answer = post(&app, "/admin/users/deactivate/", &[], &[("email", ADA)]).await;
    assert_eq!(location(&answer), "/admin/sign-in/");
    assert!(app.user(ADA).await.expect("is there").is_active);
}

#[tokio::test]
async fn a_superuser_signs_in_to_a_new_session_and_out_of_it() {
    let app = start().await;
    let first = Browser::sign_in(&app, ROOT).await;
    let second = Browser::sign_in(&app, ROOT).await;
    assert_ne!(first.cookie, second.cookie);

    // A sign-in that brings a session along ends that one.
    let form = first.get("/admin/sign-in/").await;
    let cookies = format!("{}; {}", cookie(&form, "admin_sign_in"), first.cookie);
    let token = form_token(&form);
    let fields = [
        ("form_token", token.as_str()),
        ("email", " Root@Example.COM "),
        ("password", GOOD_PASSWORD),
    ];
    let again = post(&app, "/admin/sign-in/", &[("cookie", &cookies)], &fields).await;
    assert_eq!(location(&again), "/admin/");
    assert_ne!(cookie(&again, "admin_session"), first.cookie);
    assert_eq!(location(&first.get("/admin/").await), "/admin/sign-in/");

    let token = second.token.as_str();
    let out = second
        .post("/admin/sign-out/", &[("form_token", token)])
        .await;
    assert_eq!(location(&out), "/admin/sign-in/");
    assert_eq!(location(&second.get("/admin/").await), "/admin/sign-in/");
}

#[tokio::test]
async fn a_sign_in_that_fails_does_not_say_why() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(with_password(ROOT, true).await)
        .user(with_password(ADA, false).await)
        .user(User {
            is_active: false,
            ..with_password("gone@example.com", true).await
        })
        .start()
        .await;
    let mut answers = BTreeSet::new();
    for (email, password) in [
        (ROOT, OTHER_PASSWORD),
        (ADA, GOOD_PASSWORD),
        ("gone@example.com", GOOD_PASSWORD),
        ("nobody@example.com", GOOD_PASSWORD),
    ] {
        let answer = try_sign_in(&app, email, password).await;
        assert!(answer.header("set-cookie").is_none());
        let page = text(&answer)
            .replace(&format!("value=\"{email}\""), "")
            .replace(&form_token(&answer), "");
        assert!(!page.contains(password));
        answers.insert((answer.status.as_u16(), page));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers.first().expect("one").0, 422);
}

#[tokio::test]
async fn tries_to_sign_in_are_limited() {
    let app = start().await;
    for _ in 0..5 {
        let answer = try_sign_in(&app, ROOT, OTHER_PASSWORD).await;
        assert_eq!(answer.status, 422);
    }
    let limited = try_sign_in(&app, ROOT, GOOD_PASSWORD).await;
    assert_eq!(limited.status, 429);
    let seconds: i64 = limited
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .expect("seconds");
    assert!((1..=15).contains(&seconds), "{seconds}");
    assert!(text(&limited).contains(&format!("in {seconds} seconds")));
    let another = try_sign_in(&app, ADA, OTHER_PASSWORD).await;
    assert_eq!(another.status, 422, "it is about one account");
}

#[tokio::test]
async fn nobody_is_kept_out_of_a_browser_that_they_signed_in_with() {
    let app = start().await;
    let signed_in = try_sign_in(&app, ROOT, GOOD_PASSWORD).await;
    let known = cookie(&signed_in, "admin_browser");
    while try_sign_in(&app, ROOT, OTHER_PASSWORD).await.status != 429 {}

    let sign_in = async |password: &str| {
        let form = get(&app, "/admin/sign-in/", &[]).await;
        let cookies = format!("{}; {known}", cookie(&form, "admin_sign_in"));
        let token = form_token(&form);
        let fields = [
            ("form_token", token.as_str()),
            ("email", ROOT),
            ("password", password),
        ];
        post(&app, "/admin/sign-in/", &[("cookie", &cookies)], &fields).await
    };
    for _ in 0..4 {
        assert_eq!(sign_in(OTHER_PASSWORD).await.status, 422);
    }
    let again = sign_in(GOOD_PASSWORD).await;
    assert_eq!(location(&again), "/admin/");
}

#[tokio::test]
async fn a_form_without_its_token_does_nothing() {
    let app = start().await;
    let browser = Browser::sign_in(&app, ROOT).await;
    let other = Browser::sign_in(&app, ROOT).await;
    for token in [None, Some(""), Some("wrong"), Some(other.token.as_str())] {
        let mut fields = vec![("email", ADA)];
        fields.extend(token.map(|token| ("form_token", token)));
        for path in [
            "/admin/users/deactivate/",
            "/admin/users/send-reset/",
            "/admin/sign-out/",
        ] {
            let answer = browser.post(path, &fields).await;
            assert_eq!(answer.status, 403, "{path} {token:?}");
        }
    }
    assert!(app.user(ADA).await.expect("is there").is_active);
    assert_eq!(browser.get("/admin/").await.status, 200);

    let fields = [("email", ROOT), ("password", GOOD_PASSWORD)];
    let sign_in = post(&app, "/admin/sign-in/", &[], &fields).await;
    assert_eq!(sign_in.status, 403);
}

#[tokio::test]
async fn another_host_and_another_site_are_refused() {
    let app = start().await;
    let browser = Browser::sign_in(&app, ROOT).await;
    for host in [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1:1",
        "localhost",
    ] {
        let headers = [("host", host), ("cookie", browser.cookie.as_str())];
        for path in ["/admin/", "/admin/sign-in/"] {
            let answer = get(&app, path, &headers).await;
            assert_eq!(answer.status, 403, "{host}");
            assert!(!text(&answer).contains(ADA));
        }
    }
    let port = app.url("").rsplit(':').next().expect("a port").to_owned();
    let host = format!("localhost:{port}");
    let local = [("host", host.as_str()), ("cookie", &browser.cookie)];
    assert_eq!(get(&app, "/admin/", &local).await.status, 200);

    let fields = [("form_token", browser.token.as_str()), ("email", ADA)];
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let headers = [("cookie", browser.cookie.as_str()), (name, value)];
        let answer = post(&app, "/admin/users/deactivate/", &headers, &fields).await;
        assert_eq!(answer.status, 403, "{name}: {value}");
    }
    assert!(app.user(ADA).await.expect("is there").is_active);

    // What a browser sends from the panel's own pages, whose policy is `no-referrer`.
    let headers = [
        ("cookie", browser.cookie.as_str()),
        ("origin", "null"),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = post(&app, "/admin/users/deactivate/", &headers, &fields).await;
    assert_eq!(answer.status, 303);
}

#[tokio::test]
async fn a_session_ends_with_the_right_to_it() {
    for (attribute, value) in [
        ("is_active", AttributeValue::Bool(false)),
        ("is_superuser", AttributeValue::Bool(false)),
        ("session_epoch", AttributeValue::N("1".to_owned())),
    ] {
        let app = start().await;
        let browser = Browser::sign_in(&app, ROOT).await;
        let update = app
            .dynamodb_client()
            .update_item()
            .table_name("users")
            .key("email", AttributeValue::S(ROOT.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", attribute)
            .expression_attribute_values(":value", value);
        update.send().await.expect("DynamoDB responds");
        assert_eq!(
            location(&browser.get("/admin/").await),
            "/admin/sign-in/",
            "{attribute}"
        );
    }
}

#[tokio::test]
async fn pages_have_strict_headers_and_no_script() {
    let app = start().await;
    let browser = Browser::sign_in(&app, ROOT).await;
    for path in [
        "/admin/",
        "/admin/sign-in/",
        "/admin/users/?email=ada@example.com",
        "/admin/users/deactivate/?email=ada@example.com",
        "/admin/users/?email=nobody@example.com",
        "/admin/users/set-password/?email=ada@example.com",
    ] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(policy.contains("form-action 'self'; frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains("script"));
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let page = text(&answer);
        assert_eq!(page.matches("<h1>").count(), 1, "{path}");
        assert!(!page.contains("<script") && !page.contains("style=\""));
        let has_password = page.contains("type=\"password\"") || page.contains("name=\"password");
        assert_eq!(has_password, path == "/admin/sign-in/", "{path}");
    }
}

/// Puts `count` users of the name `name-000@example.com` into the table.
async fn add_many(app: &TestApp, name: &str, count: usize) {
    let user = |number: usize| {
        let email = format!("{name}-{number:03}@example.com");
        PutRequest::builder().item("email", AttributeValue::S(email))
    };
    put_all(app, "users", (0..count).map(user)).await;
}

async fn put_all(app: &TestApp, table: &str, rows: impl Iterator<Item = PutRequestBuilder>) {
    let write = |row: PutRequestBuilder| {
        let put = row.build().expect("an item");
        WriteRequest::builder().put_request(put).build()
    };
    let all: Vec<WriteRequest> = rows.map(write).collect();
    for chunk in all.chunks(25) {
        let write = app
            .dynamodb_client()
            .batch_write_item()
            .request_items(table, chunk.to_vec());
        write.send().await.expect("DynamoDB responds");
    }
}

#[tokio::test]
async fn a_large_outbox_is_counted_as_far_as_was_asked() {
    let app = TestApp::builder().manual_delivery().start().await;
    let row = |number: usize| {
        let text = AttributeValue::S;
        PutRequest::builder()
            .item("id", text(format!("request#192.0.2.1#{number}")))
            .item("kind", text("reset_requested".to_owned()))
            .item("at", AttributeValue::N(number.to_string()))
    };
    put_all(&app, "outbox", (1000..2001).map(row)).await;
    let outbox = Outbox::new(app.dynamodb_client().clone(), "outbox".to_owned());
    let count = async |since, max_reads| {
        let mut rows = 0;
        let since = DateTime::from_timestamp_millis(since).expect("a time");
        let is_whole = outbox.for_each_since(since, max_reads, |_, _, _| rows += 1);
        (is_whole.await.expect("DynamoDB responds"), rows)
    };
    assert_eq!(count(0, 1).await, (false, 1000));
    assert_eq!(count(0, 2).await, (true, 1001));
    assert_eq!(count(1999, 2).await, (true, 2));
}

/// The addresses on every page from `path` on, page by page.
async fn walk(browser: &Browser<'_>, path: &str) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, 200);
        let page = text(&answer);
        let rows = page.split("<tr><th scope=\"row\"><a href=\"").skip(1);
        let address = |row: &str| between(row, "\">", "</a>").to_owned();
        pages.push(rows.map(address).collect());
        next = page
            .split_once("rel=\"next\" href=\"")
            .map(|(_, rest)| rest.split('"').next().expect("an end"))
            .map(|href| href.replace("&#38;", "&").replace("&amp;", "&"));
        assert!(pages.len() < 10, "an end");
    }
    pages
}

#[tokio::test]
async fn users_are_listed_and_searched_page_by_page() {
    let app = start().await;
    add_many(&app, "many", 120).await;
    let browser = Browser::sign_in(&app, ROOT).await;

    let pages = walk(&browser, "/admin/").await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [50, 50, 22]);
    let all: BTreeSet<String> = pages.into_iter().flatten().collect();
    assert_eq!(all.len(), 122);
    assert!(all.contains(ROOT) && all.contains("many-119@example.com"));

    let pages = walk(&browser, "/admin/?search=MANY-").await;
    let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(sizes, [50, 50, 20]);
    let found: BTreeSet<String> = pages.into_iter().flatten().collect();
    assert_eq!(found.len(), 120);

    let found = walk(&browser, "/admin/?search=many-01").await.concat();
    assert_eq!(found.len(), 10);
    app.dynamodb.clear_calls();
    let exact = walk(&browser, "/admin/?search=%20Ada%40Example.com").await;
    assert_eq!(exact, [[ADA]]);
    assert!(
        !app.dynamodb
            .calls()
            .iter()
            .any(|call| call.operation == "Scan" && call.body["TableName"] == "users"),
        "an exact address is looked up"
    );
    assert_eq!(walk(&browser, "/admin/?search=zzz").await, [[""; 0]]);
}

#[tokio::test]
async fn a_users_page_shows_what_recovery_did_and_escapes_what_users_chose() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(with_password(ROOT, true).await)
        .user(User {
            name: Some("<script>alert(1)</script>\"'&".to_owned()),
            locale: Some("\"><img src=x>".to_owned()),
            ..with_password(ADA, false).await
        })
        .start()
        .await;
    let link = app.request_link(ADA).await;
    let browser = Browser::sign_in(&app, ROOT).await;

    let page = browser.page_of(ADA).await;
    assert!(page.contains("<th scope=\"row\">Links mailed in the last hour</th><td>1</td>"));
    assert!(page.contains("<th scope=\"row\">Links left in this hour</th><td>4 of 5</td>"));
    assert_eq!(page.matches("works until").count(), 1, "{page}");
    assert!(page.contains("<th scope=\"row\">Last reset</th><td>never</td>"));
    for absent in [link.token.as_str(), "<script", "<img", "$argon2"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains("&#60;script&#62;"), "{page}");
    let digest = app.rows("tokens").await[0]["token_digest"].clone();
    assert!(!page.contains(digest.as_s().expect("text")));

    // The cool-down is on, so that the mailer would not send.
    assert_eq!(browser.act("send-reset", ADA).await.status, 409);

    app.confirm(&link.token, OTHER_PASSWORD)
        .await
        .assert_worked();
    let page = browser.page_of(ADA).await;
    assert!(!page.contains("works until"), "the link is spent");
    assert!(page.contains("<th scope=\"row\">Session epoch</th><td>1</td>"));
    assert!(!page.contains("<th scope=\"row\">Last reset</th><td>never</td>"));
    let list = text(&browser.get("/admin/").await);
    assert!(!list.contains("<script"));
    assert!(list.contains("Requests, by the hour: 1 in all"));
    assert!(list.contains("Passwords reset, by the hour: 1 in all"));
}

#[tokio::test]
async fn who_is_deactivated_is_sent_no_link_until_activated_again() {
    let app = start().await;
    let browser = Browser::sign_in(&app, ROOT).await;
    let question = browser
        .get("/admin/users/deactivate/?email=ada@example.com")
        .await;
    assert_eq!(question.status, 200);
    assert!(
        app.user(ADA).await.expect("is there").is_active,
        "only asked"
    );

    let done = browser.act("deactivate", ADA).await;
    let page = text(&browser.get(location(&done)).await);
    assert!(page.contains("role=\"status\""), "{page}");
    assert!(!app.user(ADA).await.expect("is there").is_active);
    app.request_reset(ADA).await.assert_worked();
    app.wait_for_mailer().await;
    assert!(app.emails_to(ADA).is_empty());
    assert_eq!(browser.act("send-reset", ADA).await.status, 409);
    assert_eq!(browser.act("deactivate", ADA).await.status, 409);

    assert_eq!(browser.act("activate", ADA).await.status, 303);
    app.request_link(ADA).await;
}

#[tokio::test]
async fn mail_that_came_back_is_explained_and_sent_again_when_an_administrator_says_so() {
    const BOUNCING: &str = "bounce@simulator.amazonses.com";
    let app = TestApp::builder()
        .with_cheap_hashes()
        .without_email_budget()
        .user(with_password(ROOT, true).await)
        .user(user(BOUNCING))
        .start()
        .await;
    let browser = Browser::sign_in(&app, ROOT).await;
    assert_eq!(browser.act("clear-suppression", BOUNCING).await.status, 409);
    app.request_reset(BOUNCING).await.assert_worked();
    let look = async || {
        let page = browser.page_of(BOUNCING).await;
        page.contains("Mail to this address is stopped since")
            .then_some(page)
    };
    let page = tests::wait_for("the bounce", look).await;
    for shown in [
        "<td>link</td><td>came back for good",
        "<td>Permanent General 5.1.1 smtp; 550 5.1.1 user unknown</td>",
        "Mail to the address is stopped; see above.",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert_eq!(browser.act("send-reset", BOUNCING).await.status, 409);

    let done = browser.act("clear-suppression", BOUNCING).await;
    let page = text(&browser.get(location(&done)).await);
    assert!(
        page.contains("Mail to the address is sent again."),
        "{page}"
    );
    assert!(!page.contains("is stopped since") && page.contains("came back for good"));
    assert_eq!(browser.act("send-reset", BOUNCING).await.status, 303);
    app.wait_for_email(BOUNCING, 2).await;
}

#[tokio::test]
async fn a_reset_mail_that_an_administrator_sends_arrives_and_works() {
    let log_start = logs::mark();
    let app = start().await;
    let browser = Browser::sign_in(&app, ROOT).await;
    for count in 1..=2 {
        assert_eq!(browser.act("send-reset", ADA).await.status, 303);
        app.wait_for_link(ADA, count).await;
    }
    let link = app.wait_for_link(ADA, 2).await;
    app.confirm(&link.token, OTHER_PASSWORD)
        .await
        .assert_worked();

    let logs = logs::captured_since(log_start);
    let (ada, root) = (user(ADA).email.digest(), user(ROOT).email.digest());
    let is_logged = |line: &str| {
        let parts = ["administrator action", &ada, &root];
        parts.iter().all(|part| line.contains(part))
    };
    assert!(logs.lines().any(is_logged), "{logs}");
}

#[tokio::test]
async fn administrators_cannot_close_their_own_account_or_act_on_nobody() {
    let app = start().await;
    let browser = Browser::sign_in(&app, ROOT).await;
    let page = browser.page_of(ROOT).await;
    assert!(!page.contains("/admin/users/deactivate/"));
    assert_eq!(
        browser.act("deactivate", "ROOT@example.com").await.status,
        409
    );
    assert!(app.user(ROOT).await.expect("is there").is_active);

    app.secrets.add("nobody@example.com");
    for email in ["nobody@example.com", "", "nonsense"] {
        assert_eq!(browser.act("activate", email).await.status, 404, "{email}");
    }
    assert_eq!(browser.act("set-password", ADA).await.status, 404);
    assert!(app.user("nobody@example.com").await.is_none());
}
