//! Email addresses in their canonical form, in which they are compared and stored.

use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use sha2::{Digest, Sha256};
use unicode_normalization::is_nfc;

use crate::hex;

/// Maximum length of the local part, in characters (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL_CHARS: usize = 64;
/// Maximum length of an address, in characters (RFC 5321 §4.5.3.1.3, less the angle brackets).
const MAX_CHARS: usize = 254;

/// A canonical address: lower case, with its domain in ASCII. It is the key of the users table.
///
/// It has no `Display`, and its `Debug` shows a digest, so it cannot slip into a log line. Call
/// [`as_str`](Self::as_str) for the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

/// Error for text that is not an address this service accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an email address")]
pub struct InvalidAddress;

impl EmailAddress {
    /// Parses an address as typed. Surrounding white space is trimmed; the local part must be a
    /// dot-atom (RFC 5322 §3.2.3) in ASCII, and the domain must have at least two labels.
    ///
    /// The decision depends only on syntax, so it reveals nothing about accounts.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let (local, domain) = text.trim().rsplit_once('@').ok_or(InvalidAddress)?;
        if local.len() > MAX_LOCAL_CHARS || !is_dot_atom(local) {
            return Err(InvalidAddress);
        }
        let address = format!("{}@{}", local.to_ascii_lowercase(), ascii_domain(domain)?);
        if address.len() > MAX_CHARS {
            return Err(InvalidAddress);
        }
        Ok(Self(address))
    }

    /// Returns the canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a digest for log lines: long enough to correlate lines, too short to recover the
    /// address (32 bits of SHA-256).
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(&self.0)[..4])
    }

    /// Returns the part before the at sign.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmailAddress({})", self.digest())
    }
}

fn is_dot_atom(local: &str) -> bool {
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Converts a domain to ASCII and lower case.
///
/// UTS 46 maps look-alikes (full-width letters, ligatures, the Kelvin sign, invisible characters)
/// to plain letters. A domain that this changes beyond its case is rejected: nobody can register
/// that spelling, so it must not reach the owner of another domain.
fn ascii_domain(domain: &str) -> Result<String, InvalidAddress> {
    // Punycode takes quadratic time, and no domain gets shorter in ASCII.
    if domain.chars().count() > MAX_CHARS || !is_nfc(domain) || !domain.contains('.') {
        return Err(InvalidAddress);
    }
    let uts46 = Uts46::new();
    let ascii = uts46
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::Check,
            DnsLength::Verify,
        )
        .map_err(|_| InvalidAddress)?;
    let typed: String = domain.chars().flat_map(char::to_lowercase).collect();
    let (unicode, valid) = uts46.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    if valid.is_err() || (typed != ascii && typed != unicode) {
        return Err(InvalidAddress);
    }
    Ok(ascii.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Option<String> {
        EmailAddress::parse(text).ok().map(|address| address.0)
    }

    #[test]
    fn case_and_surrounding_space_are_ignored() {
        assert_eq!(
            canonical(" Ada@Example.COM\n").as_deref(),
            Some("ada@example.com")
        );
    }

    #[test]
    fn a_domain_is_converted_to_ascii() {
        for typed in [
            "ada@bücher.example",
            "ada@BÜCHER.example",
            "ada@xn--bcher-kva.example",
        ] {
            assert_eq!(
                canonical(typed).as_deref(),
                Some("ada@xn--bcher-kva.example"),
                "{typed}"
            );
        }
    }

    #[test]
    fn every_atext_character_is_accepted() {
        let typed = "a!#$%&'*+-/=?^_`{|}~z@example.com";
        assert_eq!(canonical(typed).as_deref(), Some(typed));
    }

    #[test]
    fn anything_else_is_refused() {
        for typed in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.com",
            "ada@example",
            "ada@example.com.",
            "ada@.com",
            "ada@example..com",
            ".ada@example.com",
            "ada.@example.com",
            "a..da@example.com",
            "ada lovelace@example.com",
            "\"ada\"@example.com",
            "ada(countess)@example.com",
            "ada@[192.0.2.1]",
            "ada@exa mple.com",
            "ada@-example.com",
            "ada@example_.com",
            "ada@example.com,bob@example.com",
            "ada@bob@example.com",
            "ada@example.com\r\nBcc: x@y.z",
            "ada\0@example.com",
            "<ada@example.com>",
        ] {
            assert_eq!(canonical(typed), None, "{typed:?}");
        }
    }

    #[test]
    fn a_look_alike_never_becomes_the_plain_address() {
        for typed in [
            "mıke@example.com",
            "miKe@example.com",
            "mi\u{212a}e@example.com",
            "ſam@example.com",
            "ﬁona@example.com",
            "ａｄａ@example.com",
            "àda@example.com",
            "ada@ｅxample.com",
            "ada@exampl\u{212a}.com",
            "ada@ﬁ.com",
            "ada@ex\u{ad}ample.com",
            "ada@example。com",
            "ada@ſ.com",
            "ada@example\u{200b}.com",
        ] {
            match canonical(typed) {
                None => {}
                Some(address) => assert_eq!(address, "mike@example.com", "{typed:?}"),
            }
        }
        // Distinct letters stay distinct.
        assert_eq!(
            canonical("mike@gıthub.com").as_deref(),
            Some("mike@xn--gthub-n4a.com")
        );
    }

    #[test]
    fn length_is_bounded() {
        let local = "a".repeat(64);
        assert!(canonical(&format!("{local}@example.com")).is_some());
        assert!(canonical(&format!("{local}a@example.com")).is_none());
        let domain = format!("{}.com", ["a".repeat(61).as_str(); 3].join("."));
        assert_eq!(format!("{local}@{domain}").len(), 254);
        assert!(canonical(&format!("{local}@{domain}")).is_some());
        assert!(canonical(&format!("{local}@a{domain}")).is_none());
    }

    #[test]
    fn debug_shows_no_address() {
        let address = EmailAddress::parse("ada@example.com").expect("valid");
        assert!(!format!("{address:?}").contains("ada"));
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_a_fixed_point(typed in "\\PC{0,40}|[a-zA-Z.+]{1,8}@[a-zA-Z\u{e0}-\u{ff}.-]{1,20}") {
            if let Some(once) = canonical(&typed) {
                prop_assert!(once.is_ascii());
                prop_assert_eq!(canonical(&once), Some(once.clone()));
            }
        }
    }
}
