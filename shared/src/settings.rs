//! The environment, read once at the start into one typed value per function.
//!
//! A setting that is missing or wrong stops the start with a sentence that names the variable,
//! what it holds and what it should hold. An empty variable counts as one that is not set, since
//! a SAM parameter that was left out arrives as an empty string.

use std::{fmt, ops::RangeInclusive};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use url::{Host, Url};

use crate::{
    address::EmailAddress,
    brand::Brand,
    http::CorsOrigins,
    password::{HashFormat, HashParams, PasswordPolicy},
};

/// A setting that stops the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    name: &'static str,
    held: Option<String>,
    wanted: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, held, wanted } = self;
        match held {
            None => write!(f, "{name} is not set; it should hold {wanted}"),
            Some(held) => write!(f, "{name} holds {held:?}; it should hold {wanted}"),
        }
    }
}

impl std::error::Error for SettingError {}

/// Where settings come from: the process environment, or a test's own table.
pub struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl<'a> Environment<'a> {
    /// Settings looked up through `variable`, a name to its value.
    pub fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(variable)
    }

    /// The environment of this process.
    #[must_use]
    pub fn process() -> Self {
        Self(&|name| std::env::var(name).ok())
    }

    /// The value of `name`, or `None` where it is not set or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The value of `name` as `read` takes it; `None` where it is not set.
    pub fn optional<T>(
        &self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingError> {
        let Some(held) = self.get(name) else {
            return Ok(None);
        };
        match read(&held) {
            Some(value) => Ok(Some(value)),
            None => Err(SettingError {
                name,
                held: Some(held),
                wanted: wanted.to_owned(),
            }),
        }
    }

    /// The value of `name` as `read` takes it; an error where it is not set.
    pub fn required<T>(
        &self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingError> {
        self.optional(name, wanted, read)?
            .ok_or_else(|| SettingError {
                name,
                held: None,
                wanted: wanted.to_owned(),
            })
    }

    fn number(
        &self,
        name: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, SettingError> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let read = |held: &str| held.parse().ok().filter(|number| range.contains(number));
        Ok(self.optional(name, &wanted, read)?.unwrap_or(default))
    }

    fn table(&self, name: &'static str, default: &str) -> Result<String, SettingError> {
        let wanted = "the name of a DynamoDB table: 3 to 255 letters, digits, '_', '-' or '.'";
        let read = |held: &str| is_table_name(held).then(|| held.to_owned());
        Ok(self
            .optional(name, wanted, read)?
            .unwrap_or_else(|| default.to_owned()))
    }

    /// The name of an attribute that is none of `others`.
    fn attribute(
        &self,
        name: &'static str,
        default: String,
        others: &[&str],
    ) -> Result<String, SettingError> {
        let wanted = "the name of an attribute of the users table: up to 255 bytes, and another \
                      one for each of address, hash and active flag";
        let read = |held: &str| {
            let is_name = held.len() <= 255 && is_printable(held) && !others.contains(&held);
            is_name.then(|| held.to_owned())
        };
        // A default, too, can be what another one was set to.
        let held = self.get(name).unwrap_or(default);
        Environment::new(&|_| Some(held.clone())).required(name, wanted, read)
    }

    pub(crate) fn app_name(&self) -> Result<Option<String>, SettingError> {
        self.optional(
            "APP_NAME",
            "the name of your application, on one line",
            one_line,
        )
    }

    pub(crate) fn support_url(&self) -> Result<Option<Url>, SettingError> {
        let wanted = "an https:// address or mailto:somebody@example.com";
        self.optional("SUPPORT_URL", wanted, |held| {
            secure_url(held).or_else(|| mailto(held))
        })
    }

    pub(crate) fn logo(&self) -> Result<Option<String>, SettingError> {
        let wanted = "the https:// address of an image, or the image itself as data:image/…";
        let read = |held: &str| {
            let is_image = held.starts_with("data:image/") || secure_url(held).is_some();
            is_image.then(|| one_line(held))?
        };
        self.optional("LOGO_URL", wanted, read)
    }

    fn cors(&self) -> Result<CorsOrigins, SettingError> {
        let wanted = "origins such as https://app.example.com, separated by commas";
        Ok(self
            .optional("CORS_ORIGINS", wanted, CorsOrigins::parse)?
            .unwrap_or_default())
    }
}

/// The users table, and which of its attributes are which: an application's own table has names
/// of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersTable {
    /// `USERS_TABLE`
    pub name: String,
    /// `USERS_EMAIL_ATTRIBUTE`: the attribute that holds the canonical address. It is the
    /// table's key, unless there is an index.
    pub email: String,
    /// `USERS_PASSWORD_ATTRIBUTE`: the attribute that holds the hash.
    pub password: String,
    /// `USERS_ACTIVE_ATTRIBUTE`: the attribute that says whether the account is active.
    pub active: String,
    /// `USERS_EMAIL_INDEX`: the global secondary index on the address, where the table's key is
    /// something else.
    pub email_index: Option<String>,
}

impl From<String> for UsersTable {
    /// The table `name` with the attributes that it has here.
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
    /// Reads and checks them.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let default = Self::from(env.table("USERS_TABLE", "users")?);
        let email = env.attribute("USERS_EMAIL_ATTRIBUTE", default.email, &[])?;
        let password = env.attribute("USERS_PASSWORD_ATTRIBUTE", default.password, &[&email])?;
        let others = [email.as_str(), &password];
        let active = env.attribute("USERS_ACTIVE_ATTRIBUTE", default.active, &others)?;
        let wanted = "the name of a global secondary index of the users table: 3 to 255 letters, \
                      digits, '_', '-' or '.'";
        let index = |held: &str| is_table_name(held).then(|| held.to_owned());
        Ok(Self {
            name: default.name,
            email,
            password,
            active,
            email_index: env.optional("USERS_EMAIL_INDEX", wanted, index)?,
        })
    }
}

/// The tables' names, for the programs that touch all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableNames {
    /// `USERS_TABLE` and the rest of [`UsersTable`]
    pub users: UsersTable,
    /// `TOKENS_TABLE`
    pub tokens: String,
    /// `OUTBOX_TABLE`
    pub outbox: String,
}

impl TableNames {
    /// The three names, `users`, `tokens` and `outbox` where they are not set.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            users: UsersTable::read(env)?,
            tokens: env.table("TOKENS_TABLE", "tokens")?,
            outbox: env.table("OUTBOX_TABLE", "outbox")?,
        })
    }
}

/// What `request` reads.
#[derive(Debug, Clone)]
pub struct RequestSettings {
    /// `OUTBOX_TABLE`
    pub outbox_table: String,
    /// `CLIENT_LIMIT`: requests that one client may make in a window.
    pub client_limit: u32,
    /// `CLIENT_WINDOW_SECONDS`: the window's length.
    pub client_window_seconds: u32,
    /// `CORS_ORIGINS`
    pub cors: CorsOrigins,
    /// Whose pages they are.
    pub brand: Brand,
}

impl RequestSettings {
    /// Reads and checks them.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            outbox_table: env.table("OUTBOX_TABLE", "outbox")?,
            client_limit: env.number("CLIENT_LIMIT", 20, 1..=1_000_000)?,
            client_window_seconds: env.number("CLIENT_WINDOW_SECONDS", 600, 1..=86_400)?,
            cors: env.cors()?,
            brand: Brand::read(env)?,
        })
    }
}

/// What `confirm` reads.
#[derive(Debug, Clone)]
pub struct ConfirmSettings {
    /// The three tables: `confirm` writes to all of them.
    pub tables: TableNames,
    /// `PASSWORD_MIN_LENGTH`, `PASSWORD_MIN_SCORE`
    pub policy: PasswordPolicy,
    /// `ARGON2_*`, `PASSWORD_HASH_FORMAT`
    pub hashing: HashParams,
    /// `PWNED_PASSWORDS_URL`: where the range API is; `None` is off.
    pub pwned_passwords_url: Option<Url>,
    /// `CORS_ORIGINS`
    pub cors: CorsOrigins,
    /// Whose pages they are.
    pub brand: Brand,
}

impl ConfirmSettings {
    /// Reads and checks them.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let wanted = "an https:// address, such as https://api.pwnedpasswords.com/range/";
        Ok(Self {
            tables: TableNames::read(env)?,
            policy: password_policy(env)?,
            hashing: hash_params(env)?,
            pwned_passwords_url: env.optional("PWNED_PASSWORDS_URL", wanted, secure_url)?,
            cors: env.cors()?,
            brand: Brand::read(env)?,
        })
    }
}

/// `PASSWORD_MIN_LENGTH` and `PASSWORD_MIN_SCORE`.
pub fn password_policy(env: &Environment<'_>) -> Result<PasswordPolicy, SettingError> {
    Ok(PasswordPolicy {
        // NIST SP 800-63B-4 §3.1.1.2: 15 where the password is the only factor, never under 8;
        // and 64 have to be allowed, so that the minimum cannot lie above.
        min_length: env.number("PASSWORD_MIN_LENGTH", 15, 8..=64)? as usize,
        min_score: u8::try_from(env.number("PASSWORD_MIN_SCORE", 3, 0..=4)?).unwrap_or(4),
    })
}

/// `ARGON2_MEMORY_KIB`, `ARGON2_ITERATIONS`, `ARGON2_PARALLELISM` and `PASSWORD_HASH_FORMAT`.
pub fn hash_params(env: &Environment<'_>) -> Result<HashParams, SettingError> {
    let parallelism = env.number("ARGON2_PARALLELISM", 1, 1..=16)?;
    let wanted = "phc or django";
    Ok(HashParams {
        memory_kib: env.number("ARGON2_MEMORY_KIB", 19_456, 8 * parallelism..=1_048_576)?,
        iterations: env.number("ARGON2_ITERATIONS", 2, 1..=100)?,
        parallelism,
        format: env
            .optional("PASSWORD_HASH_FORMAT", wanted, HashFormat::parse)?
            .unwrap_or(HashFormat::Phc),
    })
}

/// What `mailer` reads.
#[derive(Debug, Clone)]
pub struct MailerSettings {
    /// `USERS_TABLE` and the rest of [`UsersTable`]
    pub users_table: UsersTable,
    /// `TOKENS_TABLE`
    pub tokens_table: String,
    /// `RESET_URL`: the page that the link opens; the token goes into its fragment.
    pub reset_url: Url,
    /// `MAIL_FROM`: an address, or `Name <address>`.
    pub mail_from: String,
    /// Whose mails they are; without an `APP_NAME` it goes by the host of `RESET_URL`.
    pub brand: Brand,
    /// `MAIL_REPLY_TO`
    pub reply_to: Option<String>,
    /// `SES_CONFIGURATION_SET`
    pub configuration_set: Option<String>,
    /// `TOKEN_TTL_HOURS`: how long a link holds.
    pub token_ttl: TimeDelta,
    /// `ACCOUNT_COOLDOWN_SECONDS`, `ACCOUNT_LIMIT_PER_HOUR`
    pub budget: MailBudget,
}

/// How many mails one account may be sent.
#[derive(Debug, Clone, Copy)]
pub struct MailBudget {
    /// The least time between two mails.
    pub cooldown: TimeDelta,
    /// Mails in any hour.
    pub per_hour: usize,
}

impl MailerSettings {
    /// Reads and checks them.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let reset_url = env.required(
            "RESET_URL",
            "the https:// address of the page where a new password is set, without a '#'",
            |held| secure_url(held).filter(|url| url.fragment().is_none()),
        )?;
        let mut brand = Brand::read(env)?;
        brand.app_name = brand
            .app_name
            .or_else(|| reset_url.host_str().map(str::to_owned));
        Ok(Self {
            users_table: UsersTable::read(env)?,
            tokens_table: env.table("TOKENS_TABLE", "tokens")?,
            mail_from: env.required(
                "MAIL_FROM",
                "the sender's address, or Name <address>",
                mailbox,
            )?,
            brand,
            reply_to: env.optional("MAIL_REPLY_TO", "an address, or Name <address>", mailbox)?,
            configuration_set: env.optional(
                "SES_CONFIGURATION_SET",
                "the name of an SES configuration set",
                one_line,
            )?,
            // NIST SP 800-63B-4 §4.2.1.2: a mailed recovery code holds for 24 hours at most.
            token_ttl: TimeDelta::hours(env.number("TOKEN_TTL_HOURS", 24, 1..=24)?.into()),
            budget: mail_budget(env)?,
            reset_url,
        })
    }
}

/// `ACCOUNT_COOLDOWN_SECONDS` and `ACCOUNT_LIMIT_PER_HOUR`.
pub fn mail_budget(env: &Environment<'_>) -> Result<MailBudget, SettingError> {
    let cooldown = env.number("ACCOUNT_COOLDOWN_SECONDS", 60, 0..=3_600)?;
    Ok(MailBudget {
        cooldown: TimeDelta::seconds(cooldown.into()),
        per_hour: env.number("ACCOUNT_LIMIT_PER_HOUR", 5, 1..=100)? as usize,
    })
}

/// An https address, or a plain http one of this machine.
fn secure_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_local = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    let is_secure = url.scheme() == "https" || (url.scheme() == "http" && is_local);
    (is_secure && url.username().is_empty() && url.password().is_none()).then_some(url)
}

fn mailto(text: &str) -> Option<Url> {
    let address = text.strip_prefix("mailto:")?;
    EmailAddress::parse(address).ok()?;
    Url::parse(text).ok()
}

/// Whether `text` has the form that DynamoDB asks of the names of tables and indexes.
fn is_table_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (3..=255).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn one_line(text: &str) -> Option<String> {
    is_printable(text).then(|| text.to_owned())
}

/// A sender or the like in the form that SES takes: a name that is not ASCII has to be in
/// encoded words (RFC 2047).
fn mailbox(text: &str) -> Option<String> {
    if !is_printable(text) {
        return None;
    }
    let Some((name, address)) = text
        .strip_suffix('>')
        .and_then(|rest| rest.rsplit_once('<'))
    else {
        return EmailAddress::parse(text).ok().map(|_| text.to_owned());
    };
    EmailAddress::parse(address).ok()?;
    if name.is_ascii() {
        return Some(text.to_owned());
    }
    // An encoded word has 75 characters at most, and none is cut inside of a letter.
    let letters: Vec<char> = name.trim().chars().collect();
    let words: Vec<String> = letters
        .chunks(10)
        .map(|letters| STANDARD.encode(letters.iter().collect::<String>()))
        .map(|word| format!("=?UTF-8?B?{word}?="))
        .collect();
    Some(format!("{} <{}>", words.join(" "), address.trim()))
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailer(pairs: &[(&str, &str)]) -> Result<MailerSettings, String> {
        let required = [
            ("RESET_URL", "https://app.example.com/reset"),
            ("MAIL_FROM", "App <no-reply@example.com>"),
        ];
        let lookup = |name: &str| {
            let mut pairs = pairs.iter().chain(&required);
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        MailerSettings::read(&Environment::new(&lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = mailer(&[]).expect("nothing else is required");
        assert_eq!(settings.users_table, UsersTable::from("users".to_owned()));
        assert_eq!(settings.brand.app_name.as_deref(), Some("app.example.com"));
        assert_eq!(settings.token_ttl, TimeDelta::hours(24));
        assert_eq!(settings.budget.cooldown, TimeDelta::seconds(60));
        assert_eq!(settings.budget.per_hour, 5);

        let none = Environment::new(&|_| None);
        let request = RequestSettings::read(&none).expect("nothing is required");
        assert_eq!(
            (request.client_limit, request.client_window_seconds),
            (20, 600)
        );
        let confirm = ConfirmSettings::read(&none).expect("nothing is required");
        assert_eq!(
            (confirm.policy.min_length, confirm.policy.min_score),
            (15, 3)
        );
        assert_eq!(
            (
                confirm.hashing.memory_kib,
                confirm.hashing.iterations,
                confirm.hashing.parallelism
            ),
            (19_456, 2, 1)
        );
        assert!(confirm.pwned_passwords_url.is_none());
    }

    #[test]
    fn each_attribute_of_the_users_table_has_a_name_of_its_own() {
        let settings = mailer(&[
            ("USERS_EMAIL_ATTRIBUTE", "Login Name"),
            ("USERS_EMAIL_INDEX", "by-login"),
        ]);
        let table = settings.expect("valid").users_table;
        assert_eq!(
            (table.email.as_str(), table.email_index.as_deref()),
            ("Login Name", Some("by-login"))
        );
        for (name, held) in [
            ("USERS_PASSWORD_ATTRIBUTE", "email"),
            ("USERS_ACTIVE_ATTRIBUTE", "password_hash"),
            ("USERS_EMAIL_ATTRIBUTE", &"x".repeat(256)),
            ("USERS_EMAIL_INDEX", "by login"),
        ] {
            let error = mailer(&[(name, held)]).expect_err(name);
            assert!(error.starts_with(&format!("{name} holds")), "{error}");
        }
        let error = mailer(&[("USERS_EMAIL_ATTRIBUTE", "is_active")]).expect_err("taken");
        assert!(error.starts_with("USERS_ACTIVE_ATTRIBUTE holds"), "{error}");
    }

    #[test]
    fn a_missing_setting_is_named() {
        let error = mailer(&[("RESET_URL", "")]).expect_err("required");
        assert!(
            error.starts_with("RESET_URL is not set; it should hold the https:// address"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_setting_is_named_with_what_it_holds() {
        let error = mailer(&[("TOKEN_TTL_HOURS", "25")]).expect_err("at most 24");
        assert_eq!(
            error,
            "TOKEN_TTL_HOURS holds \"25\"; it should hold a whole number from 1 to 24"
        );
    }

    #[test]
    fn a_reset_url_is_https_or_of_this_machine() {
        for url in [
            "https://example.com/x?y=z",
            "http://127.0.0.1:8000/",
            "http://localhost/",
            "http://[::1]/",
        ] {
            assert!(mailer(&[("RESET_URL", url)]).is_ok(), "{url}");
        }
        for url in [
            "http://example.com/",
            "https://example.com/#x",
            "https://a:b@example.com/",
            "/reset",
            "javascript:alert(1)",
        ] {
            assert!(mailer(&[("RESET_URL", url)]).is_err(), "{url}");
        }
    }

    #[test]
    fn a_senders_name_is_written_as_mail_wants_it() {
        for (held, sent) in [
            ("no-reply@example.com", "no-reply@example.com"),
            ("App <no-reply@example.com>", "App <no-reply@example.com>"),
            (
                "Café <no-reply@example.com>",
                "=?UTF-8?B?Q2Fmw6k=?= <no-reply@example.com>",
            ),
        ] {
            let settings = mailer(&[("MAIL_FROM", held)]).expect("a mailbox");
            assert_eq!(settings.mail_from, sent);
        }
        let long = format!("{} <no-reply@example.com>", "é".repeat(40));
        let sent = mailer(&[("MAIL_FROM", &long)])
            .expect("a mailbox")
            .mail_from;
        assert!(sent.split(' ').all(|word| word.len() <= 75), "{sent}");
    }

    #[test]
    fn a_sender_cannot_smuggle_a_header() {
        for from in [
            "no-reply@example.com\r\nBcc: x@example.com",
            "A\nB <no-reply@example.com>",
            "no-reply@example.com\t",
            "A <no-reply@example.com\n>",
            "no-reply",
            "<>",
        ] {
            assert!(mailer(&[("MAIL_FROM", from)]).is_err(), "{from:?}");
        }
    }
}
