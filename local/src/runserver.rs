//! `runserver`: runs the system until it is stopped.

use std::path::PathBuf;

use anyhow::Result;
use aws::tables::Users;
use clap::Args;
use manage::{
    accounts::{self, NewUser, PasswordRules},
    admin::refusals::Refusals,
    database::ENDPOINT,
    defaults, now,
    server::{self, LogArgs},
};
use passwords::{HashParams, Password, PasswordPolicy};
use rules::{address::EmailAddress, environment::Environment};

use crate::system::{LocalSystem, Options};

/// Address of the demo account.
pub(crate) const DEMO_ADDRESS: &str = "ada@example.com";
const DEMO_NAME: &str = "Ada Lovelace";
/// Password of the demo account.
pub(crate) const DEMO_PASSWORD: &str = "waltz mango orbit pickle";

/// The options of `runserver`.
#[derive(Args)]
pub struct RunserverArgs {
    /// Port of the API, its pages, the inbox and the admin panel
    #[arg(long, default_value_t = defaults::API_PORT, value_name = "PORT")]
    port: u16,
    /// Port of the embedded DynamoDB
    #[arg(long, default_value_t = defaults::DYNAMODB_PORT, value_name = "PORT")]
    dynamodb_port: u16,
    /// Port of the local SES
    #[arg(long, default_value_t = defaults::SES_PORT, value_name = "PORT")]
    ses_port: u16,
    /// Use a new database and inbox, in memory
    #[arg(long, conflicts_with = "data")]
    memory: bool,
    /// Folder of the database and the inbox
    #[arg(long, value_name = "FOLDER", default_value_os_t = defaults::data_folder())]
    data: PathBuf,
    #[command(flatten)]
    log: LogArgs,
}

/// Starts the system, prints its addresses, and stops it on Ctrl-C or SIGTERM.
pub async fn run(args: RunserverArgs) -> Result<()> {
    let refusals = Refusals::new(now);
    server::start_logging(args.log.level, refusals.clone());

    let system = LocalSystem::start(Options {
        api_port: args.port,
        dynamodb_port: args.dynamodb_port,
        ses_port: args.ses_port,
        data: (!args.memory).then_some(args.data),
        dynamodb_url: Environment::process().get(ENDPOINT),
        settings: [].into(),
        inherit_env: true,
        pump: true,
        refusals: Some(refusals),
    })
    .await?;
    if system.is_embedded() {
        add_demo_user(&system).await?;
    }
    print_addresses(&system);
    server::shutdown_signal().await?;
    println!("\nstopping");
    system.stop().await;
    Ok(())
}

/// Adds the demo account unless it exists. It is not a superuser.
pub(crate) async fn add_demo_user(system: &LocalSystem) -> Result<()> {
    let table = &system.tables().users;
    let users = Users::new(system.dynamodb().clone(), table.clone());
    if users.get(&demo_address()).await?.is_some() {
        return Ok(());
    }
    let demo = NewUser {
        address: DEMO_ADDRESS.parse().expect("an address"),
        name: Some(DEMO_NAME.to_owned()),
        locale: Some("en".to_owned()),
        password: Some(Password::new(DEMO_PASSWORD)),
        is_superuser: false,
        is_active: true,
    };
    let environment = system.environment();
    let lookup = |name: &str| environment.get(name).cloned();
    let rules = PasswordRules {
        // The demo account's password is exempt from any policy that is set.
        policy: PasswordPolicy {
            min_length: 0,
            min_score: 0,
        },
        hashing: HashParams::read(&Environment::new(&lookup))?,
    };
    accounts::add(system.dynamodb(), table, demo, rules, now()).await?;
    Ok(())
}

/// Returns the address of the demo account.
pub(crate) fn demo_address() -> EmailAddress {
    EmailAddress::parse(DEMO_ADDRESS).expect("an address")
}

fn print_addresses(system: &LocalSystem) {
    let api = system.api_url();
    println!("API       {api}/core/user/forgot-password/");
    println!("          {api}/core/user/change-forgotten-password/");
    println!("Inbox     {api}/inbox/ (as JSON: {api}/inbox.json)");
    println!("Admin     {api}/admin/ (add a user who may sign in with `createsuperuser`)");
    println!("DynamoDB  {}", system.dynamodb_url());
    println!("SES       {}", system.ses_url());
    if system.is_embedded() {
        println!("Account   {DEMO_ADDRESS} (password: {DEMO_PASSWORD})");
    }
    println!();
    println!("Request an email, then open the inbox:");
    println!();
    println!("  curl -d email={DEMO_ADDRESS} {api}/core/user/forgot-password/");
    println!();
    println!("Press Ctrl-C to stop.");
}
