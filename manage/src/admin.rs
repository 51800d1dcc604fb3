//! The admin panel under `/admin/`: users, and their recovery state.
//!
//! It only serves requests on loopback. An administrator can send a link and deactivate an account,
//! but never set a password: only the recipient of the email can.

mod account;
mod action;
mod chart;
pub(crate) mod deployed;
mod form;
mod guard;
mod list;
mod pages;
mod panel;
pub mod refusals;
mod sessions;
mod sign_in;
mod sign_in_attempts;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    response::Redirect,
    routing::{get, post},
};

use self::panel::Panel;
pub use self::panel::{LocalRecords, Settings};

/// Limit of a request body. No form of the panel is longer.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Builds the router of the panel.
pub fn router(settings: Settings) -> Router {
    let panel = Arc::new(Panel::new(settings));
    Router::new()
        .route("/admin", get(async || Redirect::to("/admin/")))
        .route("/admin/", get(list::show))
        .route("/admin/sign-in/", get(sign_in::show).post(sign_in::sign_in))
        .route("/admin/sign-out/", post(sign_in::sign_out))
        .route("/admin/users/", get(account::show))
        .route(
            "/admin/users/{action}/",
            get(action::confirm).post(action::perform),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(panel.clone(), guard::guard))
        .with_state(panel)
}
