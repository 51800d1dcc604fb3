//! SPF records (RFC 7208).

use super::resolver::{Dns, LookupError};

/// Mechanism that authorizes SES's servers.
const SES_MECHANISM: &str = "include:amazonses.com";
/// The record of a domain that only SES sends for.
pub(super) const SES_RECORD: &str = "v=spf1 include:amazonses.com ~all";
/// Maximum number of terms that cost a lookup (RFC 7208 §4.6.4). Terms of included records count too.
const MAX_LOOKUPS: usize = 10;

/// The verdict on the SPF records of a domain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spf {
    Missing,
    /// More than one record: receivers treat that as a permanent error.
    Ambiguous(usize),
    TooManyLookups(usize),
    /// It authorizes SES.
    Ok,
    /// It does not authorize SES itself, but a record that it includes might.
    Unclear(String),
    /// It does not authorize SES. The value is the record with SES added.
    WithoutSes(String),
}

impl Spf {
    /// Looks up the records of `domain`.
    pub(super) async fn of(domain: &str, dns: &Dns) -> Result<Self, LookupError> {
        Ok(Self::judge(&dns.txt(domain).await?))
    }

    fn judge(texts: &[String]) -> Self {
        let records: Vec<_> = texts.iter().filter(|text| is_record(text)).collect();
        match records.as_slice() {
            [] => Self::Missing,
            [record] => judge_one(record),
            _ => Self::Ambiguous(records.len()),
        }
    }
}

fn is_record(text: &str) -> bool {
    let version = text.split(' ').next();
    version.is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"))
}

fn judge_one(record: &str) -> Spf {
    let record = record.to_ascii_lowercase();
    let terms: Vec<_> = record.split_ascii_whitespace().skip(1).collect();
    let lookups = terms.iter().filter(|term| costs_a_lookup(term)).count();
    if lookups > MAX_LOOKUPS {
        return Spf::TooManyLookups(lookups);
    }
    // Receivers ignore what follows `all`.
    let end = terms.iter().position(|term| mechanism(term) == "all");
    let effective = &terms[..end.unwrap_or(terms.len())];
    let authorizes_ses = |term: &&str| term.trim_start_matches('+') == SES_MECHANISM;
    if effective.iter().any(authorizes_ses) {
        return Spf::Ok;
    }
    let with_ses = format!("v=spf1 {SES_MECHANISM} {}", terms.join(" "));
    let has_others = effective.iter().any(|term| mechanism(term) == "include")
        || (end.is_none() && terms.iter().any(|term| term.starts_with("redirect=")));
    if has_others {
        Spf::Unclear(with_ses)
    } else {
        Spf::WithoutSes(with_ses)
    }
}

/// Returns the name of a term's mechanism, without qualifier and value.
fn mechanism(term: &str) -> &str {
    let term = term.trim_start_matches(['+', '-', '~', '?']);
    term.split([':', '/']).next().unwrap_or(term)
}

fn costs_a_lookup(term: &str) -> bool {
    matches!(mechanism(term), "include" | "a" | "mx" | "ptr" | "exists")
        || term.starts_with("redirect=")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(texts: &[&str]) -> Spf {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Spf::judge(&texts)
    }

    #[test]
    fn a_record_that_includes_ses_authorizes_it() {
        for record in [
            "v=spf1 include:amazonses.com ~all",
            "V=SPF1 +Include:AmazonSES.com -all",
            "v=spf1 a mx include:_spf.example.net include:amazonses.com",
        ] {
            assert_eq!(judge(&["other text", record]), Spf::Ok, "{record}");
        }
    }

    #[test]
    fn other_texts_are_not_spf_records() {
        assert_eq!(judge(&[]), Spf::Missing);
        assert_eq!(
            judge(&[
                "v=spf10 include:amazonses.com",
                "google-site-verification=x"
            ]),
            Spf::Missing
        );
    }

    #[test]
    fn two_records_are_an_error() {
        let record = "v=spf1 include:amazonses.com ~all";
        assert_eq!(judge(&[record, "v=spf1 -all"]), Spf::Ambiguous(2));
    }

    #[test]
    fn a_record_without_ses_is_extended() {
        for (record, with_ses) in [
            ("v=spf1 -all", "v=spf1 include:amazonses.com -all"),
            ("v=spf1 mx ~all", "v=spf1 include:amazonses.com mx ~all"),
        ] {
            assert_eq!(judge(&[record]), Spf::WithoutSes(with_ses.to_owned()));
        }
        let neutral = judge(&["v=spf1 ?include:amazonses.com -all"]);
        assert_ne!(neutral, Spf::Ok);
    }

    #[test]
    fn terms_after_all_do_not_count() {
        let verdict = judge(&["v=spf1 -all include:amazonses.com"]);
        assert!(matches!(verdict, Spf::WithoutSes(_)), "{verdict:?}");
    }

    #[test]
    fn a_record_with_other_includes_is_unclear() {
        for record in [
            "v=spf1 include:_spf.example.net ~all",
            "v=spf1 redirect=_spf.example.net",
        ] {
            assert!(matches!(judge(&[record]), Spf::Unclear(_)), "{record}");
        }
        let verdict = judge(&["v=spf1 -all redirect=_spf.example.net"]);
        assert!(matches!(verdict, Spf::WithoutSes(_)), "{verdict:?}");
    }

    #[test]
    fn more_than_ten_lookups_are_an_error() {
        let includes = |count: usize| {
            let terms: Vec<_> = (0..count)
                .map(|number| format!("include:{number}.example"))
                .collect();
            format!("v=spf1 include:amazonses.com {} ~all", terms.join(" "))
        };
        assert_eq!(judge(&[&includes(9)]), Spf::Ok);
        assert_eq!(judge(&[&includes(10)]), Spf::TooManyLookups(11));
    }
}
