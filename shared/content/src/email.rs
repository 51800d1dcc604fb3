//! The two mails: the link, and the notice that a password was changed.

use askama::Template;
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;
use zeroize::Zeroizing;

use rules::{address::EmailAddress, token::ResetToken};

use crate::messages::Messages;

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
pub struct Email {
    /// One line.
    pub subject: String,
    /// The plain part; complete without the other.
    pub text: Zeroizing<String>,
    /// The HTML part; complete without the other.
    pub html: Zeroizing<String>,
}

/// Who writes to whom.
#[derive(Clone, Copy)]
pub struct EmailContext<'a> {
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
    /// The application's colour as CSS has it, such as `#1d4ed8`: the button's.
    pub color: &'a str,
    /// A colour that can be read on it.
    pub on_color: &'a str,
    /// The `https:` address of the application's logo; the mails' one remote image.
    pub logo: Option<&'a str>,
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
    to: &EmailContext<'_>,
    link: &str,
    token: &ResetToken,
    expires_at: DateTime<Utc>,
) -> Email {
    let letter = Letter::new(to, expires_at);
    let code = token.expose();
    Email {
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
pub fn password_changed(to: &EmailContext<'_>, changed_at: DateTime<Utc>) -> Email {
    let letter = Letter::new(to, changed_at);
    Email {
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

/// Stands in a message for a value that the HTML part marks up: Unicode keeps these characters
/// for what happens inside a program.
mod slot {
    pub(super) const APP: &str = "\u{fdd0}";
    pub(super) const EMAIL: &str = "\u{fdd1}";
    pub(super) const NAME: &str = "\u{fdd2}";
    pub(super) const SUPPORT: &str = "\u{fdd3}";

    pub(super) fn is_slot(c: char) -> bool {
        ('\u{fdd0}'..='\u{fdd3}').contains(&c)
    }
}

/// A part of a message in HTML.
enum Piece<'a> {
    /// The message's own words.
    Words(String),
    /// What a person or the application is called, in whatever script.
    Name(&'a str),
    /// An e-mail address.
    Address(&'a str),
    /// Where somebody can turn.
    Help(&'a Help<'a>),
}

/// Where somebody can turn.
struct Help<'a> {
    url: &'a str,
    /// The address as a person writes it.
    shown: &'a str,
}

/// What both parts of a mail are filled from.
struct Letter<'a> {
    to: &'a EmailContext<'a>,
    messages: Messages,
    date: String,
    name: Option<String>,
    help: Option<Help<'a>>,
}

impl<'a> Letter<'a> {
    fn new(to: &'a EmailContext<'a>, at: DateTime<Utc>) -> Self {
        let messages = Messages::for_locales(to.locales);
        let help = |url: &'a Url| Help {
            url: url.as_str(),
            shown: url.as_str().trim_start_matches("mailto:"),
        };
        Self {
            to,
            date: messages.date(at),
            messages,
            name: to.name.and_then(harmless_name),
            help: to.support_url.map(help),
        }
    }

    /// The message `id`, filled in, for plain text. There the name's angle brackets cannot be
    /// escaped.
    fn text(&self, id: &str) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        let values = [
            ("app", self.to.app_name),
            ("email", self.to.mail_to),
            ("name", &name.replace('<', "‹").replace('>', "›")),
            ("support", self.help.as_ref().map_or("", |help| help.shown)),
            ("date", &self.date),
        ];
        self.messages.text(id, &values)
    }

    /// The message `id`, filled in, for HTML.
    fn pieces(&self, id: &str) -> Vec<Piece<'_>> {
        let values = [
            ("app", slot::APP),
            ("email", slot::EMAIL),
            ("name", slot::NAME),
            ("support", slot::SUPPORT),
            ("date", &self.date),
        ];
        let text = self.messages.text(id, &values);
        text.split_inclusive(slot::is_slot)
            .flat_map(|part| {
                let words = part.trim_end_matches(slot::is_slot);
                let filled = match &part[words.len()..] {
                    slot::APP => Some(Piece::Name(self.to.app_name)),
                    slot::EMAIL => Some(Piece::Address(self.to.mail_to)),
                    slot::NAME => self.name.as_deref().map(Piece::Name),
                    slot::SUPPORT => self.help.as_ref().map(Piece::Help),
                    _ => None,
                };
                [Some(Piece::Words(words.to_owned())), filled]
            })
            .flatten()
            .collect()
    }

    /// The message that greets.
    fn greeting(&self) -> &'static str {
        if self.name.is_some() {
            "mail-greeting"
        } else {
            "mail-greeting-nameless"
        }
    }

    /// Which way the language is read, for `dir`.
    fn direction(&self) -> String {
        self.messages.text("direction", &[])
    }

    /// The side that its lines begin on, for mail programs that do not know `start`.
    fn start(&self) -> &'static str {
        if self.direction() == "rtl" {
            "right"
        } else {
            "left"
        }
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
        // "evil.com" and "http://evil" fall apart; "J. R. Hartley" stays as it is. The dots are
        // those of UTS #46, all of which separate a domain's labels.
        if matches!(previous, '.' | '。' | '．' | '｡' | ':' | '/') && !c.is_whitespace() {
            shown.push(' ');
        }
        shown.push(c);
        previous = c;
    }
    (!shown.is_empty()).then_some(shown)
}

/// Invisible characters that change how their neighbours are shown.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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
    use crate::messages::Language;

    const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    // Short enough to be shown whole.
    const HOSTILE_NAME: &str =
        "<script>{{7*7}}\r\nBcc: e@x.io\u{202e}\u{2067} \"http://evil.example/x\" { $app }";

    fn context<'a>(name: &'a str, support_url: Option<&'a Url>) -> EmailContext<'a> {
        EmailContext {
            app_name: "Analytical Engine",
            support_url,
            name: Some(name),
            mail_to: "Ada+x@example.com",
            locales: [None, None],
            color: "#0b7a5c",
            on_color: "#fff",
            logo: None,
        }
    }

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("in range")
    }

    fn reset_for(to: &EmailContext<'_>) -> Email {
        let token = ResetToken::parse(TOKEN).expect("has the shape");
        let email = EmailAddress::parse("ada+x@example.com").expect("valid");
        let reset_url = Url::parse("https://app.example.com/reset?x=1").expect("valid");
        let link = reset_link(&reset_url, &email, &token);
        reset(to, &link, &token, at())
    }

    fn reset_mail(name: &str) -> Email {
        let support = Url::parse("mailto:help@example.com").expect("valid");
        reset_for(&context(name, Some(&support)))
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
        let notice = password_changed(&context("Ada", None), at());
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
    fn mails_look_as_they_did() {
        let support = Url::parse("https://engine.example/help").expect("valid");
        for language in ["en", "ar"] {
            let hostile = EmailContext {
                locales: [Some(language), None],
                ..context(HOSTILE_NAME, None)
            };
            let plain = EmailContext {
                support_url: Some(&support),
                name: Some("Ada Lovelace"),
                logo: Some("https://engine.example/logo.png"),
                ..hostile
            };
            for (case, to) in [("hostile", hostile), ("plain", plain)] {
                for (kind, mail) in [
                    ("reset", reset_for(&to)),
                    ("changed", password_changed(&to, at())),
                ] {
                    let parts = format!("{}\n\n{}\n\n{}", mail.subject, *mail.text, *mail.html);
                    insta::assert_snapshot!(format!("{kind}_{case}_{language}"), parts);
                }
            }
        }
    }

    #[test]
    fn every_mail_is_small_and_carries_its_direction() {
        let support = Url::parse("https://engine.example/help").expect("valid");
        for language in Language::all() {
            let to = EmailContext {
                locales: [Some(language.tag), None],
                logo: Some("https://engine.example/logo.png"),
                ..context("Ada", Some(&support))
            };
            let is_rtl = Messages::of(language).text("direction", &[]) == "rtl";
            for mail in [reset_for(&to), password_changed(&to, at())] {
                // Gmail cuts a mail off at about 100 KB, and people read on slow networks.
                assert!(mail.html.len() + mail.text.len() < 20 * 1024);
                assert_eq!(mail.subject.lines().count(), 1);
                assert_eq!(mail.html.contains("dir=\"rtl\""), is_rtl);
                assert_eq!(mail.html.contains("align=\"right\""), is_rtl);
                for slot in [slot::APP, slot::EMAIL, slot::NAME, slot::SUPPORT] {
                    assert!(!mail.html.contains(slot));
                }
                let address = "<span dir=\"ltr\">Ada+x@example.com</span>";
                assert_eq!(mail.html.matches(address).count(), 2);
            }
        }
    }

    #[test]
    fn a_hostile_name_is_inert_in_both_parts() {
        let mail = reset_mail(HOSTILE_NAME);
        for part in [&mail.text, &mail.html] {
            for harmful in [
                "<script",
                "49",
                "http://evil",
                "evil.example",
                "\r",
                "\u{202e}",
                "\u{2067}",
            ] {
                assert!(!part.contains(harmful), "{harmful}: {}", **part);
            }
        }
        assert!(
            mail.text.starts_with(
                "Hello ‹script›{{7*7}} Bcc: e@x. io \"http: / / evil. example/ x\" { $app },\n"
            ),
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
