//! The two emails: the reset link, and the notice that the password was changed.

mod letter;
mod name;

use askama::Template;
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rules::{address::EmailAddress, token::ResetToken};
use url::Url;
use zeroize::Zeroizing;

pub use letter::EmailContext;
use letter::Letter;

/// Escaped in a fragment's value: everything except the unreserved characters of RFC 3986 §2.3 and
/// the at sign, which keeps the address readable.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// An email, ready to send.
pub struct Email {
    /// The subject, on one line.
    pub subject: String,
    /// The plain-text part, complete by itself.
    pub text: Zeroizing<String>,
    /// The HTML part, complete by itself.
    pub html: Zeroizing<String>,
}

/// Returns the link with the token in its fragment. Browsers never send a fragment to a server, so
/// the token reaches no access log and no `Referer`.
#[must_use]
pub fn reset_link(reset_url: &Url, email: &EmailAddress, token: &ResetToken) -> Zeroizing<String> {
    let email = utf8_percent_encode(email.as_str(), ESCAPED);
    Zeroizing::new(format!(
        "{reset_url}#email={email}&token={}",
        token.expose()
    ))
}

/// Builds the email with `link` and, for pasting, its token.
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

/// Builds the notice that the password was changed at `changed_at`.
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
    use crate::{language::Language, messages::Messages};

    const TOKEN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    // Short enough to be shown in full.
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

    fn reset_to(to: &EmailContext<'_>) -> Email {
        let token = ResetToken::parse(TOKEN).expect("well-formed");
        let email = EmailAddress::parse("ada+x@example.com").expect("valid");
        let reset_url = Url::parse("https://app.example.com/reset?x=1").expect("valid");
        let link = reset_link(&reset_url, &email, &token);
        reset(to, &link, &token, at())
    }

    fn reset_email(name: &str) -> Email {
        let support = Url::parse("mailto:help@example.com").expect("valid");
        reset_to(&context(name, Some(&support)))
    }

    #[test]
    fn the_link_has_address_and_token_in_its_fragment() {
        let email = reset_email("Ada");
        let link =
            format!("https://app.example.com/reset?x=1#email=ada%2Bx@example.com&token={TOKEN}");
        assert!(
            email.text.lines().any(|line| line == link),
            "{}",
            *email.text
        );
        let escaped = link.replace('&', "&#38;");
        assert!(
            email.html.contains(&format!("href=\"{escaped}\"")),
            "{}",
            *email.html
        );
    }

    #[test]
    fn both_parts_are_complete() {
        let email = reset_email("Ada");
        for part in [&email.text, &email.html] {
            for fact in [
                "Ada",
                "Ada+x@example.com",
                "Analytical Engine",
                "21 September 2026, 14:13 UTC",
                TOKEN,
                "help@example.com",
                "If it was not you",
            ] {
                assert!(part.contains(fact), "{fact}: {}", **part);
            }
        }
        let notice = password_changed(&context("Ada", None), at());
        for part in [&notice.text, &notice.html] {
            for fact in [
                "Ada",
                "Ada+x@example.com",
                "was changed on 21 September 2026, 14:13 UTC",
                "If it was not you",
            ] {
                assert!(part.contains(fact), "{fact}: {}", **part);
            }
        }
    }

    #[test]
    fn emails_match_their_snapshots() {
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
                for (kind, email) in [
                    ("reset", reset_to(&to)),
                    ("changed", password_changed(&to, at())),
                ] {
                    let parts = format!("{}\n\n{}\n\n{}", email.subject, *email.text, *email.html);
                    insta::assert_snapshot!(format!("{kind}_{case}_{language}"), parts);
                }
            }
        }
    }

    #[test]
    fn every_email_is_small_and_declares_its_direction() {
        let support = Url::parse("https://engine.example/help").expect("valid");
        for language in Language::all() {
            let to = EmailContext {
                locales: [Some(language.tag), None],
                logo: Some("https://engine.example/logo.png"),
                ..context("Ada", Some(&support))
            };
            let is_rtl = Messages::of(language).text("direction", &[]) == "rtl";
            for email in [reset_to(&to), password_changed(&to, at())] {
                // Gmail clips an email at about 100 KB, and some readers are on slow networks.
                assert!(email.html.len() + email.text.len() < 20 * 1024);
                assert_eq!(email.subject.lines().count(), 1);
                assert_eq!(email.html.contains("dir=\"rtl\""), is_rtl);
                assert_eq!(email.html.contains("align=\"right\""), is_rtl);
                let address = "<span dir=\"ltr\">Ada+x@example.com</span>";
                assert_eq!(email.html.matches(address).count(), 2);
            }
        }
    }

    #[test]
    fn a_hostile_name_is_inert_in_both_parts() {
        let email = reset_email(HOSTILE_NAME);
        for part in [&email.text, &email.html] {
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
            email.text.starts_with(
                "Hello ‹script›{{7*7}} Bcc: e@x. io \"http: / / evil. example/ x\" { $app },\n"
            ),
            "{}",
            *email.text
        );
    }
}
