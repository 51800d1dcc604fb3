//! Sentences that say why a password is rejected.

use rules::weakness::{MAX_LENGTH, Weakness};

use crate::messages::Messages;

/// Returns the sentence for `weakness`; `min_length` is the policy's minimum.
#[must_use]
pub fn explain_weakness(messages: &Messages, weakness: Weakness, min_length: usize) -> String {
    let id = format!("error-{}", weakness.code().replace('_', "-"));
    let (min, max) = (min_length.to_string(), MAX_LENGTH.to_string());
    messages.text(&id, &[("min", &min), ("max", &max)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn every_weakness_is_explained_in_every_language() {
        for language in Language::all() {
            for weakness in Weakness::ALL {
                assert!(!explain_weakness(&Messages::of(language), weakness, 15).is_empty());
            }
        }
    }
}
