//! Branding for pages and emails.

use url::Url;

use crate::{
    address::EmailAddress,
    environment::{Environment, SettingError, one_line, secure_url},
};

/// Default colour of buttons.
const DEFAULT_COLOR: Color = Color([0x1d, 0x4e, 0xd8]);

/// The application's name, colour, logo and support link, as people see them.
#[derive(Debug, Clone)]
pub struct Brand {
    /// `APP_NAME`
    pub app_name: Option<String>,
    /// `SUPPORT_URL`: for people who did not request the email.
    pub support_url: Option<Url>,
    /// `LOGO_URL`: the `https:` or `data:` URL of an image.
    pub logo: Option<String>,
    /// `BRAND_COLOR`, as a CSS colour.
    pub color: String,
    /// Text colour that is readable on `color`: black or white.
    pub on_color: &'static str,
}

impl Brand {
    /// Reads `APP_NAME`, `SUPPORT_URL`, `LOGO_URL` and `BRAND_COLOR`.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let color = env.optional("BRAND_COLOR", "a colour such as #1d4ed8", Color::parse)?;
        let color = color.unwrap_or(DEFAULT_COLOR);
        Ok(Self {
            app_name: env.optional(
                "APP_NAME",
                "the name of your application, on one line",
                one_line,
            )?,
            support_url: env.optional(
                "SUPPORT_URL",
                "an https:// address or mailto:somebody@example.com",
                |value| secure_url(value).or_else(|| mailto(value)),
            )?,
            logo: env.optional(
                "LOGO_URL",
                "the https:// address of an image, or the image itself as data:image/…",
                image_url,
            )?,
            color: color.to_css(),
            on_color: color.contrast(),
        })
    }
}

fn mailto(text: &str) -> Option<Url> {
    let address = text.strip_prefix("mailto:")?;
    EmailAddress::parse(address).ok()?;
    Url::parse(text).ok()
}

fn image_url(text: &str) -> Option<String> {
    let is_image = text.starts_with("data:image/") || secure_url(text).is_some();
    is_image.then(|| one_line(text))?
}

/// A colour as red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Color([u8; 3]);

impl Color {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#').filter(|digits| {
            digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        })?;
        let part = |index: usize| u8::from_str_radix(&digits[index..index + 2], 16).ok();
        Some(Self([part(0)?, part(2)?, part(4)?]))
    }

    fn to_css(self) -> String {
        let Self([red, green, blue]) = self;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Returns black or white, whichever has more contrast. One of them always reaches at least
    /// 4.5 to 1 (WCAG 2.2, 1.4.3).
    fn contrast(self) -> &'static str {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        let Self([red, green, blue]) = self;
        let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        // The luminance l at which (l + 0.05) / 0.05 equals 1.05 / (l + 0.05).
        if luminance > 0.179 { "#000" } else { "#fff" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_six_hexadecimal_digits() {
        assert_eq!(Color::parse("#1D4ed8"), Some(DEFAULT_COLOR));
        for wrong in [
            "",
            "1d4ed8",
            "#fff",
            "#1d4ed8;}",
            "#1d4edg",
            "#+1+1+1",
            "blue",
        ] {
            assert_eq!(Color::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn text_is_readable_on_every_colour() {
        for (color, on_color) in [
            ([0, 0, 0], "#fff"),
            ([255; 3], "#000"),
            ([29, 78, 216], "#fff"),
            ([255, 221, 0], "#000"),
            ([110; 3], "#fff"),
        ] {
            assert_eq!(Color(color).contrast(), on_color, "{color:?}");
        }
    }
}
