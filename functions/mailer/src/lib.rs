//! Sends the emails that are due, and records the delivery outcomes that SES reports.
//!
//! Each email is a message of a queue. The messages of a batch are handled concurrently, and each
//! succeeds or fails on its own: one that fails returns to the queue, and after six hours it moves
//! to the queue of unsent email. Only an email whose recipient SES refuses is given up.

mod batch;
mod message;
mod refusal;
mod sender;
mod ses_event;
pub mod settings;

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws::{
    AwsError, DynamoDb, SdkConfig,
    metrics::{Metric, count, count_for},
    tables::{BudgetClaim, OutboxRow, OutcomeUpdate, TokenRow, Tokens, User, UserLookup, Users},
};
use chrono::{DateTime, Utc};
use content::email::{self, Email, EmailContext};
use futures::{StreamExt, stream};
use lambda_runtime::{Error, LambdaEvent};
use rand::TryCryptoRng;
use rules::{
    address::EmailAddress,
    canary::{self, is_canary},
    environment::Environment,
    recovery::{DeliveryOutcome, DeliveryState, EmailId, EmailKind},
    token::ResetToken,
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

pub use batch::{Batch, BatchItemFailure, BatchResponse};
use message::Content;
use sender::{LONGEST_SEND, SendError, Sender};
use ses_event::DeliveryReport;
use settings::MailerSettings;

/// Accounts handled concurrently: the size of a batch from SQS without a batching window.
const MAX_CONCURRENT_ACCOUNTS: usize = 10;
/// Maximum number of attempts at claiming an email while other writers change the user's row: more
/// than a concurrent batch has messages for the same account.
const MAX_CLAIM_ATTEMPTS: usize = 12;

/// State of the handler, built once at start-up.
pub struct App {
    users: Users,
    tokens: Tokens,
    sender: Sender,
    settings: MailerSettings,
}

/// An event that the function is invoked with.
pub enum Event {
    /// Messages of the mail queue, from Lambda's event source mapping.
    Emails(Batch),
    /// A delivery event from SES, through `EventBridge`.
    Ses(Value),
}

/// Error for an event that is neither a batch of SQS messages nor from SES.
#[derive(Debug, thiserror::Error)]
#[error("expected messages of an SQS queue or an event from SES")]
pub struct UnknownEvent;

impl Event {
    /// Recognises `event` by its shape.
    pub fn read(event: Value) -> Result<Self, UnknownEvent> {
        if event["source"] == "aws.ses" && event["detail"].is_object() {
            return Ok(Self::Ses(event));
        }
        Batch::read(&event).map(Self::Emails)
    }
}

/// The reason why an email was not sent yet.
#[derive(Debug, thiserror::Error)]
enum RetryReason {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("cannot generate a token: {0}")]
    Random(String),
    #[error("the function's time is nearly up")]
    OutOfTime,
    #[error("not a record of the outbox's stream")]
    Unreadable,
}

/// The result of handling a message that need not return to the queue.
#[derive(Debug)]
enum MessageResult {
    Sent,
    /// No email is due, for this reason.
    Skipped(&'static str),
    /// SES refuses the recipient.
    Refused(AwsError),
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
    pub async fn handle<R: TryCryptoRng + Send>(
        &self,
        event: LambdaEvent<Value>,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Result<Value, Error> {
        let end_by = end_by(event.context.deadline, now);
        Ok(match Event::read(event.payload)? {
            Event::Emails(batch) => {
                serde_json::to_value(self.handle_batch(batch, now, end_by, rng).await)?
            }
            Event::Ses(event) => {
                self.handle_ses_event(&event).await?;
                Value::Null
            }
        })
    }

    /// Handles a batch: its accounts concurrently, the messages of one account in order.
    ///
    /// Messages unfinished at `end_by` return to the queue. A timeout of the function would return
    /// the whole batch and send its emails again.
    pub async fn handle_batch<R: TryCryptoRng + Send>(
        &self,
        batch: Batch,
        now: DateTime<Utc>,
        end_by: Option<Instant>,
        rng: &mut R,
    ) -> BatchResponse {
        let rng = Mutex::new(rng);
        let accounts = batch.accounts(now).into_iter();
        let accounts: Vec<_> = accounts
            .map(|messages| self.handle_account(messages, now, end_by, &rng))
            .collect();
        let failed = stream::iter(accounts).buffer_unordered(MAX_CONCURRENT_ACCOUNTS);
        let failed: Vec<Vec<&str>> = failed.collect().await;
        batch.response(&failed.into_iter().flatten().collect())
    }

    /// Handles the messages of one account in order. Returns the IDs of those that failed.
    async fn handle_account<'a, R: TryCryptoRng>(
        &self,
        messages: Vec<(&'a str, Content)>,
        now: DateTime<Utc>,
        end_by: Option<Instant>,
        rng: &Mutex<&mut R>,
    ) -> Vec<&'a str> {
        let (mut failed, mut sent) = (Vec::new(), HashSet::new());
        for (index, (id, content)) in messages.into_iter().enumerate() {
            let email = content.email_id();
            let handled = if email.as_ref().is_some_and(|email| sent.contains(email)) {
                Ok(MessageResult::Skipped("sent before"))
            } else if index > 0 && !has_time_to_send(end_by) {
                Err(RetryReason::OutOfTime)
            } else {
                let handled = Box::pin(self.handle_message(&content, now, rng));
                within(end_by, handled).await
            };
            if matches!(handled, Ok(MessageResult::Sent)) {
                sent.extend(email);
            }
            if !report(id, &content, handled) {
                failed.push(id);
            }
        }
        failed
    }

    async fn handle_message<R: TryCryptoRng>(
        &self,
        content: &Content,
        now: DateTime<Utc>,
        rng: &Mutex<&mut R>,
    ) -> Result<MessageResult, RetryReason> {
        let row = match content {
            Content::Email(row) => row,
            Content::Deletion => return Ok(MessageResult::Skipped("a deleted row")),
            Content::Unreadable => return Err(RetryReason::Unreadable),
        };
        let user = match self.claim(row, now).await? {
            Claim::Granted(user) => user,
            Claim::Denied(reason) => return Ok(MessageResult::Skipped(reason)),
        };
        match row.kind {
            EmailKind::ResetRequested => self.send_link(row, &user, now, rng).await,
            EmailKind::PasswordChanged => self.send_notice(row, &user, now).await,
        }
    }

    /// Looks up the user of `row`, records the email in their row and charges their budget.
    async fn claim(&self, row: &OutboxRow, now: DateTime<Utc>) -> Result<Claim, AwsError> {
        let id = row.email_id();
        let budget = if is_canary(&row.email) {
            canary::budget()
        } else {
            self.settings.budget
        };
        let mut last_version = None;
        for attempt in 0..MAX_CLAIM_ATTEMPTS {
            let user = match self.users.find(&row.email).await? {
                UserLookup::One(user) => user,
                UserLookup::Unknown => return Ok(Claim::Denied("unknown address")),
                UserLookup::Ambiguous => {
                    count(Metric::AddressesAmbiguous);
                    return Ok(Claim::Denied("several accounts have the address"));
                }
            };
            if let Some(reason) = reason_not_to_send(&user, row.kind, &id) {
                return Ok(Claim::Denied(reason));
            }
            let version = Some(user.recovery.version);
            if attempt > 1 && version == last_version {
                let reason = "nobody else changes the row, but it takes no update";
                return Err(AwsError::of("UpdateItem users", reason));
            }
            last_version = version;
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
        rng: &Mutex<&mut R>,
    ) -> Result<MessageResult, RetryReason> {
        let token = {
            let mut rng = rng.lock().unwrap_or_else(PoisonError::into_inner);
            ResetToken::generate(&mut **rng)
        };
        let token = token.map_err(|error| RetryReason::Random(error.to_string()))?;
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
    ) -> Result<MessageResult, RetryReason> {
        let email = email::password_changed(&self.email_context(row, user), row.at);
        self.send(row, user, &email, now).await
    }

    async fn send(
        &self,
        row: &OutboxRow,
        user: &User,
        email: &Email,
        now: DateTime<Utc>,
    ) -> Result<MessageResult, RetryReason> {
        let id = row.email_id();
        let sent = self.sender.send(&user.mail_to, row.kind, &id, email);
        match sent.await {
            Ok(()) => {
                let (account, kind) = (user.email.digest(), row.kind.as_str());
                tracing::info!(account, kind, "email sent");
                if user.recovery.outcome(&id).is_some() {
                    let outcome = DeliveryOutcome::new(DeliveryState::Sent, now);
                    self.note(user, &id, &outcome).await;
                }
                Ok(MessageResult::Sent)
            }
            Err(SendError::Refused(error)) => {
                let outcome = DeliveryOutcome::new(DeliveryState::Refused, now).because(&error);
                let (users, to) = (&self.users, &user.mail_to);
                users.record_outcome(&user.email, &id, to, &outcome).await?;
                Ok(MessageResult::Refused(error))
            }
            Err(SendError::Later(error)) => {
                let outcome = DeliveryOutcome::new(DeliveryState::Waiting, now).because(&error);
                self.note(user, &id, &outcome).await;
                Err(SendError::Later(error).into())
            }
        }
    }

    /// Records the state of an email for operators. A failure changes nothing for the email.
    async fn note(&self, user: &User, id: &EmailId, outcome: &DeliveryOutcome) {
        let recorded = self
            .users
            .record_outcome(&user.email, id, &user.mail_to, outcome);
        if let Err(error) = recorded.await {
            let account = user.email.digest();
            tracing::warn!(account, %error, "the state of the email is not recorded");
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
            if let Some(metric) = outcome_metric(email, outcome.state) {
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

/// Returns the moment at which nine tenths of the invocation's time have passed; `None` if Lambda
/// set no deadline.
fn end_by(deadline_millis: u64, now: DateTime<Utc>) -> Option<Instant> {
    let now_millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let remaining = deadline_millis.saturating_sub(now_millis);
    (remaining > 0).then(|| Instant::now() + Duration::from_millis(remaining / 10 * 9))
}

/// Returns whether a further email can be sent before `end_by`: SES may accept one whose sending is
/// cut off. The first of an account is always tried, or a function with a short timeout would send
/// nothing.
fn has_time_to_send(end_by: Option<Instant>) -> bool {
    end_by.is_none_or(|end_by| Instant::now() + LONGEST_SEND <= end_by)
}

/// Runs `handling` until `end_by`.
async fn within(
    end_by: Option<Instant>,
    handling: impl Future<Output = Result<MessageResult, RetryReason>>,
) -> Result<MessageResult, RetryReason> {
    match end_by {
        None => handling.await,
        Some(end_by) => timeout_at(end_by, handling)
            .await
            .unwrap_or(Err(RetryReason::OutOfTime)),
    }
}

/// Logs and counts the result of a message; returns whether the message is done.
fn report(id: &str, content: &Content, handled: Result<MessageResult, RetryReason>) -> bool {
    let account = content.account().map(EmailAddress::digest);
    let account = account.as_deref().unwrap_or_default();
    match handled {
        Ok(MessageResult::Sent) => {
            // The canary's emails would lower the bounce rate of the others.
            if !content.account().is_some_and(is_canary) {
                count(Metric::MailsSent);
            }
            true
        }
        Ok(MessageResult::Skipped(reason)) => {
            count(Metric::MailsSkipped);
            tracing::info!(account, reason, "no email sent");
            true
        }
        Ok(MessageResult::Refused(error)) => {
            count_for(Metric::MailsFailed, account, &error);
            tracing::warn!(account, %error, "SES refused the recipient");
            true
        }
        Err(error) => {
            count_for(Metric::MailsFailed, account, &error);
            tracing::error!(message_id = id, account, %error, "the email will be retried");
            false
        }
    }
}

/// Returns the reason not to send the user the email `id` of `kind`, if there is one. The notice
/// also goes to the owner of an inactive account.
fn reason_not_to_send(user: &User, kind: EmailKind, id: &EmailId) -> Option<&'static str> {
    let known = user.recovery.outcome(id).map(|outcome| outcome.state);
    if kind == EmailKind::ResetRequested && !user.is_active {
        Some("inactive account")
    } else if user.suppression().is_some() {
        Some("suppressed")
    } else if known >= Some(DeliveryState::Sent) {
        Some("sent before")
    } else {
        None
    }
}

fn outcome_metric(email: &EmailAddress, state: DeliveryState) -> Option<Metric> {
    match state {
        DeliveryState::Delivered if is_canary(email) => Some(Metric::CanaryDelivered),
        DeliveryState::Delivered => Some(Metric::MailsDelivered),
        DeliveryState::SoftBounced => Some(Metric::MailsSoftBounced),
        DeliveryState::Bounced => Some(Metric::MailsBounced),
        DeliveryState::Complained => Some(Metric::MailsComplained),
        DeliveryState::Rejected => Some(Metric::MailsRejected),
        // Counted when it was sent or failed, still in transit, or not spam after all.
        DeliveryState::Waiting
        | DeliveryState::Refused
        | DeliveryState::Sent
        | DeliveryState::Delayed
        | DeliveryState::NotSpam => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_time_is_left_for_the_response() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a time in range");
        let deadline = 1_790_000_030_000;
        let left = end_by(deadline, now).expect("a deadline") - Instant::now();
        let expected = Duration::from_secs(26)..=Duration::from_secs(27);
        assert!(expected.contains(&left), "{left:?}");
        assert_eq!(end_by(0, now), None);
    }
}
