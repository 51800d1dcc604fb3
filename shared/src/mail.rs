//! The two mails: the link, and the notice that a password was changed.

use askama::Template;
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;
use zeroize::Zeroizing;

use crate::{address::EmailAddress, messages::Messages, token::ResetToken};

/// The most of a name that a mail shows, in characters.
const MAX_NAME_CHARS: usize = 64;

/// What a fragment's value keeps as it is: the unreserved characters of RFC 3986 §2.3, and the
/// at sign, so that a person can read the address.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// A mail that is ready to be sent.
pub struct Mail {
    /// One line.
    pub subject: String,
    /// The plain part; complete without the other.
    pub text: Zeroizing<String>,
    /// The HTML part; complete without the other.
    pub html: Zeroizing<String>,
}

/// Who writes to whom.
#[derive(Clone, Copy)]
pub struct Letterhead<'a> {
    /// The application's name.
    pub app_name: &'a str,
    /// Where somebody can turn.
    pub support_url: Option<&'a Url>,
    /// The account's name, which its owner or an attacker has chosen.
    pub name: Option<&'a str>,
    /// The address that the mail goes to.
    pub mail_to: &'a str,
    /// The reader's language: the account's, else that of the page the mail was asked for on.
    pub locales: [Option<&'a str>; 2],
}

/// The link with the token in its fragment, which no browser sends to a server: so the token
/// stands in no access log and no `Referer`.
#[must_use]
pub fn reset_link(reset_url: &Url, email: &EmailAddress, token: &ResetToken) -> Zeroizing<String> {
    let email = utf8_percent_encode(email.as_str(), ESCAPED);
    Zeroizing::new(format!(
        "{reset_url}#email={email}&token={}",
        token.expose()
    ))
}

/// The mail that carries `link` and, for pasting, its token.
#[must_use]
pub fn reset(
    to: &Letterhead<'_>,
    link: &str,
    token: &ResetToken,
    expires_at: DateTime<Utc>,
) -> Mail {
    let letter = Letter::new(to, expires_at);
    let code = token.expose();
    Mail {
        subject: letter.text("reset-subject"),
        text: render(&ResetText {
            letter: &letter,
            link,
            code,
        }),
        html: render(&ResetHtml {
            letter: &letter,
            link,
            code,
        }),
    }
}

/// The mail that says that the password was changed at `changed_at`.
#[must_use]
pub fn changed(to: &Letterhead<'_>, changed_at: DateTime<Utc>) -> Mail {
    let letter = Letter::new(to, changed_at);
    Mail {
        subject: letter.text("changed-subject"),
        text: render(&ChangedText { letter: &letter }),
        html: render(&ChangedHtml { letter: &letter }),
    }
}

fn render(template: &impl Template) -> Zeroizing<String> {
    Zeroizing::new(
        template
            .render()
            .expect("writing to a string does not fail"),
    )
}

/// What both parts of a mail are filled from.
struct Letter<'a> {
    to: &'a Letterhead<'a>,
    messages: Messages,
    date: String,
}

impl<'a> Letter<'a> {
    fn new(to: &'a Letterhead<'a>, at: DateTime<Utc>) -> Self {
        let messages = Messages::for_locales(to.locales);
        Self {
            to,
            date: messages.date(at),
            messages,
        }
    }

    /// The message `id`, with the application, the address and the date filled in.
    fn text(&self, id: &str) -> String {
        let values = [
            ("app", self.to.app_name),
            ("email", self.to.mail_to),
            ("date", &self.date),
        ];
        self.messages.text(id, &values)
    }

    fn greeting(&self) -> String {
        match self.to.name.and_then(harmless_name) {
            Some(name) => self.messages.text("mail-greeting", &[("name", &name)]),
            None => self.text("mail-greeting-nameless"),
        }
    }

    /// The greeting for the plain part, where angle brackets cannot be escaped.
    fn plain_greeting(&self) -> String {
        self.greeting().replace('<', "‹").replace('>', "›")
    }

    fn support(&self) -> Option<String> {
        let url = self.to.support_url?.as_str();
        let shown = url.strip_prefix("mailto:").unwrap_or(url);
        Some(self.messages.text("mail-support", &[("support", shown)]))
    }
}

/// A name as a mail may show it: on one line, not too long, and without anything that a mail
/// program would turn into a link, since whoever registers somebody else's address chooses the
/// name that the mail greets.
fn harmless_name(name: &str) -> Option<String> {
    let visible = |c: char| {
        if c.is_control() || is_format(c) {
            ' '
        } else {
            c
        }
    };
    let line: String = name.chars().map(visible).collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut shown = String::new();
    let mut previous = ' ';
    for c in words.join(" ").chars().take(MAX_NAME_CHARS) {
        // "evil.com" and "http://evil" fall apart; "J. R. Hartley" stays as it is.
        if matches!(previous, '.' | ':' | '/') && !c.is_whitespace() {
            shown.push(' ');
        }
        shown.push(c);
        previous = c;
    }
    (!shown.is_empty()).then_some(shown)
}

/// Invisible characters that change how their neighbours are shown.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[derive(Template)]
#[template(path = "mail/reset.txt")]
struct ResetText<'a> {
    letter: &'a Letter<'a>,
    link: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mail/reset.html")]
struct ResetHtml<'a> {
    letter: &'a Letter<'a>,
    link: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "mail/changed.txt")]
struct ChangedText<'a> {
    letter: &'a Letter<'a>,
}

#[derive(Template)]
#[template(path = "mail/changed.html")]
struct ChangedHtml<'a> {
    letter: &'a Letter<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn letterhead<'a>(name: &'a str, support_url: Option<&'a Url>) -> Letterhead<'a> {
        Letterhead {
            app_name: "Analytical Engine",
            support_url,
            name: Some(name),
            mail_to: "Ada+x@example.com",
            locales: [None, None],
        }
    }

    fn reset_mail(name: &str) -> Mail {
        let support = Url::parse("mailto:help@example.com").expect("valid");
        let token = ResetToken::parse(TOKEN).expect("has the shape");
        let email = EmailAddress::parse("ada+x@example.com").expect("valid");
        let link = reset_link(
            &Url::parse("https://app.example.com/reset?x=1").expect("valid"),
            &email,
            &token,
        );
        let at = DateTime::from_timestamp(1_790_000_000, 0).expect("in range");
        reset(&letterhead(name, Some(&support)), &link, &token, at)
    }

    #[test]
    fn the_link_carries_address_and_token_in_its_fragment() {
        let mail = reset_mail("Ada");
        let link =
            format!("https://app.example.com/reset?x=1#email=ada%2Bx@example.com&token={TOKEN}");
        assert!(mail.text.lines().any(|line| line == link), "{}", *mail.text);
        let escaped = link.replace('&', "&#38;");
        assert!(
            mail.html.contains(&format!("href=\"{escaped}\"")),
            "{}",
            *mail.html
        );
    }

    #[test]
    fn both_parts_say_what_a_reader_needs() {
        let mail = reset_mail("Ada");
        for part in [&mail.text, &mail.html] {
            for said in [
                "Ada",
                "Ada+x@example.com",
                "Analytical Engine",
                "21 September 2026, 14:13 UTC",
                TOKEN,
                "help@example.com",
                "If it was not you",
            ] {
                assert!(part.contains(said), "{said}: {}", **part);
            }
        }
        let at = DateTime::from_timestamp(1_790_000_000, 0).expect("in range");
        let notice = changed(&letterhead("Ada", None), at);
        for part in [&notice.text, &notice.html] {
            for said in [
                "Ada",
                "Ada+x@example.com",
                "was changed on 21 September 2026, 14:13 UTC",
                "If it was not you",
            ] {
                assert!(part.contains(said), "{said}: {}", **part);
            }
        }
    }

    #[test]
    fn a_hostile_name_is_inert_in_both_parts() {
        let mail = reset_mail(
            "<script>alert(1)</script> {{7*7}}\r\n\r\nVisit http://evil.example.com/x now",
        );
        for part in [&mail.text, &mail.html] {
            for harmful in ["<script", "49", "http://evil", "evil.example"] {
                assert!(!part.contains(harmful), "{harmful}: {}", **part);
            }
        }
        assert!(
            mail.text
                .starts_with("Hello ‹script›alert(1)‹/ script› {{7*7}} Visit"),
            "{}",
            *mail.text
        );
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in [
            "Ada Lovelace",
            "J. R. Hartley",
            "Siân O'Neill-Łukasz",
            "مريم",
            "李 小龍",
            "Bob & Alice (home)",
        ] {
            assert_eq!(harmless_name(name).as_deref(), Some(name));
        }
        assert_eq!(harmless_name(" \u{202e}\n"), None);
        assert_eq!(
            harmless_name(&"x".repeat(100)).map(|name| name.len()),
            Some(64)
        );
    }
}
