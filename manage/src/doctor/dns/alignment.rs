//! The check of DMARC alignment: DKIM or SPF must authenticate the sender's organization.

use super::{
    Authentication,
    dmarc::TreeWalk,
    not_asked,
    resolver::{Dns, LookupError},
};
use crate::finding::Finding;

/// Checks whether DKIM or SPF authenticates the domain `from`. Returns `None` if the domain has no
/// DMARC record, because its organizational domain is then unknown.
pub(super) async fn check(
    dns: &Dns,
    walk: &TreeWalk,
    from: &str,
    dkim: &Authentication,
    spf: &Authentication,
) -> Option<Finding> {
    let (_, record) = walk.applicable_record()?;
    let subject = format!("DMARC alignment of {from}");
    let aligned = tokio::try_join!(
        describe(dns, walk, from, "DKIM", dkim, record.is_dkim_strict),
        describe(dns, walk, from, "SPF", spf, record.is_spf_strict)
    );
    Some(match aligned {
        Err(error) => not_asked(subject, &error),
        Ok(((true, dkim), (_, spf))) => Finding::ok(subject, format!("{dkim}; {spf}")),
        Ok(((false, dkim), (true, spf))) => Finding::advice(
            subject,
            format!("{dkim}; {spf}"),
            "DMARC passes, but not for forwarded email, where SPF fails; fix DKIM",
        ),
        Ok(((false, dkim), (false, spf))) => Finding::problem(
            subject,
            format!("{dkim}; {spf}; so DMARC fails"),
            "fix DKIM as above; if it passes for another domain, verify the sender's own domain in \
             SES, or publish the DMARC record with adkim=r and aspf=r",
        ),
    })
}

/// Returns whether `method` authenticates the organization of `from`, and a description.
async fn describe(
    dns: &Dns,
    walk: &TreeWalk,
    from: &str,
    method: &str,
    authentication: &Authentication,
    is_strict: bool,
) -> Result<(bool, String), LookupError> {
    let Some(domain) = &authentication.domain else {
        return Ok((false, format!("{method} does not pass for your domain")));
    };
    let is_aligned = if is_strict || domain == from {
        domain == from
    } else {
        let other = TreeWalk::from(domain, dns).await?;
        other.organizational_domain() == walk.organizational_domain()
    };
    let mode = if is_strict { "strict" } else { "relaxed" };
    let verb = if is_aligned {
        "aligns"
    } else {
        "does not align"
    };
    Ok((is_aligned, format!("{method} of {domain} {verb} ({mode})")))
}
