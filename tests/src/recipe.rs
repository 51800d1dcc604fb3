//! The recipe in Rust, as `docs/recipes.md` has it.

use aws::{
    AwsError,
    tables::{User, Users},
};
use passwords::Password;
use rules::address::EmailAddress;

/// Hash of a random password, verified for unknown addresses to keep the timing equal.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$0xIFxqMxp9F9FfTr2xwkbw$/tPxb4aS6oHd/+TtxhX/G3ysheyRDUhjtlU1LV1lJA4";

/// Returns the user, or `None` if the address or password is wrong.
pub async fn sign_in(users: &Users, email: &str, password: &str) -> Result<Option<User>, AwsError> {
    let user = match EmailAddress::parse(email) {
        Ok(email) => users.get(&email).await?,
        Err(_) => None,
    };
    let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
    let is_right = passwords::verify(&Password::new(password), stored.unwrap_or(NOBODY));
    Ok(user.filter(|user| is_right && user.is_active))
}

/// Returns whether a session that began in `epoch` is still valid.
pub async fn holds(users: &Users, email: &EmailAddress, epoch: i64) -> Result<bool, AwsError> {
    let user = users.get(email).await?;
    Ok(user.is_some_and(|user| user.is_active && user.session_epoch == epoch))
}
