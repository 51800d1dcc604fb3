//! The database of a command, its tables, and the settings in effect.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};
use aws::tables::{TableNames, Users};
use clap::Args;
use rules::environment::Environment;

use crate::{
    database::{Connection, OpenEmbedded, Target},
    defaults,
    exit::NotFound,
    schema, stack,
};

/// Options that choose the database of a command.
#[derive(Args)]
pub(crate) struct DatabaseArgs {
    #[command(flatten)]
    deployed: DeployedArgs,
    /// Port of the embedded DynamoDB of a running `runserver`
    #[arg(long, default_value_t = defaults::DYNAMODB_PORT, value_name = "PORT")]
    dynamodb_port: u16,
    /// Folder of the embedded database
    #[arg(long, value_name = "FOLDER", default_value_os_t = defaults::data_folder())]
    data: PathBuf,
}

/// Options that choose AWS, a stack there, and tables by name.
#[derive(Args)]
pub(crate) struct DeployedArgs {
    /// Use AWS, with the credentials and region of the AWS CLI
    #[arg(long)]
    aws: bool,
    /// Use AWS, with the tables and settings of this CloudFormation stack
    #[arg(long, value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// Name of the users table; overrides `USERS_TABLE`
    #[arg(long, value_name = "NAME")]
    users_table: Option<String>,
    /// Name of the tokens table; overrides `TOKENS_TABLE`
    #[arg(long, value_name = "NAME")]
    tokens_table: Option<String>,
    /// Name of the outbox table; overrides `OUTBOX_TABLE`
    #[arg(long, value_name = "NAME")]
    outbox_table: Option<String>,
}

impl DatabaseArgs {
    /// Connects to the chosen database.
    pub(crate) async fn open(self, open_embedded: OpenEmbedded) -> Result<Workspace> {
        let is_aws = self.deployed.aws || self.deployed.stack.is_some();
        let target = Target::choose(is_aws, self.dynamodb_port, self.data);
        let connection = Connection::open(target, open_embedded).await?;
        self.deployed.with(connection).await
    }
}

impl DeployedArgs {
    /// Connects to AWS.
    pub(crate) async fn open(self) -> Result<Workspace> {
        let connection = Connection::aws().await?;
        self.with(connection).await
    }

    async fn with(self, connection: Connection) -> Result<Workspace> {
        let mut settings = match &self.stack {
            Some(name) => stack::settings(&connection.config, name).await?,
            None => BTreeMap::new(),
        };
        let stack = self.stack.clone();
        settings.extend(self.table_settings());
        let names = TableNames::read(&Environment::new(&|name| setting(&settings, name)))?;
        Ok(Workspace {
            connection,
            names,
            stack,
            settings,
        })
    }

    fn table_settings(self) -> impl Iterator<Item = (String, String)> {
        let names = [
            ("USERS_TABLE", self.users_table),
            ("TOKENS_TABLE", self.tokens_table),
            ("OUTBOX_TABLE", self.outbox_table),
        ];
        names
            .into_iter()
            .filter_map(|(variable, name)| Some((variable.to_owned(), name?)))
    }
}

/// The database of a command, its tables, and the settings in effect.
pub(crate) struct Workspace {
    pub(crate) connection: Connection,
    pub(crate) names: TableNames,
    /// Name of the stack, if one is chosen.
    pub(crate) stack: Option<String>,
    /// Settings of the stack and the command line, which override the environment.
    settings: BTreeMap<String, String>,
}

/// Returns the setting `name` from `overrides`, or else from the environment.
fn setting(overrides: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let own = overrides.get(name).cloned();
    own.or_else(|| std::env::var(name).ok())
}

impl Workspace {
    /// Returns the setting `name`, for [`Environment::new`].
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        setting(&self.settings, name)
    }

    /// Returns the advice on how to add the account of `address`.
    pub(crate) fn advice_to_add(&self, address: &str) -> String {
        if self.names.users.email_index.is_some() {
            return format!("have your application add {address} to the users table");
        }
        let option = match &self.stack {
            Some(name) => format!(" --stack {name}"),
            None if self.connection.is_aws => " --aws".to_owned(),
            None => String::new(),
        };
        format!("add it: `users add {address}{option}`")
    }

    /// Returns the users table, or an error if it does not exist.
    pub(crate) async fn users(&self) -> Result<Users> {
        self.require(&self.names.users.name).await?;
        Ok(Users::new(
            self.connection.client.clone(),
            self.names.users.clone(),
        ))
    }

    /// Returns an error with advice if the table `name` does not exist.
    pub(crate) async fn require(&self, name: &str) -> Result<()> {
        if schema::exists(&self.connection.client, name).await? {
            return Ok(());
        }
        Err(NotFound(format!(
            "there is no table {name}; create it with `migrate`, or choose another one (--stack, \
             --users-table, --tokens-table, --outbox-table)"
        ))
        .into())
    }

    /// Runs `work`, then closes the database. An error names the database and its tables.
    pub(crate) async fn run<T>(self, work: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let result = work(&self).await;
        let Self {
            connection, names, ..
        } = self;
        let name = connection.name.clone();
        connection.close().await;
        result.with_context(|| {
            let TableNames {
                users,
                tokens,
                outbox,
            } = names;
            let users = users.name;
            format!("on {name}, tables {users}, {tokens} and {outbox}")
        })
    }
}
