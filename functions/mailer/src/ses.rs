//! Sending through Amazon SES.

use std::time::Duration;

use aws_sdk_sesv2::{
    Client,
    config::timeout::TimeoutConfig,
    error::SdkError,
    operation::send_email::SendEmailError,
    types::{Body, Content, Destination, EmailContent, Message, MessageHeader, MessageTag},
};
use shared::{
    SdkConfig,
    aws::{self, AwsError},
    mail::Mail,
    settings::{Environment, MailerSettings},
    tables::{Kind, MailEvent},
};

/// SES answers in well under a second; a mail waits longer than a person at a page would.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// All attempts together.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends mail in the application's name.
pub(crate) struct Sender {
    client: Client,
    from: String,
    reply_to: Option<String>,
    configuration_set: Option<String>,
}

/// SES did not take a mail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// It never will: the address or the message is not acceptable.
    #[error("refused for good: {0}")]
    Refused(#[source] AwsError),
    /// It may later: a passing fault, or something about this account that its operator mends.
    #[error("refused for now: {0}")]
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

    /// Sends `mail` to `to`, tagged with its kind and with the event that it answers: SES repeats
    /// the tags where it says what became of the mail.
    pub(crate) async fn send(
        &self,
        to: &str,
        kind: Kind,
        event: &MailEvent,
        mail: &Mail,
    ) -> Result<(), SendError> {
        self.client
            .send_email()
            .from_email_address(&self.from)
            .destination(Destination::builder().to_addresses(to).build())
            .set_reply_to_addresses(self.reply_to.clone().map(|address| vec![address]))
            .set_configuration_set_name(self.configuration_set.clone())
            .email_tags(tag("kind", kind.as_str()))
            .email_tags(tag("mail", event.as_str()))
            .content(content(mail))
            .send()
            .await
            .map_err(|error| {
                let is_final = is_about_the_mail(&error);
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

/// Whether sending the same mail again can never succeed. Everything else, an account that is
/// paused, a sender or sandbox recipient that is not verified, a quota, a configuration set that
/// is not there, is for the operator to mend while the mail waits.
fn is_about_the_mail(error: &SdkError<SendEmailError>) -> bool {
    match error.as_service_error() {
        Some(SendEmailError::BadRequestException(_)) => true,
        // The one error has two meanings, which only its text tells apart.
        Some(SendEmailError::MessageRejected(rejected)) => !rejected
            .message()
            .unwrap_or_default()
            .to_lowercase()
            .contains("not verified"),
        _ => false,
    }
}

fn content(mail: &Mail) -> EmailContent {
    let text = |text: &str| {
        Content::builder()
            .data(text)
            .charset("UTF-8")
            .build()
            .expect("it has data")
    };
    // RFC 3834 §5: no vacation notice shall answer.
    let automatic = MessageHeader::builder()
        .name("Auto-Submitted")
        .value("auto-generated")
        .build();
    let message = Message::builder()
        .subject(text(&mail.subject))
        .body(
            Body::builder()
                .text(text(&mail.text))
                .html(text(&mail.html))
                .build(),
        )
        .headers(automatic.expect("it has a name and a value"))
        .build();
    EmailContent::builder().simple(message).build()
}

fn tag(name: &str, value: &str) -> MessageTag {
    MessageTag::builder()
        .name(name)
        .value(value)
        .build()
        .expect("it has a name and a value")
}
