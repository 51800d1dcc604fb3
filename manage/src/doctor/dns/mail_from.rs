//! The check of the MAIL FROM domain, whose SPF record receivers read.

use aws_sdk_sesv2::types::{
    BehaviorOnMxFailure, MailFromAttributes, MailFromDomainStatus as Status,
};
use aws_types::region::Region;

use super::{
    Authentication,
    identity::DomainIdentity,
    not_asked, record,
    resolver::Dns,
    spf::{SES_RECORD, Spf},
    txt_record,
};
use crate::finding::Finding;

/// Checks the MAIL FROM domain of `identity`, and its MX and SPF records.
pub(super) async fn check(
    dns: &Dns,
    identity: &DomainIdentity,
    region: Option<&Region>,
) -> Authentication {
    let host = mail_exchanger(region);
    let Some(mail_from) = &identity.mail_from else {
        return Authentication {
            findings: vec![advise_own_domain(&identity.domain, &host)],
            domain: None,
        };
    };
    let domain = mail_from.mail_from_domain();
    let (mx, spf) = tokio::join!(
        check_mx(dns, &identity.domain, mail_from, &host),
        check_spf(dns, domain)
    );
    let is_used = mail_from.mail_from_domain_status() == &Status::Success;
    let passes = is_used && !mx.is_problem() && !spf.is_problem();
    Authentication {
        domain: passes.then(|| domain.to_owned()),
        findings: vec![mx, spf],
    }
}

/// Returns the host that receives bounces for SES.
fn mail_exchanger(region: Option<&Region>) -> String {
    let region = region.map_or("REGION", Region::as_ref);
    format!("feedback-smtp.{region}.amazonses.com")
}

fn mx_record(domain: &str, host: &str) -> String {
    record(domain, "MX", &format!("10 {host}"))
}

fn advise_own_domain(identity: &str, host: &str) -> Finding {
    let domain = format!("bounce.{identity}");
    let (mx, spf) = (mx_record(&domain, host), txt_record(&domain, SES_RECORD));
    Finding::advice(
        format!("MAIL FROM domain of {identity}"),
        "is SES's own amazonses.com: SPF passes, but not for your domain, so DMARC depends on DKIM \
         alone",
        format!(
            "set the parameter MailFromSubdomain=bounce, or `aws sesv2 \
             put-email-identity-mail-from-attributes --email-identity {identity} \
             --mail-from-domain {domain}`, and publish:\n{mx}\n{spf}"
        ),
    )
}

async fn check_mx(
    dns: &Dns,
    identity: &str,
    mail_from: &MailFromAttributes,
    host: &str,
) -> Finding {
    let domain = mail_from.mail_from_domain();
    let subject = format!("MAIL FROM domain {domain}, MX");
    let hosts = match dns.mx(domain).await {
        Ok(hosts) => hosts,
        Err(error) => return not_asked(subject, &error),
    };
    let effect = match mail_from.behavior_on_mx_failure() {
        BehaviorOnMxFailure::RejectMessage => "SES refuses every email",
        _ => "SES uses amazonses.com instead",
    };
    let detail = match hosts.as_slice() {
        [] => format!("has no record, so {effect}"),
        [only] if only == host => return check_status(subject, identity, mail_from, effect),
        [other] => format!("is {other}, so {effect}"),
        _ => format!("has {} records instead of one, so {effect}", hosts.len()),
    };
    let advice = format!(
        "publish, as its only MX record:\n{}",
        mx_record(domain, host)
    );
    Finding::problem(subject, detail, advice)
}

/// Checks what SES says about the domain, which has the right MX record.
fn check_status(
    subject: String,
    identity: &str,
    mail_from: &MailFromAttributes,
    effect: &str,
) -> Finding {
    match mail_from.mail_from_domain_status() {
        Status::Success => Finding::ok(subject, "points to SES, which uses the domain"),
        Status::Failed => Finding::problem(
            subject,
            format!("points to SES, but SES has given up looking for it: {effect}"),
            format!(
                "`aws sesv2 put-email-identity-mail-from-attributes --email-identity {identity} \
                 --mail-from-domain {}`",
                mail_from.mail_from_domain()
            ),
        ),
        _ => Finding::advice(
            subject,
            format!("points to SES, which has not found it yet: {effect}"),
            "wait: SES looks for it for up to 72 hours",
        ),
    }
}

async fn check_spf(dns: &Dns, domain: &str) -> Finding {
    let subject = format!("MAIL FROM domain {domain}, SPF");
    let publish = |text: &str| {
        format!(
            "publish, as its only SPF record:\n{}",
            txt_record(domain, text)
        )
    };
    match Spf::of(domain, dns).await {
        Err(error) => not_asked(subject, &error),
        Ok(Spf::Ok) => Finding::ok(
            subject,
            "authorizes SES; the lookups inside of included records are not counted",
        ),
        Ok(Spf::Missing) => Finding::problem(subject, "has no record", publish(SES_RECORD)),
        Ok(Spf::Ambiguous(count)) => Finding::problem(
            subject,
            format!("has {count} records, which receivers treat as an error"),
            publish(SES_RECORD),
        ),
        Ok(Spf::TooManyLookups(count)) => Finding::problem(
            subject,
            format!("takes {count} lookups; receivers stop with an error after 10"),
            publish(SES_RECORD),
        ),
        Ok(Spf::Unclear(with_ses)) => Finding::advice(
            subject,
            "does not include amazonses.com; records that it includes are not read",
            publish(&with_ses),
        ),
        Ok(Spf::WithoutSes(with_ses)) => {
            Finding::problem(subject, "does not authorize SES", publish(&with_ses))
        }
    }
}
