//! DMARC records (RFC 9989).

use super::resolver::{Dns, LookupError};

/// Maximum number of names in a tree walk (RFC 9989 §4.10).
const MAX_NAMES: usize = 8;

/// What a domain asks receivers to do with email that fails DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    None,
    Quarantine,
    Reject,
}

impl Policy {
    fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "none" => Some(Self::None),
            "quarantine" => Some(Self::Quarantine),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// A DMARC record. Missing and invalid tags have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// `p`
    pub(super) policy: Option<Policy>,
    /// `sp`: the policy for subdomains.
    pub(super) subdomain_policy: Option<Policy>,
    /// `adkim=s`
    pub(super) is_dkim_strict: bool,
    /// `aspf=s`
    pub(super) is_spf_strict: bool,
    /// `t=y`: receivers apply the next weaker policy.
    pub(super) is_test: bool,
    /// `psd`: whether the domain is a public suffix.
    is_public_suffix: Option<bool>,
}

impl Record {
    /// Parses the text of a TXT record; `None` if it is not a DMARC record.
    fn parse(text: &str) -> Option<Self> {
        let mut tags = text.split(';').filter_map(|tag| {
            let (name, value) = tag.split_once('=')?;
            Some((name.trim(), value.trim()))
        });
        if tags.next()? != ("v", "DMARC1") {
            return None;
        }
        let mut record = Self::default();
        for (name, value) in tags {
            match name {
                "p" => record.policy = Policy::parse(value),
                "sp" => record.subdomain_policy = Policy::parse(value),
                "adkim" => record.is_dkim_strict = value.eq_ignore_ascii_case("s"),
                "aspf" => record.is_spf_strict = value.eq_ignore_ascii_case("s"),
                "t" => record.is_test = value.eq_ignore_ascii_case("y"),
                "psd" => record.is_public_suffix = public_suffix(value),
                _ => {}
            }
        }
        Some(record)
    }
}

fn public_suffix(value: &str) -> Option<bool> {
    match value {
        "y" => Some(true),
        "n" => Some(false),
        _ => None,
    }
}

/// The DMARC records of a domain and its parents, which determine its organizational domain. Older
/// versions of DMARC used the public suffix list instead.
pub(super) struct TreeWalk {
    domain: String,
    /// The records and their domains, from the longest name to the shortest.
    found: Vec<(String, Record)>,
    /// The domains with more than one record, which receivers ignore.
    pub(super) ambiguous: Vec<String>,
}

impl TreeWalk {
    /// Looks up the records of `domain` and its parents.
    pub(super) async fn from(domain: &str, dns: &Dns) -> Result<Self, LookupError> {
        let mut walk = Self {
            domain: domain.to_owned(),
            found: Vec::new(),
            ambiguous: Vec::new(),
        };
        for name in names(domain) {
            let texts = dns.txt(&format!("_dmarc.{name}")).await?;
            let mut records = texts.iter().filter_map(|text| Record::parse(text));
            match (records.next(), records.next()) {
                (Some(record), None) => {
                    let is_end = record.is_public_suffix.is_some();
                    walk.found.push((name.to_owned(), record));
                    if is_end {
                        break;
                    }
                }
                (Some(_), Some(_)) => walk.ambiguous.push(name.to_owned()),
                (None, _) => {}
            }
        }
        Ok(walk)
    }

    /// Returns the organizational domain (RFC 9989 §4.10.2).
    pub(super) fn organizational_domain(&self) -> &str {
        for (name, record) in &self.found {
            match record.is_public_suffix {
                Some(false) => return name,
                Some(true) if *name != self.domain => return one_label_below(name, &self.domain),
                _ => {}
            }
        }
        self.found.last().map_or(&self.domain, |(name, _)| name)
    }

    /// Returns the record that applies to the domain, with its name (RFC 9989 §4.10.1).
    pub(super) fn applicable_record(&self) -> Option<(&str, &Record)> {
        let own = self.record_of(&self.domain);
        let inherited = || self.record_of(self.organizational_domain());
        let of_public_suffix = || {
            let mut found = self.found.iter();
            found.find(|(_, record)| record.is_public_suffix == Some(true))
        };
        let found = own.or_else(inherited).or_else(of_public_suffix);
        found.map(|(name, record)| (name.as_str(), record))
    }

    fn record_of(&self, domain: &str) -> Option<&(String, Record)> {
        self.found.iter().find(|(name, _)| name == domain)
    }

    /// Returns the policy that applies to the domain; `None` if no record has a valid one.
    pub(super) fn policy(&self) -> Option<Policy> {
        let (name, record) = self.applicable_record()?;
        let inherited = record.subdomain_policy.filter(|_| name != self.domain);
        inherited.or(record.policy)
    }
}

/// Returns the names that a tree walk from `domain` looks at.
fn names(domain: &str) -> impl Iterator<Item = &str> {
    let parents = parents(domain).collect::<Vec<_>>();
    let skipped = parents.len().saturating_sub(MAX_NAMES - 1);
    std::iter::once(domain).chain(parents.into_iter().skip(skipped))
}

/// Returns the parents of `domain`, from the longest to the shortest.
pub(super) fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |name| Some(name.split_once('.')?.1)).skip(1)
}

/// Returns the subdomain of `parent` that is `domain` or one of its parents.
fn one_label_below<'a>(parent: &str, domain: &'a str) -> &'a str {
    let mut names = std::iter::once(domain).chain(parents(domain));
    let below = |name: &&str| parents(name).next() == Some(parent);
    names.find(below).unwrap_or(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(domain: &str, found: &[(&str, &str)]) -> TreeWalk {
        let found = found.iter().map(|(name, text)| {
            let record = Record::parse(text).expect("a DMARC record");
            ((*name).to_owned(), record)
        });
        TreeWalk {
            domain: domain.to_owned(),
            found: found.collect(),
            ambiguous: Vec::new(),
        }
    }

    #[test]
    fn only_a_text_that_starts_with_the_version_is_a_record() {
        for text in [
            "v=DMARC1",
            "v=DMARC1;",
            " v = DMARC1 ; p=none",
            "v=DMARC1;p=none",
        ] {
            assert!(Record::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "v=spf1 -all",
            "v=dmarc1; p=none",
            "p=none; v=DMARC1",
            "v=DMARC2",
        ] {
            assert!(Record::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn tags_are_read_and_unknown_ones_ignored() {
        let text =
            "v=DMARC1; p=Reject; sp=quarantine; adkim=s; aspf=S; t=y; pct=50; rua=mailto:a@b";
        let record = Record::parse(text).expect("a record");
        let expected = Record {
            policy: Some(Policy::Reject),
            subdomain_policy: Some(Policy::Quarantine),
            is_dkim_strict: true,
            is_spf_strict: true,
            is_test: true,
            is_public_suffix: None,
        };
        assert_eq!(record, expected);
        let invalid = Record::parse("v=DMARC1; p=strict; adkim=x").expect("a record");
        assert_eq!(invalid, Record::default());
    }

    #[test]
    fn a_walk_looks_at_eight_names_at_most() {
        let long = "a.b.c.d.e.f.g.h.i.j.mail.example.com";
        let expected = [
            long,
            "g.h.i.j.mail.example.com",
            "h.i.j.mail.example.com",
            "i.j.mail.example.com",
            "j.mail.example.com",
            "mail.example.com",
            "example.com",
            "com",
        ];
        assert_eq!(names(long).collect::<Vec<_>>(), expected);
        assert_eq!(
            names("example.com").collect::<Vec<_>>(),
            ["example.com", "com"]
        );
    }

    #[test]
    fn the_highest_record_marks_the_organizational_domain() {
        let record = "v=DMARC1; p=none";
        let found = [("a.mail.example.com", record), ("example.com", record)];
        let walk = walk("a.mail.example.com", &found);
        assert_eq!(walk.organizational_domain(), "example.com");
        assert_eq!(
            walk.applicable_record().map(|(name, _)| name),
            Some("a.mail.example.com")
        );
    }

    #[test]
    fn a_domain_without_records_is_its_own_organization() {
        let walk = walk("mail.example.com", &[]);
        assert_eq!(walk.organizational_domain(), "mail.example.com");
        assert!(walk.applicable_record().is_none());
    }

    #[test]
    fn psd_marks_where_an_organization_ends() {
        let cases = [
            (
                "a.mail.example.com",
                vec![("mail.example.com", "v=DMARC1; psd=n")],
                "mail.example.com",
            ),
            (
                "a.example.bank",
                vec![("bank", "v=DMARC1; p=reject; psd=y")],
                "example.bank",
            ),
            (
                "example.bank",
                vec![("example.bank", "v=DMARC1; psd=y")],
                "example.bank",
            ),
        ];
        for (domain, found, expected) in cases {
            assert_eq!(walk(domain, &found).organizational_domain(), expected);
        }
    }

    #[test]
    fn a_subdomain_inherits_the_policy_for_subdomains() {
        let record = "v=DMARC1; p=reject; sp=none";
        let policy = |domain| walk(domain, &[("example.com", record)]).policy();
        assert_eq!(policy("mail.example.com"), Some(Policy::None));
        assert_eq!(policy("example.com"), Some(Policy::Reject));
        let suffix = walk("example.bank", &[("bank", "v=DMARC1; p=reject; psd=y")]);
        assert_eq!(suffix.policy(), Some(Policy::Reject));
    }
}
