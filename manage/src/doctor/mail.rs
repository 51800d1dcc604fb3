//! SES: whether it sends what the mailer hands to it.

use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, get_account::GetAccountOutput},
    types::SendQuota,
};
use aws_types::SdkConfig;
use shared::{
    address::EmailAddress,
    aws::{self, AwsError},
    settings::{Environment, MailerSettings},
};

use super::Finding;

/// The part of the daily quota from which on it is worth a word.
const HIGH: f64 = 0.8;

pub(super) fn client(config: &SdkConfig, env: &Environment<'_>) -> Client {
    let mut config = aws_sdk_sesv2::config::Builder::from(config);
    config.set_endpoint_url(aws::endpoint(env, "AWS_ENDPOINT_URL_SESV2"));
    Client::from_conf(config.build())
}

/// The account: sending, sandbox, quota.
pub(super) async fn account(ses: &Client) -> Vec<Finding> {
    match ses.get_account().send().await {
        Err(error) => vec![unknown("SES account", "GetAccount", &error)],
        Ok(account) => {
            let quota = account.send_quota().map(quota);
            [sending(&account), sandbox(&account)]
                .into_iter()
                .chain(quota)
                .collect()
        }
    }
}

fn sending(account: &GetAccountOutput) -> Finding {
    let what = "SES account";
    let status = account.enforcement_status().unwrap_or("HEALTHY");
    if !account.sending_enabled() || status == "SHUTDOWN" {
        return Finding::problem(
            what,
            format!("may not send: its status is {status}"),
            "read what AWS wrote to the account's owner, or resume sending in SES; what is owed \
             is sent then",
        );
    }
    if status != "HEALTHY" {
        return Finding::advice(
            what,
            format!("may send, but its status is {status}"),
            "too much mail bounces or is called spam; read what AWS wrote to the account's owner",
        );
    }
    Finding::ok(what, "may send")
}

fn sandbox(account: &GetAccountOutput) -> Finding {
    let what = "SES sandbox";
    if account.production_access_enabled() {
        return Finding::ok(what, "the account is out of it");
    }
    Finding::problem(
        what,
        "the account is in it: mail goes to verified addresses alone",
        "request production access in the console of SES, in this region",
    )
}

fn quota(quota: &SendQuota) -> Finding {
    let what = "SES quota";
    let (max, sent) = (quota.max24_hour_send(), quota.sent_last24_hours());
    // SES's word for no limit is -1.
    if max < 0.0 {
        return Finding::ok(
            what,
            format!("{sent:.0} mails in 24 hours, without a limit"),
        );
    }
    let rate = quota.max_send_rate();
    let detail = format!("{sent:.0} of {max:.0} mails in 24 hours, {rate:.0} a second at most");
    let advice = "ask for more in the console of Service Quotas; what is over waits six hours at \
                  most";
    if sent >= max {
        Finding::problem(what, detail, advice)
    } else if sent >= max * HIGH {
        Finding::advice(what, detail, advice)
    } else {
        Finding::ok(what, detail)
    }
}

/// The sender's identity, and the configuration set if there is one.
pub(super) async fn sender(
    ses: &Client,
    settings: &MailerSettings,
    env: &Environment<'_>,
) -> Vec<Finding> {
    let mut findings = vec![identity(ses, &settings.mail_from, env.get("SES_IDENTITY")).await];
    if let Some(name) = &settings.configuration_set {
        findings.push(configuration_set(ses, name).await);
    }
    findings
}

/// SES sends for a verified address, and for every address of a verified domain.
async fn identity(ses: &Client, from: &str, named: Option<String>) -> Finding {
    let what = format!("SES identity of MAIL_FROM {from}");
    let address = from
        .rsplit_once('<')
        .map_or(from, |(_, rest)| rest.trim_end_matches('>'));
    let domain = address.rsplit_once('@').map(|(_, domain)| domain);
    let candidates = named.as_deref().into_iter().chain([address]).chain(domain);
    let mut pending = None;
    for name in candidates {
        match ses.get_email_identity().email_identity(name).send().await {
            Ok(identity) if identity.verified_for_sending_status() => {
                return Finding::ok(what, format!("{name} is verified"));
            }
            Ok(_) => pending = Some(name),
            Err(error) if error.code() == Some("NotFoundException") => {}
            Err(error) => return unknown(&what, "GetEmailIdentity", &error),
        }
    }
    match pending {
        Some(name) => Finding::problem(
            what,
            format!("{name} is not verified yet"),
            "set the records that SES asks for in its domain, or follow the link in SES's mail",
        ),
        None => Finding::problem(
            what,
            "SES knows neither the address nor its domain in this region",
            "create the identity in SES and verify it, or set MAIL_FROM to one that is",
        ),
    }
}

async fn configuration_set(ses: &Client, name: &str) -> Finding {
    let what = format!("SES configuration set {name}");
    let answer = ses
        .get_configuration_set()
        .configuration_set_name(name)
        .send()
        .await;
    match answer {
        Ok(_) => Finding::ok(what, "is there"),
        Err(error) if error.code() == Some("NotFoundException") => Finding::problem(
            what,
            "is not there, so that SES refuses every mail",
            "create it, or leave SES_CONFIGURATION_SET out",
        ),
        Err(error) => unknown(&what, "GetConfigurationSet", &error),
    }
}

/// SES's own list of addresses that it sends nothing to.
pub(super) async fn suppression(ses: &Client, address: &EmailAddress) -> Finding {
    let address = address.as_str();
    let what = format!("SES suppression list, {address}");
    let answer = ses
        .get_suppressed_destination()
        .email_address(address)
        .send()
        .await;
    match answer {
        Err(error) if error.code() == Some("NotFoundException") => {
            Finding::ok(what, "is not on it")
        }
        Err(error) => unknown(&what, "GetSuppressedDestination", &error),
        Ok(answer) => {
            let reason = answer
                .suppressed_destination()
                .map_or("no reason given", |found| found.reason().as_str());
            Finding::problem(
                what,
                format!("is on it ({reason}): SES sends nothing there"),
                format!(
                    "once the mailbox takes mail again: `aws sesv2 delete-suppressed-destination \
                     --email-address {address}`"
                ),
            )
        }
    }
}

/// SES did not say.
fn unknown<E>(what: &str, operation: &'static str, error: &SdkError<E>) -> Finding
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
{
    let advice = match error.code() {
        Some("AccessDeniedException") => format!("give your credentials ses:{operation}"),
        _ => "look whether SES can be reached: on a laptop it is part of `cargo run`, else \
              AWS_REGION and AWS_ENDPOINT_URL_SESV2 say where it is"
            .to_owned(),
    };
    Finding::problem(
        what,
        format!(
            "could not be looked at: {}",
            AwsError::new(operation, error)
        ),
        advice,
    )
}
