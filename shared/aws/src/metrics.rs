//! Metrics in CloudWatch's embedded metric format.
//!
//! A metric is a tracing event of its own target. Under Lambda a layer prints it as a line for
//! CloudWatch; on a laptop another layer counts it for the admin panel.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// The target of the events that [`count`] emits.
const TARGET: &str = "metrics";
/// The namespace in CloudWatch.
const NAMESPACE: &str = "AccountRecovery";

/// Declares the metrics once: the enum, their names and the list of all of them.
macro_rules! metrics {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Everything that the functions count. Alarms, dashboard and docs use the same names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $($(#[$doc])* $variant,)+
        }

        impl Metric {
            /// Every metric.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the metric's name in CloudWatch.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

metrics! {
    /// Requests for a reset email, well-formed or not.
    Requests = "requests",
    /// Requests over the client's limit.
    RequestsLimited = "requests_limited",
    /// Emails that SES accepted.
    MailsSent = "mails_sent",
    /// Emails that SES did not accept: retried, or refused for good.
    MailsFailed = "mails_failed",
    /// Outbox records that need no email.
    MailsSkipped = "mails_skipped",
    /// Emails delivered to the recipient's server.
    MailsDelivered = "mails_delivered",
    /// Emails to the canary that were delivered. They count as nothing else.
    CanaryDelivered = "canary_delivered",
    /// Temporary bounces.
    MailsSoftBounced = "mails_soft_bounced",
    /// Permanent bounces.
    MailsBounced = "mails_bounced",
    /// Emails that the recipient reported as spam.
    MailsComplained = "mails_complained",
    /// Emails that SES accepted and then did not send.
    MailsRejected = "mails_rejected",
    /// Events from SES that change nothing.
    MailEventsSkipped = "mail_events_skipped",
    /// Emails not sent because several users share the address.
    AddressesAmbiguous = "addresses_ambiguous",
    /// Passwords that were set.
    Resets = "resets",
    /// Tokens that were refused.
    TokensRejected = "tokens_rejected",
    /// Passwords that the policy refused.
    PasswordsRejected = "passwords_rejected",
    /// Passwords accepted without a response from the breach service.
    BreachChecksFailed = "breach_checks_failed",
}

/// Adds one to `metric`.
pub fn count(metric: Metric) {
    tracing::info!(target: TARGET, name = metric.as_str());
}

/// Adds one to `metric` because of `reason`. Logs Insights can query the account's digest and the
/// reason.
pub fn count_for(metric: Metric, account: &str, reason: &impl fmt::Display) {
    tracing::info!(target: TARGET, name = metric.as_str(), account, %reason);
}

/// Returns the name of the metric that `event` counts, or `None` for any other event.
#[must_use]
pub fn name_of(event: &Event<'_>) -> Option<String> {
    is_metric(event.metadata()).then(|| Fields::of(event).name)
}

pub(crate) fn is_metric(event: &Metadata<'_>) -> bool {
    event.target() == TARGET
}

/// The fields of an event that counts a metric.
#[derive(Default)]
struct Fields {
    name: String,
    /// The other fields, as members of a JSON object.
    properties: String,
}

impl Fields {
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "name" => value.clone_into(&mut self.name),
            property => {
                let value = serde_json::Value::from(value);
                let _ = write!(self.properties, r#","{property}":{value}"#);
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Prints each [`count`] as a line in the embedded metric format.
pub(crate) struct EmbeddedMetrics {
    /// The dimension `function`, as a JSON string.
    function: String,
}

impl EmbeddedMetrics {
    /// Creates the layer for the Lambda function named `function`.
    pub(crate) fn new(function: &str) -> Self {
        Self {
            function: serde_json::Value::from(function).to_string(),
        }
    }
}

impl<S: Subscriber> Layer<S> for EmbeddedMetrics {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !is_metric(event.metadata()) {
            return;
        }
        let fields = Fields::of(event);
        let millis = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis());
        let line = embedded_metric(&self.function, &fields, millis);
        // A metric that cannot be written must not fail the request that it counts.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// Formats one line. `function` is a JSON string; the name is a plain word and needs no escaping.
///
/// Every request writes a line. This template takes 1,250 instructions; building and printing a
/// `serde_json::Value` takes 16,200, a fortieth of a warm request (callgrind, release build).
fn embedded_metric(function: &str, fields: &Fields, epoch_millis: u128) -> String {
    let Fields { name, properties } = fields;
    format!(
        r#"{{"_aws":{{"Timestamp":{epoch_millis},"CloudWatchMetrics":[{{"Namespace":"{NAMESPACE}","Dimensions":[["function"]],"Metrics":[{{"Name":"{name}","Unit":"Count"}}]}}]}},"function":{function},"{name}":1{properties}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_metric_is_a_line_that_cloudwatch_reads() {
        let layer = EmbeddedMetrics::new(r#"a "b""#);
        let fields = Fields {
            name: "requests".to_owned(),
            properties: r#","reason":"busy""#.to_owned(),
        };
        let line = embedded_metric(&layer.function, &fields, 1_700_000_000_000);
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["requests"], 1);
        assert_eq!(line["reason"], "busy");
        assert_eq!(line["function"], r#"a "b""#);
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"],
            "requests"
        );
        assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_000_u64);
    }

    #[test]
    fn names_are_distinct_plain_words() {
        for (index, metric) in Metric::ALL.iter().enumerate() {
            let name = metric.as_str();
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
            let others = &Metric::ALL[index + 1..];
            assert!(others.iter().all(|other| other.as_str() != name), "{name}");
        }
    }
}
