//! URL-encoded form bodies.

use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use super::fields::{Field, Fields};
use crate::problem::Problem;

/// Reads `fields` from `name=value&…`.
///
/// Rejects invalid UTF-8. Replacement characters would silently turn a password into another one.
pub(super) fn read<const N: usize>(body: &[u8], fields: &mut Fields<N>) -> Result<(), Problem> {
    for pair in body.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (
            halves.next().unwrap_or_default(),
            halves.next().unwrap_or_default(),
        );
        let (Some(name), Some(value)) = (form_decode(name), form_decode(value)) else {
            return Err(Problem::body("The form is not UTF-8; check its encoding."));
        };
        if let Some(index) = fields.position(&name) {
            fields.set(index, value)?;
        }
    }
    Ok(())
}

fn form_decode(encoded: &[u8]) -> Option<Field> {
    let spaced: Zeroizing<Vec<u8>> = Zeroizing::new(
        encoded
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect(),
    );
    percent_decode(&spaced)
        .decode_utf8()
        .ok()
        .map(|text| Zeroizing::new(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::Fields;

    fn read(body: impl AsRef<[u8]>) -> Result<[Option<String>; 2], &'static str> {
        Fields::values_after(|fields| super::read(body.as_ref(), fields))
    }

    #[test]
    fn malformed_forms_are_rejected() {
        for body in [
            "email=a&email=b",
            "email=",
            "email",
            "email=%FF",
            "email=a&%65mail=b",
        ] {
            assert_eq!(read(body), Err("invalid_params"), "{body}");
        }
    }
}
