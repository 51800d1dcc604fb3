//! The primary key of a row whose table another application may own.

use std::{collections::BTreeMap, fmt};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::attributes::Item;

/// The primary key of a user's row. Its `Debug` is redacted, because a key may be an address.
#[derive(Clone, PartialEq)]
pub struct PrimaryKey(pub(super) Item);

impl PrimaryKey {
    /// Extracts the key from `item`; `names` are the key's attributes.
    pub(super) fn of(item: &Item, names: &[String]) -> Self {
        let attribute = |name: &String| Some((name.clone(), item.get(name)?.clone()));
        Self(names.iter().filter_map(attribute).collect())
    }

    pub(super) fn to_value(&self) -> AttributeValue {
        AttributeValue::M(self.0.clone())
    }

    pub(super) fn from_value(value: &AttributeValue) -> Option<Self> {
        value.as_m().ok().cloned().map(Self)
    }

    /// Returns the key as text that [`parse`](Self::parse) accepts, for a link to the next page.
    #[must_use]
    pub fn to_text(&self) -> String {
        let typed = |value: &AttributeValue| match value {
            AttributeValue::S(text) => ("S", text.clone()),
            AttributeValue::N(number) => ("N", number.clone()),
            AttributeValue::B(bytes) => ("B", STANDARD.encode(bytes)),
            _ => unreachable!("a key attribute is a string, a number or bytes"),
        };
        let attributes: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(name, value)| (name, typed(value)))
            .collect();
        serde_json::to_string(&attributes).unwrap_or_default()
    }

    /// Parses the text that [`to_text`](Self::to_text) returned.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let attributes: BTreeMap<String, (String, String)> = serde_json::from_str(text).ok()?;
        let value = |(kind, text): (String, String)| match kind.as_str() {
            "S" => Some(AttributeValue::S(text)),
            "N" => Some(AttributeValue::N(text)),
            "B" => Some(AttributeValue::B(Blob::new(STANDARD.decode(text).ok()?))),
            _ => None,
        };
        let attributes = attributes
            .into_iter()
            .map(|(name, typed)| Some((name, value(typed)?)));
        attributes.collect::<Option<Item>>().map(Self)
    }
}

impl fmt::Debug for PrimaryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrimaryKey(redacted)")
    }
}
