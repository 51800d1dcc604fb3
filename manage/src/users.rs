//! Users, as the operator handles them.

use std::sync::Arc;

use anyhow::{Result, bail};
use aws_sdk_dynamodb::Client as DynamoDb;
use chrono::{DateTime, Utc};
use rand::{TryRng, rngs::SysRng};
use serde_json::{Value, json};
use shared::{
    address::EmailAddress,
    password::{HashParams, Password, PasswordHasher, PasswordPolicy},
    settings::{self, Environment, SettingError, UsersTable},
    tables::{Recovery, SentMail, User, Users},
};

/// Users in one read of the table.
const PAGE: i32 = 200;

/// Somebody who is to be added.
pub struct NewUser {
    /// The address as it was typed; mail goes there.
    pub mail_to: String,
    /// What the mails call them.
    pub name: Option<String>,
    /// The language that they read.
    pub locale: Option<String>,
    /// `None` for somebody who sets one by a mail.
    pub password: Option<Password>,
    /// Whether they may use the admin panel.
    pub is_superuser: bool,
    /// Whether they may sign in and be recovered.
    pub is_active: bool,
}

/// What is asked of a password, and how it is stored.
#[derive(Clone, Copy)]
pub struct PasswordRules {
    /// What it has to be.
    pub policy: PasswordPolicy,
    /// What its hash costs.
    pub hashing: HashParams,
}

impl PasswordRules {
    /// The rules by which the function `confirm` takes a new password.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            policy: settings::password_policy(env)?,
            hashing: settings::hash_params(env)?,
        })
    }
}

/// Adds a user; an address that is taken is an error.
pub async fn add(
    client: &DynamoDb,
    table: &UsersTable,
    new: NewUser,
    rules: PasswordRules,
    now: DateTime<Utc>,
) -> Result<User> {
    let Ok(email) = EmailAddress::parse(&new.mail_to) else {
        bail!("{:?} is not an e-mail address", new.mail_to);
    };
    require_own_key(table)?;
    let password_hash = match new.password {
        None => None,
        Some(password) => Some(accept(rules, password, &email, new.name.as_deref()).await?),
    };
    let user = User {
        key: None,
        mail_to: new.mail_to.trim().to_owned(),
        user_id: user_id()?,
        name: new.name,
        locale: new.locale,
        password_changed_at: password_hash.as_ref().map(|_| now),
        password_hash,
        session_epoch: 0,
        is_active: new.is_active,
        is_superuser: new.is_superuser,
        created_at: Some(now),
        recovery: Recovery::default(),
        email,
    };
    if !Users::new(client.clone(), table.clone())
        .create(&user)
        .await?
    {
        bail!(
            "there is a user with the address {} already; nothing was changed",
            user.email.as_str()
        );
    }
    Ok(user)
}

/// An error where only the application can make rows of the users table.
pub(crate) fn require_own_key(table: &UsersTable) -> Result<()> {
    match &table.email_index {
        None => Ok(()),
        Some(index) => bail!(
            "the key of the table {} is not the address (USERS_EMAIL_INDEX is {index}), so that \
             only your application can add users to it; to let one of them into the admin panel, \
             let it set the attribute is_superuser to true. Nothing was changed",
            table.name
        ),
    }
}

/// The hash of `password`, or why it is not accepted.
async fn accept(
    rules: PasswordRules,
    password: Password,
    email: &EmailAddress,
    name: Option<&str>,
) -> Result<String> {
    let weaknesses = rules.policy.weaknesses(&password, email, name);
    if !weaknesses.is_empty() {
        let advice: Vec<String> = weaknesses
            .into_iter()
            .map(|weakness| rules.policy.advice(weakness))
            .collect();
        bail!("the password is not accepted. {}", advice.join(" "));
    }
    Ok(PasswordHasher::new(rules.hashing)?
        .hash(Arc::new(password), &mut SysRng)
        .await?)
}

/// 128 random bits in hexadecimal.
fn user_id() -> Result<String> {
    Ok(format!(
        "{:016x}{:016x}",
        SysRng.try_next_u64()?,
        SysRng.try_next_u64()?
    ))
}

/// Calls `each` with every user, a page at a time, until one is an error; how many rows cannot
/// be read as users.
pub async fn for_each(users: &Users, mut each: impl FnMut(&User) -> Result<()>) -> Result<usize> {
    let (mut after, mut unreadable) = (None, 0);
    loop {
        let page = users.page(after.as_ref(), PAGE).await?;
        page.users.iter().try_for_each(&mut each)?;
        unreadable += page.unreadable;
        after = page.next;
        if after.is_none() {
            return Ok(unreadable);
        }
    }
}

/// What is said of `count` rows that cannot be read as users.
pub(crate) fn unreadable(count: usize) -> String {
    format!(
        "{count} rows are left out: their address is not in the canonical form (lower case, the \
         domain in ASCII), so that nobody finds them by it. Let your application mend them"
    )
}

/// What is shown of a user. The hash is: an operator who may read the table may read it, and
/// checks with it that another system can verify it.
#[must_use]
pub fn to_json(user: &User) -> Value {
    let time = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_millis());
    json!({
        "email": user.email.as_str(),
        "mail_to": user.mail_to,
        "user_id": user.user_id,
        "name": user.name,
        "locale": user.locale,
        "password_hash": user.password_hash,
        "password_changed_at": time(user.password_changed_at),
        "session_epoch": user.session_epoch,
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        "created_at": time(user.created_at),
        "recovery_mails": user.recovery.mails.iter().map(mail_to_json).collect::<Vec<_>>(),
        "recovery_mail_count": user.recovery.mail_count,
        "suppression": user.suppression().map(|suppression| json!({
            "since": suppression.at.timestamp_millis(),
            "cause": suppression.cause.as_str(),
            "reason": suppression.reason,
        })),
    })
}

fn mail_to_json(mail: &SentMail) -> Value {
    let outcome = mail.outcome.as_ref();
    json!({
        "at": mail.at.timestamp_millis(),
        "kind": mail.kind.as_str(),
        "state": outcome.map_or("sent", |outcome| outcome.state.as_str()),
        "state_at": outcome.map(|outcome| outcome.at.timestamp_millis()),
        "reason": outcome.and_then(|outcome| outcome.reason.as_deref()),
    })
}
