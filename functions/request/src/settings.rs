//! Settings of `request`.

use aws::tables::{ClientLimit, table_name};
use rules::{
    brand::Brand,
    environment::{Environment, SettingError},
};
use web::{CorsOrigins, Edge, LogClient};

/// Settings of `request`.
#[derive(Debug, Clone)]
pub struct RequestSettings {
    /// `OUTBOX_TABLE`
    pub outbox_table: String,
    /// `CLIENT_LIMIT`, `CLIENT_WINDOW_SECONDS`
    pub client_limit: ClientLimit,
    /// `CORS_ORIGINS`
    pub cors: CorsOrigins,
    /// `ORIGIN_SECRET`, `CLIENT_ADDRESS_HEADER`
    pub edge: Edge,
    /// `LOG_CLIENT`, `LOG_CLIENT_KEY`
    pub log_client: LogClient,
    /// Branding of the pages.
    pub brand: Brand,
}

impl RequestSettings {
    /// Reads the settings.
    pub fn read(env: &Environment<'_>) -> Result<Self, SettingError> {
        Ok(Self {
            outbox_table: table_name(env, "OUTBOX_TABLE", "outbox")?,
            client_limit: ClientLimit {
                requests: env.number("CLIENT_LIMIT", 20, 1..=1_000_000)?,
                window_seconds: env.number("CLIENT_WINDOW_SECONDS", 600, 1..=86_400)?,
            },
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
        let settings = RequestSettings::read(&Environment::new(&|_| None)).expect("defaults");
        assert_eq!(settings.client_limit.requests, 20);
        assert_eq!(settings.client_limit.window_seconds, 600);
    }
}
