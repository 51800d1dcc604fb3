//! Look of the pages.

use std::sync::OnceLock;

use http::HeaderValue;
use rules::brand::Brand;

use crate::csp;

const STYLE: &str = include_str!("../../templates/pages/style.css");
/// Script of the page for a new password.
pub(crate) const SCRIPT: &str = include_str!("../../templates/pages/choose.js");

/// Branding and style of the pages, and the policy that allows them.
#[derive(Debug, Clone)]
pub struct Theme {
    pub(crate) brand: Brand,
    pub(crate) style: String,
    policy: OnceLock<HeaderValue>,
}

impl Theme {
    /// Creates a theme with the colours of `brand`.
    #[must_use]
    pub fn new(brand: Brand) -> Self {
        let style = STYLE
            .replace("BRAND_COLOR", &brand.color)
            .replace("ON_BRAND", brand.on_color);
        Self {
            brand,
            style,
            policy: OnceLock::new(),
        }
    }

    /// Returns the Content-Security-Policy, built for the first page: most cold starts serve an API
    /// call, which needs none.
    pub(crate) fn policy(&self) -> HeaderValue {
        let build = || csp::policy(&self.style, SCRIPT, self.brand.logo.as_deref());
        self.policy.get_or_init(build).clone()
    }

    /// Returns whether the pages show a logo or a name.
    pub(crate) fn has_brand(&self) -> bool {
        self.brand.logo.is_some() || self.brand.app_name.is_some()
    }
}
