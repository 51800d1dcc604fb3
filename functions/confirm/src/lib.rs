//! `…/change-forgotten-password/`: somebody sets a new password with the token from the
//! mail.
//!
//! Everything that can be refused without harm is refused before anything is written; then one
//! transaction spends the token, sets the password and owes the owner a notice.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use lambda_http::{Body, Request, Response, http::Method};
use rand::TryCryptoRng;
use shared::{
    DynamoDb,
    address::EmailAddress,
    http::{self, CorsOrigins, Field, Fields, Problem, WeaknessDetail},
    log,
    pages::{self, ChooseForm, Look, Pages, Resource},
    password::{HashError, Password, PasswordHasher, PasswordPolicy, Weakness},
    pwned::PwnedPasswords,
    settings::{ConfirmSettings, TableNames},
    tables::{Change, PasswordChange, TokenRow, Tokens, change_password},
    token::{ResetToken, TokenDigest},
};

const RESOURCE: Resource = Resource::ChangeForgottenPassword;

/// What the handler needs, made once at the start.
pub struct App {
    dynamodb: DynamoDb,
    tables: TableNames,
    tokens: Tokens,
    policy: PasswordPolicy,
    hasher: PasswordHasher,
    pwned: Option<PwnedPasswords>,
    cors: CorsOrigins,
    look: Look,
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
            brand,
        } = settings;
        Ok(Self {
            tokens: Tokens::new(dynamodb.clone(), tables.tokens.clone()),
            hasher: PasswordHasher::new(hashing)?,
            pwned: pwned_passwords_url.map(PwnedPasswords::new),
            dynamodb,
            tables,
            policy,
            cors,
            look: Look::new(brand),
        })
    }
}

/// The fields of the form and of the call. `check_only`, whatever it holds, asks what would
/// become of the others without changing anything; the page asks so while somebody types.
const FIELDS: [&str; 4] = [
    "forgot_password_hash",
    "new_password",
    "email",
    "check_only",
];

/// Answers one HTTP request: with the page, or with what became of the form or the call. `rng`
/// gives the salt, and is the operating system's outside of tests.
pub async fn handle<R: TryCryptoRng>(
    app: &App,
    request: Request,
    now: DateTime<Utc>,
    rng: &mut R,
) -> Response<Body> {
    http::serve(&app.cors, request, async |request| {
        if request.method() != Method::POST {
            let pages = Pages::new(&app.look, RESOURCE, &request);
            return pages.choose(&form(app, "", ""), None);
        }
        let pages = pages::is_from_page(request.headers())
            .then(|| Pages::new(&app.look, RESOURCE, &request));
        let locale = pages::language(&request).tag;
        let fields = http::read_fields(request, FIELDS).await;
        let Some(pages) = pages else {
            return match confirm(app, fields, locale, now, rng).await {
                Ok(()) => http::worked(),
                Err(problem) => problem.into_response(),
            };
        };
        // The form is shown again with what was typed, but for the password.
        let (token, email) = (fields.typed("forgot_password_hash"), fields.typed("email"));
        match confirm(app, fields, locale, now, rng).await {
            Ok(()) => pages.done(),
            Err(problem @ Problem::InvalidToken) => pages.dead(&email, &problem),
            Err(problem) => pages.choose(&form(app, &token, &email), Some(&problem)),
        }
    })
    .await
}

fn form<'a>(app: &App, token: &'a str, email: &'a str) -> ChooseForm<'a> {
    ChooseForm {
        token,
        email,
        min_length: app.policy.min_length,
    }
}

async fn confirm<R: TryCryptoRng>(
    app: &App,
    fields: Fields<4>,
    locale: &str,
    now: DateTime<Utc>,
    rng: &mut R,
) -> Result<(), Problem> {
    let [token, password, email, check_only] = fields.finish()?;
    let token = http::required(FIELDS[0], token)?;
    let email = email.map(|email| EmailAddress::parse(&email)).transpose()?;
    if check_only.is_some() {
        return check(app, &token, password, email.as_ref(), now).await;
    }
    let password = Arc::new(Password::new(&http::required(FIELDS[1], password)?));
    let (digest, token) = find_token(app, &token, email.as_ref(), now)
        .await
        .map_err(counted)?;
    check_policy(app, &password, &token).map_err(counted)?;
    let password_hash = hash_unless_breached(app, password, rng)
        .await
        .map_err(counted)?;
    let mut request_token = [0; 16];
    rng.try_fill_bytes(&mut request_token)
        .map_err(|error| HashError::Random(error.to_string()))?;

    let change = PasswordChange {
        digest: &digest,
        token: &token,
        password_hash,
        locale,
        now,
        request_token,
    };
    match change_password(&app.dynamodb, &app.tables, &change).await? {
        Change::Done => {
            log::count("resets", 1);
            tracing::info!(account = token.email.digest(), "a password was changed");
            Ok(())
        }
        Change::Refused => Err(counted(Problem::InvalidToken)),
    }
}

/// Whether the token holds and, where there is one, the password would be accepted: by the same
/// rules, and without a trace.
async fn check(
    app: &App,
    token: &Field,
    password: Option<Field>,
    email: Option<&EmailAddress>,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let (_, token) = find_token(app, token, email, now).await?;
    password.map_or(Ok(()), |password| {
        check_policy(app, &Password::new(&password), &token)
    })
}

/// The token's digest and row, where it still holds and is the account's that was named, if one
/// was.
async fn find_token(
    app: &App,
    text: &str,
    email: Option<&EmailAddress>,
    now: DateTime<Utc>,
) -> Result<(TokenDigest, TokenRow), Problem> {
    let digest = ResetToken::parse(text)
        .map_err(|_| Problem::InvalidToken)?
        .digest();
    let row = app
        .tokens
        .get(&digest)
        .await?
        .ok_or(Problem::InvalidToken)?;
    let is_anothers = email.is_some_and(|email| *email != row.email);
    if is_anothers || !row.is_valid_at(now) {
        return Err(Problem::InvalidToken);
    }
    Ok((digest, row))
}

fn check_policy(app: &App, password: &Password, token: &TokenRow) -> Result<(), Problem> {
    let weaknesses = app
        .policy
        .weaknesses(password, &token.email, token.name.as_deref());
    if weaknesses.is_empty() {
        Ok(())
    } else {
        Err(weak(app, &weaknesses))
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
        Ok(true) => Err(weak(app, &[Weakness::Breached])),
        Ok(false) => Ok(hash?),
        Err(error) => {
            log::count("breach_checks_failed", 1);
            tracing::warn!(%error, "the password was not checked against breaches");
            Ok(hash?)
        }
    }
}

fn weak(app: &App, weaknesses: &[Weakness]) -> Problem {
    let detail = |code: &Weakness| WeaknessDetail {
        code: *code,
        detail: app.policy.advice(*code),
    };
    Problem::WeakPassword(weaknesses.iter().map(detail).collect())
}

/// Counts a refusal.
fn counted(problem: Problem) -> Problem {
    match problem {
        Problem::InvalidToken => log::count("tokens_rejected", 1),
        Problem::WeakPassword(_) => log::count("passwords_rejected", 1),
        _ => {}
    }
    problem
}
