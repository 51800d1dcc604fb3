//! Reasons why a new password is rejected.

use serde::{Serialize, Serializer};

/// Maximum length of a password, in code points. NIST SP 800-63B-4 §3.1.1.2 requires at least 64;
/// this limit only bounds the work.
pub const MAX_LENGTH: usize = 256;

/// A reason why a password is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer code points than the minimum.
    TooShort,
    /// More code points than [`MAX_LENGTH`].
    TooLong,
    /// An attacker would guess it early.
    TooGuessable,
    /// Without the account's address and name, the rest is too guessable.
    ContainsAccount,
    /// It appears in a published breach.
    Breached,
}

impl Weakness {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::TooShort,
        Self::TooLong,
        Self::TooGuessable,
        Self::ContainsAccount,
        Self::Breached,
    ];

    /// Returns the stable code for programs.
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
