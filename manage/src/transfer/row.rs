//! What a row of a file says of a user, in the attributes of the users table.
//!
//! A file from elsewhere is taken as it is where that is possible: fields are known by the names
//! that they have here and in Django's `auth_user`, and whatever else is in it is passed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, bail};
use aws::tables::{Item, UsersTable};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use rules::address::EmailAddress;
use serde_json::Value;

use super::read::Object;

/// No text is longer: a hundred rows have to fit into one transaction of 4 MB.
const MAX_TEXT_BYTES: usize = 2048;
/// Other models of a dump that are named where it has none of the one that was asked for.
const MAX_MODELS: usize = 10;

/// What the names of Django's hashers begin with.
const DJANGO_HASHERS: [&str; 6] = ["argon2", "bcrypt", "md5", "pbkdf2", "scrypt", "sha1"];

/// The fields of a user, and the names that they are known by.
const FIELDS: [(&str, Kind, &[&str]); 11] = [
    ("email", Kind::Address, &["email"]),
    ("mail_to", Kind::MailTo, &["mail_to"]),
    ("user_id", Kind::Text, &["user_id", "id", "pk"]),
    ("name", Kind::Text, &["name"]),
    ("locale", Kind::Text, &["locale"]),
    ("password_hash", Kind::Hash, &["password_hash", "password"]),
    ("password_changed_at", Kind::Time, &["password_changed_at"]),
    ("session_epoch", Kind::Number, &["session_epoch"]),
    ("is_active", Kind::Flag, &["is_active"]),
    ("is_superuser", Kind::Flag, &["is_superuser"]),
    ("created_at", Kind::Time, &["created_at", "date_joined"]),
];

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Address,
    MailTo,
    Text,
    Hash,
    Time,
    Number,
    Flag,
}

/// A user as the file has them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) email: EmailAddress,
    pub(super) key: Item,
    /// What the file says, and no more; without the key.
    pub(super) given: Item,
}

/// A `--field OURS=THEIRS`.
pub(super) fn field(text: &str) -> Result<(String, String), String> {
    let (ours, theirs) = text.split_once('=').ok_or("it has to be OURS=THEIRS")?;
    let mut known = FIELDS.iter().map(|(name, ..)| *name);
    if known.any(|name| name == ours) && !theirs.is_empty() {
        return Ok((ours.to_owned(), theirs.to_owned()));
    }
    let known: Vec<&str> = FIELDS.iter().map(|(name, ..)| *name).collect();
    Err(format!("OURS has to be one of {}", known.join(", ")))
}

/// The names by which the file may know the field `ours`.
pub(super) fn names(fields: &[(String, String)], ours: &str) -> Vec<String> {
    let told = fields.iter().filter(|(name, _)| name == ours);
    let told: Vec<String> = told.map(|(_, theirs)| theirs.clone()).collect();
    if !told.is_empty() {
        return told;
    }
    let known = FIELDS.iter().find(|(name, ..)| *name == ours);
    known.map_or_else(Vec::new, |(.., names)| {
        names.iter().map(|name| (*name).to_owned()).collect()
    })
}

/// Reads rows as users.
pub(super) struct Reader {
    /// Of each field its attribute, its kind and the names that the file may have for it.
    fields: Vec<(String, Kind, Vec<String>)>,
    email_attribute: String,
    model: String,
    now: DateTime<Utc>,
    users: u64,
    other_models: BTreeSet<String>,
}

impl Reader {
    pub(super) fn new(
        table: &UsersTable,
        fields: &[(String, String)],
        model: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let attributes: HashMap<&str, &str> = [
            ("email", table.email.as_str()),
            ("password_hash", &table.password),
            ("is_active", &table.active),
        ]
        .into();
        let field = |(name, kind, _): &(&str, Kind, &[&str])| {
            let attribute = attributes.get(name).copied().unwrap_or(name);
            (attribute.to_owned(), *kind, names(fields, name))
        };
        Self {
            fields: FIELDS.iter().map(field).collect(),
            email_attribute: table.email.clone(),
            model: model.to_lowercase(),
            now,
            users: 0,
            other_models: BTreeSet::new(),
        }
    }

    /// The user whom `object` describes; `None` where it is a row of another model of Django's.
    pub(super) fn read(&mut self, object: Object) -> Result<Option<Row>, String> {
        let Some(object) = self.unwrap(object) else {
            return Ok(None);
        };
        self.users += 1;
        let (mut given, mut email) = (Item::new(), None);
        for (attribute, kind, names) in &self.fields {
            let value = names
                .iter()
                .find_map(|name| Some((name, present(&object, name)?)));
            let read = match value {
                Some((name, value)) => read_value(*kind, value, self.now)
                    .map_err(|wanted| format!("{name} has to be {wanted}"))?,
                None if attribute == "name" => full_name(&object),
                None => None,
            };
            let Some(read) = read else { continue };
            if *kind == Kind::Address {
                email = Some(read);
            } else {
                given.insert(attribute.clone(), read);
            }
        }
        self.finish_row(email, given).map(Some)
    }

    /// The address is kept twice: in the form that it is found by, and as it was registered.
    fn finish_row(&self, email: Option<AttributeValue>, mut given: Item) -> Result<Row, String> {
        let Some(AttributeValue::S(typed)) = email else {
            return Err("has no address".to_owned());
        };
        let email = EmailAddress::parse(&typed).map_err(|_| "has no valid address".to_owned())?;
        let key = AttributeValue::S(email.as_str().to_owned());
        if self.email_attribute != "mail_to" {
            given
                .entry("mail_to".to_owned())
                .or_insert(AttributeValue::S(typed));
        }
        given.remove(&self.email_attribute);
        Ok(Row {
            email,
            key: [(self.email_attribute.clone(), key)].into(),
            given,
        })
    }

    /// The fields of a row of `dumpdata`; any other object as it is.
    fn unwrap(&mut self, mut object: Object) -> Option<Object> {
        let Some(Value::String(model)) = object.get("model") else {
            return Some(object);
        };
        if !matches!(object.get("fields"), Some(Value::Object(_))) {
            return Some(object);
        }
        if model.to_lowercase() != self.model {
            if self.other_models.len() < MAX_MODELS {
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

    /// An error where the file holds models, but not the one that was asked for.
    pub(super) fn finish(self) -> Result<()> {
        if self.users == 0 && !self.other_models.is_empty() {
            let models: Vec<String> = self.other_models.into_iter().collect();
            bail!(
                "there is no row of the model {}; there are {}. Name the one of the users with \
                 --model",
                self.model,
                models.join(", ")
            );
        }
        Ok(())
    }
}

/// What `object` has under `name`; null and an empty text are nothing.
fn present<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .filter(|value| !value.is_null() && *value != "")
}

/// Django's two names as one.
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

/// The attribute for `value`, `None` for Django's mark of a password that nobody has; or what it
/// should have been. The value itself is never part of that: it may be a password.
fn read_value(
    kind: Kind,
    value: &Value,
    now: DateTime<Utc>,
) -> Result<Option<AttributeValue>, &'static str> {
    let number = |number: i64| AttributeValue::N(number.to_string());
    let read = match kind {
        Kind::Address | Kind::Text => AttributeValue::S(text(value)?),
        Kind::MailTo => {
            let address = text(value)?;
            EmailAddress::parse(&address).map_err(|_| "an address")?;
            AttributeValue::S(address)
        }
        Kind::Hash if value.as_str().is_some_and(|hash| hash.starts_with('!')) => return Ok(None),
        Kind::Hash => AttributeValue::S(hash(value)?),
        Kind::Time => number(time(value, now)?),
        Kind::Number => number(whole(value).ok_or("a whole number")?),
        Kind::Flag => AttributeValue::Bool(flag(value).ok_or("true or false")?),
    };
    Ok(Some(read))
}

fn text(value: &Value) -> Result<String, &'static str> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Err("a text"),
    };
    if text.len() > MAX_TEXT_BYTES {
        return Err("a text of at most 2048 bytes");
    }
    Ok(text)
}

/// A hash in the form `$algorithm$…` of PHC and crypt, or `algorithm$…$…` of Django. Anything
/// else may be the password itself, which must not come in.
fn hash(value: &Value) -> Result<String, &'static str> {
    let wanted = "a hash such as $argon2id$… or pbkdf2_sha256$…, never a password";
    let hash = text(value).map_err(|_| wanted)?;
    let (algorithm, rest) = hash.split_once('$').ok_or(wanted)?;
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let is_hash = if algorithm.is_empty() {
        rest.split_once('$')
            .is_some_and(|(name, rest)| is_name(name) && !rest.is_empty())
    } else {
        DJANGO_HASHERS
            .iter()
            .any(|known| algorithm.starts_with(known))
            && rest.contains('$')
    };
    if is_hash { Ok(hash) } else { Err(wanted) }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    }
}

fn flag(value: &Value) -> Option<bool> {
    let text = match value {
        Value::Bool(flag) => return Some(*flag),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        value => value.to_string(),
    };
    match text.as_str() {
        "true" | "t" | "1" | "yes" => Some(true),
        "false" | "f" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// Epoch milliseconds, from such or from ISO 8601; without an offset it is UTC. One that lies
/// ahead would make every link void.
fn time(value: &Value, now: DateTime<Utc>) -> Result<i64, &'static str> {
    let wanted = "a time in ISO 8601, or in milliseconds since 1970";
    let parsed = match (whole(value), value) {
        (Some(millis), _) => DateTime::from_timestamp_millis(millis),
        (None, Value::String(text)) => iso_8601(text.trim()),
        _ => None,
    };
    let at = parsed.ok_or(wanted)?;
    if at > now + TimeDelta::days(1) {
        return Err("a time that is not ahead, in ISO 8601 or in milliseconds since 1970");
    }
    Ok(at.timestamp_millis())
}

fn iso_8601(text: &str) -> Option<DateTime<Utc>> {
    let with_offset = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"];
    let mut with_offset = with_offset.iter().filter_map(|form| {
        let parsed = DateTime::parse_from_str(text, form).ok()?;
        Some(parsed.to_utc())
    });
    let without = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let mut without = without.iter().filter_map(|form| {
        let parsed = NaiveDateTime::parse_from_str(text, form).ok()?;
        Some(parsed.and_utc())
    });
    with_offset.next().or_else(|| without.next())
}

/// Which attributes differ between what the file gives and `stored`.
pub(super) fn differences<'a>(given: &'a Item, stored: &Item) -> Vec<&'a str> {
    let sorted: BTreeMap<_, _> = given.iter().collect();
    let differing = sorted
        .into_iter()
        .filter(|(name, value)| stored.get(*name) != Some(*value));
    differing.map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn read(object: Value) -> Result<Option<Row>, String> {
        let Value::Object(object) = object else {
            panic!("an object")
        };
        let table = UsersTable::from("users".to_owned());
        Reader::new(&table, &[], "auth.user", NOW).read(object)
    }

    #[test]
    fn a_time_is_read_in_every_usual_form() {
        for (text, millis) in [
            ("1969-12-31T23:59:59Z", -1_000),
            ("1969-12-31T23:59:59.25Z", -750),
            ("1970-01-01T01:00:00+02:00", -3_600_000),
            ("1969-12-31 23:00:00+00", -3_600_000),
            ("1969-12-31T23:59:59.123456", -877),
            ("1969-12-31 23:59:59", -1_000),
            ("-1000", -1_000),
        ] {
            assert_eq!(time(&json!(text), NOW), Ok(millis), "{text}");
        }
        for value in [
            json!("31.12.1969"),
            json!(1.5),
            json!(true),
            json!("2100-01-01T00:00:00Z"),
        ] {
            assert!(time(&value, NOW).is_err(), "{value}");
        }
    }

    #[test]
    fn what_may_be_a_password_is_no_hash() {
        for taken in [
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
            "$2b$12$abcdefghijklmnopqrstuv",
            "argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA",
            "pbkdf2_sha256$870000$salt$hash=",
            "bcrypt_sha256$$2b$12$abc",
        ] {
            assert_eq!(hash(&json!(taken)).as_deref(), Ok(taken));
        }
        for refused in [
            "hunter2",
            "",
            "$",
            "$$",
            "pa$$word",
            "$money",
            "my pass$word$1",
            "5f4dcc3b5aa765d6",
        ] {
            assert!(hash(&json!(refused)).is_err(), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn any_object_is_a_user_or_refused_in_words_of_ours(
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
        fn a_text_comes_in_as_it_is(text in "[^\\s\\x00](.{0,40}[^\\s\\x00])?") {
            let row = read(json!({ "email": "ada@example.com", "name": text }));
            let row = row.expect("valid").expect("a user");
            prop_assert_eq!(&row.given["name"], &AttributeValue::S(text));
        }
    }
}
