//! The admin panel, as a browser uses it.

use ::http::Method;
use aws::tables::User;

use crate::{
    app::{ADA, GOOD_PASSWORD, OTHER_PASSWORD, TestApp, cheap_hash, user},
    http::{self, FORM, HttpResponse},
};

/// Address of the superuser in the tests.
pub const ROOT: &str = "root@example.com";

/// Builds a user whose password is [`GOOD_PASSWORD`].
pub async fn user_with_password(mail_to: &str, is_superuser: bool) -> User {
    User {
        password_hash: Some(cheap_hash(GOOD_PASSWORD).await),
        is_superuser,
        ..user(mail_to)
    }
}

/// Starts a system with the superuser [`ROOT`] and the user [`ADA`].
pub async fn start() -> TestApp {
    let app = TestApp::builder()
        .with_cheap_hashes()
        .without_email_budget()
        .user(user_with_password(ROOT, true).await)
        .user(user_with_password(ADA, false).await)
        .start()
        .await;
    for secret in [GOOD_PASSWORD, OTHER_PASSWORD] {
        app.secrets.add(secret);
    }
    app
}

/// A browser with a session.
pub struct Browser {
    /// Cookie of the session.
    pub cookie: String,
    /// Token of the session's forms.
    pub form_token: String,
    panel: String,
}

impl Browser {
    /// Signs in to the panel at `panel` with [`GOOD_PASSWORD`].
    pub async fn sign_in(panel: &str, email: &str) -> Self {
        let response = try_sign_in(panel, email, GOOD_PASSWORD).await;
        assert_eq!(response.status, 303, "{response:?}");
        let mut browser = Self {
            cookie: cookie(&response, "admin_session"),
            form_token: String::new(),
            panel: panel.to_owned(),
        };
        browser.form_token = form_token(&browser.get("/admin/").await);
        browser
    }

    /// Gets a page.
    pub async fn get(&self, path: &str) -> HttpResponse {
        let url = format!("{}{path}", self.panel);
        get(&url, &[("cookie", &self.cookie)]).await
    }

    /// Posts a form.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> HttpResponse {
        let url = format!("{}{path}", self.panel);
        post(&url, &[("cookie", &self.cookie)], fields).await
    }

    /// Confirms the action `name` for `email`.
    pub async fn act(&self, name: &str, email: &str) -> HttpResponse {
        let fields = [("form_token", self.form_token.as_str()), ("email", email)];
        self.post(&format!("/admin/users/{name}/"), &fields).await
    }

    /// Returns the page of a user.
    pub async fn user_page(&self, email: &str) -> String {
        let path = format!("/admin/users/?email={email}");
        self.get(&path).await.text()
    }
}

/// Gets a page without a session.
pub async fn get(url: &str, headers: &[(&str, &str)]) -> HttpResponse {
    http::send(Method::GET, url, headers, "").await
}

/// Posts a form without a session.
pub async fn post(url: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> HttpResponse {
    let mut all = vec![("content-type", FORM)];
    all.extend(headers);
    http::send(Method::POST, url, &all, http::form(fields)).await
}

/// Fills in the sign-in form of the panel at `panel`.
pub async fn try_sign_in(panel: &str, email: &str, password: &str) -> HttpResponse {
    try_sign_in_with_cookie(panel, None, email, password).await
}

/// Fills in the sign-in form with a further cookie.
pub async fn try_sign_in_with_cookie(
    panel: &str,
    further_cookie: Option<&str>,
    email: &str,
    password: &str,
) -> HttpResponse {
    let url = format!("{panel}/admin/sign-in/");
    let form = get(&url, &[]).await;
    let mut cookies = cookie(&form, "admin_sign_in");
    if let Some(further_cookie) = further_cookie {
        cookies = format!("{cookies}; {further_cookie}");
    }
    let token = form_token(&form);
    let fields = [
        ("form_token", token.as_str()),
        ("email", email),
        ("password", password),
    ];
    post(&url, &[("cookie", &cookies)], &fields).await
}

/// Returns the cookie `name` that a response sets, as a browser sends it back.
#[must_use]
pub fn cookie(response: &HttpResponse, name: &str) -> String {
    let cookies = response.headers.get_all("set-cookie").iter();
    let mut cookies = cookies.map(|cookie| cookie.to_str().expect("ASCII"));
    let cookie = cookies.find(|cookie| cookie.starts_with(&format!("{name}=")));
    let cookie = cookie.unwrap_or_else(|| panic!("no cookie {name} in {response:?}"));
    for attribute in ["; Path=/admin", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().expect("a pair").to_owned()
}

/// Returns the token of the form on a page.
#[must_use]
pub fn form_token(page: &HttpResponse) -> String {
    between(&page.text(), "name=\"form_token\" value=\"", "\"").to_owned()
}

/// Returns what stands between two texts on a page.
#[must_use]
pub fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = page
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before} in {page}"));
    rest.split_once(after).expect("an end").0
}

/// Returns where a response redirects to.
#[must_use]
pub fn location(response: &HttpResponse) -> &str {
    assert_eq!(response.status, 303, "{response:?}");
    response.header("location").expect("a location")
}
