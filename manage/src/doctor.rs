//! `doctor`: what a reset needs, looked at one by one, with what to do about what is not well.
//!
//! It changes nothing: whether a table may be written is tried with a condition that no row
//! fulfils.

mod account;
mod link;
mod mail;
mod tables;

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use shared::{
    address::EmailAddress,
    settings::{ConfirmSettings, Environment, MailerSettings, RequestSettings, SettingError},
};

use crate::{
    address_arg::AddressArg,
    database::OpenEmbedded,
    defaults,
    exit::ExitStatus,
    output::{OutputArgs, OutputFormat, print_json},
    workspace::{DatabaseArgs, Workspace},
};

/// The options of `doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// Look also at what keeps mail from this address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<AddressArg>,
    /// The port of the API of a running `runserver`
    #[arg(long, default_value_t = defaults::API_PORT, value_name = "PORT")]
    port: u16,
    /// The port of its SES
    #[arg(long, default_value_t = defaults::SES_PORT, value_name = "PORT")]
    ses_port: u16,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    /// It works, and could be better.
    Advice,
    /// It does not work, or could not be looked at.
    Problem,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
struct Finding {
    what: String,
    state: State,
    /// How it is.
    detail: String,
    /// What to do about it; empty where that is nothing.
    advice: String,
}

impl Finding {
    fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(what, State::Ok, detail, "")
    }

    fn advice(
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(what, State::Advice, detail, advice)
    }

    fn problem(
        what: impl Into<String>,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(what, State::Problem, detail, advice)
    }

    fn new(
        what: impl Into<String>,
        state: State,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            state,
            detail: detail.into(),
            advice: advice.into(),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "state": self.state.as_str(),
            "detail": self.detail,
            "advice": self.advice,
        })
    }
}

/// Looks at everything and prints what was found.
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
        Ok(examine(workspace, &Environment::new(&lookup), address.as_ref()).await)
    });
    let findings = findings.await?;
    print(&findings, args.output.format)?;
    let is_well = findings
        .iter()
        .all(|finding| finding.state != State::Problem);
    Ok(ExitStatus::done_if(is_well))
}

async fn examine(
    workspace: &Workspace,
    env: &Environment<'_>,
    address: Option<&EmailAddress>,
) -> Vec<Finding> {
    let mailer = MailerSettings::read(env);
    let mut findings = vec![
        settings("request", RequestSettings::read(env).map(drop)),
        settings("confirm", ConfirmSettings::read(env).map(drop)),
        settings("mailer", mailer.clone().map(drop)),
    ];
    findings.extend(tables::examine(workspace).await);
    let ses = mail::client(&workspace.connection.config, env);
    findings.extend(mail::account(&ses).await);
    if let Ok(mailer) = &mailer {
        findings.extend(mail::sender(&ses, mailer, env).await);
        findings.push(link::examine(&mailer.reset_url, workspace.connection.is_aws).await);
    }
    if let Some(address) = address {
        findings.push(mail::suppression(&ses, address).await);
        findings.push(account::examine(workspace, env, address).await);
    }
    findings
}

fn settings(function: &str, read: Result<(), SettingError>) -> Finding {
    let what = format!("settings of {function}");
    match read {
        Ok(()) => Finding::ok(what, "are complete"),
        Err(error) => Finding::problem(
            what,
            error.to_string(),
            "set it in the environment, or as a parameter of the stack",
        ),
    }
}

fn print(findings: &[Finding], output: OutputFormat) -> Result<()> {
    if output == OutputFormat::Json {
        return print_json(&findings.iter().map(Finding::to_json).collect());
    }
    for Finding {
        what,
        state,
        detail,
        advice,
    } in findings
    {
        println!("{:7}  {what}: {detail}", state.as_str());
        if !advice.is_empty() {
            println!("{:7}  -> {advice}", "");
        }
    }
    Ok(())
}
