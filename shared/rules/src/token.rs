//! The reset token: a secret that exists only in the email, and the digest that is stored.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::TryCryptoRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::hex;

/// 256 bits, twice what OWASP ASVS 5.0 §11.5.1 requires.
const TOKEN_BYTES: usize = 32;
/// Length of [`TOKEN_BYTES`] in base64url without padding.
const TOKEN_CHARS: usize = 43;

/// A token as the email contains it. Its holder may set a new password.
pub struct ResetToken(Zeroizing<String>);

/// The stored form of a token: SHA-256 of its text, in hexadecimal.
///
/// The token has 256 bits of entropy, so the digest needs neither salt nor stretching.
#[derive(Clone)]
pub struct TokenDigest(String);

/// Error for text without the shape of a token. No table needs to be read to reject it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reset token")]
pub struct MalformedToken;

impl ResetToken {
    /// Generates a token from `rng`; outside tests it is the operating system's generator.
    pub fn generate<R: TryCryptoRng>(rng: &mut R) -> Result<Self, R::Error> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        rng.try_fill_bytes(bytes.as_mut())?;
        Ok(Self(Zeroizing::new(
            URL_SAFE_NO_PAD.encode(bytes.as_slice()),
        )))
    }

    /// Parses a token as pasted; surrounding white space is trimmed.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let text = text.trim();
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        if text.len() != TOKEN_CHARS || URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut()).is_err()
        {
            return Err(MalformedToken);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Returns the digest under which the token is stored.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(hex::encode(&Sha256::digest(self.0.as_bytes())))
    }

    /// Returns the token itself. Only the email may contain it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TokenDigest {
    /// Returns 64 hexadecimal digits, the key of the tokens table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for TokenDigest {}

impl Drop for TokenDigest {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for ResetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetToken(redacted)")
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SysRng;

    fn token() -> ResetToken {
        ResetToken::generate(&mut SysRng).expect("the system's generator works")
    }

    #[test]
    fn a_token_is_43_characters_of_base64url_and_never_the_same() {
        let (one, other) = (token(), token());
        assert_eq!(one.expose().len(), 43);
        assert!(
            one.expose()
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        );
        assert_ne!(one.expose(), other.expose());
    }

    #[test]
    fn the_digest_is_sha_256_of_the_text() {
        let token = ResetToken::parse(&"A".repeat(43)).expect("has the shape");
        // printf 'A%.0s' {1..43} | sha256sum
        let expected = "0f007385b6f9d4b7eeb2748605afe1a984a0a3bfa3f014d09e2a784ce9e5cd1a";
        assert_eq!(token.digest().as_str(), expected);
    }

    #[test]
    fn a_pasted_token_may_have_surrounding_space() {
        let token = token();
        let pasted =
            ResetToken::parse(&format!(" \t{}\r\n", token.expose())).expect("has the shape");
        assert_eq!(pasted.digest(), token.digest());
    }

    #[test]
    fn texts_of_another_shape_are_rejected() {
        let token = token();
        let text = token.expose();
        for other in [
            String::new(),
            "0".into(),
            text[1..].into(),
            format!("{text}A"),
            format!("{text}="),
            text.replacen(&text[..1], "+", 1),
            text.replacen(&text[..1], "é", 1),
            // The last two bits must be zero, so a token has only one spelling.
            format!("{}B", "A".repeat(42)),
        ] {
            assert!(ResetToken::parse(&other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let token = token();
        assert_eq!(
            format!("{token:?} {:?}", token.digest()),
            "ResetToken(redacted) TokenDigest(redacted)"
        );
    }
}
