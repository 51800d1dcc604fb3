//! The pages: ask for the mail, set the new password, and what comes after each.
//!
//! Every page is one answer: its style and its script are in it, allowed by their hashes, and
//! nothing else may load, run, frame it or be sent elsewhere.

use std::{borrow::Cow, sync::OnceLock};

use askama::Template;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use lambda_http::{Body, RequestExt};
use sha2::{Digest, Sha256};
use url::Url;

use content::{explain_weakness, language::Language, messages::Messages};
use rules::{brand::Brand, weakness::Weakness};

use crate::{Problem, problem::rate_limited, serve::respond};

const STYLE: &str = include_str!("../../templates/pages/style.css");
const SCRIPT: &str = include_str!("../../templates/pages/choose.js");

/// How the pages look, and what they may do.
#[derive(Debug, Clone)]
pub struct Theme {
    brand: Brand,
    style: String,
    policy: OnceLock<HeaderValue>,
}

impl Theme {
    /// The pages in the name of `brand`.
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

    /// The Content-Security-Policy, made with the first page: most functions start for a call
    /// that wants none.
    fn policy(&self) -> HeaderValue {
        let make = || policy(&self.style, self.brand.logo.as_deref());
        self.policy.get_or_init(make).clone()
    }

    fn has_brand(&self) -> bool {
        self.brand.logo.is_some() || self.brand.app_name.is_some()
    }
}

/// The Content-Security-Policy: the page's own style and script by their hashes, a logo from
/// where it is, and nothing else.
fn policy(style: &str, logo: Option<&str>) -> HeaderValue {
    let origin = logo
        .and_then(|logo| Url::parse(logo).ok())
        .filter(|url| url.scheme() == "https")
        .map(|url| format!(" {}", url.origin().ascii_serialization()));
    let text = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; \
         img-src data:{}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        source_hash(style),
        source_hash(SCRIPT),
        origin.unwrap_or_default()
    );
    HeaderValue::from_str(&text).expect("hashes and an origin are ASCII")
}

/// A source of a Content-Security-Policy that allows exactly the inline style or script `text`.
#[must_use]
pub fn source_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Which of the two resources a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `…/forgot-password/`
    ForgotPassword,
    /// `…/change-forgotten-password/`
    ChangeForgottenPassword,
}

/// The pages of one resource in the language of one request.
pub struct Pages<'a> {
    theme: &'a Theme,
    resource: Resource,
    has_slash: bool,
    messages: Messages,
}

/// What is on the page where a new password is set.
pub struct ChooseForm<'a> {
    /// The token, where it is known to have the shape of one; else the page asks for it.
    pub token: &'a str,
    /// Whose password it is; empty where that is not known.
    pub email: &'a str,
    /// The least number of characters.
    pub min_length: usize,
}

/// Whether `headers` are those of a form in a browser, which wants a page for an answer.
#[must_use]
pub fn wants_page(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    let content_type = text(header::CONTENT_TYPE).to_ascii_lowercase();
    let is_form = ["application/x-www-form-urlencoded", "multipart/form-data"]
        .iter()
        .any(|form| content_type.starts_with(form));
    is_form
        && text(header::ACCEPT)
            .to_ascii_lowercase()
            .contains("text/html")
}

/// Sends somebody who comes from `/.well-known/change-password` on to the page
/// (<https://w3c.github.io/webappsec-change-password-url/>).
#[must_use]
pub fn redirect_well_known(request: &Request<Body>) -> Option<Response<Body>> {
    request
        .raw_http_path()
        .ends_with("/.well-known/change-password")
        .then(|| {
            let mut redirect = Response::new(Body::Empty);
            *redirect.status_mut() = StatusCode::FOUND;
            let page = HeaderValue::from_static("../core/user/forgot-password/");
            redirect.headers_mut().insert(header::LOCATION, page);
            redirect
        })
}

/// The language of a request: the one chosen on the page, else the browser's.
#[must_use]
pub fn language(request: &Request<Body>) -> &'static Language {
    let query = request.query_string_parameters();
    let accepted = request
        .headers()
        .get(header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    Language::negotiate(query.first("lang"), accepted)
}

impl<'a> Pages<'a> {
    /// The pages for `request`.
    #[must_use]
    pub fn new(theme: &'a Theme, resource: Resource, request: &Request<Body>) -> Self {
        Self {
            theme,
            resource,
            has_slash: request.raw_http_path().ends_with('/'),
            messages: Messages::of(language(request)),
        }
    }

    /// The form for the address, with what was typed and what is wrong with it.
    #[must_use]
    pub fn ask(&self, email: &str, problem: Option<&Problem>) -> Response<Body> {
        let is_about_email = matches!(
            problem,
            Some(Problem::InvalidParams {
                field: Some("email"),
                ..
            })
        );
        let page = Ask {
            page: self,
            has_error: problem.is_some(),
            email,
            email_error: is_about_email.then(|| self.text("error-email")),
            form_error: problem
                .filter(|_| !is_about_email)
                .map(|problem| self.form_error(problem)),
        };
        self.answer(&page, problem)
    }

    /// "Theme at your inbox", the same for every address.
    #[must_use]
    pub fn sent(&self) -> Response<Body> {
        self.answer(
            &Sent {
                page: self,
                has_error: false,
            },
            None,
        )
    }

    /// The form for the new password, with what is wrong with what was sent.
    #[must_use]
    pub fn choose(&self, form: &ChooseForm<'_>, problem: Option<&Problem>) -> Response<Body> {
        let field = match problem {
            Some(Problem::InvalidParams { field, .. }) => *field,
            _ => None,
        };
        let weak = match problem {
            Some(Problem::WeakPassword(reasons)) => reasons
                .iter()
                .map(|reason| self.reason(reason.code, form.min_length))
                .collect(),
            _ if field == Some("new_password") => vec![self.text("error-password")],
            _ => Vec::new(),
        };
        let code_error = (field == Some("forgot_password_hash")).then(|| self.text("error-code"));
        let is_placed = !weak.is_empty() || code_error.is_some();
        let page = Choose {
            page: self,
            has_error: problem.is_some(),
            token: form.token,
            email: form.email,
            min_length: form.min_length,
            form_error: problem
                .filter(|_| !is_placed)
                .map(|problem| self.form_error(problem)),
            code_error,
            password_errors: weak,
            reasons: Weakness::ALL
                .map(|weakness| (weakness.code(), self.reason(weakness, form.min_length))),
            script: SCRIPT,
        };
        self.answer(&page, problem)
    }

    /// "Your password is set".
    #[must_use]
    pub fn done(&self) -> Response<Body> {
        self.answer(
            &Done {
                page: self,
                has_error: false,
            },
            None,
        )
    }

    /// "This link no longer works", with the form for another mail.
    #[must_use]
    pub fn dead(&self, email: &str, problem: &Problem) -> Response<Body> {
        self.answer(
            &Dead {
                page: self,
                has_error: true,
                email,
            },
            Some(problem),
        )
    }

    fn answer(&self, page: &impl Template, problem: Option<&Problem>) -> Response<Body> {
        let html = page.render().expect("writing to a string does not fail");
        let mut response = respond("text/html; charset=utf-8", html);
        if let Some(problem) = problem {
            response = problem.stamp(response);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.theme.policy());
        headers.insert(
            "cross-origin-opener-policy",
            HeaderValue::from_static("same-origin"),
        );
        headers.append(header::VARY, HeaderValue::from_static("accept-language"));
        response
    }

    fn form_error(&self, problem: &Problem) -> String {
        match problem {
            Problem::RateLimited {
                retry_after_seconds,
            } => rate_limited(&self.messages, *retry_after_seconds),
            Problem::Aws(_) | Problem::Internal(_) | Problem::Panicked => match self.resource {
                Resource::ForgotPassword => self.text("error-unavailable"),
                Resource::ChangeForgottenPassword => self.text("error-unavailable-choose"),
            },
            _ => self.text("error-form"),
        }
    }

    fn reason(&self, weakness: Weakness, min_length: usize) -> String {
        explain_weakness(&self.messages, weakness, min_length)
    }

    fn rules(&self, min_length: usize) -> String {
        self.messages
            .text("choose-rules", &[("min", &min_length.to_string())])
    }

    /// The sentence about the length, with `COUNT` where the script puts the number.
    fn count_pattern(&self, min_length: usize) -> String {
        self.messages.text(
            "choose-count",
            &[("count", "COUNT"), ("min", &min_length.to_string())],
        )
    }

    fn text(&self, id: &str) -> String {
        self.messages.text(id, &[])
    }

    fn tag(&self) -> &'static str {
        self.messages.language().tag
    }

    /// Where the form for the address is, seen from this page, wherever both are mounted.
    fn ask_href(&self) -> String {
        let folder = match (self.resource, self.has_slash) {
            (Resource::ForgotPassword, _) => "",
            (Resource::ChangeForgottenPassword, true) => "../forgot-password/",
            (Resource::ChangeForgottenPassword, false) => "forgot-password",
        };
        format!("{folder}?lang={}", self.tag())
    }

    fn languages(&self) -> Vec<LanguageLink> {
        let link = |language: &'static Language| LanguageLink {
            tag: language.tag,
            name: language.name(),
            is_current: language.tag == self.tag(),
        };
        Language::all().iter().map(link).collect()
    }

    /// The sentence about help, the address and how it is shown.
    fn support(&self) -> Option<(String, &str, Cow<'_, str>)> {
        let url = self.theme.brand.support_url.as_ref()?.as_str();
        let shown = url.strip_prefix("mailto:").unwrap_or(url);
        Some((self.text("page-support"), url, shown.into()))
    }
}

struct LanguageLink {
    tag: &'static str,
    name: &'static str,
    is_current: bool,
}

#[derive(Template)]
#[template(path = "pages/ask.html")]
struct Ask<'a> {
    page: &'a Pages<'a>,
    has_error: bool,
    email: &'a str,
    email_error: Option<String>,
    form_error: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/sent.html")]
struct Sent<'a> {
    page: &'a Pages<'a>,
    has_error: bool,
}

#[derive(Template)]
#[template(path = "pages/choose.html")]
struct Choose<'a> {
    page: &'a Pages<'a>,
    has_error: bool,
    token: &'a str,
    email: &'a str,
    min_length: usize,
    form_error: Option<String>,
    code_error: Option<String>,
    password_errors: Vec<String>,
    reasons: [(&'static str, String); 5],
    script: &'static str,
}

#[derive(Template)]
#[template(path = "pages/done.html")]
struct Done<'a> {
    page: &'a Pages<'a>,
    has_error: bool,
}

#[derive(Template)]
#[template(path = "pages/dead.html")]
struct Dead<'a> {
    page: &'a Pages<'a>,
    has_error: bool,
    email: &'a str,
}
