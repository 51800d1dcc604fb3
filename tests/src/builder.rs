//! Builds a [`TestApp`].

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use aws::tables::User;
use aws_sdk_dynamodb::types::BillingMode;
use local::system::{LocalSystem, Options};

use crate::{
    app::{ADA, TestApp, user},
    existing_table::ExistingTable,
    functions::Functions,
    logs::{self, Secrets},
    proxy::Proxy,
};

/// Settings and users of a [`TestApp`].
#[derive(Default)]
pub struct Builder {
    existing_table: Option<ExistingTable>,
    settings: BTreeMap<String, String>,
    users: Vec<User>,
    is_delivery_manual: bool,
}

/// Starting a system.
impl TestApp {
    /// Returns a builder of a system without users.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a system with [`ADA`] and without an email budget.
    pub async fn with_ada() -> Self {
        Self::builder().with_ada().start().await
    }

    /// Starts one whose outbox stream is left to the test.
    pub async fn with_ada_and_manual_delivery() -> Self {
        Self::builder().with_ada().manual_delivery().start().await
    }
}

impl Builder {
    /// Sets the variable `name`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Allows any number of emails to one account.
    #[must_use]
    pub fn without_email_budget(self) -> Self {
        self.set("ACCOUNT_COOLDOWN_SECONDS", "0")
            .set("ACCOUNT_LIMIT_PER_HOUR", "100")
    }

    /// Makes password hashing fast.
    #[must_use]
    pub fn with_cheap_hashes(self) -> Self {
        self.set("ARGON2_MEMORY_KIB", "64")
            .set("ARGON2_ITERATIONS", "1")
    }

    /// Creates `table` as the users table. The settings `USERS_…` must describe it.
    #[must_use]
    pub fn existing_users_table(mut self, table: ExistingTable) -> Self {
        self.existing_table = Some(table);
        self
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Adds [`ADA`], with cheap hashes and without an email budget.
    #[must_use]
    pub fn with_ada(self) -> Self {
        self.with_cheap_hashes()
            .without_email_budget()
            .user(user(ADA))
    }

    /// Leaves delivery to the test, which reads the outbox's stream with
    /// [`TestApp::stream_records`].
    #[must_use]
    pub fn manual_delivery(mut self) -> Self {
        self.is_delivery_manual = true;
        self
    }

    /// Starts the system.
    pub async fn start(mut self) -> TestApp {
        logs::capture();
        let log_mark = logs::mark();
        self.settings.extend([own_region()]);
        let services = self.start_services().await;
        let dynamodb = Proxy::start(&services.dynamodb_url()).await;
        let ses = Proxy::start(&services.ses_url()).await;
        self.settings
            .insert("AWS_ENDPOINT_URL_SESV2".to_owned(), ses.url());
        let options = Options {
            dynamodb_url: Some(dynamodb.url()),
            settings: self.settings,
            send_email: !self.is_delivery_manual,
            ..Options::in_memory()
        };
        let system = Box::pin(LocalSystem::start(options)).await;
        let system = system.expect("the functions start");
        let app = TestApp {
            functions: Functions::new(&system.environment()),
            services,
            system,
            dynamodb,
            ses,
            secrets: Secrets::default(),
            log_mark,
            existing_table: self.existing_table,
        };
        for user in &self.users {
            app.add(user).await;
        }
        app.dynamodb.clear_calls();
        app
    }

    /// Starts DynamoDB, with the existing users table, and SES.
    async fn start_services(&self) -> LocalSystem {
        let mut settings = self.settings.clone();
        settings.retain(|name, _| !name.starts_with("USERS_"));
        let options = Options {
            dynamodb_url: other_dynamodb(),
            settings,
            send_email: false,
            ..Options::in_memory()
        };
        let services = Box::pin(LocalSystem::start(options)).await;
        let services = services.expect("the services start");
        if let Some(table) = self.existing_table {
            let table = table.create_table(services.dynamodb());
            let table = table.billing_mode(BillingMode::PayPerRequest);
            table.send().await.expect("the table is created");
        }
        services
    }
}

/// Returns the URL of the DynamoDB to use instead of the embedded one.
#[must_use]
pub fn other_dynamodb() -> Option<String> {
    std::env::var("TEST_DYNAMODB_URL").ok()
}

/// Returns the setting of a region that no other test uses. The SDK limits its retries per region
/// and process. DynamoDB Local accepts any region and keeps each region's tables apart.
fn own_region() -> (String, String) {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let test = TESTS.fetch_add(1, Ordering::Relaxed);
    let region = format!("test-{}-{test}", std::process::id());
    ("AWS_REGION".to_owned(), region)
}
