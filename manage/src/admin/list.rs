//! The start page: overview and list of users.

use std::sync::Arc;

use askama::Template;
use aws::{
    AwsError,
    tables::{PrimaryKey, User, UserPage},
};
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use rules::address::EmailAddress;

use super::{
    chart::Overview,
    form::FormFields,
    guard::Admin,
    pages::{Failure, Frame, STYLE, href, render, time},
    panel::Panel,
};
use crate::output::yes_no;

/// Users on a page.
const PAGE_SIZE: usize = 50;

#[derive(Template)]
#[template(path = "admin/list.html")]
struct ListPage<'a> {
    frame: Option<Frame<'a>>,
    overview: Overview,
    search: &'a str,
    rows: Vec<UserRow>,
    next: Option<String>,
    is_first: bool,
}

struct UserRow {
    href: String,
    address: String,
    name: String,
    language: String,
    active: &'static str,
    superuser: &'static str,
    created: String,
    changed: String,
}

impl From<User> for UserRow {
    fn from(user: User) -> Self {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        Self {
            href: href("/admin/users/", &[("email", user.email.as_str())]),
            address: user.mail_to,
            name: or_none(user.name),
            language: or_none(user.locale),
            active: yes_no(user.is_active),
            superuser: yes_no(user.is_superuser),
            created: time(user.created_at),
            changed: time(user.password_changed_at),
        }
    }
}

/// Shows one page of all users, or of those that a search finds.
pub(super) async fn show(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = FormFields::parse_query(query.as_deref());
    let search = query.get("search").trim();
    let after = PrimaryKey::parse(query.get("after"));
    let UserPage { users, next, .. } = find(&panel, search, after.as_ref()).await?;
    let page = ListPage {
        frame: Some(panel.frame(&admin.form_token)),
        overview: Overview::read(&panel, (panel.now)()).await?,
        search,
        rows: users.into_iter().map(UserRow::from).collect(),
        next: next.map(|next| href("/admin/", &[("search", search), ("after", &next.to_text())])),
        is_first: after.is_none(),
    };
    Ok(render(&page))
}

/// Returns the user with the address `search`, or else those whose addresses start with it.
async fn find(
    panel: &Panel,
    search: &str,
    after: Option<&PrimaryKey>,
) -> Result<UserPage, AwsError> {
    if search.is_empty() {
        let limit = i32::try_from(PAGE_SIZE).unwrap_or(i32::MAX);
        return panel.users.page(after, limit).await;
    }
    if let (Ok(email), None) = (EmailAddress::parse(search), after)
        && let Some(user) = panel.users.get(&email).await?
    {
        return Ok(UserPage {
            users: vec![user],
            ..UserPage::default()
        });
    }
    let prefix = search.to_lowercase();
    panel.users.page_by_prefix(&prefix, after, PAGE_SIZE).await
}
