//! Settings of `mailer`.

use aws::tables::{UsersTable, table_name};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use rules::{
    address::EmailAddress,
    brand::Brand,
    environment::{Environment, SettingError, one_line, secure_url},
    recovery::EmailBudget,
};
use url::Url;

/// Letters per encoded word, which must not exceed 75 characters (RFC 2047 §2).
const ENCODED_WORD_LETTERS: usize = 10;

/// Settings of `mailer`.
#[derive(Debug, Clone)]
pub struct MailerSettings {
    /// `USERS_TABLE` and the rest of [`UsersTable`].
    pub users_table: UsersTable,
    /// `TOKENS_TABLE`
    pub tokens_table: String,
    /// `RESET_URL`: the page that the link opens; the token goes into its fragment.
    pub reset_url: Url,
    /// `MAIL_FROM`: an address, or `Name <address>`.
    pub mail_from: String,
    /// Branding of the emails; without `APP_NAME` the name is the host of `RESET_URL`.
    pub brand: Brand,
    /// `MAIL_REPLY_TO`
    pub reply_to: Option<String>,
    /// `SES_CONFIGURATION_SET`
    pub configuration_set: Option<String>,
    /// `TOKEN_TTL_HOURS`: lifetime of a link.
    pub token_ttl: TimeDelta,
    /// `ACCOUNT_COOLDOWN_SECONDS`, `ACCOUNT_LIMIT_PER_HOUR`
    pub budget: EmailBudget,
}

impl MailerSettings {
    /// Reads the settings.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let reset_url = env.required(
            "RESET_URL",
            "the https:// address of the page where a new password is set, without a '#'",
            |value| secure_url(value).filter(|url| url.fragment().is_none()),
        )?;
        let mut brand = Brand::read(env)?;
        brand.app_name = brand
            .app_name
            .or_else(|| reset_url.host_str().map(str::to_owned));
        Ok(Self {
            users_table: UsersTable::read(env)?,
            tokens_table: table_name(env, "TOKENS_TABLE", "tokens")?,
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
            // NIST SP 800-63B-4 §4.2.1.2: a mailed recovery code is valid for at most 24 hours.
            token_ttl: TimeDelta::hours(env.number("TOKEN_TTL_HOURS", 24, 1..=24)?.into()),
            budget: EmailBudget::read(env)?,
            reset_url,
        })
    }
}

/// Parses an address or `Name <address>` into the form that SES accepts.
fn mailbox(text: &str) -> Option<String> {
    let text = one_line(text)?;
    let Some((name, address)) = text
        .strip_suffix('>')
        .and_then(|rest| rest.rsplit_once('<'))
    else {
        return ascii_address(&text);
    };
    let (name, address) = (unquoted(name.trim())?, ascii_address(address)?);
    Some(if name.is_empty() {
        address
    } else {
        format!("{} <{address}>", phrase(&name))
    })
}

/// Returns an address with its domain in ASCII and its local part as it is.
fn ascii_address(text: &str) -> Option<String> {
    let canonical = EmailAddress::parse(text).ok()?;
    let (_, domain) = canonical.as_str().rsplit_once('@')?;
    let (local_part, _) = text.trim().rsplit_once('@')?;
    Some(format!("{local_part}@{domain}"))
}

/// Returns the text of a quoted string (RFC 5322 §3.2.4), or any other text as it is; `None` if the
/// quote is not closed or text follows it.
fn unquoted(text: &str) -> Option<String> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let (mut plain, mut letters) = (String::new(), quoted.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return letters.as_str().is_empty().then_some(plain),
            '\\' => plain.push(letters.next()?),
            _ => plain.push(letter),
        }
    }
    None
}

/// Writes a name as a phrase (RFC 5322 §3.2.5). SES refuses a comma or a dot outside quotes, and a
/// name that is not ASCII becomes encoded words (RFC 2047).
fn phrase(name: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&byte);
    if !name.is_ascii() {
        let letters: Vec<char> = name.chars().collect();
        let words = letters.chunks(ENCODED_WORD_LETTERS).map(|letters| {
            let word = STANDARD.encode(letters.iter().collect::<String>());
            format!("=?UTF-8?B?{word}?=")
        });
        words.collect::<Vec<_>>().join(" ")
    } else if name.bytes().all(is_plain) {
        name.to_owned()
    } else {
        let escaped = name.replace('\\', r"\\").replace('"', r#"\""#);
        format!("\"{escaped}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<MailerSettings, String> {
        let required = [
            ("RESET_URL", "https://app.example.com/reset"),
            ("MAIL_FROM", "App <no-reply@example.com>"),
        ];
        let lookup = |name: &str| {
            let mut pairs = pairs.iter().chain(&required);
            let pair = pairs.find(|(key, _)| *key == name)?;
            Some(pair.1.to_owned())
        };
        MailerSettings::read(&Environment::new(&lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = read(&[]).expect("nothing else is required");
        assert_eq!(settings.brand.app_name.as_deref(), Some("app.example.com"));
        assert_eq!(settings.token_ttl, TimeDelta::hours(24));
        assert_eq!(settings.budget.cooldown, TimeDelta::seconds(60));
        assert_eq!(settings.budget.per_hour, 5);
    }

    #[test]
    fn a_missing_reset_url_is_named() {
        let error = read(&[("RESET_URL", "")]).expect_err("required");
        assert!(
            error.starts_with("RESET_URL is not set; it must be the https:// address"),
            "{error}"
        );
    }

    #[test]
    fn a_reset_url_has_no_fragment() {
        assert!(read(&[("RESET_URL", "https://example.com/#x")]).is_err());
    }

    #[test]
    fn the_name_of_a_sender_is_quoted_or_encoded() {
        for (value, sent) in [
            (
                "Acme, Inc. <no-reply@example.com>",
                r#""Acme, Inc." <no-reply@example.com>"#,
            ),
            (
                r#""Acme, Inc." <no-reply@example.com>"#,
                r#""Acme, Inc." <no-reply@example.com>"#,
            ),
            (
                r#"The "best" (Acme) <no-reply@example.com>"#,
                r#""The \"best\" (Acme)" <no-reply@example.com>"#,
            ),
            ("\"\" <no-reply@example.com>", "no-reply@example.com"),
            ("<no-reply@example.com>", "no-reply@example.com"),
            (" No-Reply@Example.com ", "No-Reply@example.com"),
            (
                "App <no-reply@bücher.example>",
                "App <no-reply@xn--bcher-kva.example>",
            ),
            ("no-reply@example.com", "no-reply@example.com"),
            ("App <no-reply@example.com>", "App <no-reply@example.com>"),
            (
                "Café <no-reply@example.com>",
                "=?UTF-8?B?Q2Fmw6k=?= <no-reply@example.com>",
            ),
        ] {
            let settings = read(&[("MAIL_FROM", value)]).expect("a mailbox");
            assert_eq!(settings.mail_from, sent);
        }
        let long = format!("{} <no-reply@example.com>", "é".repeat(40));
        let sent = read(&[("MAIL_FROM", &long)]).expect("a mailbox").mail_from;
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
            "\"Acme <no-reply@example.com>",
            "\"Acme\" Inc <no-reply@example.com>",
        ] {
            assert!(read(&[("MAIL_FROM", from)]).is_err(), "{from:?}");
        }
    }
}
