//! Sending through Amazon SES.

use std::time::Duration;

use aws::{AwsError, SdkConfig};
use aws_sdk_sesv2::{
    Client,
    config::timeout::TimeoutConfig,
    error::SdkError,
    operation::send_email::SendEmailError,
    types::{Body, Content, Destination, EmailContent, Message, MessageHeader, MessageTag},
};
use content::email::Email;
use rules::{
    environment::Environment,
    recovery::{EmailId, EmailKind},
};

use crate::settings::MailerSettings;

/// Time limit of one attempt. SES responds in well under a second, and an email can wait longer
/// than a person at a page.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of all attempts together.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the application's emails.
pub(crate) struct Sender {
    client: Client,
    from: String,
    reply_to: Option<String>,
    configuration_set: Option<String>,
}

/// The reason why SES did not accept an email.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// SES will never accept it: the address or the message is invalid.
    #[error("refused permanently: {0}")]
    Refused(#[source] AwsError),
    /// SES may accept it later: a temporary fault, or something that the account's operator can
    /// fix.
    #[error("not sent yet: {0}")]
    Later(#[source] AwsError),
}

impl Sender {
    pub(crate) fn new(settings: &MailerSettings, aws: &SdkConfig, env: &Environment<'_>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let mut config = aws_sdk_sesv2::config::Builder::from(aws).timeout_config(timeouts);
        config.set_endpoint_url(aws::endpoint(env, "AWS_ENDPOINT_URL_SESV2"));
        Self {
            client: Client::from_conf(config.build()),
            from: settings.mail_from.clone(),
            reply_to: settings.reply_to.clone(),
            configuration_set: settings.configuration_set.clone(),
        }
    }

    /// Sends `email` to `to`, tagged with its kind and ID. SES repeats the tags in delivery events.
    pub(crate) async fn send(
        &self,
        to: &str,
        kind: EmailKind,
        id: &EmailId,
        email: &Email,
    ) -> Result<(), SendError> {
        self.client
            .send_email()
            .from_email_address(&self.from)
            .destination(Destination::builder().to_addresses(to).build())
            .set_reply_to_addresses(self.reply_to.clone().map(|address| vec![address]))
            .set_configuration_set_name(self.configuration_set.clone())
            .email_tags(tag("kind", kind.as_str()))
            .email_tags(tag("mail", id.as_str()))
            .content(content(email))
            .send()
            .await
            .map_err(|error| {
                let is_final = is_permanent(&error);
                let error = AwsError::new("SendEmail", &error);
                if is_final {
                    SendError::Refused(error)
                } else {
                    SendError::Later(error)
                }
            })?;
        Ok(())
    }
}

/// Returns whether the same email can never be sent. The operator can fix everything else while the
/// email waits: a paused account, an unverified sender or sandbox recipient, a quota, a missing
/// configuration set.
fn is_permanent(error: &SdkError<SendEmailError>) -> bool {
    match error.as_service_error() {
        Some(SendEmailError::BadRequestException(_)) => true,
        // One error with two meanings, which only its text distinguishes.
        Some(SendEmailError::MessageRejected(rejected)) => !rejected
            .message()
            .unwrap_or_default()
            .to_lowercase()
            .contains("not verified"),
        _ => false,
    }
}

fn content(email: &Email) -> EmailContent {
    let text = |text: &str| {
        Content::builder()
            .data(text)
            .charset("UTF-8")
            .build()
            .expect("content with data")
    };
    // RFC 3834 §5: prevents automatic replies such as vacation notices.
    let automatic = MessageHeader::builder()
        .name("Auto-Submitted")
        .value("auto-generated")
        .build();
    let message = Message::builder()
        .subject(text(&email.subject))
        .body(
            Body::builder()
                .text(text(&email.text))
                .html(text(&email.html))
                .build(),
        )
        .headers(automatic.expect("a header with a name and a value"))
        .build();
    EmailContent::builder().simple(message).build()
}

fn tag(name: &str, value: &str) -> MessageTag {
    MessageTag::builder()
        .name(name)
        .value(value)
        .build()
        .expect("a tag with a name and a value")
}
