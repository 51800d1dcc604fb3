//! The outbox's stream: what is owed a mail gets one. And SES's events: what became of it is
//! written down.
//!
//! Records are handled in their order. The first that fails for a reason that may pass is
//! reported with all those behind it, and Lambda delivers them again; what can never succeed is
//! counted and left behind, so that it does not hold up the others.

mod record;
mod report;
mod ses;

use chrono::{DateTime, Utc};
use rand::TryCryptoRng;
use serde::Serialize;
use serde_json::Value;
use shared::{
    DynamoDb, SdkConfig,
    aws::AwsError,
    log,
    mail::{self, Letterhead},
    settings::{Environment, MailerSettings},
    tables::{self, Budget, Found, Kind, MailState, TokenRow, Tokens, User, Users},
    token::ResetToken,
};
use tokio::time::Instant;

use record::Owed;
use report::Report;
use ses::{SendError, Sender};

/// How often a budget is taken anew when another mail to the account came in between.
const BUDGET_TRIES: usize = 3;

/// What the handler needs, made once at the start.
pub struct App {
    users: Users,
    tokens: Tokens,
    sender: Sender,
    settings: MailerSettings,
}

impl App {
    /// Puts the settings and the clients to use; `aws` and `env` are for SES.
    #[must_use]
    pub fn new(
        settings: MailerSettings,
        dynamodb: DynamoDb,
        aws: &SdkConfig,
        env: &Environment<'_>,
    ) -> Self {
        Self {
            users: Users::new(dynamodb.clone(), settings.users_table.clone()),
            tokens: Tokens::new(dynamodb, settings.tokens_table.clone()),
            sender: Sender::new(&settings, aws, env),
            settings,
        }
    }
}

/// A batch of stream records, each read by itself: one that is not as expected must not stop
/// the others.
pub struct Batch(Vec<Value>);

/// What the function is invoked with.
pub enum Event {
    /// The outbox's stream, by Lambda's event source mapping.
    Batch(Batch),
    /// What became of a mail, by `EventBridge`.
    Report(Value),
}

/// The event is none that the function takes.
#[derive(Debug, thiserror::Error)]
#[error("this function takes the records of a DynamoDB stream or an event of SES; this is neither")]
pub struct UnknownEvent;

impl Event {
    /// Tells by its shape what `event` is.
    pub fn read(event: Value) -> Result<Self, UnknownEvent> {
        if event["source"] == "aws.ses" && event["detail"].is_object() {
            return Ok(Self::Report(event));
        }
        Batch::read(event).map(Self::Batch)
    }
}

impl Batch {
    /// The records of `event`. Reading them here rather than in the runtime keeps what the event
    /// holds out of the error, which the runtime logs.
    pub fn read(mut event: Value) -> Result<Self, UnknownEvent> {
        match event.get_mut("Records").map(Value::take) {
            Some(Value::Array(records)) => Ok(Self(records)),
            _ => Err(UnknownEvent),
        }
    }
}

/// The records to deliver again (`ReportBatchItemFailures`).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// Empty where all is done.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// One record to deliver again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The record's sequence number.
    pub item_identifier: String,
}

/// Why a record has to come again.
#[derive(Debug, thiserror::Error)]
enum Retry {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("no random token: {0}")]
    Random(String),
}

/// What became of a record that need not come again.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Sent,
    /// Nothing to send, and why.
    Skipped(&'static str),
    /// SES takes no mail for this address.
    Refused,
}

/// Handles one batch. After `half_time`, if one is given, what is left is handed back rather
/// than begun: a batch that is cut off by the function's timeout comes again as a whole, and
/// its first mails with it.
pub async fn handle<R: TryCryptoRng>(
    app: &App,
    batch: Batch,
    now: DateTime<Utc>,
    half_time: Option<Instant>,
    rng: &mut R,
) -> BatchResponse {
    for (index, record) in batch.0.iter().enumerate() {
        if index > 0 && half_time.is_some_and(|half_time| Instant::now() > half_time) {
            tracing::warn!("half of the time is over; the rest of the batch is handed back");
            return failures(&batch.0[index..]);
        }
        match deliver(app, record, now, rng).await {
            Ok(Outcome::Sent) => log::count("mails_sent", 1),
            Ok(Outcome::Refused) => log::count("mails_failed", 1),
            Ok(Outcome::Skipped(reason)) => {
                log::count("mails_skipped", 1);
                tracing::info!(reason, "no mail");
            }
            Err(error) => {
                log::count("mails_failed", 1);
                tracing::error!(%error, "the mail has to be tried again");
                return failures(&batch.0[index..]);
            }
        }
    }
    BatchResponse::default()
}

fn failures(records: &[Value]) -> BatchResponse {
    let failure = |item_identifier| BatchItemFailure { item_identifier };
    BatchResponse {
        batch_item_failures: records
            .iter()
            .filter_map(record::sequence_number)
            .map(failure)
            .collect(),
    }
}

async fn deliver<R: TryCryptoRng>(
    app: &App,
    record: &Value,
    now: DateTime<Utc>,
    rng: &mut R,
) -> Result<Outcome, Retry> {
    let Some(owed) = Owed::read(record, now) else {
        return Ok(Outcome::Skipped("not a record of the outbox"));
    };
    match owed.kind {
        Kind::ResetRequested => send_link(app, &owed, now, rng).await,
        Kind::PasswordChanged => send_notice(app, &owed, now).await,
    }
}

/// Takes the mail from the account's budget, keeps a new token's digest, sends the link: in
/// this order, so that what was sent always works and what was not sent costs nobody anything.
async fn send_link<R: TryCryptoRng>(
    app: &App,
    owed: &Owed,
    now: DateTime<Utc>,
    rng: &mut R,
) -> Result<Outcome, Retry> {
    let user = match find_and_charge(app, owed, now).await? {
        Ok(user) => user,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let token = ResetToken::generate(rng).map_err(|error| Retry::Random(error.to_string()))?;
    let row = TokenRow {
        user_key: user.key.clone(),
        ..TokenRow::new(
            user.email.clone(),
            user.name.clone(),
            now,
            app.settings.token_ttl,
        )
    };
    app.tokens.put(&token.digest(), &row).await?;
    let link = mail::reset_link(&app.settings.reset_url, &user.email, &token);
    let letter = mail::reset(&letterhead(app, owed, &user), &link, &token, row.expires_at);
    send(app, owed, &user, &letter, now).await
}

async fn send_notice(app: &App, owed: &Owed, now: DateTime<Utc>) -> Result<Outcome, Retry> {
    let user = match find_and_charge(app, owed, now).await? {
        Ok(user) => user,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let letter = mail::changed(&letterhead(app, owed, &user), owed.at);
    send(app, owed, &user, &letter, now).await
}

/// The user whom the mail is for, with the mail written down and taken from their budget; or why
/// there is none.
async fn find_and_charge(
    app: &App,
    owed: &Owed,
    now: DateTime<Utc>,
) -> Result<Result<User, &'static str>, AwsError> {
    for _ in 0..BUDGET_TRIES {
        let user = match app.users.find(&owed.email).await? {
            Found::One(user) => *user,
            Found::Nobody => return Ok(Err("unknown address")),
            Found::Several => {
                log::count("addresses_ambiguous", 1);
                return Ok(Err("more than one account has the address"));
            }
        };
        if let Some(reason) = hindrance(&user, owed.kind) {
            return Ok(Err(reason));
        }
        let budget = app.settings.budget;
        match app
            .users
            .take_mail(&user, &owed.event(), owed.kind, budget, now)
            .await?
        {
            Budget::Granted => return Ok(Ok(user)),
            Budget::Spent => return Ok(Err("budget spent")),
            Budget::Changed => {}
        }
    }
    Err(AwsError::of(
        "UpdateItem users",
        "other mails to the account came in between",
    ))
}

/// Why the user is sent no mail of `kind`, if so. That a password was changed is told to the
/// owner of an account that is not active, too.
fn hindrance(user: &User, kind: Kind) -> Option<&'static str> {
    if kind == Kind::ResetRequested && !user.is_active {
        Some("inactive account")
    } else if user.suppression().is_some() {
        Some("suppressed")
    } else {
        None
    }
}

async fn send(
    app: &App,
    owed: &Owed,
    user: &User,
    letter: &mail::Mail,
    now: DateTime<Utc>,
) -> Result<Outcome, Retry> {
    let (account, event) = (user.email.digest(), owed.event());
    match app
        .sender
        .send(&user.mail_to, owed.kind, &event, letter)
        .await
    {
        Ok(()) => {
            tracing::info!(account, kind = owed.kind.as_str(), "a mail was sent");
            Ok(Outcome::Sent)
        }
        Err(SendError::Refused(error)) => {
            tracing::warn!(account, %error, "SES takes no mail for the address");
            let refused = tables::Outcome {
                state: MailState::Refused,
                at: now,
                reason: Some(error.to_string()),
            };
            let users = &app.users;
            users
                .record_outcome(&user.email, &event, &user.mail_to, &refused)
                .await?;
            Ok(Outcome::Refused)
        }
        Err(later) => Err(later.into()),
    }
}

/// Writes down what SES says became of a mail. What is not about a known mail is counted and
/// left behind; only a table that does not answer is an error, and then the event comes again.
pub async fn handle_report(app: &App, event: &Value) -> Result<(), AwsError> {
    let reason = match Report::read(event) {
        None => "not about a mail of this service",
        Some(report) => match record_outcome(app, &report).await? {
            Some(true) => return Ok(()),
            Some(false) => "nothing new",
            None => "no such mail",
        },
    };
    log::count("mail_events_skipped", 1);
    tracing::info!(reason, "an event of SES that changes nothing");
    Ok(())
}

async fn record_outcome(app: &App, report: &Report) -> Result<Option<bool>, AwsError> {
    let Report {
        email,
        address,
        mail,
        outcome,
    } = report;
    let users = &app.users;
    let recorded = users.record_outcome(email, mail, address, outcome).await?;
    if recorded == Some(true) {
        let (account, state) = (email.digest(), outcome.state.as_str());
        tracing::info!(account, state, "SES says what became of a mail");
        if let Some(metric) = metric(outcome.state) {
            log::count(metric, 1);
        }
    }
    Ok(recorded)
}

fn metric(state: MailState) -> Option<&'static str> {
    match state {
        MailState::Delivered => Some("mails_delivered"),
        MailState::SoftBounced => Some("mails_soft_bounced"),
        MailState::Bounced => Some("mails_bounced"),
        MailState::Complained => Some("mails_complained"),
        MailState::Rejected => Some("mails_rejected"),
        // Counted where the mail is handed to SES, on its way still, or not spam after all.
        MailState::Refused | MailState::Delayed | MailState::NotSpam => None,
    }
}

fn letterhead<'a>(app: &'a App, owed: &'a Owed, user: &'a User) -> Letterhead<'a> {
    let brand = &app.settings.brand;
    Letterhead {
        app_name: brand.app_name.as_deref().unwrap_or_default(),
        support_url: brand.support_url.as_ref(),
        color: &brand.color,
        on_color: brand.on_color,
        // Mail programs show no image that comes inside of a mail's HTML.
        logo: brand
            .logo
            .as_deref()
            .filter(|logo| !logo.starts_with("data:")),
        name: user.name.as_deref(),
        mail_to: &user.mail_to,
        locales: [user.locale.as_deref(), owed.locale.as_deref()],
    }
}
