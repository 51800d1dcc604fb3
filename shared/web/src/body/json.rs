//! JSON bodies.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::fields::{Field, Fields};
use crate::problem::Problem;

/// Reads `fields` from a JSON object.
pub(super) fn read<const N: usize>(body: &[u8], fields: &mut Fields<N>) -> Result<(), Problem> {
    let mut problem = None;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json
        .deserialize_map(JsonObject {
            fields,
            problem: &mut problem,
        })
        .and_then(|()| json.end());
    match (problem, read) {
        (Some(problem), _) => Err(problem),
        (None, Err(_)) => Err(Problem::body(
            "The body is not a JSON object; check its syntax.",
        )),
        (None, Ok(())) => Ok(()),
    }
}

/// Reads the requested fields of an object. Unlike a map, it detects duplicate keys and keeps no
/// copy of other fields.
struct JsonObject<'a, const N: usize> {
    fields: &'a mut Fields<N>,
    problem: &'a mut Option<Problem>,
}

impl<'de, const N: usize> Visitor<'de> for JsonObject<'_, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let Some(index) = self.fields.position(&key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let set = match map.next_value_seed(JsonString)? {
                Some(value) => self.fields.set(index, value),
                None => Err(self.fields.not_a_string(index)),
            };
            if let Err(problem) = set {
                self.problem.get_or_insert(problem);
            }
        }
        Ok(())
    }
}

/// Reads a string, or `None` from a value of any other type.
struct JsonString;

impl<'de> DeserializeSeed<'de> for JsonString {
    type Value = Option<Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonString {
    type Value = Option<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(Zeroizing::new(text)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    fn read(body: impl AsRef<[u8]>) -> Result<[Option<String>; 2], &'static str> {
        Fields::values_after(|fields| super::read(body.as_ref(), fields))
    }

    #[test]
    fn malformed_json_is_rejected() {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\"email\"",
            "{} {}",
            "{\"email\": \"a\u{0}\"}",
            r#"{"email": ""}"#,
            r#"{"email": null}"#,
            r#"{"email": ["a@b.c"]}"#,
            r#"{"email": {"$gt": 0}}"#,
            r#"{"email": 0}"#,
            r#"{"email": true}"#,
            r#"{"email": 1.5}"#,
            r#"{"email": -1}"#,
            r#"{"email": "a@b.c", "email": "d@e.f"}"#,
            r#"{"email": "a@b.c", "\u0065mail": "d@e.f"}"#,
            r#"{"email": "\ud800"}"#,
        ] {
            assert_eq!(read(body), Err("invalid_params"), "{body}");
        }
        assert_eq!(
            read(b"{\"email\": \"\xff\"}".as_slice()),
            Err("invalid_params")
        );
        let deep = format!(r#"{{"email": {}"#, "[".repeat(16_000));
        assert_eq!(read(deep), Err("invalid_params"));
    }
}
