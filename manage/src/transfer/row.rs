//! Conversion of a file's rows to users, in the attributes of the users table.
//!
//! Fields may have the names of the attributes or those of Django's `auth_user`. Unknown fields are
//! ignored.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, bail};
use aws::tables::{Item, UsersTable};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use rules::address::EmailAddress;
use serde_json::Value;

use super::{
    file::Object,
    value::{FieldKind, MAX_TEXT_BYTES, parse},
};

/// Maximum number of models to list if a dump has no rows of the requested model.
const MAX_LISTED_MODELS: usize = 10;

/// The fields of a user, and the names that a file may use for each.
const FIELDS: [(&str, FieldKind, &[&str]); 11] = [
    ("email", FieldKind::Address, &["email"]),
    ("mail_to", FieldKind::MailTo, &["mail_to"]),
    ("user_id", FieldKind::Text, &["user_id", "id", "pk"]),
    ("name", FieldKind::Text, &["name"]),
    ("locale", FieldKind::Text, &["locale"]),
    (
        "password_hash",
        FieldKind::Hash,
        &["password_hash", "password"],
    ),
    (
        "password_changed_at",
        FieldKind::Time,
        &["password_changed_at"],
    ),
    ("session_epoch", FieldKind::Number, &["session_epoch"]),
    ("is_active", FieldKind::Flag, &["is_active"]),
    ("is_superuser", FieldKind::Flag, &["is_superuser"]),
    (
        "created_at",
        FieldKind::Time,
        &["created_at", "date_joined"],
    ),
];

/// A user as a file describes them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImportRow {
    pub(super) email: EmailAddress,
    pub(super) key: Item,
    /// The attributes that the file has, without the key.
    pub(super) attributes: Item,
}

impl ImportRow {
    /// Returns the names of the attributes whose values differ from `stored`, sorted.
    pub(super) fn differences(&self, stored: &Item) -> Vec<&str> {
        let differing = self
            .attributes
            .iter()
            .filter(|(name, value)| stored.get(*name) != Some(*value));
        let mut names: Vec<&str> = differing.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// A row and its line in the file, or the reason why it is refused.
pub(super) struct NumberedRow {
    pub(super) line: u64,
    pub(super) row: Result<ImportRow, String>,
}

/// Parses `--field OURS=THEIRS`.
pub(super) fn parse_mapping(text: &str) -> Result<(String, String), String> {
    let (ours, theirs) = text.split_once('=').ok_or("expected OURS=THEIRS")?;
    let known = FIELDS.map(|(name, ..)| name);
    if known.contains(&ours) && !theirs.is_empty() {
        return Ok((ours.to_owned(), theirs.to_owned()));
    }
    Err(format!("OURS must be one of {}", known.join(", ")))
}

/// Returns the names that the file may use for the field `ours`: those of `mappings`, or the
/// default ones.
pub(super) fn names(mappings: &[(String, String)], ours: &str) -> Vec<String> {
    let mapped = mappings.iter().filter(|(name, _)| name == ours);
    let mapped: Vec<String> = mapped.map(|(_, theirs)| theirs.clone()).collect();
    if !mapped.is_empty() {
        return mapped;
    }
    let known = FIELDS.iter().find(|(name, ..)| *name == ours);
    known.map_or_else(Vec::new, |(.., names)| {
        names.iter().map(|name| (*name).to_owned()).collect()
    })
}

/// A field to look for in each row.
struct Field {
    attribute: String,
    kind: FieldKind,
    names: Vec<String>,
}

/// Converts rows to users.
pub(super) struct RowReader {
    fields: Vec<Field>,
    email_attribute: String,
    model: String,
    now: DateTime<Utc>,
    users: u64,
    other_models: BTreeSet<String>,
}

impl RowReader {
    pub(super) fn new(
        table: &UsersTable,
        mappings: &[(String, String)],
        model: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let attributes: HashMap<&str, &str> = [
            ("email", table.email.as_str()),
            ("password_hash", &table.password),
            ("is_active", &table.active),
        ]
        .into();
        let field = |(name, kind, _): (&str, FieldKind, &[&str])| Field {
            attribute: attributes.get(name).copied().unwrap_or(name).to_owned(),
            kind,
            names: names(mappings, name),
        };
        Self {
            fields: FIELDS.map(field).into(),
            email_attribute: table.email.clone(),
            model: model.to_lowercase(),
            now,
            users: 0,
            other_models: BTreeSet::new(),
        }
    }

    /// Returns the user that `object` describes; `None` if it is a row of another Django model.
    pub(super) fn read(&mut self, object: Object) -> Result<Option<ImportRow>, String> {
        let Some(object) = self.unwrap_django(object) else {
            return Ok(None);
        };
        self.users += 1;
        let (mut attributes, mut email) = (Item::new(), None);
        for field in &self.fields {
            let mut names = field.names.iter();
            let value = names.find_map(|name| Some((name, present(&object, name)?)));
            let parsed = match value {
                Some((name, value)) => parse(field.kind, value, self.now)
                    .map_err(|expected| format!("{name} must be {expected}"))?,
                None if field.attribute == "name" => full_name(&object),
                None => None,
            };
            let Some(parsed) = parsed else { continue };
            if field.kind == FieldKind::Address {
                email = Some(parsed);
            } else {
                attributes.insert(field.attribute.clone(), parsed);
            }
        }
        self.build(email, attributes).map(Some)
    }

    /// Builds the row. The address is stored twice: in canonical form as the key, and as typed.
    fn build(
        &self,
        email: Option<AttributeValue>,
        mut attributes: Item,
    ) -> Result<ImportRow, String> {
        let Some(AttributeValue::S(typed)) = email else {
            return Err("has no address".to_owned());
        };
        let email = EmailAddress::parse(&typed).map_err(|_| "has no valid address".to_owned())?;
        let key = AttributeValue::S(email.as_str().to_owned());
        if self.email_attribute != "mail_to" {
            attributes
                .entry("mail_to".to_owned())
                .or_insert(AttributeValue::S(typed));
        }
        attributes.remove(&self.email_attribute);
        Ok(ImportRow {
            email,
            key: [(self.email_attribute.clone(), key)].into(),
            attributes,
        })
    }

    /// Returns the fields of a row of `dumpdata`, and any other object unchanged.
    fn unwrap_django(&mut self, mut object: Object) -> Option<Object> {
        let Some(Value::String(model)) = object.get("model") else {
            return Some(object);
        };
        if !matches!(object.get("fields"), Some(Value::Object(_))) {
            return Some(object);
        }
        if model.to_lowercase() != self.model {
            if self.other_models.len() < MAX_LISTED_MODELS {
                self.other_models.insert(model.clone());
            }
            return None;
        }
        let pk = object.remove("pk");
        let Some(Value::Object(mut fields)) = object.remove("fields") else {
            return None;
        };
        fields.extend(pk.map(|pk| ("pk".to_owned(), pk)));
        Some(fields)
    }

    /// Returns an error if the file has rows of Django models, but none of the requested one.
    pub(super) fn finish(self) -> Result<()> {
        if self.users == 0 && !self.other_models.is_empty() {
            let models: Vec<String> = self.other_models.into_iter().collect();
            bail!(
                "the file has no row of the model {}, only of {}; choose the model of the users \
                 with --model",
                self.model,
                models.join(", ")
            );
        }
        Ok(())
    }
}

/// Returns the value of `name`, unless it is null or an empty string.
fn present<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .filter(|value| !value.is_null() && *value != "")
}

/// Joins Django's first and last names.
fn full_name(object: &Object) -> Option<AttributeValue> {
    let names = ["first_name", "last_name"].map(|name| present(object, name));
    let names: Vec<&str> = names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let name = names.join(" ");
    let is_name = !name.trim().is_empty() && name.len() <= MAX_TEXT_BYTES;
    is_name.then(|| AttributeValue::S(name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(object: Value) -> Result<Option<ImportRow>, String> {
        let Value::Object(object) = object else {
            panic!("an object")
        };
        let table = UsersTable::from("users".to_owned());
        RowReader::new(&table, &[], "auth.user", DateTime::UNIX_EPOCH).read(object)
    }

    proptest! {
        #[test]
        fn any_object_is_a_user_or_refused_without_quoting_it(
            name in "[a-z_]{1,12}|email|password|created_at|is_active|model|fields",
            text in "\\PC{0,40}",
            number in any::<i64>(),
        ) {
            for value in [json!(text), json!(number), json!([text]), json!({ "x": text }), json!(null)] {
                let mut object = json!({ "email": "ada@example.com" });
                object[&name] = value;
                if let Err(reason) = read(object) {
                    prop_assert!(text.len() < 8 || !reason.contains(&text), "{}", reason);
                }
            }
        }

        #[test]
        fn text_is_imported_unchanged(text in "[^\\s\\x00](.{0,40}[^\\s\\x00])?") {
            let row = read(json!({ "email": "ada@example.com", "name": text }));
            let row = row.expect("valid").expect("a user");
            prop_assert_eq!(&row.attributes["name"], &AttributeValue::S(text));
        }
    }
}
