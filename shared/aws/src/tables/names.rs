//! Names of the tables, and of the attributes of a users table that another application owns.

use rules::environment::{Environment, SettingError, one_line};

/// Maximum length of an attribute's name, in bytes.
const MAX_ATTRIBUTE_BYTES: usize = 255;

/// The users table and the names of its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersTable {
    /// `USERS_TABLE`
    pub name: String,
    /// `USERS_EMAIL_ATTRIBUTE`: the canonical address. It is the table's primary key, unless
    /// there is an index.
    pub email: String,
    /// `USERS_PASSWORD_ATTRIBUTE`: the password hash.
    pub password: String,
    /// `USERS_ACTIVE_ATTRIBUTE`: whether the account is active.
    pub active: String,
    /// `USERS_EMAIL_INDEX`: global secondary index on the address, for a table with another
    /// primary key.
    pub email_index: Option<String>,
}

impl From<String> for UsersTable {
    /// Returns the table `name` with the default attribute names.
    fn from(name: String) -> Self {
        Self {
            name,
            email: "email".to_owned(),
            password: "password_hash".to_owned(),
            active: "is_active".to_owned(),
            email_index: None,
        }
    }
}

impl UsersTable {
    /// Reads `USERS_TABLE`, `USERS_*_ATTRIBUTE` and `USERS_EMAIL_INDEX`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let default = Self::from(table_name(env, "USERS_TABLE", "users")?);
        let email = attribute(env, "USERS_EMAIL_ATTRIBUTE", &default.email, &[])?;
        let password = attribute(
            env,
            "USERS_PASSWORD_ATTRIBUTE",
            &default.password,
            &[&email],
        )?;
        let others = [email.as_str(), &password];
        let active = attribute(env, "USERS_ACTIVE_ATTRIBUTE", &default.active, &others)?;
        let email_index = env.optional(
            "USERS_EMAIL_INDEX",
            "the name of a global secondary index of the users table: 3 to 255 letters, digits, \
             '_', '-' or '.'",
            parse_name,
        )?;
        Ok(Self {
            name: default.name,
            email,
            password,
            active,
            email_index,
        })
    }
}

/// The names of all tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// `USERS_TABLE` and the rest of [`UsersTable`].
    pub users: UsersTable,
    /// `TOKENS_TABLE`
    pub tokens: String,
    /// `OUTBOX_TABLE`
    pub outbox: String,
}

impl TableNames {
    /// Reads the three names; the defaults are `users`, `tokens` and `outbox`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            users: UsersTable::read(env)?,
            tokens: table_name(env, "TOKENS_TABLE", "tokens")?,
            outbox: table_name(env, "OUTBOX_TABLE", "outbox")?,
        })
    }
}

/// Reads the table name `variable`, or `default` if it is unset.
pub fn table_name(
    env: &Environment<'_>,
    variable: &'static str,
    default: &str,
) -> Result<String, SettingError> {
    let expected = "the name of a DynamoDB table: 3 to 255 letters, digits, '_', '-' or '.'";
    env.with_default(variable, default, expected, parse_name)
}

/// Reads the name of an attribute that differs from `others`.
fn attribute(
    env: &Environment<'_>,
    variable: &'static str,
    default: &str,
    others: &[&str],
) -> Result<String, SettingError> {
    let expected = "the name of an attribute of the users table: up to 255 bytes, and different \
                    for address, hash and active flag";
    env.with_default(variable, default, expected, |value| {
        let is_free = value.len() <= MAX_ATTRIBUTE_BYTES && !others.contains(&value);
        is_free.then(|| one_line(value))?
    })
}

/// Accepts the names that DynamoDB allows for tables and indexes.
fn parse_name(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_name = (3..=255).contains(&text.len()) && text.bytes().all(is_allowed);
    is_name.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<UsersTable, String> {
        let lookup = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name)?;
            Some(pair.1.to_owned())
        };
        UsersTable::read(&Environment::new(&lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_documented_names() {
        assert_eq!(read(&[]), Ok(UsersTable::from("users".to_owned())));
    }

    #[test]
    fn an_existing_table_may_name_its_own_attributes() {
        let table = read(&[
            ("USERS_EMAIL_ATTRIBUTE", "Login Name"),
            ("USERS_EMAIL_INDEX", "by-login"),
        ])
        .expect("valid");
        assert_eq!(table.email, "Login Name");
        assert_eq!(table.email_index.as_deref(), Some("by-login"));
    }

    #[test]
    fn attribute_names_must_differ() {
        for (name, value) in [
            ("USERS_PASSWORD_ATTRIBUTE", "email"),
            ("USERS_ACTIVE_ATTRIBUTE", "password_hash"),
            ("USERS_EMAIL_ATTRIBUTE", &"x".repeat(256)),
            ("USERS_EMAIL_INDEX", "by login"),
        ] {
            let error = read(&[(name, value)]).expect_err(name);
            assert!(error.starts_with(&format!("{name} is ")), "{error}");
        }
        let error = read(&[("USERS_EMAIL_ATTRIBUTE", "is_active")]).expect_err("taken");
        assert!(error.starts_with("USERS_ACTIVE_ATTRIBUTE is "), "{error}");
    }
}
