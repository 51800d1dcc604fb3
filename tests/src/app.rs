//! A whole system for one test: the local system in memory, with a [`Proxy`] in front of DynamoDB
//! and of SES.
//!
//! The system remembers the addresses, tokens, passwords and links that a test uses through it. At
//! the test's end no log line may contain one of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ::http::Method;
use aws::tables::{TokenRow, Tokens, User, Users};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use chrono::{DateTime, TimeDelta, Utc};
use local::{inbox::StoredEmail, system::LocalSystem};
use local::{pipe::passes_filter, stream_record::lambda_record};
use passwords::{HashFormat, HashParams, Password, PasswordHasher, verify};
use rand::rngs::SysRng;
use rules::{
    address::EmailAddress,
    environment::Environment,
    recovery::{EmailKind, Recovery},
    token::ResetToken,
};
use serde_json::{Value, json};

use crate::{
    existing_table::ExistingTable,
    functions::Functions,
    http::{self, CHANGE_PASSWORD, FORGOT_PASSWORD, HttpResponse, JSON},
    link::Link,
    logs::{self, Secrets},
    proxy::Proxy,
    wait_for,
};

/// A password that the policy accepts for every account in the tests.
pub const GOOD_PASSWORD: &str = "correct horse battery staple";
/// Another one.
pub const OTHER_PASSWORD: &str = "seven violet kettles on the moon";
/// A password that the policy rejects.
pub const WEAK_PASSWORD: &str = "password1234567";

/// Address of the user in [`TestApp::with_ada`].
pub const ADA: &str = "ada@example.com";
/// Subject of the notice of a change.
pub const NOTICE_SUBJECT: &str = "Your password for Example was changed";
/// Well-formed token that is not stored.
pub const UNKNOWN_TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Builds an active user with the registered address `mail_to` and no password.
#[must_use]
pub fn user(mail_to: &str) -> User {
    User {
        key: None,
        email: EmailAddress::parse(mail_to).expect("an address"),
        mail_to: mail_to.to_owned(),
        user_id: "u-1".to_owned(),
        name: None,
        locale: None,
        password_hash: None,
        password_changed_at: None,
        session_epoch: 0,
        is_active: true,
        is_superuser: false,
        created_at: None,
        recovery: Recovery::default(),
    }
}

/// Returns a hash of `password` with minimal costs.
pub async fn cheap_hash(password: &str) -> String {
    let costs = HashParams {
        memory_kib: 64,
        iterations: 1,
        parallelism: 1,
        format: HashFormat::Phc,
    };
    let hasher = PasswordHasher::new(costs).expect("valid costs");
    let password = Arc::new(Password::new(password));
    let hash = hasher.hash(password, &mut SysRng).await;
    hash.expect("a hash")
}

/// Returns whether `password` is the user's.
#[must_use]
pub fn has_password(user: &User, password: &str) -> bool {
    let hash = user.password_hash.as_deref();
    hash.is_some_and(|hash| verify(&Password::new(password), hash))
}

/// A running system.
pub struct TestApp {
    /// Proxy between the functions and DynamoDB.
    pub dynamodb: Proxy,
    /// Proxy between the mailer and SES.
    pub ses: Proxy,
    /// The functions on the same tables, for calls at a time that the test chooses.
    pub functions: Functions,
    /// Texts that no log line may contain.
    pub secrets: Secrets,
    /// Length of the log when the system started. Its secrets cannot be in earlier lines.
    pub(crate) log_mark: usize,
    pub(crate) services: LocalSystem,
    pub(crate) system: LocalSystem,
    pub(crate) existing_table: Option<ExistingTable>,
}

impl TestApp {
    /// Returns the environment with which a function's binary works on this system.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.system.environment()
    }
}

/// Requests to the API.
impl TestApp {
    /// Returns the URL of `path` on the API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.system.api_url())
    }

    /// Posts a JSON body to `path`.
    pub async fn post(&self, path: &str, body: &Value) -> HttpResponse {
        self.post_as(path, JSON, body.to_string()).await
    }

    /// Posts `body` to `path` with the given content type.
    pub async fn post_as(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> HttpResponse {
        let headers = [("content-type", content_type)];
        http::send(Method::POST, &self.url(path), &headers, body.into()).await
    }

    /// Requests a reset email for `email`.
    pub async fn request_reset(&self, email: &str) -> HttpResponse {
        self.secrets.add(email);
        self.post(FORGOT_PASSWORD, &json!({ "email": email })).await
    }

    /// Sets a new password.
    pub async fn confirm(&self, token: &str, password: &str) -> HttpResponse {
        self.change(json!({ "forgot_password_hash": token, "new_password": password }))
            .await
    }

    /// Sets a new password and states the account's address.
    pub async fn confirm_with_email(
        &self,
        email: &str,
        token: &str,
        password: &str,
    ) -> HttpResponse {
        self.change(
            json!({ "email": email, "forgot_password_hash": token, "new_password": password }),
        )
        .await
    }

    async fn change(&self, body: Value) -> HttpResponse {
        let members = body.as_object().into_iter().flatten();
        for text in members.filter_map(|(_, value)| value.as_str()) {
            self.secrets.add(text);
        }
        self.post(CHANGE_PASSWORD, &body).await
    }

    /// Panics unless `response` is a complete problem with this status and code, and DynamoDB was
    /// not called.
    pub fn assert_refused(&self, response: &HttpResponse, status: u16, code: &str) {
        response.assert_problem(status, code);
        let problem = response.json();
        assert_eq!(problem["status"], status);
        assert_eq!(
            problem["title"].as_str(),
            response.status.canonical_reason(),
            "{problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.ends_with('.')),
            "{problem}"
        );
        response.assert_security_headers();
        assert_eq!(self.dynamodb.take_operations(), [""; 0], "{response:?}");
    }
}

/// Users and other rows.
impl TestApp {
    /// Adds a user.
    pub async fn add(&self, user: &User) {
        for secret in [user.email.as_str(), &user.mail_to] {
            self.secrets.add(secret);
        }
        if let Some(table) = self.existing_table {
            let address = user.email.as_str();
            table.add(self, address, address, []).await;
            return;
        }
        assert!(
            self.users().create(user).await.expect("DynamoDB responds"),
            "the address is already in use"
        );
    }

    /// Returns the user with this address.
    pub async fn user(&self, email: &str) -> Option<User> {
        self.users()
            .get(&EmailAddress::parse(email).expect("an address"))
            .await
            .expect("DynamoDB responds")
    }

    /// Returns [`ADA`].
    pub async fn ada(&self) -> User {
        self.user(ADA).await.expect("Ada exists")
    }

    /// Panics if [`ADA`] has a password.
    pub async fn assert_ada_is_unchanged(&self) {
        let ada = self.ada().await;
        assert_eq!((ada.password_hash, ada.session_epoch), (None, 0));
    }

    /// Panics unless [`ADA`] has this password.
    pub async fn assert_password_of_ada(&self, password: &str) {
        let ada = self.ada().await;
        assert!(has_password(&ada, password), "another password is stored");
    }

    /// Returns the users table.
    #[must_use]
    pub fn users(&self) -> Users {
        Users::new(
            self.services.dynamodb().clone(),
            self.system.tables().users.clone(),
        )
    }

    /// Stores a new token for `email` and returns it.
    pub async fn put_token(
        &self,
        email: &str,
        issued_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> ResetToken {
        let token = ResetToken::generate(&mut SysRng).expect("the system's generator works");
        let user = self.user(email).await;
        let row = TokenRow {
            issued_at,
            expires_at,
            user_key: user.and_then(|user| user.key),
            ..TokenRow::new(
                EmailAddress::parse(email).expect("an address"),
                None,
                issued_at,
                TimeDelta::zero(),
            )
        };
        let table = self.services.tables().tokens.clone();
        Tokens::new(self.dynamodb_client().clone(), table)
            .put(&token.digest(), &row)
            .await
            .expect("DynamoDB responds");
        self.secrets.add(token.expose());
        token
    }

    /// Returns a DynamoDB client that bypasses the proxy.
    #[must_use]
    pub fn dynamodb_client(&self) -> &aws_sdk_dynamodb::Client {
        self.services.dynamodb()
    }

    /// Returns the row of `table` under `key`.
    pub async fn row(
        &self,
        table: &str,
        key: (&str, &str),
    ) -> Option<HashMap<String, AttributeValue>> {
        let get = self.dynamodb_client().get_item().table_name(table);
        let get = get
            .key(key.0, AttributeValue::S(key.1.to_owned()))
            .consistent_read(true);
        Box::pin(get.send()).await.expect("DynamoDB responds").item
    }

    /// Returns all rows of `table`.
    pub async fn rows(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self
            .dynamodb_client()
            .scan()
            .table_name(table)
            .consistent_read(true)
            .send()
            .await;
        scan.expect("DynamoDB responds").items.unwrap_or_default()
    }

    /// Puts a row into `table`.
    pub async fn put(&self, table: &str, row: HashMap<String, AttributeValue>) {
        let put = self
            .dynamodb_client()
            .put_item()
            .table_name(table)
            .set_item(Some(row));
        put.send().await.expect("DynamoDB responds");
    }

    /// Sets one attribute of a row.
    pub async fn set_attribute(
        &self,
        table: &str,
        key: (&str, &str),
        name: &str,
        value: AttributeValue,
    ) {
        let update = self.dynamodb_client().update_item().table_name(table);
        let update = update
            .key(key.0, AttributeValue::S(key.1.to_owned()))
            .update_expression("SET #name = :value")
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value);
        Box::pin(update.send()).await.expect("DynamoDB responds");
    }

    /// Deletes a row.
    pub async fn delete(&self, table: &str, key: (&str, &str)) {
        let delete = self.dynamodb_client().delete_item().table_name(table);
        let delete = delete.key(key.0, AttributeValue::S(key.1.to_owned()));
        Box::pin(delete.send()).await.expect("DynamoDB responds");
    }
}

/// Emails.
impl TestApp {
    /// Returns all emails so far, oldest first.
    #[must_use]
    pub fn emails(&self) -> Vec<StoredEmail> {
        let mut emails = self.services.inbox().emails();
        emails.reverse();
        emails
    }

    /// Returns the emails to `address` so far, oldest first.
    #[must_use]
    pub fn emails_to(&self, address: &str) -> Vec<StoredEmail> {
        self.emails()
            .into_iter()
            .filter(|email| email.to == [address])
            .collect()
    }

    /// Returns the number of notices to [`ADA`] in the outbox.
    pub async fn owed_notices(&self) -> usize {
        let kind = AttributeValue::S(EmailKind::PasswordChanged.as_str().to_owned());
        let email = AttributeValue::S(ADA.to_owned());
        let rows = self.rows("outbox").await;
        let notices = rows
            .iter()
            .filter(|row| row["kind"] == kind && row["email"] == email);
        notices.count()
    }

    /// Panics unless exactly one notice to [`ADA`] is in the outbox and was sent.
    pub async fn assert_one_notice(&self) {
        self.wait_for_mailer().await;
        assert_eq!(self.owed_notices().await, 1);
        let emails = self.emails_to(ADA);
        let notices = emails
            .iter()
            .filter(|email| email.subject == NOTICE_SUBJECT);
        assert_eq!(notices.count(), 1);
    }

    /// Panics unless the password of [`ADA`] was changed once, to `password`, with one notice.
    pub async fn assert_changed_once(&self, password: &str) {
        self.assert_password_of_ada(password).await;
        assert_eq!(self.ada().await.session_epoch, 1);
        self.assert_one_notice().await;
    }

    /// Waits for email number `count` to `address`.
    pub async fn wait_for_email(&self, address: &str, count: usize) -> StoredEmail {
        let look = async || self.emails_to(address).into_iter().nth(count - 1);
        wait_for(&format!("email {count} to {address}"), look).await
    }

    /// Waits for email number `count` to `address` and returns its link.
    pub async fn wait_for_link(&self, address: &str, count: usize) -> Link {
        self.link_in(&self.wait_for_email(address, count).await)
    }

    /// Returns the link in `email`.
    pub fn link_in(&self, email: &StoredEmail) -> Link {
        let link = Link::read(email);
        self.secrets.add(&link.url);
        self.secrets.add(&link.token);
        link
    }

    /// Requests a reset email for `address`, waits for it and returns its link.
    pub async fn request_link(&self, address: &str) -> Link {
        let before = self.emails_to(address).len();
        self.request_reset(address).await.assert_worked();
        self.wait_for_link(address, before + 1).await
    }

    /// Waits until the mailer has handled everything that is in the outbox now.
    pub async fn wait_for_mailer(&self) {
        // The stream is in order. Once the mailer has looked up the unknown address of a new row,
        // the messages of all rows before it are in the queue or done.
        let unknown = format!("nobody-{}@example.com", self.rows("outbox").await.len());
        let row = [
            ("id", AttributeValue::S(format!("fence#{unknown}"))),
            ("kind", AttributeValue::S("password_changed".to_owned())),
            ("email", AttributeValue::S(unknown.clone())),
            ("count", AttributeValue::N("1".to_owned())),
            ("at", AttributeValue::N("4102488000000".to_owned())),
        ];
        let row = row
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.put("outbox", row).await;
        let look = async || {
            let calls = self.dynamodb.calls();
            let mut bodies = calls.iter().map(|call| call.body.to_string());
            let is_handled = bodies.any(|body| body.contains(&unknown));
            (is_handled && self.system.mail_queue().is_quiet()).then_some(())
        };
        wait_for("the mailer to handle the outbox", look).await;
    }

    /// Returns the records of the outbox's stream that the pipe passes, as Lambda delivers them.
    pub async fn stream_records(&self) -> Vec<Value> {
        let environment = self.services.environment();
        let lookup = |name: &str| environment.get(name).cloned();
        let config = aws::config(&Environment::new(&lookup)).expect("a region and credentials");
        let config = config
            .into_builder()
            .endpoint_url(self.services.dynamodb_url())
            .build();
        let streams = aws_sdk_dynamodbstreams::Client::new(&config);
        let describe = self.dynamodb_client().describe_table();
        let described = describe.table_name("outbox").send().await;
        let table = described.expect("DynamoDB responds").table;
        let stream = table.and_then(|table| table.latest_stream_arn);
        read_stream(&streams, &stream.expect("a stream")).await
    }
}

async fn read_stream(streams: &aws_sdk_dynamodbstreams::Client, stream: &str) -> Vec<Value> {
    let describe = streams.describe_stream().stream_arn(stream).send();
    let described = describe.await.expect("DynamoDB responds");
    let mut records = Vec::new();
    for shard in described
        .stream_description
        .and_then(|stream| stream.shards)
        .unwrap_or_default()
    {
        let iterator = streams
            .get_shard_iterator()
            .stream_arn(stream)
            .set_shard_id(shard.shard_id)
            .shard_iterator_type(ShardIteratorType::TrimHorizon);
        let iterator = iterator.send().await.expect("DynamoDB responds");
        let read = streams
            .get_records()
            .set_shard_iterator(iterator.shard_iterator)
            .send()
            .await
            .expect("DynamoDB responds");
        let read = read.records.unwrap_or_default();
        records.extend(read.iter().map(lambda_record).filter(passes_filter));
    }
    records
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // A test that already fails keeps its own message.
        if !std::thread::panicking() {
            let logs = logs::captured_since(self.log_mark);
            self.secrets.assert_absent_from(&logs);
        }
    }
}
