//! Sending through Amazon SES.

use std::time::Duration;

use aws::{AwsError, SdkConfig};
use aws_sdk_sesv2::{
    Client,
    config::timeout::TimeoutConfig,
    error::{ProvideErrorMetadata, SdkError},
    operation::send_email::SendEmailError,
    types::{
        Body, ConfigurationOverrides, Content, Destination, EmailContent, FeatureStatus, Message,
        MessageHeader, MessageTag, TrackingConfigurationOverrides,
    },
};
use content::email::Email;
use rules::{
    environment::Environment,
    recovery::{EmailId, EmailKind},
};

use crate::{refusal::Refusal, settings::MailerSettings};

/// Time limit of one attempt. SES responds in well under a second, and an email can wait longer
/// than a person at a page.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit of all attempts together.
pub(crate) const LONGEST_SEND: Duration = Duration::from_secs(10);

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
    /// SES will never send email to this recipient.
    #[error("refused: {0}")]
    Refused(#[source] AwsError),
    /// SES may accept the email later: a temporary fault, or something that the account's operator
    /// can fix.
    #[error("not sent yet: {0}")]
    Later(#[source] AwsError),
}

impl Sender {
    pub(crate) fn new(settings: &MailerSettings, aws: &SdkConfig, env: &Environment<'_>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(LONGEST_SEND)
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
            .configuration_overrides(without_tracking())
            .email_tags(tag("kind", kind.as_str()))
            .email_tags(tag("mail", id.as_str()))
            .content(content(email))
            .send()
            .await
            .map_err(|error| send_error(&error, to))?;
        Ok(())
    }
}

fn send_error(error: &SdkError<SendEmailError>, recipient: &str) -> SendError {
    let (code, text) = (error.code(), error.message());
    let refusal = Refusal::read(
        code.unwrap_or_default(),
        text.unwrap_or_default(),
        recipient,
    );
    let error = AwsError::new("SendEmail", error);
    match refusal {
        Refusal::Recipient(meaning) => SendError::Refused(error.explained(meaning)),
        Refusal::Later(None) => SendError::Later(error),
        Refusal::Later(Some(meaning)) => SendError::Later(error.explained(meaning)),
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

/// Keeps SES from rewriting links and from adding a tracking image, whatever the configuration set
/// and the account say. A rewritten link would give the token to the tracking host.
fn without_tracking() -> ConfigurationOverrides {
    let tracking = TrackingConfigurationOverrides::builder()
        .click_tracking_enabled(FeatureStatus::Disabled)
        .open_tracking_enabled(FeatureStatus::Disabled);
    ConfigurationOverrides::builder()
        .tracking(tracking.build())
        .build()
}

fn tag(name: &str, value: &str) -> MessageTag {
    MessageTag::builder()
        .name(name)
        .value(value)
        .build()
        .expect("a tag with a name and a value")
}
