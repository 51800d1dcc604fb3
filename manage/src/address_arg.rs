//! An email address on the command line.

use std::str::FromStr;

use rules::address::EmailAddress;

/// An email address as typed, and in canonical form.
#[derive(Debug, Clone)]
pub struct AddressArg {
    /// The address as typed, which email is sent to.
    pub typed: String,
    /// The address in canonical form, which identifies the user.
    pub canonical: EmailAddress,
}

impl FromStr for AddressArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match EmailAddress::parse(text) {
            Ok(canonical) => Ok(Self {
                typed: text.trim().to_owned(),
                canonical,
            }),
            Err(_) => Err("expected an email address, such as ada@example.com"),
        }
    }
}
