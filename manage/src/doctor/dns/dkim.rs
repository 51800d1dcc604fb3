//! The check of a domain's DKIM records and of its DKIM status in SES.

use aws_sdk_sesv2::types::{
    DkimAttributes, DkimSigningAttributesOrigin as Origin, DkimStatus as Status,
};

use super::{
    Authentication, not_asked, record,
    resolver::{Dns, LookupError},
    txt_record,
};
use crate::finding::Finding;

/// Zone of the public keys if SES does not name one.
const SIGNING_ZONE: &str = "dkim.amazonses.com";
/// Maximum number of CNAME records to follow from one name.
const MAX_ALIASES: usize = 8;

/// A record that is missing or wrong.
struct Fault {
    detail: String,
    /// The record to publish.
    record: String,
}

/// Checks the records that SES expects for `domain`.
pub(super) async fn check(dns: &Dns, domain: &str, dkim: &DkimAttributes) -> Authentication {
    let subject = format!("DKIM of {domain}");
    let is_signed = dkim.signing_enabled() && dkim.status() == Some(&Status::Success);
    let finding = match faults(dns, domain, dkim).await {
        Err(error) => not_asked(subject, &error),
        Ok(faults) if faults.is_empty() => check_status(subject, domain, dkim),
        Ok(faults) => {
            let details: Vec<_> = faults.iter().map(|fault| fault.detail.as_str()).collect();
            let records: Vec<_> = faults.iter().map(|fault| fault.record.as_str()).collect();
            let advice = format!("publish:\n{}", records.join("\n"));
            Finding::problem(subject, details.join("; "), advice)
        }
    };
    Authentication {
        domain: (is_signed && !finding.is_problem()).then(|| domain.to_owned()),
        findings: vec![finding],
    }
}

fn check_status(subject: String, domain: &str, dkim: &DkimAttributes) -> Finding {
    if !dkim.signing_enabled() {
        let advice = format!(
            "`aws sesv2 put-email-identity-dkim-attributes --email-identity {domain} \
             --signing-enabled`"
        );
        return Finding::problem(subject, "SES does not sign: signing is off", advice);
    }
    match dkim.status() {
        Some(Status::Success) => Finding::ok(subject, "has its records, and SES signs with them"),
        Some(Status::TemporaryFailure) => Finding::advice(
            subject,
            "has its records, but SES recently failed to read them",
            "check again in an hour; SES stops signing if it cannot read them for days",
        ),
        Some(Status::Failed) => Finding::problem(
            subject,
            "has its records, but SES has given up looking for them and does not sign",
            "start the DKIM verification again in the SES console",
        ),
        Some(Status::NotStarted) | None => Finding::problem(
            subject,
            "is not set up, so SES does not sign",
            format!(
                "`aws sesv2 put-email-identity-dkim-signing-attributes --email-identity {domain} \
                 --signing-attributes-origin AWS_SES`, then run `doctor` again for the records"
            ),
        ),
        Some(_) => Finding::problem(
            subject,
            "has its records, but SES has not found them yet and does not sign",
            "wait: SES looks for them for up to 72 hours",
        ),
    }
}

/// Returns what is wrong with the records.
async fn faults(dns: &Dns, domain: &str, dkim: &DkimAttributes) -> Result<Vec<Fault>, LookupError> {
    let mut faults = Vec::new();
    for token in dkim.tokens() {
        let name = format!("{token}._domainkey.{domain}");
        let fault = if dkim.signing_attributes_origin() == Some(&Origin::External) {
            check_key(dns, name).await?
        } else {
            let zone = dkim.signing_hosted_zone().unwrap_or(SIGNING_ZONE);
            check_alias(dns, name, format!("{token}.{zone}")).await?
        };
        faults.extend(fault);
    }
    Ok(faults)
}

/// Checks that `name` leads to `expected`, directly or through other CNAME records.
async fn check_alias(
    dns: &Dns,
    name: String,
    expected: String,
) -> Result<Option<Fault>, LookupError> {
    let mut last = name.clone();
    for _ in 0..MAX_ALIASES {
        match dns.cname(&last).await? {
            Some(target) if target == expected => return Ok(None),
            Some(target) => last = target,
            None => break,
        }
    }
    let detail = if last == name {
        format!("{name} has no CNAME record")
    } else {
        format!("{name} leads to {last}")
    };
    let record = record(&name, "CNAME", &expected);
    Ok(Some(Fault { detail, record }))
}

/// Checks that `name` has a public key, for a domain with a key of its own.
async fn check_key(dns: &Dns, name: String) -> Result<Option<Fault>, LookupError> {
    if dns.txt(&name).await?.iter().any(|text| has_key(text)) {
        return Ok(None);
    }
    Ok(Some(Fault {
        detail: format!("{name} has no TXT record with a public key"),
        record: txt_record(
            &name,
            "p=..., the public key of the private key that SES has",
        ),
    }))
}

/// Returns whether `text` is a key record (RFC 6376 §3.6.1). An empty `p` revokes the key.
fn has_key(text: &str) -> bool {
    let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
    tags.any(|(name, value)| name.trim() == "p" && !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::has_key;

    #[test]
    fn a_key_record_has_a_key_that_is_not_revoked() {
        for text in ["p=MIGf", "v=DKIM1; k=rsa; p=MIGfMA0=", "v=DKIM1;p = MIGf"] {
            assert!(has_key(text), "{text}");
        }
        for text in ["", "v=DKIM1; k=rsa; p=", "v=DKIM1; k=rsa", "key"] {
            assert!(!has_key(text), "{text}");
        }
    }
}
