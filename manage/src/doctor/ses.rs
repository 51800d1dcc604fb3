//! Checks of SES: the account, the sender and the suppression list.

use aws::AwsError;
use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{RequestId, get_account::GetAccountOutput},
    types::SendQuota,
};
use aws_types::SdkConfig;
use rules::{address::EmailAddress, environment::Environment};

use crate::finding::Finding;

/// Share of the daily quota above which to advise raising it.
const HIGH_USE: f64 = 0.8;

/// Builds a client of the mailer's SES.
pub(super) fn client(config: &SdkConfig, env: &Environment<'_>) -> Client {
    let mut config = aws_sdk_sesv2::config::Builder::from(config);
    config.set_endpoint_url(aws::endpoint(env, "AWS_ENDPOINT_URL_SESV2"));
    Client::from_conf(config.build())
}

/// Checks the account: sending, sandbox, quota.
pub(super) async fn check_account(ses: &Client) -> Vec<Finding> {
    match ses.get_account().send().await {
        Err(error) => vec![call_failed("SES account", "GetAccount", &error)],
        Ok(account) => {
            let quota = account.send_quota().map(check_quota);
            [check_sending(&account), check_sandbox(&account)]
                .into_iter()
                .chain(quota)
                .collect()
        }
    }
}

fn check_sending(account: &GetAccountOutput) -> Finding {
    let subject = "SES account";
    let status = account.enforcement_status().unwrap_or("HEALTHY");
    if !account.sending_enabled() || status == "SHUTDOWN" {
        return Finding::problem(
            subject,
            format!("may not send: its status is {status}"),
            "read the email that AWS sent to the account's owner, or resume sending in SES; pending \
             emails are sent after that",
        );
    }
    if status != "HEALTHY" {
        return Finding::advice(
            subject,
            format!("may send, but its status is {status}"),
            "too many emails bounce or are reported as spam; read the email that AWS \
             sent to the account's owner",
        );
    }
    Finding::ok(subject, "may send")
}

fn check_sandbox(account: &GetAccountOutput) -> Finding {
    let subject = "SES sandbox";
    if account.production_access_enabled() {
        return Finding::ok(subject, "the account has production access");
    }
    Finding::problem(
        subject,
        "the account is in the sandbox: email only reaches verified addresses",
        "request production access in the SES console, in this region",
    )
}

fn check_quota(quota: &SendQuota) -> Finding {
    let subject = "SES quota";
    let (max, sent) = (quota.max24_hour_send(), quota.sent_last24_hours());
    // SES returns -1 for no limit.
    if max < 0.0 {
        return Finding::ok(subject, format!("{sent:.0} emails in 24 hours, no limit"));
    }
    let rate = quota.max_send_rate();
    let detail = format!("{sent:.0} of {max:.0} emails in 24 hours, at most {rate:.0} a second");
    let advice = "request an increase in the Service Quotas console; emails over the quota wait \
                  for up to six hours";
    if sent >= max {
        Finding::problem(subject, detail, advice)
    } else if sent >= max * HIGH_USE {
        Finding::advice(subject, detail, advice)
    } else {
        Finding::ok(subject, detail)
    }
}

/// Looks for a verified identity of the sender `from`: the one that `SES_IDENTITY` or
/// `NEW_SES_IDENTITY` names, the address, or its domain.
pub(super) async fn check_identity(ses: &Client, from: &str, env: &Environment<'_>) -> Finding {
    // "*" permits every identity and names none.
    let identity = env.get("SES_IDENTITY").filter(|identity| identity != "*");
    let identity = identity.or_else(|| env.get("NEW_SES_IDENTITY"));
    let subject = format!("SES identity of MAIL_FROM {from}");
    let address = sender_address(from);
    let domain = address.rsplit_once('@').map(|(_, domain)| domain);
    let candidates = identity.as_deref().into_iter().chain([address]);
    let mut pending = None;
    for name in candidates.chain(domain) {
        match ses.get_email_identity().email_identity(name).send().await {
            Ok(identity) if identity.verified_for_sending_status() => {
                return Finding::ok(subject, format!("{name} is verified"));
            }
            Ok(_) => pending = Some(name),
            Err(error) if error.code() == Some("NotFoundException") => {}
            Err(error) => return call_failed(&subject, "GetEmailIdentity", &error),
        }
    }
    match pending {
        Some(name) => Finding::problem(
            subject,
            format!("{name} is not verified yet"),
            "add the DNS records that SES asks for, or follow the link in SES's email",
        ),
        None => Finding::problem(
            subject,
            "SES knows neither the address nor its domain in this region",
            "create and verify an identity in SES, or set MAIL_FROM to an address of a verified \
             one",
        ),
    }
}

/// Returns the address in `from`, which is an address or `Name <address>`.
pub(super) fn sender_address(from: &str) -> &str {
    let bracketed = from.rsplit_once('<');
    bracketed.map_or(from, |(_, rest)| rest.trim_end_matches('>'))
}

/// Checks SES's suppression list of the account.
pub(super) async fn check_suppression(ses: &Client, address: &EmailAddress) -> Finding {
    let address = address.as_str();
    let subject = format!("SES suppression list, {address}");
    let request = ses.get_suppressed_destination().email_address(address);
    match request.send().await {
        Err(error) if error.code() == Some("NotFoundException") => {
            Finding::ok(subject, "does not list it")
        }
        Err(error) => call_failed(&subject, "GetSuppressedDestination", &error),
        Ok(response) => {
            let reason = response
                .suppressed_destination()
                .map_or("no reason given", |destination| {
                    destination.reason().as_str()
                });
            Finding::problem(
                subject,
                format!("lists it ({reason}), so SES sends it nothing"),
                format!(
                    "once the mailbox accepts email again: `aws sesv2 \
                     delete-suppressed-destination --email-address {address}`"
                ),
            )
        }
    }
}

pub(super) fn call_failed<E>(subject: &str, operation: &'static str, error: &SdkError<E>) -> Finding
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
{
    let advice = match error.code() {
        Some("AccessDeniedException") => format!("grant your credentials ses:{operation}"),
        _ => "check that SES is reachable: on a laptop, `cargo run` serves it; elsewhere, \
              AWS_REGION and AWS_ENDPOINT_URL_SESV2 select it"
            .to_owned(),
    };
    let error = AwsError::new(operation, error);
    Finding::problem(subject, format!("cannot be checked: {error}"), advice)
}
