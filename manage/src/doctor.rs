//! `doctor`: checks everything that a reset needs, and advises on problems.
//!
//! It changes nothing: it checks write permissions with a condition that no row satisfies.

pub(crate) mod account;
mod canary;
mod concurrency;
mod configuration_set;
mod dns;
mod dynamodb;
mod encryption;
mod mail_queue;
mod reset_url;
mod ses;

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use confirm::settings::ConfirmSettings;
use mailer::settings::MailerSettings;
use request::settings::RequestSettings;
use rules::{
    address::EmailAddress,
    environment::{Environment, SettingError},
};

use self::dns::NameServerArg;
use crate::{
    address_arg::AddressArg,
    database::OpenEmbedded,
    defaults,
    exit::ExitStatus,
    finding::{Finding, Report},
    output::OutputArgs,
    workspace::{DatabaseArgs, Workspace},
};

/// Options of `doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// Also check whether this address can receive email
    #[arg(long, value_name = "ADDRESS")]
    address: Option<AddressArg>,
    /// Port of the API of a running `runserver`
    #[arg(long, default_value_t = defaults::API_PORT, value_name = "PORT")]
    port: u16,
    /// Port of the SES of a running `runserver`
    #[arg(long, default_value_t = defaults::SES_PORT, value_name = "PORT")]
    ses_port: u16,
    /// DNS server to ask about the sender's domain, instead of the system's
    #[arg(long, value_name = "ADDRESS")]
    name_server: Option<NameServerArg>,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs all checks and prints their results.
pub(crate) async fn run(args: DoctorArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let address = args.address.map(|address| address.canonical);
    let workspace = args.database.open(open_embedded).await?;
    // On AWS a missing setting has no default.
    let defaults = if workspace.connection.is_aws {
        BTreeMap::new()
    } else {
        defaults::settings(args.port, args.ses_port)
    };
    let findings = workspace.run(async |workspace| {
        let lookup = |name: &str| {
            let set = workspace.setting(name).filter(|value| !value.is_empty());
            set.or_else(|| defaults.get(name).cloned())
        };
        let env = Environment::new(&lookup);
        Ok(check_all(workspace, &env, address.as_ref(), args.name_server).await)
    });
    let mut report = Report::new(args.output.format);
    report.add(findings.await?)?;
    report.finish()
}

async fn check_all(
    workspace: &Workspace,
    env: &Environment<'_>,
    address: Option<&EmailAddress>,
    name_server: Option<NameServerArg>,
) -> Vec<Finding> {
    let mailer = MailerSettings::read(env);
    let mut findings = vec![
        settings("request", RequestSettings::read(env).map(drop)),
        settings("confirm", ConfirmSettings::read(env).map(drop)),
        settings("mailer", mailer.clone().map(drop)),
    ];
    findings.extend(dynamodb::check_tables(workspace).await);
    findings.extend(mail_queue::check(workspace).await);
    if workspace.connection.is_aws {
        findings.push(concurrency::check(&workspace.connection.config).await);
    }
    findings.extend(canary::check(workspace, env).await);
    let ses = ses::client(&workspace.connection.config, env);
    findings.extend(ses::check_account(&ses).await);
    if let Ok(mailer) = &mailer {
        findings.push(ses::check_identity(&ses, &mailer.mail_from, env).await);
        if let Some(name) = &mailer.configuration_set {
            findings.extend(configuration_set::check(&ses, name).await);
        }
        let is_aws = workspace.connection.is_aws;
        if is_aws || mailer.mail_from != defaults::MAIL_FROM {
            let region = workspace.connection.config.region();
            let sender = ses::sender_address(&mailer.mail_from);
            findings.extend(dns::check(name_server, &ses, region, sender).await);
        }
        findings.push(reset_url::check(&mailer.reset_url, is_aws).await);
    }
    if let Some(address) = address {
        findings.push(ses::check_suppression(&ses, address).await);
        findings.push(account::check(workspace, env, address).await);
    }
    findings
}

fn settings(function: &str, read: Result<(), SettingError>) -> Finding {
    let subject = format!("settings of {function}");
    match read {
        Ok(()) => Finding::ok(subject, "are complete"),
        Err(error) => Finding::problem(
            subject,
            error.to_string(),
            "set it in the environment, or as a parameter of the stack",
        ),
    }
}
