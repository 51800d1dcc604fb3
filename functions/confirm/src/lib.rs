//! `POST …/change-forgotten-password/`: somebody sets a new password with the token from the
//! mail.
//!
//! Everything that can be refused without harm is refused before anything is written; then one
//! transaction spends the token, sets the password and owes the owner a notice.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use lambda_http::{Body, Request, Response};
use rand::TryCryptoRng;
use shared::{
    DynamoDb,
    address::EmailAddress,
    http::{self, CorsOrigins, Problem, WeaknessDetail},
    log,
    password::{HashError, Password, PasswordHasher, PasswordPolicy, Weakness},
    pwned::PwnedPasswords,
    settings::{ConfirmSettings, TableNames},
    tables::{Change, PasswordChange, TokenRow, Tokens, change_password},
    token::{ResetToken, TokenDigest},
};

/// What the handler needs, made once at the start.
pub struct App {
    dynamodb: DynamoDb,
    tables: TableNames,
    tokens: Tokens,
    policy: PasswordPolicy,
    hasher: PasswordHasher,
    pwned: Option<PwnedPasswords>,
    cors: CorsOrigins,
}

impl App {
    /// Puts the settings and the client to use. Fails on costs that Argon2 refuses.
    pub fn new(settings: ConfirmSettings, dynamodb: DynamoDb) -> Result<Self, HashError> {
        let ConfirmSettings {
            tables,
            policy,
            hashing,
            pwned_passwords_url,
            cors,
        } = settings;
        Ok(Self {
            tokens: Tokens::new(dynamodb.clone(), tables.tokens.clone()),
            hasher: PasswordHasher::new(hashing)?,
            pwned: pwned_passwords_url.map(PwnedPasswords::new),
            dynamodb,
            tables,
            policy,
            cors,
        })
    }
}

/// Answers one HTTP request. `rng` gives the salt, and is the operating system's outside of
/// tests.
pub async fn handle<R: TryCryptoRng>(
    app: &App,
    request: Request,
    now: DateTime<Utc>,
    rng: &mut R,
) -> Response<Body> {
    http::serve(&app.cors, request, |request| {
        confirm(app, request, now, rng)
    })
    .await
}

async fn confirm<R: TryCryptoRng>(
    app: &App,
    request: Request,
    now: DateTime<Utc>,
    rng: &mut R,
) -> Result<Response<Body>, Problem> {
    let [token, password, email] =
        http::read_fields(request, ["forgot_password_hash", "new_password", "email"]).await?;
    let token = http::required("forgot_password_hash", token)?;
    let password = Arc::new(Password::new(&http::required("new_password", password)?));
    let email = email.map(|email| EmailAddress::parse(&email)).transpose()?;

    let digest = ResetToken::parse(&token)
        .map_err(|_| reject_token("malformed"))?
        .digest();
    let token = find_token(app, &digest, email.as_ref(), now).await?;
    check_policy(app, &password, &token)?;
    let password_hash = hash_unless_breached(app, password, rng).await?;
    let mut request_token = [0; 16];
    rng.try_fill_bytes(&mut request_token)
        .map_err(|error| HashError::Random(error.to_string()))?;

    let change = PasswordChange {
        digest: &digest,
        token: &token,
        password_hash,
        now,
        request_token,
    };
    match change_password(&app.dynamodb, &app.tables, &change).await? {
        Change::Done => {
            log::count("resets", 1);
            tracing::info!(account = token.email.digest(), "a password was changed");
            Ok(http::worked())
        }
        Change::Refused => Err(reject_token("spent, or its account has changed")),
    }
}

/// The token's row, where it still holds and is the account's that was named, if one was.
async fn find_token(
    app: &App,
    digest: &TokenDigest,
    email: Option<&EmailAddress>,
    now: DateTime<Utc>,
) -> Result<TokenRow, Problem> {
    let token = app
        .tokens
        .get(digest)
        .await?
        .ok_or_else(|| reject_token("unknown"))?;
    if !token.is_valid_at(now) {
        return Err(reject_token("expired"));
    }
    if email.is_some_and(|email| *email != token.email) {
        return Err(reject_token("another account's"));
    }
    Ok(token)
}

fn check_policy(app: &App, password: &Password, token: &TokenRow) -> Result<(), Problem> {
    let weaknesses = app
        .policy
        .weaknesses(password, &token.email, token.name.as_deref());
    if weaknesses.is_empty() {
        Ok(())
    } else {
        Err(reject_password(app, &weaknesses))
    }
}

/// Hashes the password and, where that is set, asks meanwhile whether it is known from a breach.
/// A service that does not answer is no reason to refuse a password.
async fn hash_unless_breached<R: TryCryptoRng>(
    app: &App,
    password: Arc<Password>,
    rng: &mut R,
) -> Result<String, Problem> {
    let asked = async {
        match &app.pwned {
            Some(pwned) => pwned.contains(&password).await,
            None => Ok(false),
        }
    };
    let (hash, breached) = tokio::join!(app.hasher.hash(password.clone(), rng), asked);
    match breached {
        Ok(true) => Err(reject_password(app, &[Weakness::Breached])),
        Ok(false) => Ok(hash?),
        Err(error) => {
            log::count("breach_checks_failed", 1);
            tracing::warn!(%error, "the password was not checked against breaches");
            Ok(hash?)
        }
    }
}

fn reject_token(reason: &'static str) -> Problem {
    log::count("tokens_rejected", 1);
    tracing::info!(reason, "a token was refused");
    Problem::InvalidToken
}

fn reject_password(app: &App, weaknesses: &[Weakness]) -> Problem {
    log::count("passwords_rejected", 1);
    let detail = |code: &Weakness| WeaknessDetail {
        code: *code,
        detail: app.policy.advice(*code),
    };
    Problem::WeakPassword(weaknesses.iter().map(detail).collect())
}
