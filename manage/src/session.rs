//! What a command works on: a database, its tables there, and the settings that hold for them.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use shared::{
    settings::{Environment, TableNames},
    tables::Users,
};

use crate::{
    database::{self, Connection, Target},
    exit::Missing,
    runserver, stack, tables,
};

/// Which database a command works on.
#[derive(Args)]
pub(crate) struct DatabaseArgs {
    #[command(flatten)]
    deployed: DeployedArgs,
    /// The port of the embedded DynamoDB of a running `runserver`
    #[arg(long, default_value_t = runserver::DYNAMODB_PORT, value_name = "PORT")]
    pub(crate) dynamodb_port: u16,
    /// The folder of the embedded database
    #[arg(long, value_name = "FOLDER", default_value_os_t = database::default_data_folder())]
    data: PathBuf,
}

/// What is on AWS, and the tables' names, there and elsewhere.
#[derive(Args)]
pub(crate) struct DeployedArgs {
    /// Work on AWS, with the credentials and the region that the AWS tools would use
    #[arg(long)]
    aws: bool,
    /// Work on AWS, on the tables and with the settings of this CloudFormation stack
    #[arg(long, value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// The table of the users; else `USERS_TABLE`
    #[arg(long, value_name = "NAME")]
    users_table: Option<String>,
    /// The table of the tokens; else `TOKENS_TABLE`
    #[arg(long, value_name = "NAME")]
    tokens_table: Option<String>,
    /// The table of what is owed a mail; else `OUTBOX_TABLE`
    #[arg(long, value_name = "NAME")]
    outbox_table: Option<String>,
}

impl DeployedArgs {
    fn tables(self) -> impl Iterator<Item = (String, String)> {
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

/// A command's database, its tables there, and the settings that hold.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) names: TableNames,
    /// Whether AWS itself was asked for, where no table is made unasked.
    pub(crate) is_aws: bool,
    /// The stack's and the command line's, before those of the environment.
    settings: BTreeMap<String, String>,
}

impl DatabaseArgs {
    pub(crate) async fn open(self) -> Result<Session> {
        let is_aws = self.deployed.aws || self.deployed.stack.is_some();
        let target = Target::choose(is_aws, self.dynamodb_port, self.data);
        self.deployed.open(&target).await
    }
}

impl DeployedArgs {
    /// The tables in `target`.
    pub(crate) async fn open(self, target: &Target) -> Result<Session> {
        let connection = Connection::open(target).await?;
        let mut settings = match &self.stack {
            Some(name) => stack::settings(&connection.config, name).await?,
            None => BTreeMap::new(),
        };
        settings.extend(self.tables());
        let names = TableNames::read(&Environment::new(&|name| setting(&settings, name)))?;
        Ok(Session {
            connection,
            names,
            is_aws: matches!(target, Target::Aws),
            settings,
        })
    }
}

/// The setting `name`: that of `first`, else the environment's.
fn setting(first: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let own = first.get(name).cloned();
    own.or_else(|| std::env::var(name).ok())
}

impl Session {
    /// The setting `name`, for [`Environment::new`].
    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        setting(&self.settings, name)
    }

    /// The users, where their table is there.
    pub(crate) async fn users(&self) -> Result<Users> {
        let Self {
            connection, names, ..
        } = self;
        self.require(&names.users.name).await?;
        Ok(Users::new(connection.client.clone(), names.users.clone()))
    }

    /// An error that says what to do where there is no table `name`.
    pub(crate) async fn require(&self, name: &str) -> Result<()> {
        if tables::exists(&self.connection.client, name).await? {
            return Ok(());
        }
        Err(Missing(format!(
            "there is no table {name}; make it with `migrate`, or name another one (--stack, \
             --users-table, --tokens-table, --outbox-table)"
        ))
        .into())
    }

    /// Closes the database whatever `work` came to, and says which one and which tables it was
    /// about where that failed.
    pub(crate) async fn finish<T>(self, work: Result<T>) -> Result<T> {
        let Self {
            connection, names, ..
        } = self;
        let place = connection.place.clone();
        connection.close().await;
        work.with_context(|| {
            let TableNames {
                users,
                tokens,
                outbox,
            } = names;
            let users = users.name;
            format!("on {place}, tables {users}, {tokens} and {outbox}")
        })
    }
}
