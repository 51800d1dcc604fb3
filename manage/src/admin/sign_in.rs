//! Signing in and out.

use std::{net::SocketAddr, sync::Arc};

use askama::Template;
use aws::tables::User;
use axum::{
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Redirect, Response},
};
use passwords::Password;
use rules::address::EmailAddress;
use zeroize::Zeroizing;

use super::{
    form::{FormFields, cookie, random_token, set_cookie},
    guard::{Admin, SESSION_COOKIE},
    pages::{Failure, Frame, STYLE, render},
    panel::Panel,
    sign_in_attempts::Attempt,
};

/// The cookie whose value the sign-in form repeats, since there is no session yet.
const FORM_COOKIE: &str = "admin_sign_in";
/// The cookie that identifies a browser that has signed in before.
const BROWSER_COOKIE: &str = "admin_browser";

#[derive(Template)]
#[template(path = "admin/sign_in.html")]
struct SignInPage<'a> {
    frame: Option<Frame<'a>>,
    token: &'a str,
    email: &'a str,
    error: Option<&'a str>,
}

/// Shows the sign-in form.
pub(super) async fn show() -> Result<Response, Failure> {
    let token = random_token()?;
    let page = SignInPage {
        frame: None,
        token: &token,
        email: "",
        error: None,
    };
    let headers = [(header::SET_COOKIE, set_cookie(FORM_COOKIE, &token))];
    Ok((headers, render(&page)).into_response())
}

/// Starts a session if the address and password are those of an active superuser. All failures
/// have the same response, after the same work.
pub(super) async fn sign_in(
    State(panel): State<Arc<Panel>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let mut form = FormFields::parse(&body);
    let token = cookie(&headers, FORM_COOKIE).unwrap_or_default();
    form.check_token(token)?;
    let typed = Password::new(&Zeroizing::new(form.take("password")));
    let email = EmailAddress::parse(form.get("email")).ok();

    let browser = cookie(&headers, BROWSER_COOKIE);
    let keys = panel.attempts().keys(email.as_ref(), peer.ip(), browser);
    let attempt = panel.attempts().begin(&keys, (panel.now)());
    if let Attempt::Wait { seconds } = attempt {
        tracing::warn!(
            account = digest_or_none(email.as_ref()),
            "too many failed sign-ins"
        );
        return Ok(rate_limited(token, form.get("email"), seconds));
    }
    let Some(user) = superuser(&panel, email.as_ref(), typed).await? else {
        tracing::warn!(account = digest_or_none(email.as_ref()), "sign-in failed");
        let error = "This is not the address and password of an active superuser.";
        return Ok(refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            token,
            form.get("email"),
            error,
        ));
    };
    let browser = random_token()?;
    panel.attempts().succeed(&keys, &user.email, &browser);
    start_session(&panel, &headers, &user, &browser)
}

/// Returns the active superuser with the address `email`, if `typed` is their password.
async fn superuser(
    panel: &Panel,
    email: Option<&EmailAddress>,
    typed: Password,
) -> Result<Option<User>, Failure> {
    let user = match email {
        Some(email) => panel.users.get(email).await?,
        None => None,
    };
    // A hash of another algorithm would fail at once, so the dummy hash replaces it too.
    let hash = user
        .as_ref()
        .and_then(|user| user.password_hash.clone())
        .filter(|hash| hash.contains("$argon2"))
        .unwrap_or_else(|| panel.dummy_hash.clone());
    let is_correct = tokio::task::spawn_blocking(move || passwords::verify(&typed, &hash))
        .await
        .unwrap_or(false);
    Ok(user.filter(|user| is_correct && user.is_active && user.is_superuser))
}

/// Replaces the browser's session with a new one, and remembers the browser as `browser`.
fn start_session(
    panel: &Panel,
    headers: &HeaderMap,
    user: &User,
    browser: &str,
) -> Result<Response, Failure> {
    let (id, form_token) = (random_token()?, random_token()?);
    let mut sessions = panel.sessions();
    if let Some(old) = cookie(headers, SESSION_COOKIE) {
        sessions.end(old);
    }
    sessions.start(&id, form_token, user, (panel.now)());
    tracing::info!(administrator = user.email.digest(), "signed in");
    let cookies = AppendHeaders([
        (header::SET_COOKIE, set_cookie(SESSION_COOKIE, &id)),
        (header::SET_COOKIE, set_cookie(BROWSER_COOKIE, browser)),
        (header::SET_COOKIE, set_cookie(FORM_COOKIE, "")),
    ]);
    Ok((cookies, Redirect::to("/admin/")).into_response())
}

/// Ends the session.
pub(super) async fn sign_out(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    FormFields::parse(&body).check_token(&admin.form_token)?;
    if let Some(id) = cookie(&headers, SESSION_COOKIE) {
        panel.sessions().end(id);
    }
    tracing::info!(administrator = admin.email.digest(), "signed out");
    let cookies = [(header::SET_COOKIE, set_cookie(SESSION_COOKIE, ""))];
    Ok((cookies, Redirect::to("/admin/sign-in/")).into_response())
}

/// Formats a typed address for the log: as its digest.
fn digest_or_none(email: Option<&EmailAddress>) -> String {
    email.map_or_else(|| "no address".to_owned(), EmailAddress::digest)
}

fn rate_limited(token: &str, email: &str, seconds: i64) -> Response {
    let error = format!("Too many sign-ins have failed. Try again in {seconds} seconds.");
    let mut response = refused(StatusCode::TOO_MANY_REQUESTS, token, email, &error);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn refused(status: StatusCode, token: &str, email: &str, error: &str) -> Response {
    let page = SignInPage {
        frame: None,
        token,
        email,
        error: Some(error),
    };
    (status, render(&page)).into_response()
}
