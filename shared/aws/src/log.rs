//! Logs: JSON lines on standard output.
//!
//! Events of other crates are logged only at WARN and above, whatever the level: the runtime and
//! the SDK log whole payloads at lower levels, and a payload may contain a password.
//!
//! A line also contains the fields of the spans around its event, in the same object.

use std::fmt;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, filter_fn},
    fmt::{
        FmtContext, FormatEvent, FormattedFields, MakeWriter,
        format::{self, Format, Json, JsonFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use rules::environment::{Environment, SettingError};

use crate::metrics::{EmbeddedMetrics, is_metric};

/// The crates of this workspace, as they appear in an event's target.
const OWN_CRATES: [&str; 10] = [
    "aws",
    "confirm",
    "content",
    "local",
    "mailer",
    "manage",
    "passwords",
    "request",
    "rules",
    "web",
];

/// Starts logging for the function `name`: JSON lines with times in UTC, at the level of
/// `AWS_LAMBDA_LOG_LEVEL` (default INFO), and metrics in CloudWatch's embedded format.
pub fn init(name: &'static str, env: &Environment<'_>) -> Result<(), SettingError> {
    let level = env.with_default(
        "AWS_LAMBDA_LOG_LEVEL",
        "INFO",
        "TRACE, DEBUG, INFO, WARN, ERROR or FATAL",
        parse_level,
    )?;
    let lines = json_lines(level, std::io::stdout);
    // Lambda's name for the function distinguishes two stacks in one account.
    let function = env
        .get("AWS_LAMBDA_FUNCTION_NAME")
        .unwrap_or_else(|| name.to_owned());
    let metrics = EmbeddedMetrics::new(&function).with_filter(filter_fn(is_metric));
    tracing_subscriber::registry()
        .with(lines)
        .with(metrics)
        .init();
    log_panics();
    Ok(())
}

/// Builds the layer that writes events up to `level` to `writer`, one JSON object per line.
pub fn json_lines<S, W>(level: Level, writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let event = format::json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    tracing_subscriber::fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(WithSpanFields(event))
        .with_writer(writer)
        .with_filter(events_up_to(level))
}

/// Adds the fields of an event's spans to its JSON object.
///
/// `tracing_subscriber` can only nest them, and parses them again for each event. At the top level,
/// a field has the same name as in the API's access log.
struct WithSpanFields(Format<Json>);

impl<S> FormatEvent<S, JsonFields> for WithSpanFields
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        let object = line.strip_suffix("}\n").ok_or(fmt::Error)?;
        writer.write_str(object)?;
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let members = fields.map_or("", |fields| fields.trim_matches(['{', '}']));
            if !members.is_empty() {
                write!(writer, ",{members}")?;
            }
        }
        writeln!(writer, "}}")
    }
}

/// Parses one of Lambda's level names. Tracing has no FATAL, so that becomes ERROR.
fn parse_level(text: &str) -> Option<Level> {
    if text.eq_ignore_ascii_case("fatal") {
        Some(Level::ERROR)
    } else {
        text.parse().ok()
    }
}

/// Selects this workspace's events up to `level` and other crates' events at WARN and above.
#[must_use]
pub fn events_up_to(level: Level) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(move |event| {
        let is_own = event
            .target()
            .split("::")
            .next()
            .is_some_and(|name| OWN_CRATES.contains(&name));
        let limit = if is_own {
            level
        } else {
            level.min(Level::WARN)
        };
        !is_metric(event) && *event.level() <= limit
    })
}

/// Logs the location of every panic but not its message: the message of a failed index or slice
/// quotes the data.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic
            .location()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string);
        tracing::error!(location, "panicked");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_that_is_deployed_or_run_is_listed() {
        let manifest = include_str!("../../../Cargo.toml");
        let mut crates: Vec<&str> = manifest
            .lines()
            .filter(|line| line.contains("{ path = \"") && !line.contains("\"tests"))
            .filter_map(|line| line.split(' ').next())
            .collect();
        crates.sort_unstable();
        assert_eq!(crates, OWN_CRATES);
    }

    #[test]
    fn lambda_level_names_are_parsed() {
        assert_eq!(parse_level("TRACE"), Some(Level::TRACE));
        assert_eq!(parse_level("fatal"), Some(Level::ERROR));
        assert_eq!(parse_level("loud"), None);
    }
}
