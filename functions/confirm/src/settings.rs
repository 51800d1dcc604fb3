//! Settings of `confirm`.

use aws::tables::TableNames;
use passwords::{HashParams, PasswordPolicy};
use rules::{
    brand::Brand,
    environment::{Environment, SettingError, secure_url},
};
use url::Url;
use web::{CorsOrigins, Edge, LogClient};

/// Settings of `confirm`.
#[derive(Debug, Clone)]
pub struct ConfirmSettings {
    /// The three tables; `confirm` writes to all of them.
    pub tables: TableNames,
    /// `PASSWORD_MIN_LENGTH`, `PASSWORD_MIN_SCORE`
    pub policy: PasswordPolicy,
    /// `ARGON2_*`, `PASSWORD_HASH_FORMAT`
    pub hashing: HashParams,
    /// `PWNED_PASSWORDS_URL`: the range API; `None` turns the check off.
    pub pwned_passwords_url: Option<Url>,
    /// `CORS_ORIGINS`
    pub cors: CorsOrigins,
    /// `ORIGIN_SECRET`, `CLIENT_ADDRESS_HEADER`
    pub edge: Edge,
    /// `LOG_CLIENT`, `LOG_CLIENT_KEY`
    pub log_client: LogClient,
    /// Branding of the pages.
    pub brand: Brand,
}

impl ConfirmSettings {
    /// Reads the settings.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        let expected = "an https:// address, such as https://api.pwnedpasswords.com/range/";
        Ok(Self {
            tables: TableNames::read(env)?,
            policy: PasswordPolicy::read(env)?,
            hashing: HashParams::read(env)?,
            pwned_passwords_url: env.optional("PWNED_PASSWORDS_URL", expected, secure_url)?,
            cors: CorsOrigins::read(env)?,
            edge: Edge::read(env)?,
            log_client: LogClient::read(env)?,
            brand: Brand::read(env)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let settings = ConfirmSettings::read(&Environment::new(&|_| None)).expect("defaults");
        let ConfirmSettings {
            policy, hashing, ..
        } = settings;
        assert_eq!((policy.min_length, policy.min_score), (15, 3));
        assert_eq!(
            (hashing.memory_kib, hashing.iterations, hashing.parallelism),
            (19_456, 2, 1)
        );
        assert!(settings.pwned_passwords_url.is_none());
    }
}
