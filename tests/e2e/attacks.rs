//! The attacks of docs/security.md, each replayed over HTTP against the running system.
//!
//! The number in a test's name is the attack's row there. Row 25, the process that dies, is in
//! `crashes.rs`.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use aws::tables::User;
use futures::future::join_all;
use http::Method;
use passwords::{Password, verify};
use serde_json::{Value, json};
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp, WEAK_PASSWORD, user},
    functions::{at, stream_record},
    http::{
        CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, HttpResponse, JSON, MULTIPART, form, multipart,
        send,
    },
    logs::{captured_since, mark},
    proxy::{Action, Call},
    within_one_rate_window,
};
use tokio::time::timeout;

const EVE: &str = "eve@example.com";
/// Has a token's shape.
const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NOTICE: &str = "Your password for Example was changed";

/// Nobody has been sent anything, and nobody will be.
async fn assert_no_mail(app: &TestApp) {
    app.wait_for_mailer().await;
    assert!(app.emails().is_empty());
}

async fn ada(app: &TestApp) -> User {
    app.user(ADA).await.expect("she is there")
}

async fn assert_unchanged(app: &TestApp) {
    let ada = ada(app).await;
    assert_eq!((ada.password_hash, ada.session_epoch), (None, 0));
}

/// One change was made, to `password`, and one notice of it was mailed.
async fn assert_changed_once(app: &TestApp, password: &str) {
    let ada = ada(app).await;
    assert!(
        verify(
            &Password::new(password),
            ada.password_hash.as_deref().unwrap_or_default()
        ),
        "another password is stored"
    );
    assert_eq!(ada.session_epoch, 1);
    app.wait_for_mailer().await;
    let notices = app.emails_to(ADA);
    let notices = notices.iter().filter(|mail| mail.subject == NOTICE);
    assert_eq!(notices.count(), 1);
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
        let answer = app.post_as(FORGOT_PASSWORD, content_type, body).await;
        app.assert_refused(&answer, 400, "invalid_params");
    }
    for separator in [",", ", ", ";", " ", "%00", "\n", "|"] {
        let answer = app.request_reset(&format!("{ADA}{separator}{EVE}")).await;
        app.assert_refused(&answer, 400, "invalid_params");
    }
    assert_no_mail(&app).await;
}

#[tokio::test]
async fn attack_02_a_look_alike_of_an_address_reaches_nobody() {
    let app = TestApp::with_ada().await;
    for email in ["mike@example.com", "fiona@example.com", "mike@github.com"] {
        app.add(&user(email)).await;
    }
    let mut answers = BTreeSet::new();
    for typed in [
        "mıke@example.com",
        "mi\u{212a}e@example.com",
        "ﬁona@example.com",
        "ｍｉｋｅ@example.com",
        "mike@gıthub.com",
        "mike@GİTHUB.com",
        "mike@ex\u{430}mple.com",
    ] {
        // Where the syntax takes one, it is an address of somebody else.
        answers.insert(app.request_reset(typed).await.status_and_code());
    }
    assert_no_mail(&app).await;
    let (worked, refused) = (String::new(), "invalid_params".to_owned());
    assert_eq!(answers, BTreeSet::from([(200, worked), (400, refused)]));

    // Only the case does not matter, and mail goes to the address as it was registered.
    app.add(&user("Grace.Hopper@Example.com")).await;
    app.request_reset("GRACE.HOPPER@EXAMPLE.COM")
        .await
        .assert_worked();
    let mail = app.wait_for_email("Grace.Hopper@Example.com", 1).await;
    assert!(!mail.text.contains("GRACE") && !mail.html.contains("GRACE"));
}

#[tokio::test]
async fn attack_03_an_accented_twin_of_an_address_reaches_nobody() {
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
    assert_no_mail(&app).await;
}

#[tokio::test]
async fn attack_04_no_header_moves_the_link() {
    let app = TestApp::with_ada().await;
    let headers = [
        ("content-type", JSON),
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-server", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-original-url", "https://evil.example/"),
        ("forwarded", "host=evil.example;proto=https"),
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example/"),
    ];
    let body = json!({ "email": ADA }).to_string();
    let answer = send(Method::POST, &app.url(FORGOT_PASSWORD), &headers, body).await;
    answer.assert_worked();
    let mail = app.wait_for_email(ADA, 1).await;
    let expected = format!("{}#", app.url(CHANGE_PASSWORD));
    assert!(app.link_in(&mail).url.starts_with(&expected));
    assert!(!mail.text.contains("evil") && !mail.html.contains("evil"));
}

/// A change with `token` is refused before a table is read, whatever else is sent.
async fn assert_no_token(app: &TestApp, token: Option<&Value>) {
    for email in [None, Some(ADA)] {
        let mut body = json!({ "new_password": GOOD_PASSWORD });
        for (name, value) in [
            ("email", email.map(Value::from)),
            ("forgot_password_hash", token.cloned()),
        ] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let answer = app.post(CHANGE_PASSWORD, &body).await;
        app.assert_refused(&answer, 400, "invalid_params");
    }
}

#[tokio::test]
async fn attack_05_a_token_that_is_an_object_or_a_truth_value_is_refused_before_a_read() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for token in [
        json!({}),
        json!({ "$gt": 0 }),
        json!({ "S": TOKEN }),
        json!(true),
        json!(false),
        json!([]),
        json!([TOKEN]),
    ] {
        assert_no_token(&app, Some(&token)).await;
    }
    assert_unchanged(&app).await;
}

#[tokio::test]
async fn attack_06_a_number_as_the_token_is_refused_before_a_read() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for token in [json!(0), json!(-1), json!(1.5), json!(1e300)] {
        assert_no_token(&app, Some(&token)).await;
    }
    // In a form every value is text; that it is no token is seen before a table is.
    let body = form(&[
        ("forgot_password_hash", "0"),
        ("new_password", GOOD_PASSWORD),
    ]);
    let answer = app.post_as(CHANGE_PASSWORD, FORM, body).await;
    app.assert_refused(&answer, 400, "invalid_token");
    assert_unchanged(&app).await;
}

#[tokio::test]
async fn attack_07_an_empty_or_missing_token_never_matches() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for token in [
        None,
        Some(json!("")),
        Some(json!(null)),
        Some(json!([null])),
        Some(json!([""])),
    ] {
        assert_no_token(&app, token.as_ref()).await;
    }
    for blank in [" ", "\t", "\u{a0}", "null", "undefined", "%00", "\0"] {
        let answer = app.confirm_with_email(ADA, blank, GOOD_PASSWORD).await;
        app.assert_refused(&answer, 400, "invalid_token");
    }
    assert_unchanged(&app).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attack_08_of_fifty_changes_with_one_token_one_succeeds_and_none_after() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    let passwords: Vec<String> = (0..50)
        .map(|number| format!("{GOOD_PASSWORD} {number}"))
        .collect();
    let confirm = |password| app.confirm(&link.token, password);
    let answers = join_all(passwords.iter().map(|password| confirm(password))).await;

    let (won, lost): (Vec<_>, Vec<_>) = answers
        .iter()
        .zip(&passwords)
        .partition(|(answer, _)| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 49));
    for (answer, _) in lost {
        answer.assert_problem(400, "invalid_token");
    }
    let in_turn = confirm(OTHER_PASSWORD).await;
    in_turn.assert_problem(400, "invalid_token");
    assert_changed_once(&app, won[0].1).await;
}

#[tokio::test]
async fn attack_09_every_link_works_until_one_is_used_and_then_none_does() {
    for first in [0, 1] {
        let app = TestApp::with_ada().await;
        let links = [app.request_link(ADA).await, app.request_link(ADA).await];
        // Both are good: what is wrong is the password alone.
        for link in &links {
            let weak = app.confirm(&link.token, WEAK_PASSWORD).await;
            weak.assert_problem(422, "weak_password");
        }
        let used = app.confirm(&links[first].token, GOOD_PASSWORD).await;
        used.assert_worked();
        for link in &links {
            let late = app.confirm(&link.token, OTHER_PASSWORD).await;
            late.assert_problem(400, "invalid_token");
        }
        assert_changed_once(&app, GOOD_PASSWORD).await;

        // One that is asked for afterwards works.
        let later = app.request_link(ADA).await;
        app.confirm(&later.token, OTHER_PASSWORD)
            .await
            .assert_worked();
    }
}

#[tokio::test]
async fn attack_10_known_and_unknown_addresses_look_the_same_while_ses_fails() {
    let app = TestApp::with_ada().await;
    app.ses
        .intercept(|_| Action::error(500, "InternalFailure", "out of order"));
    let (known, unknown) = (
        app.request_reset(ADA).await,
        app.request_reset("nobody@example.com").await,
    );
    known.assert_worked();
    assert_eq!(known.without_date(), unknown.without_date());
    tests::wait_for("a mail to fail", async || app.ses.calls().pop()).await;
}

#[tokio::test]
async fn attack_11_the_cool_down_shows_in_no_answer() {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .user(user(ADA))
        .start()
        .await;
    app.request_link(ADA).await;
    let mut answers = Vec::new();
    for email in [ADA, "nobody@example.com", ADA, "nobody@example.com"] {
        answers.push(app.request_reset(email).await.without_date());
    }
    app.wait_for_mailer().await;
    assert_eq!(app.emails().len(), 1, "she is within the cool-down");
    answers[0].assert_worked();
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
}

/// What of a call could take another time: its operation and its body, without the values that
/// every two calls differ in.
fn shape(call: &Call) -> Value {
    let mut body = call.body.clone();
    for pointer in [
        "/Key/id/S",
        "/ExpressionAttributeValues/:email/S",
        "/ExpressionAttributeValues/:at/N",
        "/ExpressionAttributeValues/:expires_at/N",
    ] {
        let value = body.pointer_mut(pointer);
        *value.unwrap_or_else(|| panic!("{pointer} in {}", call.body)) = json!("*");
    }
    json!({ "target": call.operation, "body": body })
}

#[tokio::test]
async fn attack_12_a_request_makes_the_same_call_of_the_same_size_for_everybody() {
    let app = TestApp::builder()
        .manual_delivery()
        .user(user(ADA))
        .user(user("eva@example.com"))
        .user(User {
            is_active: false,
            ..user("bob@example.com")
        })
        .start()
        .await;
    // Eva has spent her mail.
    let spent = stream_record("reset_requested", "eva@example.com", 1);
    app.functions.deliver(&[spent], at(0)).await;
    app.dynamodb.clear_calls();

    let mut seen = Vec::new();
    // Known, without a mail left, inactive, unknown; and a spelling that is not canonical.
    for email in [
        ADA,
        "eva@example.com",
        "bob@example.com",
        "non@example.com",
        "ADA@EXAMPLE.COM",
    ] {
        let answer = app.request_reset(email).await.without_date();
        let calls = app.dynamodb.take_calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        let size = calls[0].body.to_string().len();
        seen.push((answer, shape(&calls[0]), size));
    }
    assert_eq!(app.ses.take_operations().len(), 1, "Eva's");
    seen[0].0.assert_worked();
    assert_eq!(seen[0].1["target"], "UpdateItem");
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
}

/// The statuses of five requests with the headers and members that `vary` gives them, of which
/// a client has three.
async fn limited(vary: impl Fn(usize) -> ([(&'static str, String); 3], Value)) -> Vec<u16> {
    within_one_rate_window(86_400, async || {
        let app = TestApp::builder()
            .manual_delivery()
            .set("CLIENT_LIMIT", "3")
            .set("CLIENT_WINDOW_SECONDS", "86400")
            .start()
            .await;
        let mut statuses = Vec::new();
        for number in 0..5 {
            let (headers, body) = vary(number);
            let headers = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .chain([("content-type", JSON)]);
            let headers: Vec<_> = headers.collect();
            let answer = send(
                Method::POST,
                &app.url(FORGOT_PASSWORD),
                &headers,
                body.to_string(),
            )
            .await;
            statuses.push(answer.status.as_u16());
        }
        statuses
    })
    .await
}

#[tokio::test]
async fn attack_13_other_fields_and_headers_do_not_move_the_limit() {
    let statuses = limited(|number| {
        let headers = [
            ("user-agent", format!("agent/{number}")),
            ("accept-language", format!("en;q=0.{number}")),
            ("cookie", format!("session={number}")),
        ];
        let body = json!({
            "email": format!("a{number}@example.com"), "nonce": number, "client": number, "ip": "::1",
        });
        (headers, body)
    })
    .await;
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn attack_14_neither_a_header_nor_another_address_of_a_network_moves_the_limit() {
    let statuses = limited(|number| {
        let address = format!("198.51.100.{number}");
        let headers = [
            ("x-forwarded-for", address.clone()),
            ("x-real-ip", address.clone()),
            ("forwarded", format!("for={address}")),
        ];
        (headers, json!({ "email": ADA }))
    })
    .await;
    assert_eq!(statuses, [200, 200, 200, 429, 429]);

    // The loopback interface has one IPv6 address; the gateway's word for the others.
    let app = TestApp::builder()
        .manual_delivery()
        .set("CLIENT_LIMIT", "2")
        .start()
        .await;
    let mut statuses = Vec::new();
    for client in [
        "2001:db8:1:2::1",
        "2001:db8:1:2:ffff::2",
        "2001:db8:1:2:3:4:5:6",
        "2001:db8:1:3::1",
    ] {
        let answer = app.functions.request_reset_from(client, ADA, at(0)).await;
        statuses.push(answer.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[tokio::test]
async fn attack_15_another_spelling_of_the_path_is_another_path() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    for path in [
        "//core//user/forgot-password/",
        "/CORE/user/forgot-password/",
        "/core/user/Forgot-Password",
        "/core/user/forgot%2Dpassword/",
        "/core%2Fuser/forgot-password/",
        "/core/user/./forgot-password/",
        "/core/user/../user/forgot-password/",
        "/core/user/forgot-password//",
        "/core/user/forgot-password/x",
        "/core/user/forgot-password;x/",
    ] {
        let answer = app.post(path, &json!({ "email": ADA })).await;
        app.assert_refused(&answer, 404, "not_found");
    }
}

#[tokio::test]
async fn attack_16_no_parameter_leads_elsewhere() {
    let app = TestApp::with_ada().await;
    for target in [
        "//evil.example",
        "/%5Cevil.example",
        "https://evil.example/",
    ] {
        let body = json!({
            "email": ADA, "next": target, "redirect": target, "redirect_to": target,
            "callback_url": target, "reset_url": target,
        });
        let path = format!("{FORGOT_PASSWORD}?next={target}&redirect={target}&RESET_URL={target}");
        let answer = app.post(&path, &body).await;
        answer.assert_worked();
        assert_eq!(answer.header("location"), None);
    }
    let mail = app.wait_for_email(ADA, 3).await;
    assert!(!mail.html.contains("evil") && !mail.text.contains("evil"));
    let link = app.link_in(&mail);
    let body = json!({
        "forgot_password_hash": link.token, "new_password": GOOD_PASSWORD, "next": "//evil.example",
    });
    let answer = app.post(CHANGE_PASSWORD, &body).await;
    answer.assert_worked();
    assert_eq!(answer.header("location"), None);
}

#[tokio::test]
async fn attack_17_what_is_large_or_deep_is_refused_before_a_read_and_a_hash() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let mebibyte = 1024 * 1024;
    let large = "x".repeat(mebibyte);
    let part = multipart(&[("other", "x")]).replace("--x--\r\n", "");
    let (depth, parts) = (7_000, 250);
    for (content_type, body, status, code) in [
        (
            JSON,
            format!(r#"{{"forgot_password_hash":"{TOKEN}","new_password":"{large}"}}"#),
            413,
            "payload_too_large",
        ),
        (JSON, "[".repeat(mebibyte), 413, "payload_too_large"),
        (
            FORM,
            format!("forgot_password_hash={TOKEN}&new_password={large}"),
            413,
            "payload_too_large",
        ),
        (
            MULTIPART,
            part.repeat(mebibyte / part.len()) + "--x--\r\n",
            413,
            "payload_too_large",
        ),
        // Within the limit.
        (JSON, "[".repeat(2 * depth), 400, "invalid_params"),
        (
            JSON,
            format!(
                r#"{{"new_password":{}{}}}"#,
                "[".repeat(depth),
                "]".repeat(depth)
            ),
            400,
            "invalid_params",
        ),
        (MULTIPART, part.repeat(parts), 400, "invalid_params"),
        (FORM, "&".repeat(2 * depth), 400, "invalid_params"),
    ] {
        for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
            let answer = app.post_as(path, content_type, body.clone());
            // Bounded: the slowest of them takes milliseconds.
            let answer = timeout(Duration::from_secs(5), answer).await;
            app.assert_refused(&answer.expect("an answer in time"), status, code);
        }
    }
}

/// Names that somebody could give themselves, and what of each must not be left.
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
async fn attack_18_a_hostile_name_is_inert_in_both_parts_of_the_mails_and_on_the_pages() {
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
        // A password that is refused, and then one that is not, each answered with a page.
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
        for mail in app.emails() {
            for harmful in harmful {
                assert!(!mail.html.contains(harmful), "{harmful} in {}", mail.html);
                assert!(!mail.text.contains(harmful), "{harmful} in {}", mail.text);
            }
            let subjects = ["Set a new password for Example", NOTICE];
            assert!(
                subjects.contains(&mail.subject.as_str()),
                "{}",
                mail.subject
            );
            assert_eq!(mail.to, [ADA]);
            assert_eq!(mail.headers.keys().collect::<Vec<_>>(), ["Auto-Submitted"]);
        }
    }
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
        let answer = app.post(FORGOT_PASSWORD, &json!({ "email": typed })).await;
        app.assert_refused(&answer, 400, "invalid_params");
        let body = json!({
            "email": typed, "forgot_password_hash": TOKEN, "new_password": GOOD_PASSWORD,
        });
        let answer = app.post(CHANGE_PASSWORD, &body).await;
        app.assert_refused(&answer, 400, "invalid_params");
    }
    assert_no_mail(&app).await;
}

#[tokio::test]
async fn attack_20_expressions_in_an_address_are_inert() {
    let app = TestApp::with_ada().await;
    for typed in [
        "ada@example.com#{7*191}",
        "#{7*191}:ada@example.com",
        "ada:king@example.com",
        "mailto:ada@example.com",
        "ada@example.com?cc=eve@example.com",
        "ada@${jndi:ldap://evil.example}",
    ] {
        let answer = app.request_reset(typed).await;
        app.assert_refused(&answer, 400, "invalid_params");
    }
    // These are addresses: data in the expressions of DynamoDB, in the link and in the mail.
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
        let mail = app.wait_for_email(address, 1).await;
        assert!(!mail.text.contains("1337") && !mail.html.contains("1337"));
        app.confirm_with_email(address, &link.token, GOOD_PASSWORD)
            .await
            .assert_worked();
    }
    assert!(app.emails_to(ADA).is_empty());
    assert_unchanged(&app).await;
}

#[tokio::test]
async fn attack_21_another_address_beside_the_token_is_refused_and_spends_nothing() {
    let app = TestApp::with_ada().await;
    app.add(&user(EVE)).await;
    let link = app.request_link(ADA).await;
    app.dynamodb.clear_calls();
    let without = json!({ "email": ADA, "new_password": GOOD_PASSWORD });
    app.assert_refused(
        &app.post(CHANGE_PASSWORD, &without).await,
        400,
        "invalid_params",
    );
    for email in [EVE, "nobody@example.com", "ada@example.org"] {
        let other = app
            .confirm_with_email(email, &link.token, GOOD_PASSWORD)
            .await;
        other.assert_problem(400, "invalid_token");
    }
    assert_unchanged(&app).await;
    let eve = app.user(EVE).await.expect("she is there");
    assert_eq!((eve.password_hash, eve.session_epoch), (None, 0));
    app.confirm_with_email(ADA, &link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
}

#[tokio::test]
async fn attack_22_a_change_signs_nobody_in() {
    let app = TestApp::with_ada().await;
    let links = [app.request_link(ADA).await, app.request_link(ADA).await];
    let answer = app.confirm(&links[0].token, GOOD_PASSWORD).await;
    assert_eq!(answer.json(), json!({ "worked": true }));
    let fields = [
        ("forgot_password_hash", links[1].token.as_str()),
        ("new_password", OTHER_PASSWORD),
    ];
    let headers = [("content-type", FORM), ("accept", "text/html")];
    let page = send(
        Method::POST,
        &app.url(CHANGE_PASSWORD),
        &headers,
        form(&fields),
    )
    .await;
    for answer in [answer, page] {
        for name in ["set-cookie", "authorization", "location", "refresh"] {
            assert_eq!(answer.header(name), None, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn attack_23_a_scanner_that_opens_the_link_does_not_use_it() {
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    app.dynamodb.clear_calls();
    let page = link.url.split('#').next().expect("an address");
    // One that moves the fragment into the query, too.
    let query = link.url.replacen('#', "?", 1);
    let field = format!("{page}?forgot_password_hash={}", link.token);
    for url in [page, &query, &field] {
        for method in [Method::HEAD].into_iter().chain([Method::GET; 5]) {
            send(method, url, &[], "").await;
        }
    }
    assert_eq!(app.dynamodb.take_operations(), [""; 0]);
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
}

#[tokio::test]
async fn attack_24_no_log_line_holds_an_address_a_token_a_password_or_a_link() {
    let log_start = mark();
    let app = TestApp::with_ada().await;
    let link = app.request_link(ADA).await;
    for (password, email) in [
        (WEAK_PASSWORD, ADA),
        (OTHER_PASSWORD, EVE),
        (GOOD_PASSWORD, ADA),
        (GOOD_PASSWORD, ADA),
    ] {
        app.confirm_with_email(email, &link.token, password).await;
    }
    app.wait_for_email(ADA, 2).await;
    app.wait_for_mailer().await;
    let logs = captured_since(log_start);
    app.secrets.assert_absent_from(&logs);
    // The search would find nothing in logs that were empty.
    for line in [
        "reset email requested",
        "email sent",
        "invalid_token",
        "weak_password",
        "password changed",
    ] {
        assert!(logs.contains(line), "{line}");
    }
}

#[tokio::test]
async fn attack_26_an_expired_token_that_is_still_there_is_refused() {
    let app = TestApp::with_ada_and_manual_delivery().await;
    let token = app.put_token(ADA, at(0), at(60)).await;
    let confirm = async |now| {
        let answer = app.functions.confirm(token.expose(), GOOD_PASSWORD, now);
        answer.await
    };
    for late in [at(60), at(86_400)] {
        app.dynamodb.clear_calls();
        confirm(late).await.assert_problem(400, "invalid_token");
        // It is seen in the row, before the password is looked at and the work of hashing done.
        assert_eq!(app.dynamodb.take_operations(), ["GetItem"]);
    }
    // The same over HTTP, by the clock of the machine.
    let (day, second) = (chrono::TimeDelta::days(1), chrono::TimeDelta::seconds(1));
    let started = chrono::DateTime::from(std::time::SystemTime::now());
    let old = app.put_token(ADA, started - day, started - second).await;
    let answer: HttpResponse = app.confirm(old.expose(), GOOD_PASSWORD).await;
    answer.assert_problem(400, "invalid_token");
    assert_unchanged(&app).await;
    // The first was only too late.
    confirm(at(59)).await.assert_worked();
}

/// Returns the file, and the test in it if there is one, that `name` in docs/security.md means.
fn locate(name: &str) -> Option<(String, Option<&str>)> {
    let words: Vec<&str> = name.split("::").collect();
    match words[..] {
        [path] if path.starts_with("tests/") => Some((path.to_owned(), None)),
        [crate_name, module, "tests", test] => {
            Some((format!("shared/{crate_name}/src/{module}.rs"), Some(test)))
        }
        [module, test] if test.contains('_') => {
            Some((format!("tests/e2e/{module}.rs"), Some(test)))
        }
        _ => None,
    }
}

#[test]
fn every_test_that_the_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| {
        let text = fs::read_to_string(root.join(path));
        text.unwrap_or_else(|error| panic!("{path}, named in docs/security.md: {error}"))
    };
    let document = read("docs/security.md");
    // What is between backticks is every other piece.
    let tables = document.split_once("## Who").expect("a heading").1;
    let places: Vec<_> = tables
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(locate)
        .collect();
    for (path, test) in &places {
        let text = read(path);
        if let Some(test) = test {
            let function = format!("fn {test}(");
            assert!(text.contains(&function), "no {test} in {path}");
        }
    }
    for row in 1..=26 {
        let prefix = format!("attack_{row:02}_");
        let has_test = |(_, test): &(_, Option<&str>)| test.is_some_and(|t| t.starts_with(&prefix));
        assert!(places.iter().any(has_test), "no test of attack {row}");
    }
}
