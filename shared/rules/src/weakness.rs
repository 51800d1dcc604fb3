//! Reasons why a new password is rejected.

use serde::{Serialize, Serializer};

/// Maximum length of a password, in code points. NIST SP 800-63B-4 §3.1.1.2 requires at least 64;
/// this limit only bounds the work.
pub const MAX_LENGTH: usize = 256;

/// Declares the reasons once: the enum, their codes and the list of all of them.
macro_rules! weaknesses {
    ($($(#[$doc:meta])* $variant:ident = $code:literal,)+) => {
        /// A reason why a password is rejected.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Weakness {
            $($(#[$doc])* $variant,)+
        }

        impl Weakness {
            /// Every reason.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            /// Returns the stable code for programs.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }
        }
    };
}

weaknesses! {
    /// Fewer code points than the minimum.
    TooShort = "too_short",
    /// More code points than [`MAX_LENGTH`].
    TooLong = "too_long",
    /// Likely to be among an attacker's first guesses.
    TooGuessable = "too_guessable",
    /// Too guessable once the account's address and name are removed.
    ContainsAccount = "contains_account",
    /// Part of a published breach.
    Breached = "breached",
}

impl Serialize for Weakness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
