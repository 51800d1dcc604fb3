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
    Panel,
    guard::{Admin, Fields, SESSION_COOKIE, cookie, random_text, set_cookie},
    pages::{Failure, Frame, STYLE, render},
};

/// The cookie whose value the sign-in form repeats, as there is no session yet to tie it to.
const FORM_COOKIE: &str = "admin_sign_in";
/// The cookie by which a browser is known that has signed in before.
const BROWSER_COOKIE: &str = "admin_browser";

#[derive(Template)]
#[template(path = "admin/sign_in.html")]
struct SignIn<'a> {
    frame: Option<Frame<'a>>,
    token: &'a str,
    email: &'a str,
    error: Option<&'a str>,
}

/// The form.
pub(super) async fn show() -> Result<Response, Failure> {
    let token = random_text()?;
    let page = SignIn {
        frame: None,
        token: &token,
        email: "",
        error: None,
    };
    let headers = [(header::SET_COOKIE, set_cookie(FORM_COOKIE, &token))];
    Ok((headers, render(&page)).into_response())
}

/// Begins a session for a superuser who knows their password. Whatever else is wrong has one
/// answer, after the same work.
pub(super) async fn enter(
    State(panel): State<Arc<Panel>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let mut form = Fields::parse(&body);
    let token = cookie(&headers, FORM_COOKIE).unwrap_or_default();
    form.check_token(token)?;
    let typed = Password::new(&Zeroizing::new(form.take("password")));
    let email = EmailAddress::parse(form.get("email")).ok();

    let browser = cookie(&headers, BROWSER_COOKIE);
    let keys = panel.tries().keys(email.as_ref(), peer.ip(), browser);
    let begun = panel.tries().begin(&keys, (panel.now)());
    if let Err(seconds) = begun {
        tracing::warn!(
            account = account(email.as_ref()),
            "too many sign-ins failed"
        );
        return Ok(limited(token, form.get("email"), seconds));
    }
    let Some(user) = superuser(&panel, email.as_ref(), typed).await? else {
        tracing::warn!(account = account(email.as_ref()), "a sign-in failed");
        let error = "This is not the address and password of an active superuser.";
        return Ok(refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            token,
            form.get("email"),
            error,
        ));
    };
    let browser = random_text()?;
    panel.tries().succeed(&keys, &user.email, &browser);
    begin(&panel, &headers, &user, &browser)
}

/// The active superuser under `email` whose password was typed.
async fn superuser(
    panel: &Panel,
    email: Option<&EmailAddress>,
    typed: Password,
) -> Result<Option<User>, Failure> {
    let user = match email {
        Some(email) => panel.users.get(email).await?,
        None => None,
    };
    // A hash of another kind is refused without any work, so the dummy stands in for it too.
    let hash = user
        .as_ref()
        .and_then(|user| user.password_hash.clone())
        .filter(|hash| hash.contains("$argon2"))
        .unwrap_or_else(|| panel.dummy_hash.clone());
    let is_right = tokio::task::spawn_blocking(move || passwords::verify(&typed, &hash))
        .await
        .unwrap_or(false);
    Ok(user.filter(|user| is_right && user.is_active && user.is_superuser))
}

/// A new session, whatever cookie the browser held before; from now on it is known as `browser`.
fn begin(
    panel: &Panel,
    headers: &HeaderMap,
    user: &User,
    browser: &str,
) -> Result<Response, Failure> {
    let (id, form_token) = (random_text()?, random_text()?);
    let mut sessions = panel.sessions();
    if let Some(old) = cookie(headers, SESSION_COOKIE) {
        sessions.end(old);
    }
    sessions.begin(&id, form_token, user, (panel.now)());
    tracing::info!(administrator = user.email.digest(), "signed in");
    let cookies = AppendHeaders([
        (header::SET_COOKIE, set_cookie(SESSION_COOKIE, &id)),
        (header::SET_COOKIE, set_cookie(BROWSER_COOKIE, browser)),
        (header::SET_COOKIE, set_cookie(FORM_COOKIE, "")),
    ]);
    Ok((cookies, Redirect::to("/admin/")).into_response())
}

/// Ends the session.
pub(super) async fn leave(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    Fields::parse(&body).check_token(&admin.form_token)?;
    if let Some(id) = cookie(&headers, SESSION_COOKIE) {
        panel.sessions().end(id);
    }
    tracing::info!(administrator = admin.email.digest(), "signed out");
    let cookies = [(header::SET_COOKIE, set_cookie(SESSION_COOKIE, ""))];
    Ok((cookies, Redirect::to("/admin/sign-in/")).into_response())
}

/// What a log line may hold of the address that was typed.
fn account(email: Option<&EmailAddress>) -> String {
    email.map_or_else(|| "no address".to_owned(), EmailAddress::digest)
}

fn limited(token: &str, email: &str, seconds: i64) -> Response {
    let error = format!("Too many sign-ins have failed. Try again in {seconds} seconds.");
    let mut response = refused(StatusCode::TOO_MANY_REQUESTS, token, email, &error);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn refused(status: StatusCode, token: &str, email: &str, error: &str) -> Response {
    let page = SignIn {
        frame: None,
        token,
        email,
        error: Some(error),
    };
    (status, render(&page)).into_response()
}
