//! Sends the emails that the outbox's stream requests, and records the delivery outcomes that SES
//! reports.
//!
//! Records are handled in order. The first one that fails for a reason that may pass is reported
//! together with those after it, and Lambda delivers them again. A record that can never succeed
//! is counted and skipped, so it does not block the others.

mod record;
mod sender;
mod ses_event;
pub mod settings;

use std::time::Duration;

use aws::{
    AwsError, DynamoDb, SdkConfig,
    metrics::{Metric, count},
    tables::{BudgetClaim, OutboxRow, OutcomeUpdate, TokenRow, Tokens, User, UserLookup, Users},
};
use chrono::{DateTime, Utc};
use content::email::{self, Email, EmailContext};
use lambda_runtime::{Error, LambdaEvent};
use rand::TryCryptoRng;
use rules::{
    environment::Environment,
    recovery::{DeliveryOutcome, DeliveryState, EmailKind},
    token::ResetToken,
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use sender::{SendError, Sender};
use ses_event::DeliveryReport;
use settings::MailerSettings;

/// Maximum number of attempts at claiming an email while other writers change the user's row.
const MAX_CLAIM_ATTEMPTS: usize = 3;

/// State of the handler, built once at start-up.
pub struct App {
    users: Users,
    tokens: Tokens,
    sender: Sender,
    settings: MailerSettings,
}

/// An event that the function is invoked with.
pub enum Event {
    /// Records of the outbox's stream, from Lambda's event source mapping.
    Outbox(Batch),
    /// A delivery event from SES, through `EventBridge`.
    Ses(Value),
}

/// A batch of stream records. Each is parsed on its own, so a malformed one does not block the
/// others.
pub struct Batch(Vec<Value>);

/// Error for an event that is neither a batch of DynamoDB stream records nor from SES.
#[derive(Debug, thiserror::Error)]
#[error("expected records of a DynamoDB stream or an event from SES")]
pub struct UnknownEvent;

impl Event {
    /// Recognises `event` by its shape.
    pub fn read(event: Value) -> Result<Self, UnknownEvent> {
        if event["source"] == "aws.ses" && event["detail"].is_object() {
            return Ok(Self::Ses(event));
        }
        Batch::read(event).map(Self::Outbox)
    }
}

impl Batch {
    /// Extracts the records from `event`. Parsing them later keeps their contents out of errors
    /// that the runtime logs.
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
    /// Empty if every record is done.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A record to deliver again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Sequence number of the record.
    pub item_identifier: String,
}

/// The reason why a record must be delivered again.
#[derive(Debug, thiserror::Error)]
enum RetryReason {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("no random token: {0}")]
    Random(String),
}

/// The result of handling a record that need not be delivered again.
#[derive(Debug, Clone, Copy)]
enum RecordResult {
    Sent,
    /// No email is due, for this reason.
    Skipped(&'static str),
    /// SES refuses the recipient.
    Refused,
}

/// The user to whom an email is due, or the reason why none is sent.
enum Claim {
    Granted(Box<User>),
    Denied(&'static str),
}

impl App {
    /// Builds the handler's state; `aws` and `env` configure the SES client.
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

    /// Handles one invocation and returns its response.
    pub async fn handle<R: TryCryptoRng>(
        &self,
        event: LambdaEvent<Value>,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Result<Value, Error> {
        let soft_deadline = soft_deadline(event.context.deadline, now);
        Ok(match Event::read(event.payload)? {
            Event::Outbox(batch) => {
                serde_json::to_value(self.handle_batch(batch, now, soft_deadline, rng).await)?
            }
            Event::Ses(event) => {
                self.handle_ses_event(&event).await?;
                Value::Null
            }
        })
    }

    /// Handles a batch. After `soft_deadline`, if given, the remaining records are handed back
    /// instead of handled: a batch cut off by the function's timeout would be delivered again as a
    /// whole, and its first emails sent twice.
    pub async fn handle_batch<R: TryCryptoRng>(
        &self,
        batch: Batch,
        now: DateTime<Utc>,
        soft_deadline: Option<Instant>,
        rng: &mut R,
    ) -> BatchResponse {
        for (index, record) in batch.0.iter().enumerate() {
            if index > 0
                && soft_deadline.is_some_and(|soft_deadline| Instant::now() > soft_deadline)
            {
                tracing::warn!(
                    "half of the invocation's time has passed; handing back the rest of the batch"
                );
                return failures(&batch.0[index..]);
            }
            match self.handle_record(record, now, rng).await {
                Ok(RecordResult::Sent) => count(Metric::MailsSent),
                Ok(RecordResult::Refused) => count(Metric::MailsFailed),
                Ok(RecordResult::Skipped(reason)) => {
                    count(Metric::MailsSkipped);
                    tracing::info!(reason, "no email sent");
                }
                Err(error) => {
                    count(Metric::MailsFailed);
                    tracing::error!(%error, "the email will be retried");
                    return failures(&batch.0[index..]);
                }
            }
        }
        BatchResponse::default()
    }

    async fn handle_record<R: TryCryptoRng>(
        &self,
        record: &Value,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Result<RecordResult, RetryReason> {
        let Some(row) = record::outbox_row(record, now) else {
            return Ok(RecordResult::Skipped("not a row of the outbox"));
        };
        let user = match self.claim(&row, now).await? {
            Claim::Granted(user) => user,
            Claim::Denied(reason) => return Ok(RecordResult::Skipped(reason)),
        };
        match row.kind {
            EmailKind::ResetRequested => self.send_link(&row, &user, now, rng).await,
            EmailKind::PasswordChanged => self.send_notice(&row, &user, now).await,
        }
    }

    /// Looks up the user of `row`, records the email in their row and charges their budget.
    async fn claim(&self, row: &OutboxRow, now: DateTime<Utc>) -> Result<Claim, AwsError> {
        let (id, budget) = (row.email_id(), self.settings.budget);
        for _ in 0..MAX_CLAIM_ATTEMPTS {
            let user = match self.users.find(&row.email).await? {
                UserLookup::One(user) => user,
                UserLookup::Unknown => return Ok(Claim::Denied("unknown address")),
                UserLookup::Ambiguous => {
                    count(Metric::AddressesAmbiguous);
                    return Ok(Claim::Denied("several accounts have the address"));
                }
            };
            if let Some(reason) = reason_not_to_send(&user, row.kind) {
                return Ok(Claim::Denied(reason));
            }
            let claim = self.users.claim_email(&user, &id, row.kind, budget, now);
            match claim.await? {
                BudgetClaim::Granted => return Ok(Claim::Granted(user)),
                BudgetClaim::Spent => return Ok(Claim::Denied("budget spent")),
                BudgetClaim::Conflict => {}
            }
        }
        Err(AwsError::of(
            "UpdateItem users",
            "other writes keep changing the account",
        ))
    }

    /// Stores the digest of a new token, then sends the link. In this order a link that was sent
    /// always works.
    async fn send_link<R: TryCryptoRng>(
        &self,
        row: &OutboxRow,
        user: &User,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Result<RecordResult, RetryReason> {
        let token =
            ResetToken::generate(rng).map_err(|error| RetryReason::Random(error.to_string()))?;
        let ttl = self.settings.token_ttl;
        let token_row = TokenRow {
            user_key: user.key.clone(),
            ..TokenRow::new(user.email.clone(), user.name.clone(), now, ttl)
        };
        self.tokens.put(&token.digest(), &token_row).await?;
        let link = email::reset_link(&self.settings.reset_url, &user.email, &token);
        let context = self.email_context(row, user);
        let email = email::reset(&context, &link, &token, token_row.expires_at);
        self.send(row, user, &email, now).await
    }

    async fn send_notice(
        &self,
        row: &OutboxRow,
        user: &User,
        now: DateTime<Utc>,
    ) -> Result<RecordResult, RetryReason> {
        let email = email::password_changed(&self.email_context(row, user), row.at);
        self.send(row, user, &email, now).await
    }

    async fn send(
        &self,
        row: &OutboxRow,
        user: &User,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<RecordResult, RetryReason> {
        let (account, id) = (user.email.digest(), row.email_id());
        let sent = self.sender.send(&user.mail_to, row.kind, &id, email);
        match sent.await {
            Ok(()) => {
                tracing::info!(account, kind = row.kind.as_str(), "email sent");
                Ok(RecordResult::Sent)
            }
            Err(SendError::Refused(error)) => {
                tracing::warn!(account, %error, "SES refused the email");
                let outcome = DeliveryOutcome {
                    state: DeliveryState::Refused,
                    at: now,
                    reason: Some(error.to_string()),
                };
                let (users, to) = (&self.users, &user.mail_to);
                users.record_outcome(&user.email, &id, to, &outcome).await?;
                Ok(RecordResult::Refused)
            }
            Err(error @ SendError::Later(_)) => Err(error.into()),
        }
    }

    /// Records the delivery outcome that an event from SES reports. Events about other emails are
    /// counted and skipped. Only a failed call to a table is an error, and the event is then
    /// delivered again.
    pub async fn handle_ses_event(&self, event: &Value) -> Result<(), AwsError> {
        let reason = match DeliveryReport::read(event) {
            None => "not about an email of this service",
            Some(report) => match self.record_outcome(&report).await? {
                OutcomeUpdate::Recorded => return Ok(()),
                OutcomeUpdate::AlreadyKnown => "already known",
                OutcomeUpdate::UnknownEmail => "unknown email",
            },
        };
        count(Metric::MailEventsSkipped);
        tracing::info!(reason, "SES event skipped");
        Ok(())
    }

    async fn record_outcome(&self, report: &DeliveryReport) -> Result<OutcomeUpdate, AwsError> {
        let DeliveryReport {
            email,
            address,
            id,
            outcome,
        } = report;
        let update = self.users.record_outcome(email, id, address, outcome);
        let update = update.await?;
        if update == OutcomeUpdate::Recorded {
            let (account, state) = (email.digest(), outcome.state.as_str());
            tracing::info!(account, state, "delivery outcome recorded");
            if let Some(metric) = outcome_metric(outcome.state) {
                count(metric);
            }
        }
        Ok(update)
    }

    fn email_context<'a>(&'a self, row: &'a OutboxRow, user: &'a User) -> EmailContext<'a> {
        let brand = &self.settings.brand;
        EmailContext {
            app_name: brand.app_name.as_deref().unwrap_or_default(),
            support_url: brand.support_url.as_ref(),
            color: &brand.color,
            on_color: brand.on_color,
            // Email programs do not show images embedded as data URLs.
            logo: brand
                .logo
                .as_deref()
                .filter(|logo| !logo.starts_with("data:")),
            name: user.name.as_deref(),
            mail_to: &user.mail_to,
            locales: [user.locale.as_deref(), row.locale.as_deref()],
        }
    }
}

/// Returns the moment at which half of the invocation's time has passed; `None` if Lambda set no
/// deadline.
fn soft_deadline(deadline_millis: u64, now: DateTime<Utc>) -> Option<Instant> {
    let now_millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let remaining = deadline_millis.saturating_sub(now_millis);
    (remaining > 0).then(|| Instant::now() + Duration::from_millis(remaining / 2))
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

/// Returns the reason not to send the user an email of `kind`, if there is one. The notice also
/// goes to the owner of an inactive account.
fn reason_not_to_send(user: &User, kind: EmailKind) -> Option<&'static str> {
    if kind == EmailKind::ResetRequested && !user.is_active {
        Some("inactive account")
    } else if user.suppression().is_some() {
        Some("suppressed")
    } else {
        None
    }
}

fn outcome_metric(state: DeliveryState) -> Option<Metric> {
    match state {
        DeliveryState::Delivered => Some(Metric::MailsDelivered),
        DeliveryState::SoftBounced => Some(Metric::MailsSoftBounced),
        DeliveryState::Bounced => Some(Metric::MailsBounced),
        DeliveryState::Complained => Some(Metric::MailsComplained),
        DeliveryState::Rejected => Some(Metric::MailsRejected),
        // Counted as a failure to send, still in transit, or not spam after all.
        DeliveryState::Refused | DeliveryState::Delayed | DeliveryState::NotSpam => None,
    }
}
