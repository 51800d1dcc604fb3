//! `runserver`: runs the system until it is stopped.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use manage::{
    admin::refusals::Refusals,
    database::ENDPOINT,
    defaults, now,
    server::{self, LogArgs},
};
use rules::environment::Environment;

use crate::{
    demo_account::{ADDRESS, PASSWORD},
    system::{LocalSystem, Options},
};

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
    /// Keep the database and the inbox in memory
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
        demo_account: true,
        send_email: true,
        refusals: Some(refusals),
    })
    .await?;
    print_addresses(&system);
    server::shutdown_signal().await?;
    println!("\nstopping");
    system.stop().await;
    Ok(())
}

fn print_addresses(system: &LocalSystem) {
    let api = system.api_url();
    println!("API       {api}/core/user/forgot-password/");
    println!("          {api}/core/user/change-forgotten-password/");
    println!("Inbox     {api}/inbox/ (as JSON: {api}/inbox.json)");
    println!("Admin     {api}/admin/ (to add a user who may sign in, run `createsuperuser`)");
    println!("DynamoDB  {}", system.dynamodb_url());
    println!("SES       {}", system.ses_url());
    if system.is_embedded() {
        println!("Account   {ADDRESS} (password: {PASSWORD})");
    }
    println!();
    println!("Request an email, then open the inbox:");
    println!();
    println!("  curl -d email={ADDRESS} {api}/core/user/forgot-password/");
    println!();
    println!("Press Ctrl-C to stop.");
}
