//! Content negotiation: page or JSON, and the language of a page.

use content::language::Language;
use http::{HeaderMap, HeaderName, Request, header};
use lambda_http::{Body, RequestExt};

/// Returns whether a browser sent `headers` with a form, and so expects a page.
#[must_use]
pub fn wants_page(headers: &HeaderMap) -> bool {
    let content_type = lower_case(headers, header::CONTENT_TYPE);
    let is_form = ["application/x-www-form-urlencoded", "multipart/form-data"]
        .iter()
        .any(|form| content_type.starts_with(form));
    is_form && accepts_html(headers)
}

/// Returns whether `headers` ask for HTML, as a browser's do when it opens a page.
pub(crate) fn accepts_html(headers: &HeaderMap) -> bool {
    lower_case(headers, header::ACCEPT).contains("text/html")
}

fn lower_case(headers: &HeaderMap, name: HeaderName) -> String {
    text(headers, name).unwrap_or_default().to_ascii_lowercase()
}

/// Returns the language chosen on the page, else the browser's preferred one.
#[must_use]
pub fn language(request: &Request<Body>) -> &'static Language {
    let query = request.query_string_parameters();
    let accepted = text(request.headers(), header::ACCEPT_LANGUAGE);
    Language::negotiate(query.first("lang"), accepted)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
