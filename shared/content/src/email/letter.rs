//! Data for the templates of an email.

use askama::Template;
use chrono::{DateTime, Utc};
use url::Url;

use super::name;
use crate::messages::Messages;

/// Branding and recipient of an email.
#[derive(Clone, Copy)]
pub struct EmailContext<'a> {
    /// Name of the application.
    pub app_name: &'a str,
    /// Address of the support page or mailbox.
    pub support_url: Option<&'a Url>,
    /// Name of the account. Its owner chose it, or an attacker.
    pub name: Option<&'a str>,
    /// Address of the recipient.
    pub mail_to: &'a str,
    /// Languages by preference: the account's, then that of the page the email was requested on.
    pub locales: [Option<&'a str>; 2],
    /// Colour of the button, as CSS writes it, such as `#1d4ed8`.
    pub color: &'a str,
    /// Colour of text on the button.
    pub on_color: &'a str,
    /// `https:` URL of the logo, the only remote image.
    pub logo: Option<&'a str>,
}

/// Both parts of an email: its recipient, its language and the values in its messages.
pub(super) struct Letter<'a> {
    pub(super) to: &'a EmailContext<'a>,
    pub(super) messages: Messages,
    /// Id of the greeting.
    pub(super) greeting: &'static str,
    text_values: Values,
    html_values: Values,
}

/// The values in messages, by name.
type Values = [(&'static str, String); 5];

/// One value, rendered as HTML that keeps it apart from the sentence around it.
#[derive(Template)]
#[template(path = "mail/value.html")]
enum Value<'a> {
    /// Plain text.
    Text(&'a str),
    /// Name of a person or of the application, in any script.
    Name(&'a str),
    /// Email address.
    Address(&'a str),
    /// Link, and the text to show for it.
    Link(&'a str, &'a str),
}

impl<'a> Letter<'a> {
    /// Prepares the values; `at` is the time that the messages mention.
    pub(super) fn new(to: &'a EmailContext<'a>, at: DateTime<Utc>) -> Self {
        let messages = Messages::for_locales(to.locales);
        let date = messages.date(at);
        let name = to.name.and_then(name::harmless);
        let greeting = match name {
            Some(_) => "mail-greeting",
            None => "mail-greeting-nameless",
        };
        let name = name.unwrap_or_default();
        let support_url = to.support_url.map_or("", Url::as_str);
        let support = support_url.trim_start_matches("mailto:");
        Self {
            to,
            messages,
            greeting,
            html_values: [
                ("app", Value::Name(to.app_name).html()),
                ("email", Value::Address(to.mail_to).html()),
                ("name", Value::Name(&name).html()),
                ("support", Value::Link(support_url, support).html()),
                ("date", Value::Text(&date).html()),
            ],
            text_values: [
                ("app", to.app_name.to_owned()),
                ("email", to.mail_to.to_owned()),
                // Angle brackets cannot be escaped in plain text.
                ("name", name.replace('<', "‹").replace('>', "›")),
                ("support", support.to_owned()),
                ("date", date),
            ],
        }
    }

    /// Formats the message `id` as plain text.
    pub(super) fn text(&self, id: &str) -> String {
        self.messages.text(id, &borrow(&self.text_values))
    }

    /// Formats the message `id` as HTML.
    pub(super) fn html(&self, id: &str) -> String {
        self.messages.html(id, &borrow(&self.html_values))
    }

    /// Returns the value of `dir`.
    pub(super) fn direction(&self) -> String {
        self.messages.text("direction", &[])
    }

    /// Returns the side that lines start on, for email programs that do not support `start`.
    pub(super) fn start(&self) -> &'static str {
        if self.direction() == "rtl" {
            "right"
        } else {
            "left"
        }
    }
}

impl Value<'_> {
    fn html(&self) -> String {
        self.render().expect("writing to a string does not fail")
    }
}

fn borrow(values: &Values) -> [(&'static str, &str); 5] {
    values
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()))
}
