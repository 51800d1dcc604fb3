//! Users that exist: a table that is the application's own, and users that come from elsewhere.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    operation::create_table::builders::CreateTableFluentBuilder,
    types::{
        AttributeDefinition, AttributeValue, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        Projection, ProjectionType, ScalarAttributeType,
    },
};
use shared::tables::RowKey;
use tests::{
    app::{ADA, Builder, GOOD_PASSWORD, OTHER_PASSWORD, TestApp},
    command::manage,
    functions::at,
};

type Item = HashMap<String, AttributeValue>;

const TABLE: &str = "people";
/// The names are reserved words of DynamoDB's expressions, and one has a dot in it.
const ATTRIBUTES: [(&str, &str); 4] = [
    ("USERS_TABLE", TABLE),
    ("USERS_EMAIL_ATTRIBUTE", "user.name"),
    ("USERS_PASSWORD_ATTRIBUTE", "hash"),
    ("USERS_ACTIVE_ATTRIBUTE", "status"),
];

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn strings<const N: usize>(
    table: CreateTableFluentBuilder,
    names: [&str; N],
) -> CreateTableFluentBuilder {
    names.into_iter().fold(table, |table, name| {
        let definition = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S);
        table.attribute_definitions(definition.build().expect("complete"))
    })
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    let key = KeySchemaElement::builder().attribute_name(name);
    key.key_type(kind).build().expect("complete")
}

fn keyed_by_address(client: &Client) -> CreateTableFluentBuilder {
    let table = client.create_table().table_name(TABLE);
    strings(table, ["user.name"]).key_schema(key("user.name", KeyType::Hash))
}

fn with_index(client: &Client) -> CreateTableFluentBuilder {
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly);
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-address")
        .key_schema(key("user.name", KeyType::Hash))
        .projection(keys_only.build());
    strings(
        client.create_table().table_name(TABLE),
        ["pk", "sk", "user.name"],
    )
    .key_schema(key("pk", KeyType::Hash))
    .key_schema(key("sk", KeyType::Range))
    .global_secondary_indexes(index.build().expect("complete"))
}

/// A kind of table that an application may have.
#[derive(Clone, Copy)]
enum Own {
    /// Its key is the address.
    Keyed,
    /// It has a key of two other attributes, and an index.
    Indexed,
}

const BOTH: [Own; 2] = [Own::Keyed, Own::Indexed];

impl Own {
    fn builder(self) -> Builder {
        let builder = TestApp::builder().with_cheap_hashes().without_budget();
        let builder = ATTRIBUTES
            .iter()
            .fold(builder, |builder, (name, value)| builder.set(name, value));
        match self {
            Self::Keyed => builder.own_users_table(keyed_by_address),
            Self::Indexed => builder
                .set("USERS_EMAIL_INDEX", "by-address")
                .own_users_table(with_index),
        }
    }

    fn key(self, id: &str, address: &str) -> Item {
        match self {
            Self::Keyed => item([("user.name", text(address))]),
            Self::Indexed => item([("pk", text(id)), ("sk", text("PROFILE"))]),
        }
    }

    /// Puts the row of a user with the further `attributes`.
    async fn add<const N: usize>(
        self,
        app: &TestApp,
        id: &str,
        address: &str,
        attributes: [(&str, AttributeValue); N],
    ) {
        app.secrets.add(address);
        let mut row = self.key(id, address);
        row.insert("user.name".to_owned(), text(address));
        row.extend(item(attributes));
        app.put(TABLE, row).await;
    }

    /// The user's row.
    async fn row(self, app: &TestApp, id: &str, address: &str) -> Option<Item> {
        let get = app.direct().get_item().table_name(TABLE);
        let get = get.set_key(Some(self.key(id, address)));
        get.consistent_read(true)
            .send()
            .await
            .expect("an answer")
            .item
    }

    async fn delete(self, app: &TestApp, id: &str, address: &str) {
        let delete = app.direct().delete_item().table_name(TABLE);
        let delete = delete.set_key(Some(self.key(id, address)));
        delete.send().await.expect("an answer");
    }
}

fn names(row: &Item) -> Vec<&str> {
    let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_password_is_recovered_in_a_table_of_the_applications_own() {
    for own in BOTH {
        let app = own.builder().start().await;
        let attributes = [
            ("hash", text("old")),
            ("name", text("Ada")),
            ("size", text("38")),
        ];
        own.add(&app, "1", ADA, attributes).await;

        let first = app.fetch_link(ADA).await;
        assert!(app.mails_to(ADA)[0].text.contains("Ada"));
        let second = app.fetch_link(ADA).await;
        app.confirm(&first.token, GOOD_PASSWORD)
            .await
            .assert_worked();
        assert!(app.mail_to(ADA, 3).await.subject.contains("was changed"));
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
        if let Own::Indexed = own {
            expected.extend(["pk", "sk"]);
            expected.sort_unstable();
        }
        assert_eq!(names(&row), expected);
    }
}

#[tokio::test]
async fn mail_goes_to_mail_to_where_the_application_keeps_one() {
    let own = Own::Indexed;
    let app = own.builder().start().await;
    let mail_to = "Ada.Lovelace@Example.com";
    app.secrets.add(mail_to);
    own.add(&app, "1", ADA, [("mail_to", text(mail_to))]).await;
    app.ask(ADA).await.assert_worked();
    app.mail_to(mail_to, 1).await;
}

#[tokio::test]
async fn the_calls_are_those_that_the_permissions_allow() {
    for (own, mailer) in [
        (Own::Keyed, &["GetItem", "UpdateItem", "PutItem"][..]),
        (
            Own::Indexed,
            &["DescribeTable", "Query", "GetItem", "UpdateItem", "PutItem"],
        ),
    ] {
        let app = own.builder().by_hand().start().await;
        own.add(&app, "1", ADA, []).await;
        app.functions
            .ask("192.0.2.1", ADA, at(0))
            .await
            .assert_worked();
        let records = app.records().await;
        app.dynamodb.forget();
        assert!(app.functions.deliver(&records, at(1)).await.is_empty());
        assert_eq!(app.dynamodb.take_targets(), mailer);
        let link = app.link_in(&app.mails()[0]);
        app.functions
            .confirm(&link.token, GOOD_PASSWORD, at(2))
            .await
            .assert_worked();
        assert_eq!(
            app.dynamodb.take_targets(),
            ["GetItem", "TransactWriteItems"]
        );
        if let Own::Indexed = own {
            // The table is asked for its key once.
            assert!(app.functions.deliver(&records, at(3)).await.is_empty());
            assert_eq!(app.dynamodb.take_targets(), ["Query", "GetItem", "PutItem"]);
        }
    }
}

#[tokio::test]
async fn who_is_not_active_gets_neither_mail_nor_password() {
    let number = |number: &str| AttributeValue::N(number.to_owned());
    for own in BOTH {
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
            app.ask(&address).await.assert_worked();
            app.settle().await;
            assert_eq!(app.mails_to(&address).len(), usize::from(is_active), "{id}");
            if is_active {
                let link = app.link_to(&address, 1).await;
                app.confirm(&link.token, GOOD_PASSWORD)
                    .await
                    .assert_worked();
            }
        }
        // Closed after the mail was sent.
        own.add(&app, "7", ADA, []).await;
        let link = app.fetch_link(ADA).await;
        own.add(&app, "7", ADA, [("status", AttributeValue::Bool(false))])
            .await;
        let answer = app.confirm(&link.token, GOOD_PASSWORD).await;
        answer.assert_problem(400, "invalid_token");
    }
}

#[tokio::test]
async fn who_is_deleted_meanwhile_does_not_come_back() {
    for own in BOTH {
        let app = own.builder().start().await;
        own.add(&app, "1", ADA, []).await;
        let link = app.fetch_link(ADA).await;
        own.delete(&app, "1", ADA).await;
        let answer = app.confirm(&link.token, GOOD_PASSWORD).await;
        answer.assert_problem(400, "invalid_token");
        assert!(own.row(&app, "1", ADA).await.is_none());
    }
}

#[tokio::test]
async fn a_link_ends_with_the_address_that_it_went_to() {
    let own = Own::Indexed;
    let app = own.builder().start().await;
    own.add(&app, "1", ADA, []).await;
    let link = app.fetch_link(ADA).await;
    own.add(&app, "1", "new@example.com", []).await;
    let answer = app.confirm(&link.token, GOOD_PASSWORD).await;
    answer.assert_problem(400, "invalid_token");
    let row = own.row(&app, "1", ADA).await.expect("is there");
    assert!(!row.contains_key("hash"));
}

#[tokio::test]
async fn an_address_of_two_users_recovers_neither() {
    let own = Own::Indexed;
    let app = own.builder().start().await;
    own.add(&app, "1", ADA, []).await;
    own.add(&app, "2", ADA, []).await;
    app.ask(ADA).await.assert_worked();
    app.settle().await;
    assert!(app.mails().is_empty());
    let show = manage(&format!("users show {ADA}"), &app.environment(), "").await;
    show.assert_failed(1, &["more than one user has the address"]);
    own.delete(&app, "2", ADA).await;
    app.fetch_link(ADA).await;
}

#[tokio::test]
async fn an_address_that_is_not_canonical_is_found_by_nobody_and_listed_as_such() {
    for own in BOTH {
        let app = own.builder().start().await;
        own.add(&app, "1", "Ada@Example.com", []).await;
        own.add(&app, "2", "grace@example.com", []).await;
        app.ask("Ada@Example.com").await.assert_worked();
        app.settle().await;
        assert!(app.mails().is_empty());
        let list = manage("users list --output json", &app.environment(), "").await;
        assert_eq!(list.json().as_array().map(Vec::len), Some(1), "{list:?}");
        assert!(list.err.contains("1 rows are left out"), "{list:?}");
    }
}

#[tokio::test]
async fn the_commands_work_on_it_or_say_why_not() {
    for own in BOTH {
        let app = own.builder().start().await;
        let env = app.environment();
        own.add(&app, "1", ADA, [("hash", text("x$y$z"))]).await;
        // Another kind of row in the same table is no user.
        let mut other = own.key("2", "-");
        other.remove("user.name");
        if let Own::Indexed = own {
            app.put(TABLE, other).await;
        }
        let show = manage(&format!("users show {ADA} --output json"), &env, "").await;
        assert_eq!(show.json()["password_hash"], "x$y$z");
        let list = manage("users list --output json", &env, "").await;
        assert_eq!(list.json().as_array().map(Vec::len), Some(1), "{list:?}");
        let migrate = manage("migrate", &env, "").await;
        assert_eq!(
            migrate.out,
            "people: was there\ntokens: was there\noutbox: was there\n"
        );

        let add = manage("users add grace@example.com", &env, "").await;
        let root = "createsuperuser --email root@example.com --password-stdin";
        let root = manage(root, &env, GOOD_PASSWORD).await;
        match own {
            Own::Keyed => {
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
            Own::Indexed => {
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
    let app = Own::Indexed.builder().start().await;
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
            "its key is pk and sk; it has to be user.name alone",
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
        &["the index by-address of the table people has the key user.name; it has to be pk"],
    )
    .await;
    fails(
        &[("USERS_TABLE", "persons"), ("TOKENS_TABLE", "tokens-2")],
        &["there is no table persons, and it cannot be made here"],
    )
    .await;
    // Nothing was made on the way.
    env.insert("TOKENS_TABLE".to_owned(), "tokens-2".to_owned());
    let migrate = manage("migrate", &env, "").await;
    assert!(migrate.out.contains("tokens-2: made"), "{migrate:?}");
}

#[tokio::test]
async fn a_list_goes_on_where_a_page_ended() {
    for own in BOTH {
        let app = own.builder().start().await;
        for number in 0..5 {
            let address = format!("user-{number}@example.com");
            own.add(&app, &number.to_string(), &address, []).await;
        }
        let users = app.users();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = users.page(after.as_ref(), 2).await.expect("an answer");
            seen.extend(page.users.iter().map(|user| user.email.as_str().to_owned()));
            let Some(next) = page.next else { break };
            // As the panel hands it on, in a link.
            after = RowKey::parse(&next.to_text());
            assert_eq!(after.as_ref(), Some(&next));
        }
        seen.sort_unstable();
        let all = (0..5).map(|number| format!("user-{number}@example.com"));
        assert_eq!(seen, all.collect::<Vec<_>>());

        let found = users
            .page_by_prefix("user-3", None, 2)
            .await
            .expect("an answer");
        assert_eq!(found.users.len(), 1);
        let email = &found.users[0].email;
        assert!(users.set_active(email, false).await.expect("an answer"));
        let row = own.row(&app, "3", email.as_str()).await.expect("is there");
        assert_eq!(row["status"], AttributeValue::Bool(false));
        // What the flag means in words of the application is the application's to change.
        own.add(&app, "3", email.as_str(), [("status", text("closed"))])
            .await;
        assert!(!users.set_active(email, true).await.expect("an answer"));
    }
}
