//! A password as a secret type.

use std::fmt;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Maximum growth of a text in NFC, as a factor of its UTF-8 length
/// (<https://www.unicode.org/faq/normalization.html#12>).
const MAX_NFC_GROWTH: usize = 3;

/// A password in Unicode's NFC (NIST SP 800-63B-4 §3.1.1.2), so every keyboard produces the same
/// bytes.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Normalises a password as typed. Nothing is trimmed: a space is a character like any other.
    #[must_use]
    pub fn new(typed: &str) -> Self {
        // Large enough never to grow: growing would leave a copy that is not zeroed.
        let mut text = Zeroizing::new(String::with_capacity(MAX_NFC_GROWTH * typed.len()));
        text.extend(typed.nfc());
        Self(text)
    }

    /// Returns the length in code points, after normalisation.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.0.chars().count()
    }

    /// Returns the normalised text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn debug_shows_nothing() {
        let password = Password::new("correct horse battery staple");
        assert_eq!(format!("{password:?}"), "Password(redacted)");
    }

    proptest! {
        #[test]
        fn normalising_never_grows_the_buffer(typed in "\\PC{0,64}|[\u{1f82}\u{390}\u{fb2c}\u{1d160}]{1,64}") {
            let capacity = String::with_capacity(MAX_NFC_GROWTH * typed.len()).capacity();
            prop_assert_eq!(Password::new(&typed).0.capacity(), capacity);
        }
    }
}
