//! `…/change-forgotten-password/`: sets a new password with the token from the email.
//!
//! Everything that can be refused without harm is refused before anything is written. Then one
//! transaction spends the token, sets the password and puts a notice to the owner into the outbox.

pub mod settings;

use std::sync::Arc;

use aws::{
    DynamoDb,
    metrics::{Metric, count},
    tables::{ChangeResult, PasswordChange, TableNames, TokenRow, Tokens, change_password},
};
use chrono::{DateTime, Utc};
use content::{explain_weakness, messages::Messages};
use lambda_http::{Body, Request, Response, http::Method};
use passwords::{HashError, Password, PasswordHasher, PasswordPolicy, pwned::PwnedPasswords};
use rand::TryCryptoRng;
use rules::{
    address::EmailAddress,
    token::{ResetToken, TokenDigest},
    weakness::Weakness,
};
use web::{
    Field, Fields, Problem, Site, Theme, WeaknessDetail,
    pages::{ChooseForm, Pages, Resource},
};

use settings::ConfirmSettings;

const RESOURCE: Resource = Resource::ChangeForgottenPassword;

const TOKEN: &str = "forgot_password_hash";
const NEW_PASSWORD: &str = "new_password";
const EMAIL: &str = "email";
/// Any value requests a dry run, which changes nothing. The page sends it while the user types.
const CHECK_ONLY: &str = "check_only";

/// State of the handler, built once at start-up.
pub struct App {
    dynamodb: DynamoDb,
    tables: TableNames,
    tokens: Tokens,
    policy: PasswordPolicy,
    hasher: PasswordHasher,
    pwned: Option<PwnedPasswords>,
    site: Site,
}

impl App {
    /// Builds the handler's state. Fails if Argon2 rejects its parameters.
    pub fn new(settings: ConfirmSettings, dynamodb: DynamoDb) -> Result<Self, HashError> {
        let ConfirmSettings {
            tables,
            policy,
            hashing,
            pwned_passwords_url,
            cors,
            edge,
            log_client,
            brand,
        } = settings;
        Ok(Self {
            tokens: Tokens::new(dynamodb.clone(), tables.tokens.clone()),
            hasher: PasswordHasher::new(hashing)?,
            pwned: pwned_passwords_url.map(PwnedPasswords::new),
            dynamodb,
            tables,
            policy,
            site: Site {
                cors,
                edge,
                log_client,
                theme: Theme::new(brand),
            },
        })
    }

    /// Responds to one HTTP request: with the page, or with the result of the form or API call.
    /// `rng` provides the salt; outside tests it is the operating system's.
    pub async fn handle<R: TryCryptoRng>(
        &self,
        request: Request,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Response<Body> {
        web::serve(RESOURCE, &self.site, request, async |request, _| {
            if request.method() != Method::POST {
                return Ok(self.pages(&request).choose(&self.form("", ""), None));
            }
            let pages = web::wants_page(request.headers()).then(|| self.pages(&request));
            let locale = web::language(&request).tag;
            let names = [TOKEN, NEW_PASSWORD, EMAIL, CHECK_ONLY];
            let fields = web::read_fields(request, names).await;
            let Some(pages) = pages else {
                self.confirm(fields, locale, now, rng).await?;
                return Ok(web::worked());
            };
            // The form is shown again with everything the user typed except the password.
            let (token, email) = (fields.typed(TOKEN), fields.typed(EMAIL));
            Ok(match self.confirm(fields, locale, now, rng).await {
                Ok(()) => pages.done(),
                Err(problem @ Problem::InvalidToken) => pages.dead(&email, &problem),
                Err(problem) => pages.choose(&self.form(&token, &email), Some(&problem)),
            })
        })
        .await
    }

    fn pages(&self, request: &Request) -> Pages<'_> {
        Pages::new(&self.site.theme, RESOURCE, request)
    }

    fn form<'a>(&self, token: &'a str, email: &'a str) -> ChooseForm<'a> {
        ChooseForm {
            token,
            email,
            min_length: self.policy.min_length,
        }
    }

    async fn confirm<R: TryCryptoRng>(
        &self,
        fields: Fields<4>,
        locale: &str,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Result<(), Problem> {
        let [token, password, email, check_only] = fields.finish()?;
        let token = web::required(TOKEN, token)?;
        let email = email.map(|email| EmailAddress::parse(&email)).transpose()?;
        if check_only.is_some() {
            return self.check(&token, password, email.as_ref(), now).await;
        }
        let password = Arc::new(Password::new(&web::required(NEW_PASSWORD, password)?));
        let changed = self.change(&token, password, email.as_ref(), locale, now, rng);
        changed.await.inspect_err(count_refusal)
    }

    /// Sets the password, if the token is valid and the policy accepts the password.
    async fn change<R: TryCryptoRng>(
        &self,
        token: &Field,
        password: Arc<Password>,
        email: Option<&EmailAddress>,
        locale: &str,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Result<(), Problem> {
        let (digest, token) = self.find_token(token, email, now).await?;
        self.check_policy(&password, &token)?;
        let password_hash = self.hash_unless_breached(password, rng).await?;
        let mut request_token = [0; 16];
        rng.try_fill_bytes(&mut request_token)
            .map_err(|error| HashError::Random(error.to_string()))
            .map_err(internal)?;
        let change = PasswordChange {
            digest: &digest,
            token: &token,
            password_hash,
            locale,
            now,
            request_token,
        };
        match change_password(&self.dynamodb, &self.tables, &change).await? {
            ChangeResult::Changed => {
                count(Metric::Resets);
                tracing::info!(account = token.email.digest(), "password changed");
                Ok(())
            }
            ChangeResult::Refused => Err(Problem::InvalidToken),
        }
    }

    /// Checks the token and, if given, the password by the same rules, without changing or counting
    /// anything.
    async fn check(
        &self,
        token: &Field,
        password: Option<Field>,
        email: Option<&EmailAddress>,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let (_, token) = self.find_token(token, email, now).await?;
        password.map_or(Ok(()), |password| {
            self.check_policy(&Password::new(&password), &token)
        })
    }

    /// Reads the token's row, if the token is valid and belongs to `email`, if given.
    async fn find_token(
        &self,
        text: &str,
        email: Option<&EmailAddress>,
        now: DateTime<Utc>,
    ) -> Result<(TokenDigest, TokenRow), Problem> {
        let digest = ResetToken::parse(text)
            .map_err(|_| Problem::InvalidToken)?
            .digest();
        let row = self.tokens.get(&digest).await?;
        let row = row.ok_or(Problem::InvalidToken)?;
        let is_other_account = email.is_some_and(|email| *email != row.email);
        if is_other_account || !row.is_valid_at(now) {
            return Err(Problem::InvalidToken);
        }
        Ok((digest, row))
    }

    fn check_policy(&self, password: &Password, token: &TokenRow) -> Result<(), Problem> {
        let name = token.name.as_deref();
        let weaknesses = self.policy.weaknesses(password, &token.email, name);
        if weaknesses.is_empty() {
            Ok(())
        } else {
            Err(self.weak_password(&weaknesses))
        }
    }

    /// Hashes the password and, if configured, checks it against known breaches at the same time.
    /// A breach service that does not respond is no reason to reject a password.
    async fn hash_unless_breached<R: TryCryptoRng>(
        &self,
        password: Arc<Password>,
        rng: &mut R,
    ) -> Result<String, Problem> {
        let is_breached = async {
            match &self.pwned {
                Some(pwned) => pwned.contains(&password).await,
                None => Ok(false),
            }
        };
        let (hash, is_breached) =
            tokio::join!(self.hasher.hash(password.clone(), rng), is_breached);
        match is_breached {
            Ok(true) => return Err(self.weak_password(&[Weakness::Breached])),
            Ok(false) => {}
            Err(error) => {
                count(Metric::BreachChecksFailed);
                tracing::warn!(%error, "password not checked against breaches");
            }
        }
        hash.map_err(internal)
    }

    fn weak_password(&self, weaknesses: &[Weakness]) -> Problem {
        let messages = Messages::english();
        let detail = |weakness: &Weakness| WeaknessDetail {
            code: *weakness,
            detail: explain_weakness(&messages, *weakness, self.policy.min_length),
        };
        Problem::WeakPassword(weaknesses.iter().map(detail).collect())
    }
}

fn internal(error: HashError) -> Problem {
    Problem::Internal(error.into())
}

fn count_refusal(problem: &Problem) {
    match problem {
        Problem::InvalidToken => count(Metric::TokensRejected),
        Problem::WeakPassword(_) => count(Metric::PasswordsRejected),
        _ => {}
    }
}
