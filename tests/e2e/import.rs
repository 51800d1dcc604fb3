//! Import and export of users.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};
use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp, user},
    command::{CommandOutput, manage},
    existing_table::{ExistingTable, TABLE, attribute_names, text},
    proxy::Action,
};

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::DateTime;
use serde_json::Value;

/// A temporary directory that is removed when dropped.
struct TempDirectory(PathBuf);

impl TempDirectory {
    fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("account-recovery-users-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    /// Writes `content` to the file `name` and returns its path.
    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).expect("written");
        path.display().to_string()
    }

    /// Returns line and reason of each refused row of the file `name`.
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

impl Drop for TempDirectory {
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
async fn djangos_users_are_imported_with_their_hashes() {
    let (app, directory) = (TestApp::builder().start().await, TempDirectory::new());
    let file = directory.write("dump.json", DUMP);
    let output = import(&app, &file, "").await;
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.out, "added 2, changed 0, unchanged 0, refused 1\n");
    assert_eq!(
        directory.refused("dump.json"),
        [(10, "has no address".to_owned())]
    );

    let grace = app
        .user("grace@xn--bcher-kva.example")
        .await
        .expect("a row");
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
    let ada = app.ada().await;
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
async fn refused_rows_are_reported_and_the_others_imported() {
    let (app, directory) = (TestApp::builder().start().await, TempDirectory::new());
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
    let file = directory.write("users.jsonl", &rows.join("\n"));
    let output = import(&app, &file, "").await;
    assert_eq!(output.code, 3, "{output:?}");
    assert_eq!(output.out, "added 2, changed 0, unchanged 0, refused 8\n");
    let refused = directory.refused("users.jsonl");
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
    let one = app.user("one@example.com").await.expect("a row");
    assert_eq!(one.name.as_deref(), Some("One"));
}

#[tokio::test]
async fn existing_users_are_overwritten_only_on_request() {
    let app = TestApp::builder()
        .without_email_budget()
        .with_cheap_hashes();
    let (app, directory) = (app.user(user(ADA)).start().await, TempDirectory::new());
    let link = app.request_link(ADA).await;
    app.confirm(&link.token, GOOD_PASSWORD)
        .await
        .assert_worked();
    app.wait_for_mailer().await;
    let before = app.ada().await;
    let rows = r#"{"email": "ada@example.com", "name": "Countess", "password_hash": "$x$y"}
{"email": "new@example.com"}"#;
    let file = directory.write("users.jsonl", rows);

    let kept = import(&app, &file, "").await;
    assert_eq!(
        (kept.code, kept.out.as_str()),
        (3, "added 1, changed 0, unchanged 0, refused 1\n")
    );
    let refused = directory.refused("users.jsonl");
    assert_eq!((refused.len(), refused[0].0), (1, 1));
    assert!(
        refused[0].1.contains("differs in name, password_hash"),
        "{refused:?}"
    );
    let after = app.ada().await;
    assert_eq!(after.password_hash, before.password_hash);

    let overwritten = import(&app, &file, "--overwrite").await;
    assert_eq!(
        (overwritten.code, overwritten.out.as_str()),
        (0, "added 0, changed 1, unchanged 1, refused 0\n")
    );
    assert!(
        directory.refused("users.jsonl").is_empty(),
        "the old report is gone"
    );
    let after = app.ada().await;
    assert_eq!(
        (after.name.as_deref(), after.password_hash.as_deref()),
        (Some("Countess"), Some("$x$y"))
    );
    // Fields that are not in the file keep their values.
    assert_eq!(after.session_epoch, before.session_epoch);
    assert_eq!(after.recovery.email_count, before.recovery.email_count);
}

#[tokio::test]
async fn an_interrupted_import_can_be_continued() {
    let (app, directory) = (TestApp::builder().start().await, TempDirectory::new());
    let row =
        |number| format!("{{\"email\": \"user-{number}@example.com\", \"name\": \"{number}\"}}\n");
    let file = directory.write("users.jsonl", &(0..450).map(row).collect::<String>());
    app.dynamodb.intercept_call(
        "TransactWriteItems",
        3,
        Action::error(400, "ResourceNotFoundException", "no table"),
    );
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
    // The rows are in different batches and identical.
    let twice = directory.write(
        "twice.jsonl",
        &(400..600).chain([450]).map(row).collect::<String>(),
    );
    let twice = import(&app, &twice, "").await;
    assert_eq!(twice.out, "added 150, changed 0, unchanged 50, refused 1\n");
    let earlier = "has the same address as an earlier line".to_owned();
    assert_eq!(directory.refused("twice.jsonl"), [(201, earlier)]);
}

#[tokio::test]
async fn an_export_can_be_imported_unchanged() {
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
    let directory = TempDirectory::new();
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
        let file = directory.write(&format!("users.{format}"), &exported.out);
        assert_eq!(import(&to, &file, "").await.code, 0);
        assert_eq!(list(&to).await, list(&from).await, "{format}");
        // A repeat changes nothing.
        let again = import(&to, &file, "").await;
        assert_eq!(
            again.out, "added 0, changed 0, unchanged 2, refused 0\n",
            "{format}"
        );
    }
}

#[tokio::test]
async fn an_import_maps_fields_and_attributes() {
    let table = ExistingTable::KeyedByEmail;
    let (app, directory) = (table.builder().start().await, TempDirectory::new());
    let csv = "Login;x,Secret,Active\nAda@Example.com,$2b$12$abc,0\n";
    let csv = directory.write("users.csv", &csv.replace(';', "-"));
    let options = "--field email=Login-x --field password_hash=Secret --field is_active=Active";
    let output = import(&app, &csv, options).await;
    assert_eq!(
        output.out, "added 1, changed 0, unchanged 0, refused 0\n",
        "{output:?}"
    );
    let row = table.row(&app, "", ADA).await.expect("a row");
    assert_eq!(
        (&row["hash"], &row["status"]),
        (&text("$2b$12$abc"), &AttributeValue::Bool(false))
    );
    assert_eq!(
        attribute_names(&row),
        ["hash", "imported_at", "mail_to", "status", "user.name"]
    );
}

#[tokio::test]
async fn an_unusable_file_or_table_is_named_and_nothing_is_written() {
    let (app, directory) = (TestApp::builder().start().await, TempDirectory::new());
    let cut = directory.write("cut.json", &DUMP[..DUMP.len() - 10]);
    let empty = directory.write("empty", " \n");
    let csv = directory.write("users.csv", "name,mail\nAda,ada@example.com\n");
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

    let indexed = ExistingTable::Indexed.builder().start().await;
    let refused = import(&indexed, &csv, "--field email=mail").await;
    refused.assert_failed(1, &["only your application can add users", "people"]);
    let mut env = indexed.environment();
    env.insert("USERS_EMAIL_INDEX".to_owned(), String::new());
    let command = format!("users import {csv} --field email=mail");
    let refused = manage(&command, &env, "").await;
    refused.assert_failed(1, &["the table people exists, but its key is pk and sk"]);
    assert!(indexed.rows(TABLE).await.is_empty());
}
