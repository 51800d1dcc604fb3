//! What to tell a person whose new password was rejected.

use rules::weakness::{MAX_LENGTH, Weakness};

use crate::messages::Messages;

/// Returns the sentence for `weakness`; `min_length` is the policy's minimum.
#[must_use]
pub fn explain_weakness(messages: &Messages, weakness: Weakness, min_length: usize) -> String {
    let id = format!("error-{}", weakness.code().replace('_', "-"));
    let (min, max) = (min_length.to_string(), MAX_LENGTH.to_string());
    messages.text(&id, &[("min", &min), ("max", &max)])
}
