//! The hosted pages: request the email, choose a password, and the results of both.
//!
//! Each page is one response: its style and script are inline and allowed by their hashes. The
//! policy forbids loading anything else, framing the page, and sending its forms elsewhere.

use askama::Template;
use content::{explain_weakness, language::Language, messages::Messages};
use http::{HeaderValue, Request, Response, header};
use lambda_http::{Body, RequestExt};
use rules::weakness::Weakness;

use crate::{
    negotiation::language,
    problem::{Problem, rate_limited},
    request_log::request_id,
    response::respond,
    theme::{SCRIPT, Theme},
};

/// The resource that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `…/forgot-password/`
    ForgotPassword,
    /// `…/change-forgotten-password/`
    ChangeForgottenPassword,
}

impl Resource {
    /// Returns the path, without a trailing slash.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::ForgotPassword => "/core/user/forgot-password",
            Self::ChangeForgottenPassword => "/core/user/change-forgotten-password",
        }
    }
}

/// The pages of one resource in the language of one request.
pub struct Pages<'a> {
    theme: &'a Theme,
    resource: Resource,
    has_slash: bool,
    messages: Messages,
    /// The request's ID.
    reference: Option<String>,
}

/// Contents of the form for a new password.
pub struct ChooseForm<'a> {
    /// The token; if it is empty, the page asks for it.
    pub token: &'a str,
    /// The account's address; empty if unknown.
    pub email: &'a str,
    /// Minimum length of the password, in characters.
    pub min_length: usize,
}

impl<'a> Pages<'a> {
    /// Creates the pages in the language of `request`.
    #[must_use]
    pub fn new(theme: &'a Theme, resource: Resource, request: &Request<Body>) -> Self {
        Self {
            theme,
            resource,
            has_slash: request.raw_http_path().ends_with('/'),
            messages: Messages::of(language(request)),
            reference: request_id(request).map(str::to_owned),
        }
    }

    /// Builds the form for the address, with the typed address and the problem, if any.
    #[must_use]
    pub fn ask(&self, email: &str, problem: Option<&Problem>) -> Response<Body> {
        let is_about_email = problem.and_then(invalid_field) == Some("email");
        let page = Ask {
            page: self,
            has_error: problem.is_some(),
            email,
            email_error: is_about_email.then(|| self.text("error-email")),
            form_error: problem
                .filter(|_| !is_about_email)
                .map(|problem| self.form_error(problem)),
        };
        self.respond(&page, problem)
    }

    /// Builds the page after a request: the same for every address.
    #[must_use]
    pub fn sent(&self) -> Response<Body> {
        let page = Sent {
            page: self,
            has_error: false,
        };
        self.respond(&page, None)
    }

    /// Builds the form for a new password, with the problem of the last attempt, if any.
    #[must_use]
    pub fn choose(&self, form: &ChooseForm<'_>, problem: Option<&Problem>) -> Response<Body> {
        let field = problem.and_then(invalid_field);
        let password_errors = match problem {
            Some(Problem::WeakPassword(reasons)) => reasons
                .iter()
                .map(|reason| self.reason(reason.code, form.min_length))
                .collect(),
            _ if field == Some("new_password") => vec![self.text("error-password")],
            _ => Vec::new(),
        };
        let code_error = (field == Some("forgot_password_hash")).then(|| self.text("error-code"));
        let is_beside_field = !password_errors.is_empty() || code_error.is_some();
        let page = Choose {
            page: self,
            has_error: problem.is_some(),
            token: form.token,
            email: form.email,
            min_length: form.min_length,
            form_error: problem
                .filter(|_| !is_beside_field)
                .map(|problem| self.form_error(problem)),
            code_error,
            password_errors,
            reasons: Weakness::ALL
                .map(|weakness| (weakness.code(), self.reason(weakness, form.min_length))),
            script: SCRIPT,
        };
        self.respond(&page, problem)
    }

    /// Builds the page after a changed password.
    #[must_use]
    pub fn done(&self) -> Response<Body> {
        let page = Done {
            page: self,
            has_error: false,
        };
        self.respond(&page, None)
    }

    /// Builds the page for a link that no longer works, with the form for another email.
    #[must_use]
    pub fn dead(&self, email: &str, problem: &Problem) -> Response<Body> {
        let page = Dead {
            page: self,
            has_error: true,
            email,
        };
        self.respond(&page, Some(problem))
    }

    /// Builds the page for a request that did not come through the edge.
    pub(crate) fn forbidden(&self) -> Response<Body> {
        let page = Forbidden {
            page: self,
            has_error: true,
        };
        self.respond(&page, Some(&Problem::Forbidden))
    }

    fn respond(&self, page: &impl Template, problem: Option<&Problem>) -> Response<Body> {
        let html = page.render().expect("writing to a string does not fail");
        let mut response = respond("text/html; charset=utf-8", html);
        if let Some(problem) = problem {
            response = problem.apply_to(response);
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

    /// Returns the error above the form for a problem that no field causes.
    fn form_error(&self, problem: &Problem) -> FormError<'_> {
        let reference = self.reference.as_deref();
        FormError {
            text: self.form_error_text(problem),
            reference: reference.filter(|_| problem.is_unavailable()),
        }
    }

    fn form_error_text(&self, problem: &Problem) -> String {
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

    /// Returns the sentence about the length, with `COUNT` for the script to replace.
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

    /// Returns the form for the address as a relative URL, which works under any path prefix.
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

    fn support(&self) -> Option<SupportLink<'_>> {
        let url = self.theme.brand.support_url.as_ref()?.as_str();
        Some(SupportLink {
            url,
            text: url.strip_prefix("mailto:").unwrap_or(url),
        })
    }
}

/// Returns the field that `problem` is about, if any.
fn invalid_field(problem: &Problem) -> Option<&'static str> {
    match problem {
        Problem::InvalidParams { field, .. } => *field,
        _ => None,
    }
}

struct FormError<'a> {
    text: String,
    /// ID to quote to the operator, if the service is at fault.
    reference: Option<&'a str>,
}

struct SupportLink<'a> {
    url: &'a str,
    text: &'a str,
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
    form_error: Option<FormError<'a>>,
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
    form_error: Option<FormError<'a>>,
    code_error: Option<String>,
    password_errors: Vec<String>,
    /// The codes of all reasons and their sentences, for the script.
    reasons: [(&'static str, String); Weakness::ALL.len()],
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

#[derive(Template)]
#[template(path = "pages/forbidden.html")]
struct Forbidden<'a> {
    page: &'a Pages<'a>,
    has_error: bool,
}
