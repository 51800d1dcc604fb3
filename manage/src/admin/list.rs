//! The overview and the list of users.

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
    Panel,
    chart::Overview,
    guard::{Admin, Fields},
    pages::{Failure, Frame, STYLE, href, render, time, yes},
};

/// Users on a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "admin/list.html")]
struct List<'a> {
    frame: Option<Frame<'a>>,
    overview: Overview,
    search: &'a str,
    rows: Vec<Row>,
    next: Option<String>,
    is_first: bool,
}

struct Row {
    href: String,
    address: String,
    name: String,
    language: String,
    active: &'static str,
    superuser: &'static str,
    created: String,
    changed: String,
}

impl From<User> for Row {
    fn from(user: User) -> Self {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        Self {
            href: href("/admin/users/", &[("email", user.email.as_str())]),
            address: user.mail_to,
            name: or_none(user.name),
            language: or_none(user.locale),
            active: yes(user.is_active),
            superuser: yes(user.is_superuser),
            created: time(user.created_at),
            changed: time(user.password_changed_at),
        }
    }
}

/// The page: one page of all users or of those that a search finds.
pub(super) async fn show(
    State(panel): State<Arc<Panel>>,
    admin: Admin,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = Fields::query(query.as_deref());
    let search = query.get("search").trim();
    let after = PrimaryKey::parse(query.get("after"));
    let UserPage { users, next, .. } = find(&panel, search, after.as_ref()).await?;
    let page = List {
        frame: Some(panel.frame(&admin)),
        overview: Overview::read(&panel, (panel.now)()).await?,
        search,
        rows: users.into_iter().map(Row::from).collect(),
        next: next.map(|next| href("/admin/", &[("search", search), ("after", &next.to_text())])),
        is_first: after.is_none(),
    };
    Ok(render(&page))
}

/// The user whose address `search` is, else those whose addresses begin with it.
async fn find(
    panel: &Panel,
    search: &str,
    after: Option<&PrimaryKey>,
) -> Result<UserPage, AwsError> {
    if search.is_empty() {
        let limit = i32::try_from(PAGE).unwrap_or(i32::MAX);
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
    panel.users.page_by_prefix(&prefix, after, PAGE).await
}
