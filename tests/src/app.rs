//! A whole system for one test: that of `local` in memory, with a [`Wire`] between the
//! functions and each service that they call.
//!
//! Whatever a test does through it is kept in mind, and at its end no log line may hold an
//! address, token, password or link of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU32, Ordering},
};

use ::http::Method;
use aws::tables::{TokenRow, Tokens, User, Users};
use aws_sdk_dynamodb::types::{AttributeValue, BillingMode};
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use chrono::{DateTime, TimeDelta, Utc};
use local::{
    inbox::StoredMail,
    system::{LocalSystem, Options},
};
use manage::stream_record::lambda_record;
use rand::rngs::SysRng;
use rules::{
    address::EmailAddress, environment::Environment, recovery::Recovery, token::ResetToken,
};
use serde_json::{Value, json};
use url::Url;

use crate::{
    eventually,
    functions::Functions,
    http::{self, Answer, CHANGE, FORGOT, JSON},
    logs::{self, Secrets},
    own::Own,
    wire::Wire,
};

/// A password that the policy takes for every account of the tests.
pub const GOOD_PASSWORD: &str = "correct horse battery staple";
/// Another one.
pub const OTHER_PASSWORD: &str = "seven violet kettles on the moon";
/// A password that it never takes.
pub const WEAK_PASSWORD: &str = "password1234567";

/// Who is in a system of [`TestApp::with_ada`].
pub const ADA: &str = "ada@example.com";

/// An active user under `mail_to`, without a password.
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

/// What a [`TestApp`] starts with.
#[derive(Default)]
pub struct Builder {
    own: Option<Own>,
    settings: BTreeMap<String, String>,
    users: Vec<User>,
    is_by_hand: bool,
}

impl Builder {
    /// Sets the variable `name`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Lets any number of mails go to one account.
    #[must_use]
    pub fn without_budget(self) -> Self {
        self.set("ACCOUNT_COOLDOWN_SECONDS", "0")
            .set("ACCOUNT_LIMIT_PER_HOUR", "100")
    }

    /// Makes hashes that take no time, for tests that make many.
    #[must_use]
    pub fn with_cheap_hashes(self) -> Self {
        self.set("ARGON2_MEMORY_KIB", "64")
            .set("ARGON2_ITERATIONS", "1")
    }

    /// Has the application make the users table, as the settings `USERS_…` describe it.
    #[must_use]
    pub fn own_users_table(mut self, own: Own) -> Self {
        self.own = Some(own);
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds [`ADA`], to whom any number of mails may go, and makes cheap hashes.
    #[must_use]
    pub fn with_ada(self) -> Self {
        self.with_cheap_hashes().without_budget().user(user(ADA))
    }

    /// Leaves the outbox's stream to the test, which reads it with [`TestApp::records`].
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.is_by_hand = true;
        self
    }

    /// Starts the system.
    pub async fn start(self) -> TestApp {
        logs::capture();
        let mut settings = self.settings;
        settings.extend([own_region()]);
        // The services and, with the wires in between, the functions.
        let mut own = settings.clone();
        own.retain(|name, _| !name.starts_with("USERS_"));
        let services = Options {
            dynamodb_url: other_dynamodb(),
            settings: own,
            pump: false,
            ..Options::in_memory()
        };
        let services = Box::pin(LocalSystem::start(services))
            .await
            .expect("the services start");
        if let Some(own) = self.own {
            let table = own.table(services.dynamodb());
            let table = table.billing_mode(BillingMode::PayPerRequest);
            table.send().await.expect("the table is made");
        }
        let (dynamodb, ses) = (
            Wire::start(&services.dynamodb_url()).await,
            Wire::start(&services.ses_url()).await,
        );
        settings.insert("AWS_ENDPOINT_URL_SESV2".to_owned(), ses.url());
        let options = Options {
            dynamodb_url: Some(dynamodb.url()),
            settings,
            pump: !self.is_by_hand,
            ..Options::in_memory()
        };
        let front = Box::pin(LocalSystem::start(options))
            .await
            .expect("the functions start");

        let functions = Functions::new(&front.environment());
        let app = TestApp {
            services,
            front,
            dynamodb,
            ses,
            functions,
            secrets: Secrets::default(),
            own: self.own,
        };
        for user in &self.users {
            app.add(user).await;
        }
        app.dynamodb.forget();
        app
    }
}

/// The address of a DynamoDB that the tests shall use instead of the embedded one.
#[must_use]
pub fn other_dynamodb() -> Option<String> {
    std::env::var("TEST_DYNAMODB_URL").ok()
}

/// Setting that gives each test its own region. The SDK counts its retries per region for the whole process and stops
/// retrying after too many; DynamoDB Local and moto, which accept any region, keep each region's tables apart.
fn own_region() -> (String, String) {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let test = TESTS.fetch_add(1, Ordering::Relaxed);
    let region = format!("test-{}-{test}", std::process::id());
    ("AWS_REGION".to_owned(), region)
}

/// The running system.
pub struct TestApp {
    /// Between the functions and DynamoDB.
    pub dynamodb: Wire,
    /// Between the mailer and SES.
    pub ses: Wire,
    /// The same functions once more, for calls at a time that the test chooses.
    pub functions: Functions,
    /// What no log line may hold.
    pub secrets: Secrets,
    services: LocalSystem,
    front: LocalSystem,
    own: Option<Own>,
}

impl TestApp {
    /// A system with nobody in it.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A system with [`ADA`] in it, to whom any number of mails may go.
    pub async fn with_ada() -> Self {
        Self::builder().with_ada().start().await
    }

    /// The same with the outbox's stream left to the test.
    pub async fn with_ada_by_hand() -> Self {
        Self::builder().with_ada().by_hand().start().await
    }

    /// What the binary of a function needs in its environment to work on this system.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        self.front.environment()
    }

    /// The address of `path` on the API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.front.api_url())
    }

    /// Posts a JSON body to `path`.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        http::send(
            Method::POST,
            &self.url(path),
            &[("content-type", JSON)],
            body.to_string(),
        )
        .await
    }

    /// Asks for a mail to `email`.
    pub async fn ask(&self, email: &str) -> Answer {
        self.secrets.add(email);
        self.post(FORGOT, &json!({ "email": email })).await
    }

    /// Sets a new password.
    pub async fn confirm(&self, token: &str, password: &str) -> Answer {
        self.change(&json!({ "forgot_password_hash": token, "new_password": password }))
            .await
    }

    /// The same with an address beside the token.
    pub async fn confirm_as(&self, email: &str, token: &str, password: &str) -> Answer {
        self.change(
            &json!({ "email": email, "forgot_password_hash": token, "new_password": password }),
        )
        .await
    }

    /// Posts `body` to `path` as it is.
    pub async fn post_as(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let headers = [("content-type", content_type)];
        http::send(Method::POST, &self.url(path), &headers, body.into()).await
    }

    /// Panics where `answer` is not a problem with this status and code that a person and a
    /// program can read, or where a table was asked for it.
    pub fn assert_refused(&self, answer: &Answer, status: u16, code: &str) {
        answer.assert_problem(status, code);
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert_eq!(
            problem["title"].as_str(),
            answer.status.canonical_reason(),
            "{problem}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.ends_with('.')),
            "{problem}"
        );
        answer.assert_secured();
        assert_eq!(self.dynamodb.take_targets(), [""; 0], "{answer:?}");
    }

    async fn change(&self, body: &Value) -> Answer {
        body.as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, value)| value.as_str())
            .for_each(|text| self.secrets.add(text));
        self.post(CHANGE, body).await
    }

    /// Adds a user.
    pub async fn add(&self, user: &User) {
        for secret in [user.email.as_str(), &user.mail_to] {
            self.secrets.add(secret);
        }
        if let Some(own) = self.own {
            let address = user.email.as_str();
            own.add(self, address, address, []).await;
            return;
        }
        assert!(
            self.users().create(user).await.expect("DynamoDB answers"),
            "the address is free"
        );
    }

    /// The user's row.
    pub async fn user(&self, email: &str) -> Option<User> {
        self.users()
            .get(&EmailAddress::parse(email).expect("an address"))
            .await
            .expect("DynamoDB answers")
    }

    /// Its users table.
    #[must_use]
    pub fn users(&self) -> Users {
        Users::new(
            self.services.dynamodb().clone(),
            self.front.tables().users.clone(),
        )
    }

    /// Keeps the row of a new token for `email` by hand; the token.
    pub async fn plant(
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
        Tokens::new(self.direct().clone(), self.services.tables().tokens.clone())
            .put(&token.digest(), &row)
            .await
            .expect("DynamoDB answers");
        self.secrets.add(token.expose());
        token
    }

    /// A client of DynamoDB itself, past the wire.
    #[must_use]
    pub fn direct(&self) -> &aws_sdk_dynamodb::Client {
        self.services.dynamodb()
    }

    /// The row of `table` under `key`.
    pub async fn row(
        &self,
        table: &str,
        key: (&str, &str),
    ) -> Option<HashMap<String, AttributeValue>> {
        let get = self.direct().get_item().table_name(table);
        let get = get
            .key(key.0, AttributeValue::S(key.1.to_owned()))
            .consistent_read(true);
        Box::pin(get.send()).await.expect("DynamoDB answers").item
    }

    /// All rows of `table`.
    pub async fn rows(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        let scan = self
            .direct()
            .scan()
            .table_name(table)
            .consistent_read(true)
            .send()
            .await;
        scan.expect("DynamoDB answers").items.unwrap_or_default()
    }

    /// All mail so far, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<StoredMail> {
        let mut mails = self.services.inbox().mails();
        mails.reverse();
        mails
    }

    /// The mail to `address` so far, oldest first.
    #[must_use]
    pub fn mails_to(&self, address: &str) -> Vec<StoredMail> {
        self.mails()
            .into_iter()
            .filter(|mail| mail.to == [address])
            .collect()
    }

    /// Waits for the mail number `count` to `address`.
    pub async fn mail_to(&self, address: &str, count: usize) -> StoredMail {
        let look = async || self.mails_to(address).into_iter().nth(count - 1);
        eventually(&format!("mail {count} to {address}"), look).await
    }

    /// Waits for the mail number `count` to `address` and takes the link out of it.
    pub async fn link_to(&self, address: &str, count: usize) -> Link {
        self.link_in(&self.mail_to(address, count).await)
    }

    /// The link in `mail`.
    pub fn link_in(&self, mail: &StoredMail) -> Link {
        let link = Link::read(mail);
        self.secrets.add(&link.url);
        self.secrets.add(&link.token);
        link
    }

    /// Asks for a mail to `address` and takes the link out of the one that comes.
    pub async fn fetch_link(&self, address: &str) -> Link {
        let before = self.mails_to(address).len();
        self.ask(address).await.assert_worked();
        self.link_to(address, before + 1).await
    }

    /// Waits until the mailer is done with all that is owed by now.
    pub async fn settle(&self) {
        // The stream is in order: when a row for nobody has been looked up, what was before it
        // has been dealt with.
        let nobody = format!("nobody-{}@example.com", self.rows("outbox").await.len());
        let row = [
            ("id", AttributeValue::S(format!("fence#{nobody}"))),
            ("kind", AttributeValue::S("password_changed".to_owned())),
            ("email", AttributeValue::S(nobody.clone())),
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
            calls
                .iter()
                .any(|call| call.body.to_string().contains(&nobody))
                .then_some(())
        };
        eventually("the mailer to be done", look).await;
    }

    /// Puts a row into `table` by hand.
    pub async fn put(&self, table: &str, row: HashMap<String, AttributeValue>) {
        let put = self
            .direct()
            .put_item()
            .table_name(table)
            .set_item(Some(row));
        put.send().await.expect("DynamoDB answers");
    }

    /// All records of the outbox's stream, as Lambda would deliver them.
    pub async fn records(&self) -> Vec<Value> {
        let environment = self.services.environment();
        let lookup = |name: &str| environment.get(name).cloned();
        let config = aws::config(&Environment::new(&lookup)).expect("a region and credentials");
        let config = config
            .into_builder()
            .endpoint_url(self.services.dynamodb_url())
            .build();
        let streams = aws_sdk_dynamodbstreams::Client::new(&config);
        let table = self
            .direct()
            .describe_table()
            .table_name("outbox")
            .send()
            .await
            .expect("DynamoDB answers");
        let stream = table
            .table
            .and_then(|table| table.latest_stream_arn)
            .expect("a stream");
        read_stream(&streams, &stream).await
    }
}

async fn read_stream(streams: &aws_sdk_dynamodbstreams::Client, stream: &str) -> Vec<Value> {
    let described = streams
        .describe_stream()
        .stream_arn(stream)
        .send()
        .await
        .expect("an answer");
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
        let iterator = iterator.send().await.expect("an answer").shard_iterator;
        let read = streams
            .get_records()
            .set_shard_iterator(iterator)
            .send()
            .await
            .expect("an answer");
        records.extend(read.records.unwrap_or_default().iter().map(lambda_record));
    }
    records
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // A test that failed for another reason is not made harder to read.
        if !std::thread::panicking() {
            self.secrets.assert_absent_from(&logs::captured());
        }
    }
}

/// The link of a mail, taken apart as the page behind it would.
#[derive(Debug, Clone)]
pub struct Link {
    /// All of it.
    pub url: String,
    /// The address in its fragment.
    pub email: String,
    /// The token in its fragment.
    pub token: String,
}

impl Link {
    /// The one link in the plain part of `mail`.
    #[must_use]
    pub fn read(mail: &StoredMail) -> Self {
        Self::find(&mail.text).unwrap_or_else(|| panic!("a link in {}", mail.text))
    }

    /// The one link in the plain part of a mail; `None` where there is none.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let url = text
            .lines()
            .find(|line| line.starts_with("http") && line.contains('#'))?;
        let parsed = Url::parse(url).expect("a valid link");
        let values: HashMap<String, String> =
            url::form_urlencoded::parse(parsed.fragment().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        Some(Self {
            url: url.to_owned(),
            email: values["email"].clone(),
            token: values["token"].clone(),
        })
    }
}
