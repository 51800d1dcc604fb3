//! What a refusal by SES means for an email.
//!
//! SES has one error for many reasons, which only the text tells apart. An email is given up only
//! if the text is known to be about its recipient; everything else may be fixed while it waits.

use rules::recovery::is_same_address;

/// The meaning of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// SES will never send email to this recipient.
    Recipient(&'static str),
    /// The problem may pass, or the operator can fix it. Carries its meaning, if known.
    Later(Option<&'static str>),
}

/// Errors whose text may be about the recipient. The third is that of SES's older API.
const CODES: [&str; 3] = [
    "BadRequestException",
    "MessageRejected",
    "InvalidParameterValue",
];

/// Texts about an illegal address. Most do not say which one, but the sender and the address for
/// replies are checked at start-up, so it is the recipient.
///
/// The first is what SES says about `Ada, Ms <ada@example.com>` (openstax/accounts#253). The others
/// are those of `AddressException` in `JavaMail`, which SES passes on: openstax/accounts#253,
/// monde-sistemas/delphi-aws-ses#22, hcengineering/platform#7864,
/// arithmetic/aws-lambda-ses-forwarder#103, brave/accounts#35, cloud-custodian#8051.
const ILLEGAL_ADDRESS: [&str; 16] = [
    "Illegal address",
    "Missing local name",
    "Missing domain",
    "Missing final '@domain'",
    "Unterminated quote",
    "Local address contains control or whitespace",
    "Local address contains illegal character",
    "Local address contains dot-dot",
    "Local address starts with dot",
    "Local address ends with dot",
    "Domain contains control or whitespace",
    "Domain contains illegal character",
    "Domain contains dot-dot",
    "Domain starts with dot",
    "Domain ends with dot",
    "Domain literal",
];

/// Texts about a recipient on SES's suppression list: today's and the one before 2020.
const SUPPRESSED: [&str; 2] = ["Address is on the suppression list", "Address blacklisted"];

/// The start of the error for unverified identities, and of the list of them. The list ends with
/// an ellipsis if it is incomplete. From "Amazon SES email sending errors" in SES's developer guide.
const NOT_VERIFIED: &str = "Email address is not verified";
const IDENTITIES: &str = "failed the check in region";

impl Refusal {
    /// Reads SES's error `code` and text for an email to `recipient`.
    pub(crate) fn read(code: &str, text: &str, recipient: &str) -> Self {
        let starts_with = |known: &str| {
            let start = text.get(..known.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(known))
        };
        // An address after the known text must be the recipient's.
        let is_about_recipient = |known: &str| {
            let rest = text.get(known.len()..).unwrap_or_default().to_lowercase();
            starts_with(known) && (!rest.contains('@') || rest.contains(&recipient.to_lowercase()))
        };
        if !CODES.contains(&code) {
            Self::Later(None)
        } else if ILLEGAL_ADDRESS
            .iter()
            .any(|known| is_about_recipient(known))
        {
            Self::Recipient("the recipient is not an address that SES accepts")
        } else if SUPPRESSED.iter().any(|known| is_about_recipient(known)) {
            Self::Recipient("the recipient is on SES's suppression list")
        } else if !starts_with(NOT_VERIFIED) {
            Self::Later(None)
        } else if lists_only(text, recipient) {
            Self::Recipient("SES is in the sandbox and the recipient is not verified")
        } else {
            Self::Later(Some("the sender is not verified in SES"))
        }
    }
}

/// Returns whether `recipient` is the only identity in an error about unverified ones.
fn lists_only(text: &str, recipient: &str) -> bool {
    let list = text
        .split_once(IDENTITIES)
        .and_then(|(_, rest)| rest.split_once(": "));
    list.is_some_and(|(_, list)| {
        list.split(", ")
            .all(|identity| is_same_address(identity.trim(), recipient))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "Ada@example.com";

    fn unverified(list: &str) -> String {
        format!(
            "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: {list}"
        )
    }

    #[test]
    fn texts_about_the_recipient_are_final() {
        let known = [
            "Illegal address",
            "Missing local name",
            "Missing domain",
            "Missing final '@domain'",
            "Unterminated quote",
            "Local address contains control or whitespace",
            "Local address contains illegal character",
            "Local address contains dot-dot",
            "Local address starts with dot",
            "Local address ends with dot",
            "Domain contains control or whitespace",
            "Domain contains illegal character",
            "Domain contains dot-dot",
            "Domain starts with dot",
            "Domain ends with dot",
            "Domain literal not at end of domain",
            "Address is on the suppression list",
            "Address blacklisted.",
        ];
        assert_eq!(known.len(), ILLEGAL_ADDRESS.len() + SUPPRESSED.len());
        for text in known.map(str::to_owned).into_iter().chain([
            "Illegal address: ada@example.com".to_owned(),
            "Missing final '@domain'.".to_owned(),
            "Address is on the suppression list for your account".to_owned(),
            unverified("ada@example.com"),
            unverified("ADA@EXAMPLE.COM"),
        ]) {
            for code in CODES {
                let refusal = Refusal::read(code, &text, ADA);
                assert!(matches!(refusal, Refusal::Recipient(_)), "{code}: {text}");
            }
        }
    }

    #[test]
    fn any_other_refusal_is_retried() {
        for text in [
            String::new(),
            "Sending paused for this account. For more information, please check the inbox of the email address associated with your AWS account.".to_owned(),
            "Configuration set <c> does not exist.".to_owned(),
            "The message contains a virus.".to_owned(),
            "Cannot send to: Illegal address".to_owned(),
            "Illegal address: no-reply@example.com".to_owned(),
            unverified("no-reply@example.com"),
            unverified("no-reply@example.com, ada@example.com"),
            unverified("App <no-reply@example.com>"),
            unverified("ada@example.com..."),
            unverified(""),
            "Email address is not verified.".to_owned(),
        ] {
            for code in CODES {
                let refusal = Refusal::read(code, &text, ADA);
                assert!(matches!(refusal, Refusal::Later(_)), "{code}: {text}");
            }
        }
    }

    #[test]
    fn the_code_must_be_one_for_refusals() {
        for code in [
            "TooManyRequestsException",
            "NotFoundException",
            "AccountSuspendedException",
        ] {
            assert_eq!(
                Refusal::read(code, "Illegal address", ADA),
                Refusal::Later(None)
            );
        }
    }
}
