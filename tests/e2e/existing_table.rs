//! A users table that the application already had.

use aws::tables::PrimaryKey;
use aws_sdk_dynamodb::types::AttributeValue;
use tests::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD},
    command::manage,
    existing_table::{ExistingTable, TABLE, attribute_names, text},
    functions::at,
};

#[tokio::test]
async fn a_password_is_reset_in_an_existing_table() {
    for table in ExistingTable::ALL {
        let app = table.builder().start().await;
        let attributes = [
            ("hash", text("old")),
            ("name", text("Ada")),
            ("size", text("38")),
        ];
        table.add(&app, "1", ADA, attributes).await;

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

        let row = table.row(&app, "1", ADA).await.expect("a row");
        let hash = row["hash"].as_s().expect("a string");
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert_eq!(row["session_epoch"], AttributeValue::N("1".to_owned()));
        // No attribute has the service's default names.
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
        if let ExistingTable::Indexed = table {
            expected.extend(["pk", "sk"]);
            expected.sort_unstable();
        }
        assert_eq!(attribute_names(&row), expected);
    }
}

#[tokio::test]
async fn email_goes_to_mail_to_if_the_table_has_it() {
    let table = ExistingTable::Indexed;
    let app = table.builder().start().await;
    let mail_to = "Ada.Lovelace@Example.com";
    app.secrets.add(mail_to);
    table
        .add(&app, "1", ADA, [("mail_to", text(mail_to))])
        .await;
    app.request_reset(ADA).await.assert_worked();
    app.wait_for_email(mail_to, 1).await;
}

#[tokio::test]
async fn only_permitted_calls_are_made() {
    for (table, mailer) in [
        (
            ExistingTable::KeyedByEmail,
            &["GetItem", "UpdateItem", "PutItem"][..],
        ),
        (
            ExistingTable::Indexed,
            &["DescribeTable", "Query", "GetItem", "UpdateItem", "PutItem"],
        ),
    ] {
        let app = table.builder().manual_delivery().start().await;
        table.add(&app, "1", ADA, []).await;
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
        if let ExistingTable::Indexed = table {
            // The table's key is read once.
            assert!(app.functions.deliver(&records, at(3)).await.is_empty());
            assert_eq!(
                app.dynamodb.take_operations(),
                ["Query", "GetItem", "PutItem"]
            );
        }
    }
}

#[tokio::test]
async fn an_inactive_user_gets_neither_email_nor_password() {
    let number = |number: &str| AttributeValue::N(number.to_owned());
    for table in ExistingTable::ALL {
        let app = table.builder().start().await;
        for (id, flag, is_active) in [
            ("1", AttributeValue::Bool(true), true),
            ("2", number("1"), true),
            ("3", AttributeValue::Bool(false), false),
            ("4", number("0"), false),
            ("5", text("true"), false),
            ("6", AttributeValue::Null(true), false),
        ] {
            let address = format!("user-{id}@example.com");
            table
                .add(&app, id, &address, [("status", flag.clone())])
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
        // Deactivated after the email was sent.
        table.add(&app, "7", ADA, []).await;
        let link = app.request_link(ADA).await;
        table
            .add(&app, "7", ADA, [("status", AttributeValue::Bool(false))])
            .await;
        let response = app.confirm(&link.token, GOOD_PASSWORD).await;
        response.assert_problem(400, "invalid_token");
    }
}

#[tokio::test]
async fn a_user_deleted_meanwhile_is_not_recreated() {
    for table in ExistingTable::ALL {
        let app = table.builder().start().await;
        table.add(&app, "1", ADA, []).await;
        let link = app.request_link(ADA).await;
        table.delete(&app, "1", ADA).await;
        let response = app.confirm(&link.token, GOOD_PASSWORD).await;
        response.assert_problem(400, "invalid_token");
        assert!(table.row(&app, "1", ADA).await.is_none());
    }
}

#[tokio::test]
async fn a_link_ends_when_the_address_changes() {
    let table = ExistingTable::Indexed;
    let app = table.builder().start().await;
    table.add(&app, "1", ADA, []).await;
    let link = app.request_link(ADA).await;
    table.add(&app, "1", "new@example.com", []).await;
    let response = app.confirm(&link.token, GOOD_PASSWORD).await;
    response.assert_problem(400, "invalid_token");
    let row = table.row(&app, "1", ADA).await.expect("a row");
    assert!(!row.contains_key("hash"));
}

#[tokio::test]
async fn an_address_shared_by_two_users_resets_neither() {
    let table = ExistingTable::Indexed;
    let app = table.builder().start().await;
    table.add(&app, "1", ADA, []).await;
    table.add(&app, "2", ADA, []).await;
    app.request_reset(ADA).await.assert_worked();
    app.wait_for_mailer().await;
    assert!(app.emails().is_empty());
    let show = manage(&format!("users show {ADA}"), &app.environment(), "").await;
    show.assert_failed(1, &["more than one user has the address"]);
    table.delete(&app, "2", ADA).await;
    app.request_link(ADA).await;
}

#[tokio::test]
async fn a_non_canonical_address_is_not_found_but_listed() {
    for table in ExistingTable::ALL {
        let app = table.builder().start().await;
        table.add(&app, "1", "Ada@Example.com", []).await;
        table.add(&app, "2", "grace@example.com", []).await;
        app.request_reset("Ada@Example.com").await.assert_worked();
        app.wait_for_mailer().await;
        assert!(app.emails().is_empty());
        let list = manage("users list --output json", &app.environment(), "").await;
        assert_eq!(list.json().as_array().map(Vec::len), Some(1), "{list:?}");
        assert!(list.err.contains("skipped 1 rows"), "{list:?}");
    }
}

#[tokio::test]
async fn commands_work_on_an_existing_table_or_explain_why_not() {
    for table in ExistingTable::ALL {
        let app = table.builder().start().await;
        let env = app.environment();
        table.add(&app, "1", ADA, [("hash", text("x$y$z"))]).await;
        // Another kind of row in the same table is not a user.
        let mut other = table.key("2", "-");
        other.remove("user.name");
        if let ExistingTable::Indexed = table {
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
        match table {
            ExistingTable::KeyedByEmail => {
                assert_eq!((add.code, root.code), (0, 0), "{add:?} {root:?}");
                let row = table
                    .row(&app, "", "root@example.com")
                    .await
                    .expect("a row");
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
async fn migrate_explains_what_is_wrong_with_a_table() {
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
    // Nothing was created.
    env.insert("TOKENS_TABLE".to_owned(), "tokens-2".to_owned());
    let migrate = manage("migrate", &env, "").await;
    assert!(migrate.out.contains("tokens-2: created"), "{migrate:?}");
}

#[tokio::test]
async fn a_listing_continues_where_a_page_ended() {
    for table in ExistingTable::ALL {
        let app = table.builder().start().await;
        for number in 0..5 {
            let address = format!("user-{number}@example.com");
            table.add(&app, &number.to_string(), &address, []).await;
        }
        let users = app.users();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = users.page(after.as_ref(), 2).await.expect("a response");
            seen.extend(page.users.iter().map(|user| user.email.as_str().to_owned()));
            let Some(next) = page.next else { break };
            // The panel passes it on in a link.
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
        let row = table.row(&app, "3", email.as_str()).await.expect("a row");
        assert_eq!(row["status"], AttributeValue::Bool(false));
        // A flag with the application's own values can only be changed by the application.
        table
            .add(&app, "3", email.as_str(), [("status", text("closed"))])
            .await;
        assert!(!users.set_active(email, true).await.expect("a response"));
    }
}
