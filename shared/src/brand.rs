//! Whose name mails and pages bear: the adopter's name, colour, logo and address for help.

use url::Url;

use crate::settings::{Environment, SettingError};

/// The colour of buttons, unless it is set.
const DEFAULT_COLOR: Color = Color([0x1d, 0x4e, 0xd8]);

/// The adopter, as people see them.
#[derive(Debug, Clone)]
pub struct Brand {
    /// `APP_NAME`
    pub app_name: Option<String>,
    /// `SUPPORT_URL`: where somebody who did not ask for the mail can turn.
    pub support_url: Option<Url>,
    /// `LOGO_URL`: an image, by its `https:` or its `data:` address.
    pub logo: Option<String>,
    /// `BRAND_COLOR`, as CSS has it.
    pub color: String,
    /// Black or white, whichever can be read on it.
    pub on_color: &'static str,
}

impl Brand {
    /// Reads and checks the settings.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let color = env.optional("BRAND_COLOR", "a colour such as #1d4ed8", Color::parse)?;
        let color = color.unwrap_or(DEFAULT_COLOR);
        Ok(Self {
            app_name: env.app_name()?,
            support_url: env.support_url()?,
            logo: env.logo()?,
            color: color.to_css(),
            on_color: color.contrast(),
        })
    }
}

/// A colour, as red, green and blue.
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

    /// Black or white, whichever stands out more. One of them always has a contrast of at least
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
        // Where (l + 0.05) / 0.05 equals 1.05 / (l + 0.05).
        if luminance > 0.179 { "#000" } else { "#fff" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_six_digits() {
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
    fn text_can_be_read_on_every_colour() {
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
