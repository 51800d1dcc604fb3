//! User accounts: adding, reading and formatting them for the operator.

use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use aws::tables::{User, Users, UsersTable};
use aws_sdk_dynamodb::Client as DynamoDb;
use chrono::{DateTime, Utc};
use content::{explain_weakness, messages::Messages};
use passwords::{HashParams, Password, PasswordHasher, PasswordPolicy};
use rand::rngs::SysRng;
use rules::{
    address::EmailAddress,
    environment::{Environment, SettingError},
    recovery::{Recovery, SentEmail},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{address_arg::AddressArg, random_hex};

/// Users per read of the table.
const PAGE_SIZE: i32 = 200;

/// A user to add.
pub struct NewUser {
    /// Address of the user.
    pub address: AddressArg,
    /// Name of the user, for emails.
    pub name: Option<String>,
    /// Language of emails to the user.
    pub locale: Option<String>,
    /// `None` if the user sets a first password by email.
    pub password: Option<Password>,
    /// Whether the user may use the admin panel.
    pub is_superuser: bool,
    /// Whether the user can sign in and recover the account.
    pub is_active: bool,
}

/// Requirements for a password, and how it is hashed.
#[derive(Clone, Copy)]
pub struct PasswordRules {
    /// Requirements for the password.
    pub policy: PasswordPolicy,
    /// Parameters of the hash.
    pub hashing: HashParams,
}

impl PasswordRules {
    /// Reads the rules that the function `confirm` applies.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            policy: PasswordPolicy::read(env)?,
            hashing: HashParams::read(env)?,
        })
    }
}

/// Adds a user. It is an error if the address is taken.
pub async fn add(
    client: &DynamoDb,
    table: &UsersTable,
    new: NewUser,
    rules: PasswordRules,
    now: DateTime<Utc>,
) -> Result<User> {
    require_email_key(table)?;
    let email = new.address.canonical;
    let password_hash = match new.password {
        None => None,
        Some(password) => Some(hash(rules, password, &email, new.name.as_deref()).await?),
    };
    let user = User {
        key: None,
        mail_to: new.address.typed,
        user_id: random_hex()?,
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
    let users = Users::new(client.clone(), table.clone());
    if !users.create(&user).await? {
        return Err(address_taken(&user.email));
    }
    Ok(user)
}

/// Returns the error for an address that another user has.
pub(crate) fn address_taken(email: &EmailAddress) -> anyhow::Error {
    anyhow!(
        "there is already a user with the address {}; nothing was changed",
        email.as_str()
    )
}

/// Returns an error if the key of the users table is not the address: then only the application
/// can add rows.
pub(crate) fn require_email_key(table: &UsersTable) -> Result<()> {
    match &table.email_index {
        None => Ok(()),
        Some(index) => bail!(
            "the key of the table {} is not the address (USERS_EMAIL_INDEX is {index}), so only \
             your application can add users to it; to give a user access to the admin panel, have \
             it set the attribute is_superuser to true. Nothing was changed",
            table.name
        ),
    }
}

/// Hashes `password`, or returns an error that says why it is not accepted.
async fn hash(
    rules: PasswordRules,
    password: Password,
    email: &EmailAddress,
    name: Option<&str>,
) -> Result<String> {
    let weaknesses = rules.policy.weaknesses(&password, email, name);
    if !weaknesses.is_empty() {
        let messages = Messages::english();
        let advice: Vec<String> = weaknesses
            .into_iter()
            .map(|weakness| explain_weakness(&messages, weakness, rules.policy.min_length))
            .collect();
        bail!("the password is not accepted. {}", advice.join(" "));
    }
    Ok(PasswordHasher::new(rules.hashing)?
        .hash(Arc::new(password), &mut SysRng)
        .await?)
}

/// Calls `each` with every user, one page at a time, until it fails. Returns the number of rows
/// skipped because they cannot be read as users.
pub(crate) async fn for_each(
    users: &Users,
    mut each: impl FnMut(&User) -> Result<()>,
) -> Result<usize> {
    let (mut after, mut skipped) = (None, 0);
    loop {
        let page = users.page(after.as_ref(), PAGE_SIZE).await?;
        page.users.iter().try_for_each(&mut each)?;
        skipped += page.unreadable;
        after = page.next;
        if after.is_none() {
            return Ok(skipped);
        }
    }
}

/// Describes `count` rows that cannot be read as users.
pub(crate) fn describe_skipped(count: usize) -> String {
    format!(
        "skipped {count} rows: their address is not in canonical form (lower case, domain in \
         ASCII), so no lookup finds them. Correct it in your application"
    )
}

/// The attributes of a user, without their recovery state. The hash is included: operators may
/// read the table anyway, and need the hash to check that another system can verify the password.
#[derive(Serialize)]
pub(crate) struct UserFields<'a> {
    email: &'a str,
    mail_to: &'a str,
    user_id: &'a str,
    name: Option<&'a str>,
    locale: Option<&'a str>,
    password_hash: Option<&'a str>,
    password_changed_at: Option<i64>,
    session_epoch: i64,
    is_active: bool,
    is_superuser: bool,
    created_at: Option<i64>,
}

impl<'a> From<&'a User> for UserFields<'a> {
    fn from(user: &'a User) -> Self {
        let millis = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_millis());
        Self {
            email: user.email.as_str(),
            mail_to: &user.mail_to,
            user_id: &user.user_id,
            name: user.name.as_deref(),
            locale: user.locale.as_deref(),
            password_hash: user.password_hash.as_deref(),
            password_changed_at: millis(user.password_changed_at),
            session_epoch: user.session_epoch,
            is_active: user.is_active,
            is_superuser: user.is_superuser,
            created_at: millis(user.created_at),
        }
    }
}

/// Converts a user to JSON, recovery state included.
pub(crate) fn to_json(user: &User) -> Value {
    let mut json = json!(UserFields::from(user));
    let emails: Vec<Value> = user
        .recovery
        .emails
        .iter()
        .map(sent_email_to_json)
        .collect();
    json["recovery_mails"] = emails.into();
    json["recovery_mail_count"] = json!(user.recovery.email_count);
    json["suppression"] = json!(user.suppression().map(|suppression| json!({
        "since": suppression.at.timestamp_millis(),
        "cause": suppression.cause.as_str(),
        "reason": suppression.reason,
    })));
    json
}

fn sent_email_to_json(email: &SentEmail) -> Value {
    let outcome = email.outcome.as_ref();
    json!({
        "at": email.at.timestamp_millis(),
        "kind": email.kind.as_str(),
        "state": outcome.map_or("sent", |outcome| outcome.state.as_str()),
        "state_at": outcome.map(|outcome| outcome.at.timestamp_millis()),
        "reason": outcome.and_then(|outcome| outcome.reason.as_deref()),
    })
}
