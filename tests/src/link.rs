//! The link in a reset email.

use std::collections::HashMap;

use local::inbox::StoredEmail;
use url::Url;

/// A reset link, parsed as the page behind it parses it.
#[derive(Debug, Clone)]
pub struct Link {
    /// Whole URL.
    pub url: String,
    /// Address in its fragment.
    pub email: String,
    /// Token in its fragment.
    pub token: String,
}

impl Link {
    /// Returns the link in the text part of `email`. Panics if there is none.
    #[must_use]
    pub fn read(email: &StoredEmail) -> Self {
        Self::find(&email.text).unwrap_or_else(|| panic!("no link in {}", email.text))
    }

    /// Returns the link in an email's text, if there is one.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let url = text
            .lines()
            .find(|line| line.starts_with("http") && line.contains('#'))?;
        let parsed = Url::parse(url).expect("a valid link");
        let values: HashMap<String, String> =
            url::form_urlencoded::parse(parsed.fragment().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        Some(Self {
            url: url.to_owned(),
            email: values["email"].clone(),
            token: values["token"].clone(),
        })
    }
}
