//! Reasons why a new password is rejected.

use serde::{Serialize, Serializer};

/// Maximum length of a password, in code points. NIST SP 800-63B-4 §3.1.1.2 requires at least 64;
/// this limit only bounds the work.
pub const MAX_LENGTH: usize = 256;

/// One reason why a password is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer code points than the minimum.
    TooShort,
    /// More code points than [`MAX_LENGTH`].
    TooLong,
    /// A guesser would find it early.
    TooGuessable,
    /// What is left without the account's address and name is too guessable.
    ContainsAccount,
    /// Found in a published breach.
    Breached,
}

impl Weakness {
    /// Every reason there is.
    pub const ALL: [Self; 5] = [
        Self::TooShort,
        Self::TooLong,
        Self::TooGuessable,
        Self::ContainsAccount,
        Self::Breached,
    ];

    /// The stable name, as programs see it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::TooGuessable => "too_guessable",
            Self::ContainsAccount => "contains_account",
            Self::Breached => "breached",
        }
    }
}

impl Serialize for Weakness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
