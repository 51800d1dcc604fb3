//! `smoke`: uses a running system as its callers do, and checks every response.
//!
//! It requests one email for an address of SES's mailbox simulator, and nothing else that changes
//! the system.

mod account;
mod api;
mod cors;
mod delivery;
mod resources;

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use rules::environment::Environment;
use url::Url;

use self::api::Api;
use crate::{
    database::OpenEmbedded,
    defaults,
    exit::{ExitStatus, NotFound},
    finding::Report,
    output::OutputArgs,
    workspace::{DatabaseArgs, Workspace},
};

/// The setting with the URL of the API, from the stack's output `ApiUrl`.
const API_URL: &str = "API_URL";

/// Options of `smoke`.
#[derive(Args)]
pub struct SmokeArgs {
    /// URL of the API [default: that of the stack, or of a `runserver` on port 8000]
    #[arg(long, value_name = "URL")]
    api_url: Option<Url>,
    /// Time limit for the delivery of the email
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout_seconds: u64,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs all steps and prints their results.
pub(crate) async fn run(args: SmokeArgs, open_embedded: OpenEmbedded) -> Result<ExitStatus> {
    let workspace = args.database.open(open_embedded).await?;
    let smoke = Smoke {
        api_url: args.api_url,
        delivery_limit: Duration::from_secs(args.timeout_seconds),
        report: Report::new(args.output.format),
    };
    let report = workspace.run(async |workspace| smoke.run(workspace).await);
    report.await?.finish()
}

struct Smoke {
    api_url: Option<Url>,
    delivery_limit: Duration,
    report: Report,
}

impl Smoke {
    async fn run(mut self, workspace: &Workspace) -> Result<Report> {
        let api = Api::new(&self.api_url(workspace)?);
        let reachable = resources::check_reachable(&api).await;
        let is_reachable = !reachable.is_problem();
        self.report.add([reachable])?;
        if is_reachable {
            let lookup = |name: &str| workspace.setting(name);
            let env = Environment::new(&lookup);
            self.report.add(resources::check(&api).await)?;
            self.report.add([cors::check(&api, &env).await])?;
            self.check_email(&api, workspace, &env).await?;
        }
        Ok(self.report)
    }

    async fn check_email(
        &mut self,
        api: &Api,
        workspace: &Workspace,
        env: &Environment<'_>,
    ) -> Result<()> {
        let account = match account::check(workspace, env).await {
            Err(problem) => return self.report.add([problem]),
            Ok((account, finding)) => {
                self.report.add([finding])?;
                account
            }
        };
        let request = delivery::request(api).await;
        let is_accepted = !request.is_problem();
        self.report.add([request])?;
        if is_accepted {
            let delivery = delivery::wait(workspace, &account, self.delivery_limit);
            self.report.add([delivery.await])?;
        }
        Ok(())
    }

    fn api_url(&self, workspace: &Workspace) -> Result<String> {
        let of_stack = || {
            workspace
                .stack
                .is_some()
                .then(|| workspace.setting(API_URL))?
        };
        let local = || {
            let url = format!("http://127.0.0.1:{}", defaults::API_PORT);
            (!workspace.connection.is_aws).then_some(url)
        };
        let url = self.api_url.as_ref().map(Url::to_string);
        url.or_else(of_stack).or_else(local).ok_or_else(|| {
            NotFound("no API URL is known; pass --stack NAME or --api-url URL".to_owned()).into()
        })
    }
}
