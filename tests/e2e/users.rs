//! Users that exist: a table that is the application's own, and users that come from elsewhere.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use aws::tables::{PrimaryKey, User};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::DateTime;
use serde_json::Value;
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp, user},
    command::{CommandOutput, manage},
    existing_table::{ExistingTable, Item, TABLE, text},
    functions::at,
    proxy::Action,
};

fn names(row: &Item) -> Vec<&str> {
    let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_password_is_recovered_in_a_table_of_the_applications_own() {
    for own in ExistingTable::ALL {
        let app = own.builder().start().await;
        let attributes = [
            ("hash", text("old")),
            ("name", text("Ada")),
            ("size", text("38")),
        ];
        own.add(&app, "1", ADA, attributes).await;

        let first = app.request_link(ADA).await;
        assert!(app.emails_to(ADA)[0].text.contains("Ada"));
        let second = app.request_link(ADA).await;
        app.confirm(&first.token, GOOD_PASSWORD)
            .await
            .assert_worked();
        assert!(
            app.wait_for_email(ADA, 3)
                .await
                .subject
                .contains("was changed")
        );
        let older = app.confirm(&second.token, OTHER_PASSWORD).await;
        older.assert_problem(400, "invalid_token");

        let row = own.row(&app, "1", ADA).await.expect("is there");
        let hash = row["hash"].as_s().expect("a string");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert_eq!(row["session_epoch"], AttributeValue::N("1".to_owned()));
        // Nothing is written under the names that a table made here would have.
        let mut expected = vec![
            "hash",
            "name",
            "password_changed_at",
            "recovery_mail_count",
            "recovery_mails",
            "recovery_version",
            "session_epoch",
            "size",
            "user.name",
        ];
        if let ExistingTable::Indexed = own {
            expected.extend(["pk", "sk"]);
            expected.sort_unstable();
        }
        assert_eq!(names(&row), expected);
    }
}

#[tokio::test]
async fn mail_goes_to_mail_to_where_the_application_keeps_one() {
    let own = ExistingTable::Indexed;
    let app = own.builder().start().await;
    let mail_to = "Ada.Lovelace@Example.com";
    app.secrets.add(mail_to);
    own.add(&app, "1", ADA, [("mail_to", text(mail_to))]).await;
    app.request_reset(ADA).await.assert_worked();
    app.wait_for_email(mail_to, 1).await;
}

#[tokio::test]
async fn the_calls_are_those_that_the_permissions_allow() {
    for (own, mailer) in [
        (
            ExistingTable::KeyedByEmail,
            &["GetItem", "UpdateItem", "PutItem"][..],
        ),
        (
            ExistingTable::Indexed,
            &["DescribeTable", "Query", "GetItem", "UpdateItem", "PutItem"],
        ),
    ] {
        let app = own.builder().manual_delivery().start().await;
        own.add(&app, "1", ADA, []).await;
        app.functions
            .request_reset(ADA, at(0))
            .await
            .assert_worked();
        let records = app.stream_records().await;
        app.dynamodb.clear_calls();
        assert!(app.functions.deliver(&records, at(1)).await.is_empty());
        assert_eq!(app.dynamodb.take_operations(), mailer);
        let link = app.link_in(&app.emails()[0]);
        app.functions
            .confirm(&link.token, GOOD_PASSWORD, at(2))
            .await
            .assert_worked();
        assert_eq!(
            app.dynamodb.take_operations(),
            ["GetItem", "TransactWriteItems"]
        );
        if let ExistingTable::Indexed = own {
            // The table is asked for its key once.
            assert!(app.functions.deliver(&records, at(3)).await.is_empty());
            assert_eq!(
                app.dynamodb.take_operations(),
                ["Query", "GetItem", "PutItem"]
            );
        }
    }
}

#[tokio::test]
async fn who_is_not_active_gets_neither_mail_nor_password() {
    let number = |number: &str| AttributeValue::N(number.to_owned());
    for own in ExistingTable::ALL {
        let app = own.builder().start().await;
        for (id, flag, is_active) in [
            ("1", AttributeValue::Bool(true), true),
            ("2", number("1"), true),
            ("3", AttributeValue::Bool(false), false),
            ("4", number("0"), false),
            ("5", text("true"), false),
            ("6", AttributeValue::Null(true), false),
        ] {
            let address = format!("user-{id}@example.com");
            own.add(&app, id, &address, [("status", flag.clone())])
                .await;
            app.request_reset(&address).await.assert_worked();
            app.wait_for_mailer().await;
            assert_eq!(
                app.emails_to(&address).len(),
                usize::from(is_active),
                "{id}"
            );
            if is_active {
                let link = app.wait_for_link(&address, 1).await;
                app.confirm(&link.token, GOOD_PASSWORD)
                    .await
                    .assert_worked();
            }
        }
        // Closed after the mail was sent.
        own.add(&app, "7", ADA, []).await;
        let link = app.request_link(ADA).await;
        own.add(&app, "7", ADA, [("status", AttributeValue::Bool(false))])
            .await;
        let answer = app.confirm(&link.token, GOOD_PASSWORD).await;
        answer.assert_problem(400, "invalid_token");
    }
}

#[tokio::test]
async fn who_is_deleted_meanwhile_does_not_come_back() {
    for own in ExistingTable::ALL {
        let app = own.builder().start().await;
        own.add(&app, "1", ADA, []).await;
        let link = app.request_link(ADA).await;
        own.delete(&app, "1", ADA).await;
        let answer = app.confirm(&link.token, GOOD_PASSWORD).await;
        answer.assert_problem(400, "invalid_token");
        assert!(own.row(&app, "1", ADA).await.is_none());
    }
}

#[tokio::test]
async fn a_link_ends_with_the_address_that_it_went_to() {
    let own = ExistingTable::Indexed;
    let app = own.builder().start().await;
    own.add(&app, "1", ADA, []).await;
    let link = app.request_link(ADA).await;
    own.add(&app, "1", "new@example.com", []).await;
    let answer = app.confirm(&link.token, GOOD_PASSWORD).await;
    answer.assert_problem(400, "invalid_token");
    let row = own.row(&app, "1", ADA).await.expect("is there");
    assert!(!row.contains_key("hash"));
}

#[tokio::test]
async fn an_address_of_two_users_recovers_neither() {
    let own = ExistingTable::Indexed;
    let app = own.builder().start().await;
    own.add(&app, "1", ADA, []).await;
    own.add(&app, "2", ADA, []).await;
    app.request_reset(ADA).await.assert_worked();
    app.wait_for_mailer().await;
    assert!(app.emails().is_empty());
    let show = manage(&format!("users show {ADA}"), &app.environment(), "").await;
    show.assert_failed(1, &["more than one user has the address"]);
    own.delete(&app, "2", ADA).await;
    app.request_link(ADA).await;
}

#[tokio::test]
async fn an_address_that_is_not_canonical_is_found_by_nobody_and_listed_as_such() {
    for own in ExistingTable::ALL {
        let app = own.builder().start().await;
        own.add(&app, "1", "Ada@Example.com", []).await;
        own.add(&app, "2", "grace@example.com", []).await;
        app.request_reset("Ada@Example.com").await.assert_worked();
        app.wait_for_mailer().await;
        assert!(app.emails().is_empty());
        let list = manage("users list --output json", &app.environment(), "").await;
        assert_eq!(list.json().as_array().map(Vec::len), Some(1), "{list:?}");
        assert!(list.err.contains("1 rows are skipped"), "{list:?}");
    }
}

#[tokio::test]
async fn the_commands_work_on_it_or_say_why_not() {
    for own in ExistingTable::ALL {
        let app = own.builder().start().await;
        let env = app.environment();
        own.add(&app, "1", ADA, [("hash", text("x$y$z"))]).await;
        // Another kind of row in the same table is no user.
        let mut other = own.key("2", "-");
        other.remove("user.name");
        if let ExistingTable::Indexed = own {
            app.put(TABLE, other).await;
        }
        let show = manage(&format!("users show {ADA} --output json"), &env, "").await;
        assert_eq!(show.json()["password_hash"], "x$y$z");
        let list = manage("users list --output json", &env, "").await;
        assert_eq!(list.json().as_array().map(Vec::len), Some(1), "{list:?}");
        let migrate = manage("migrate", &env, "").await;
        assert_eq!(
            migrate.out,
            "people: exists\ntokens: exists\noutbox: exists\n"
        );

        let add = manage("users add grace@example.com", &env, "").await;
        let root = "createsuperuser --email root@example.com --password-stdin";
        let root = manage(root, &env, GOOD_PASSWORD).await;
        match own {
            ExistingTable::KeyedByEmail => {
                assert_eq!((add.code, root.code), (0, 0), "{add:?} {root:?}");
                let row = own
                    .row(&app, "", "root@example.com")
                    .await
                    .expect("is there");
                assert!(
                    row["hash"]
                        .as_s()
                        .is_ok_and(|hash| hash.starts_with("$argon2id$"))
                );
                assert!(!row.contains_key("email") && !row.contains_key("is_active"));
            }
            ExistingTable::Indexed => {
                for refused in [add, root] {
                    refused.assert_failed(1, &["only your application can add users", "people"]);
                }
                assert_eq!(app.rows(TABLE).await.len(), 2);
            }
        }
    }
}

#[tokio::test]
async fn migrate_says_what_is_wrong_with_a_table() {
    let app = ExistingTable::Indexed.builder().start().await;
    let mut env = app.environment();
    let fails = async |change: &[(&str, &str)], parts: &[&str]| {
        let mut env = env.clone();
        for (name, value) in change {
            env.insert((*name).to_owned(), (*value).to_owned());
        }
        manage("migrate", &env, "").await.assert_failed(1, parts);
    };
    fails(
        &[("USERS_EMAIL_INDEX", "")],
        &[
            "its key is pk and sk; it must be only user.name",
            "USERS_EMAIL_INDEX",
        ],
    )
    .await;
    fails(
        &[("USERS_EMAIL_INDEX", "by-mail")],
        &["has no global secondary index by-mail (it has by-address)"],
    )
    .await;
    fails(
        &[("USERS_EMAIL_ATTRIBUTE", "pk")],
        &["the index by-address of the table people has the key user.name; it must be pk"],
    )
    .await;
    fails(
        &[("USERS_TABLE", "persons"), ("TOKENS_TABLE", "tokens-2")],
        &["there is no table persons, and it cannot be created here"],
    )
    .await;
    // Nothing was made on the way.
    env.insert("TOKENS_TABLE".to_owned(), "tokens-2".to_owned());
    let migrate = manage("migrate", &env, "").await;
    assert!(migrate.out.contains("tokens-2: created"), "{migrate:?}");
}

#[tokio::test]
async fn a_list_goes_on_where_a_page_ended() {
    for own in ExistingTable::ALL {
        let app = own.builder().start().await;
        for number in 0..5 {
            let address = format!("user-{number}@example.com");
            own.add(&app, &number.to_string(), &address, []).await;
        }
        let users = app.users();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = users.page(after.as_ref(), 2).await.expect("a response");
            seen.extend(page.users.iter().map(|user| user.email.as_str().to_owned()));
            let Some(next) = page.next else { break };
            // As the panel hands it on, in a link.
            after = PrimaryKey::parse(&next.to_text());
            assert_eq!(after.as_ref(), Some(&next));
        }
        seen.sort_unstable();
        let all = (0..5).map(|number| format!("user-{number}@example.com"));
        assert_eq!(seen, all.collect::<Vec<_>>());

        let found = users
            .page_by_prefix("user-3", None, 2)
            .await
            .expect("a response");
        assert_eq!(found.users.len(), 1);
        let email = &found.users[0].email;
        assert!(users.set_active(email, false).await.expect("a response"));
        let row = own.row(&app, "3", email.as_str()).await.expect("is there");
        assert_eq!(row["status"], AttributeValue::Bool(false));
        // What the flag means in words of the application is the application's to change.
        own.add(&app, "3", email.as_str(), [("status", text("closed"))])
            .await;
        assert!(!users.set_active(email, true).await.expect("a response"));
    }
}

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("account-recovery-users-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    /// Writes `content` to the file `name`; its path.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("written");
        path.display().to_string()
    }

    /// The rows that were refused of the file `name`: their lines and why.
    fn refused(&self, name: &str) -> Vec<(u64, String)> {
        let path = self.0.join(format!("{name}.refused.jsonl"));
        let text = fs::read_to_string(path).unwrap_or_default();
        let row = |line: &str| -> Value { serde_json::from_str(line).expect("JSON") };
        let refused = |row: Value| {
            let (line, reason) = (row["line"].as_u64(), row["reason"].as_str());
            (line.expect("a number"), reason.expect("a text").to_owned())
        };
        let mut rows: Vec<_> = text.lines().map(row).map(refused).collect();
        rows.sort();
        rows
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn import(app: &TestApp, file: &str, options: &str) -> CommandOutput {
    manage(
        &format!("users import {file} {options}"),
        &app.environment(),
        "",
    )
    .await
}

const DUMP: &str = r#"[
  {"model": "sessions.session", "pk": "x", "fields": {"session_data": "y"}},
  {"model": "auth.user", "pk": 7, "fields": {
    "password": "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA", "last_login": null,
    "is_superuser": true, "username": "grace", "first_name": "Grace", "last_name": "Hopper",
    "email": "Grace@B\u00fccher.example", "is_staff": true, "is_active": true,
    "date_joined": "2020-02-03T04:05:06.789Z", "groups": [], "user_permissions": []}},
  {"model": "auth.user", "pk": 8, "fields": {"password": "!unusable", "email": "ada@example.com",
    "first_name": "", "last_name": "", "is_active": false, "is_superuser": false}},
  {"model": "auth.user", "pk": 9, "fields": {"password": "pbkdf2_sha256$1$a$b", "email": ""}}
]"#;

#[tokio::test]
async fn the_users_of_django_come_in_with_their_hashes() {
    let (app, folder) = (TestApp::builder().start().await, Folder::new());
    let file = folder.write("dump.json", DUMP);
    let ended = import(&app, &file, "").await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.out, "added 2, changed 0, unchanged 0, refused 1\n");
    assert_eq!(
        folder.refused("dump.json"),
        [(10, "has no address".to_owned())]
    );

    let grace = app
        .user("grace@xn--bcher-kva.example")
        .await
        .expect("is there");
    let hash = "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA";
    assert_eq!(grace.password_hash.as_deref(), Some(hash));
    assert_eq!(grace.mail_to, "Grace@Bücher.example");
    assert_eq!(grace.name.as_deref(), Some("Grace Hopper"));
    assert_eq!(
        (grace.user_id.as_str(), grace.is_active, grace.is_superuser),
        ("7", true, true)
    );
    let joined = grace.created_at.map(|at| at.timestamp_millis());
    assert_eq!(joined, Some(1_580_702_706_789));
    let ada = app.user(ADA).await.expect("is there");
    assert_eq!(
        (ada.password_hash, ada.name, ada.is_active),
        (None, None, false)
    );

    let other = import(&app, &file, "--model accounts.user").await;
    other.assert_failed(
        1,
        &["no row of the model accounts.user", "auth.user", "--model"],
    );
}

#[tokio::test]
async fn rows_that_are_refused_are_written_down_and_the_others_come_in() {
    let (app, folder) = (TestApp::builder().start().await, Folder::new());
    let rows = [
        r#"{"email": "one@example.com", "name": "One"}"#,
        "",
        "no json",
        r#"{"email": "nobody"}"#,
        r#"{"email": "two@example.com", "password": "hunter2hunter2hunter2"}"#,
        r#"{"email": "two@example.com", "is_active": "perhaps"}"#,
        r#"{"email": "two@example.com", "password_changed_at": 99999999999999}"#,
        r#"{"email": "two@example.com", "created_at": "yesterday"}"#,
        r#"{"email": "ONE@example.com", "name": "Another"}"#,
        "[1]",
        r#"{"email": "two@example.com"}"#,
    ];
    let file = folder.write("users.jsonl", &rows.join("\n"));
    let ended = import(&app, &file, "").await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.out, "added 2, changed 0, unchanged 0, refused 8\n");
    let refused = folder.refused("users.jsonl");
    let found: Vec<(u64, &str)> = refused
        .iter()
        .map(|(line, reason)| (*line, reason.as_str()))
        .collect();
    for ((line, reason), (expected_line, part)) in found.iter().zip([
        (3, "is not a JSON object"),
        (4, "has no valid address"),
        (5, "password must be a hash"),
        (6, "is_active must be true or false"),
        (7, "a time in the past"),
        (8, "created_at must be a time"),
        (9, "has the same address as line 1"),
        (10, "is not a JSON object"),
    ]) {
        assert_eq!(*line, expected_line, "{reason}");
        assert!(reason.contains(part), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }
    assert_eq!(found.len(), 8);
    let one = app.user("one@example.com").await.expect("is there");
    assert_eq!(one.name.as_deref(), Some("One"));
}

#[tokio::test]
async fn nobody_is_overwritten_unless_that_is_told() {
    let app = TestApp::builder()
        .without_email_budget()
        .with_cheap_hashes();
    let (app, folder) = (app.user(user(ADA)).start().await, Folder::new());
    let link = app.request_link(ADA).await;
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
    app.wait_for_mailer().await;
    let before = app.user(ADA).await.expect("is there");
    let rows = r#"{"email": "ada@example.com", "name": "Countess", "password_hash": "$x$y"}
{"email": "new@example.com"}"#;
    let file = folder.write("users.jsonl", rows);

    let kept = import(&app, &file, "").await;
    assert_eq!(
        (kept.code, kept.out.as_str()),
        (3, "added 1, changed 0, unchanged 0, refused 1\n")
    );
    let refused = folder.refused("users.jsonl");
    assert_eq!((refused.len(), refused[0].0), (1, 1));
    assert!(
        refused[0].1.contains("differs in name, password_hash"),
        "{refused:?}"
    );
    let after = app.user(ADA).await.expect("is there");
    assert_eq!(after.password_hash, before.password_hash);

    let told = import(&app, &file, "--overwrite").await;
    assert_eq!(
        (told.code, told.out.as_str()),
        (0, "added 0, changed 1, unchanged 1, refused 0\n")
    );
    assert!(
        folder.refused("users.jsonl").is_empty(),
        "the old report is gone"
    );
    let after = app.user(ADA).await.expect("is there");
    assert_eq!(
        (after.name.as_deref(), after.password_hash.as_deref()),
        (Some("Countess"), Some("$x$y"))
    );
    // What the file does not give stays as it was.
    assert_eq!(after.session_epoch, before.session_epoch);
    assert_eq!(after.recovery.email_count, before.recovery.email_count);
}

#[tokio::test]
async fn an_import_that_was_cut_off_goes_on() {
    let (app, folder) = (TestApp::builder().start().await, Folder::new());
    let row =
        |number| format!("{{\"email\": \"user-{number}@example.com\", \"name\": \"{number}\"}}\n");
    let file = folder.write("users.jsonl", &(0..450).map(row).collect::<String>());
    let mut seen = 0;
    app.dynamodb.intercept(move |call| {
        seen += usize::from(call.operation == "TransactWriteItems");
        if seen == 3 && call.operation == "TransactWriteItems" {
            Action::error(400, "ResourceNotFoundException", "no table")
        } else {
            Action::Pass
        }
    });
    let cut = import(&app, &file, "").await;
    cut.assert_failed(
        1,
        &["lines 201 to 300", "run the same command again", "users"],
    );
    assert_eq!(app.rows("users").await.len(), 200);
    app.dynamodb.pass_all();
    let whole = import(&app, &file, "").await;
    assert_eq!(
        (whole.code, whole.out.as_str()),
        (0, "added 250, changed 0, unchanged 200, refused 0\n")
    );
    // Far apart in the file, and with nothing to tell them apart.
    let twice = folder.write(
        "twice.jsonl",
        &(400..600).chain([450]).map(row).collect::<String>(),
    );
    let twice = import(&app, &twice, "").await;
    assert_eq!(twice.out, "added 150, changed 0, unchanged 50, refused 1\n");
    let earlier = "has the same address as an earlier line".to_owned();
    assert_eq!(folder.refused("twice.jsonl"), [(201, earlier)]);
}

#[tokio::test]
async fn what_is_exported_comes_in_as_it_was() {
    let ada = User {
        mail_to: "Ada@Example.com".to_owned(),
        name: Some("Ada, \"Countess\"\nof Lovelace".to_owned()),
        locale: Some("pt-BR".to_owned()),
        password_hash: Some("$argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA".to_owned()),
        password_changed_at: DateTime::from_timestamp_millis(1_700_000_000_123),
        created_at: DateTime::from_timestamp_millis(1_600_000_000_456),
        session_epoch: 7,
        is_active: false,
        is_superuser: true,
        ..user(ADA)
    };
    let from = TestApp::builder()
        .user(ada)
        .user(user("bob@example.com"))
        .start()
        .await;
    let folder = Folder::new();
    let list = async |app: &TestApp| {
        let list = manage("users list --output json", &app.environment(), "").await;
        let mut users = list.json().as_array().expect("a list").clone();
        users.sort_by_key(ToString::to_string);
        users
    };
    for format in ["jsonl", "csv"] {
        let to = TestApp::builder().start().await;
        let export = format!("users export --format {format}");
        let exported = manage(&export, &from.environment(), "").await;
        assert_eq!(exported.code, 0, "{exported:?}");
        let file = folder.write(&format!("users.{format}"), &exported.out);
        assert_eq!(import(&to, &file, "").await.code, 0);
        assert_eq!(list(&to).await, list(&from).await, "{format}");
        // And once more, it is there.
        let again = import(&to, &file, "").await;
        assert_eq!(
            again.out, "added 0, changed 0, unchanged 2, refused 0\n",
            "{format}"
        );
    }
}

#[tokio::test]
async fn fields_and_attributes_have_the_names_that_they_are_given() {
    let own = ExistingTable::KeyedByEmail;
    let (app, folder) = (own.builder().start().await, Folder::new());
    let csv = "Login;x,Secret,Active\nAda@Example.com,$2b$12$abc,0\n";
    let csv = folder.write("users.csv", &csv.replace(';', "-"));
    let options = "--field email=Login-x --field password_hash=Secret --field is_active=Active";
    let ended = import(&app, &csv, options).await;
    assert_eq!(
        ended.out, "added 1, changed 0, unchanged 0, refused 0\n",
        "{ended:?}"
    );
    let row = own.row(&app, "", ADA).await.expect("is there");
    assert_eq!(
        (&row["hash"], &row["status"]),
        (&text("$2b$12$abc"), &AttributeValue::Bool(false))
    );
    assert_eq!(
        names(&row),
        ["hash", "imported_at", "mail_to", "status", "user.name"]
    );
}

#[tokio::test]
async fn a_file_or_table_that_will_not_do_is_named_and_nothing_is_written() {
    let (app, folder) = (TestApp::builder().start().await, Folder::new());
    let cut = folder.write("cut.json", &DUMP[..DUMP.len() - 10]);
    let empty = folder.write("empty", " \n");
    let csv = folder.write("users.csv", "name,mail\nAda,ada@example.com\n");
    for (file, parts) in [
        (
            "/nowhere/users.jsonl",
            &["/nowhere/users.jsonl", "No such file"][..],
        ),
        (
            &cut,
            &[
                "cut.json",
                "not a JSON array",
                "line 10",
                "Nothing was written",
            ],
        ),
        (&empty, &["is empty"]),
        (&csv, &["has no column email", "--field email=COLUMN"]),
    ] {
        import(&app, file, "").await.assert_failed(1, parts);
    }
    assert!(app.rows("users").await.is_empty());
    import(&app, &csv, "--field mail=x")
        .await
        .assert_failed(2, &["OURS must be one of"]);

    let own = ExistingTable::Indexed.builder().start().await;
    let refused = import(&own, &csv, "--field email=mail").await;
    refused.assert_failed(1, &["only your application can add users", "people"]);
    let mut env = own.environment();
    env.insert("USERS_EMAIL_INDEX".to_owned(), String::new());
    let command = format!("users import {csv} --field email=mail");
    let refused = manage(&command, &env, "").await;
    refused.assert_failed(1, &["the table people exists, but its key is pk and sk"]);
    assert!(own.rows(TABLE).await.is_empty());
}
