//! Logs and metrics: JSON lines on standard output.
//!
//! Nothing but this project's own events is written below a warning, whatever the level: the
//! runtime and the SDK log whole payloads at their lower levels, and a payload holds a password.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, filter_fn},
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::settings::{Environment, SettingError};

/// The target of [`count`]'s events.
const METRICS: &str = "metrics";
/// The namespace of the metrics in CloudWatch.
const NAMESPACE: &str = "AccountRecovery";
/// The targets whose events are this project's own.
const OWN_TARGETS: [&str; 6] = ["shared", "request", "confirm", "mailer", "manage", "local"];

/// Adds `value` to the metric `name`.
pub fn count(name: &'static str, value: u64) {
    tracing::info!(target: METRICS, name, value);
}

/// Starts logging for the function `name`: lines of JSON with times in UTC, at the level of
/// `AWS_LAMBDA_LOG_LEVEL` (INFO unless it is set), and metrics in CloudWatch's embedded format.
pub fn init(name: &'static str, env: &Environment<'_>) -> Result<(), SettingError> {
    let wanted = "TRACE, DEBUG, INFO, WARN, ERROR or FATAL";
    let level = env
        .optional("AWS_LAMBDA_LOG_LEVEL", wanted, parse_level)?
        .unwrap_or(Level::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(events_up_to(level));
    // Lambda's own name for it tells the functions of two stacks apart.
    let function = env
        .get("AWS_LAMBDA_FUNCTION_NAME")
        .unwrap_or_else(|| name.to_owned());
    let function = Value::from(function).to_string();
    let metrics = EmbeddedMetrics { function }.with_filter(filter_fn(is_metric));
    tracing_subscriber::registry()
        .with(lines)
        .with(metrics)
        .init();
    log_panics();
    Ok(())
}

/// Lambda's names of levels; FATAL is none of tracing's.
fn parse_level(text: &str) -> Option<Level> {
    if text.eq_ignore_ascii_case("fatal") {
        Some(Level::ERROR)
    } else {
        text.parse().ok()
    }
}

/// This project's events up to `level`, and other crates' from WARN on.
#[must_use]
pub fn events_up_to(level: Level) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(move |event| {
        let own = event
            .target()
            .split("::")
            .next()
            .is_some_and(|name| OWN_TARGETS.contains(&name));
        !is_metric(event) && *event.level() <= if own { level } else { level.min(Level::WARN) }
    })
}

/// The name and the value of the metric that `event` is, if it is one.
#[must_use]
pub fn metric(event: &Event<'_>) -> Option<(String, u64)> {
    is_metric(event.metadata()).then(|| {
        let mut fields = Fields::default();
        event.record(&mut fields);
        (fields.name, fields.value)
    })
}

fn is_metric(event: &Metadata<'_>) -> bool {
    event.target() == METRICS
}

/// Logs where a panic was, not what it said: the message of a failed index or slice quotes the
/// data.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string);
        tracing::error!(location, "panicked");
    }));
}

/// Writes each [`count`] as a line in CloudWatch's embedded metric format.
struct EmbeddedMetrics {
    /// Its name as a JSON string.
    function: String,
}

impl<S: Subscriber> Layer<S> for EmbeddedMetrics {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some((name, value)) = metric(event) else {
            return;
        };
        let millis = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis());
        let millis = u64::try_from(millis).unwrap_or(0);
        let line = embedded_metric(&self.function, &name, value, millis);
        // A metric that cannot be written must not fail the request that it counts.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// The line of the metric `name`, which is a plain word. `function` is a JSON string. Written by
/// hand, since every request writes one: no tree is made of it first.
fn embedded_metric(function: &str, name: &str, value: u64, epoch_millis: u64) -> String {
    format!(
        r#"{{"_aws":{{"Timestamp":{epoch_millis},"CloudWatchMetrics":[{{"Namespace":"{NAMESPACE}","Dimensions":[["function"]],"Metrics":[{{"Name":"{name}","Unit":"Count"}}]}}]}},"function":{function},"{name}":{value}}}"#
    )
}

#[derive(Default)]
struct Fields {
    name: String,
    value: u64,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "value" {
            self.value = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "name" {
            value.clone_into(&mut self.name);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_a_line_that_cloudwatch_reads() {
        let line = embedded_metric(r#""a \"b\"""#, "requests", 1, 1_700_000_000_000);
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["requests"], 1);
        assert_eq!(line["function"], r#"a "b""#);
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"],
            "requests"
        );
        assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_000_u64);
    }

    #[test]
    fn lambda_level_names_are_read() {
        assert_eq!(parse_level("TRACE"), Some(Level::TRACE));
        assert_eq!(parse_level("fatal"), Some(Level::ERROR));
        assert_eq!(parse_level("loud"), None);
    }
}
