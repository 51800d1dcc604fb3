//! The demo account of a new local system.

use anyhow::Result;
use aws::{
    DynamoDb,
    tables::{Users, UsersTable},
};
use manage::{
    accounts::{self, NewUser, PasswordRules},
    now,
};
use passwords::{HashParams, Password, PasswordPolicy};
use rules::{address::EmailAddress, environment::Environment};

/// Address of the demo account.
pub(crate) const ADDRESS: &str = "ada@example.com";
/// Password of the demo account.
pub(crate) const PASSWORD: &str = "waltz mango orbit pickle";
const NAME: &str = "Ada Lovelace";

/// Adds the demo account unless it exists. It is not a superuser.
pub(crate) async fn add(
    dynamodb: &DynamoDb,
    table: &UsersTable,
    env: &Environment<'_>,
) -> Result<()> {
    let users = Users::new(dynamodb.clone(), table.clone());
    if users.get(&address()).await?.is_some() {
        return Ok(());
    }
    let demo = NewUser {
        address: ADDRESS.parse().expect("a valid address"),
        name: Some(NAME.to_owned()),
        locale: Some("en".to_owned()),
        password: Some(Password::new(PASSWORD)),
        is_superuser: false,
        is_active: true,
    };
    let rules = PasswordRules {
        // The demo account's password is exempt from any policy that is set.
        policy: PasswordPolicy {
            min_length: 0,
            min_score: 0,
        },
        hashing: HashParams::read(env)?,
    };
    accounts::add(dynamodb, table, demo, rules, now()).await?;
    Ok(())
}

/// Returns the address of the demo account.
pub(crate) fn address() -> EmailAddress {
    EmailAddress::parse(ADDRESS).expect("a valid address")
}
