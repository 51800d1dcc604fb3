//! Checks of the DNS records of the sender's domain: DKIM, the MAIL FROM domain with SPF, and DMARC.

mod alignment;
mod dkim;
mod dmarc;
mod identity;
mod mail_from;
mod resolver;
mod spf;

use aws_sdk_sesv2::Client;
use aws_types::region::Region;

pub(super) use self::resolver::NameServerArg;
use self::{
    dmarc::{Policy, TreeWalk},
    identity::{DomainIdentity, Identity},
    resolver::{Dns, LookupError},
};
use crate::finding::Finding;

/// Findings about DKIM or SPF.
struct Authentication {
    findings: Vec<Finding>,
    /// Domain that the method authenticates; `None` if it fails.
    domain: Option<String>,
}

/// Checks the domain of `sender`, an address in ASCII.
pub(super) async fn check(
    server: Option<NameServerArg>,
    ses: &Client,
    region: Option<&Region>,
    sender: &str,
) -> Vec<Finding> {
    let sender = sender.to_ascii_lowercase();
    let Some((_, from)) = sender.rsplit_once('@') else {
        return Vec::new();
    };
    let dns = match Dns::new(server) {
        Ok(dns) => dns,
        Err(error) => {
            let detail = format!("could not be asked: {error:#}");
            return vec![Finding::advice(
                "DNS",
                detail,
                "name a server with --name-server",
            )];
        }
    };
    match identity::find(ses, &sender, from).await {
        Some(Identity::Address) => vec![address_only(&sender, from)],
        Some(Identity::Domain(identity)) => check_domain(&dns, &identity, region, from).await,
        // The check of the SES identity reports why there is none.
        None => vec![check_dmarc(&TreeWalk::from(from, &dns).await, from, from)],
    }
}

fn address_only(sender: &str, from: &str) -> Finding {
    Finding::problem(
        format!("DKIM of {from}"),
        format!(
            "SES has verified only the address {sender}, so it signs no email as {from}, and none \
             can pass DMARC"
        ),
        "verify a domain that you control in SES (the parameter NewSesIdentity) and send from an \
         address there; a mailbox provider's domain cannot be verified",
    )
}

async fn check_domain(
    dns: &Dns,
    identity: &DomainIdentity,
    region: Option<&Region>,
    from: &str,
) -> Vec<Finding> {
    let walk = TreeWalk::from(from, dns);
    let Some(dkim) = &identity.dkim else {
        // The local SES does not sign.
        return vec![check_dmarc(&walk.await, from, &identity.domain)];
    };
    let (dkim, mail_from, walk) = tokio::join!(
        dkim::check(dns, &identity.domain, dkim),
        mail_from::check(dns, identity, region),
        walk
    );
    let dmarc = check_dmarc(&walk, from, &identity.domain);
    let aligned = match &walk {
        Ok(walk) => alignment::check(dns, walk, from, &dkim, &mail_from).await,
        Err(_) => None,
    };
    let mut findings = dkim.findings;
    findings.extend(mail_from.findings);
    findings.push(dmarc);
    findings.extend(aligned);
    findings
}

/// Checks the DMARC record of `from`. If there is none, it belongs at `home`, which is the same
/// domain or its parent.
fn check_dmarc(walk: &Result<TreeWalk, LookupError>, from: &str, home: &str) -> Finding {
    let subject = format!("DMARC of {from}");
    let walk = match walk {
        Ok(walk) => walk,
        Err(error) => return not_asked(subject, error),
    };
    let record = |domain: &str| txt_record(&format!("_dmarc.{domain}"), "v=DMARC1; p=none");
    if let Some(domain) = walk.ambiguous.first() {
        return Finding::problem(
            subject,
            format!("_dmarc.{domain} has several records, so receivers ignore all of them"),
            "remove all but one",
        );
    }
    let Some((domain, found)) = walk.applicable_record() else {
        return Finding::problem(
            subject,
            "has no record; Gmail, Yahoo and Outlook.com require one from large senders",
            format!("publish:\n{}", record(home)),
        );
    };
    let Some(policy) = walk.policy() else {
        return Finding::problem(
            subject,
            format!("the record at _dmarc.{domain} has no valid p="),
            format!("publish instead:\n{}", record(domain)),
        );
    };
    let detail = format!("has the policy {} at _dmarc.{domain}", policy.as_str());
    if policy == Policy::None {
        let advice = "to stop forged email, first collect reports with rua=mailto:..., then publish \
                      p=quarantine or p=reject once all of your own email passes";
        let detail = format!("{detail}: receivers accept forged email from this domain too");
        return Finding::advice(subject, detail, advice);
    }
    if found.is_test {
        let detail = format!("{detail}, in test mode: receivers apply a weaker one");
        return Finding::advice(
            subject,
            detail,
            "remove t=y once all of your own email passes",
        );
    }
    Finding::ok(subject, detail)
}

/// Returns the finding of a check whose lookup failed.
fn not_asked(subject: String, error: &LookupError) -> Finding {
    let advice = "check your connection, or name a server with --name-server";
    Finding::advice(subject, error.to_string(), advice)
}

/// Formats a record as zone files and DNS consoles do.
fn record(name: &str, kind: &str, value: &str) -> String {
    format!("{name} {kind} {value}")
}

fn txt_record(name: &str, text: &str) -> String {
    record(name, "TXT", &format!("\"{text}\""))
}
