//! What the functions in this process refused, by the hour.
//!
//! A refusal is written to no table, so this counts the metrics that CloudWatch would; what was
//! refused before the start is not known.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws::metrics::{self, Metric};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, layer::Context};

/// The metrics that are refusals.
const METRICS: [Metric; 3] = [
    Metric::RequestsLimited,
    Metric::TokensRejected,
    Metric::PasswordsRejected,
];
/// How long an hour is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// The counts, and since when there are any. As a layer of the subscriber it hears of every
/// metric.
#[derive(Debug, Clone)]
pub struct Refusals {
    since: DateTime<Utc>,
    now: fn() -> DateTime<Utc>,
    hours: Arc<Mutex<BTreeMap<DateTime<Utc>, i64>>>,
}

impl Refusals {
    /// None so far; `now` tells the time.
    #[must_use]
    pub fn new(now: fn() -> DateTime<Utc>) -> Self {
        Self {
            since: now(),
            now,
            hours: Arc::default(),
        }
    }

    /// When the count began.
    pub(crate) fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// The refusals of each hour that had one, the oldest first.
    pub(crate) fn by_hour(&self) -> Vec<(DateTime<Utc>, i64)> {
        let hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        hours.iter().map(|(hour, count)| (*hour, *count)).collect()
    }

    fn add(&self, now: DateTime<Utc>) {
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        hours.retain(|hour, _| now - *hour < KEPT);
        let hour = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
        *hours.entry(hour).or_default() += 1;
    }
}

impl<S: Subscriber> Layer<S> for Refusals {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let name = metrics::name_of(event);
        if METRICS
            .iter()
            .any(|metric| name.as_deref() == Some(metric.as_str()))
        {
            self.add((self.now)());
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
    }

    #[test]
    fn the_metrics_of_refusals_are_counted_and_no_others() {
        let refusals = Refusals::new(now);
        let subscriber = tracing_subscriber::registry().with(refusals.clone());
        tracing::subscriber::with_default(subscriber, || {
            for metric in Metric::ALL {
                metrics::count(*metric);
            }
            tracing::info!(name = "tokens_rejected", "not a metric");
        });
        assert_eq!(refusals.by_hour(), [(now(), 3)]);
    }

    #[test]
    fn a_day_is_kept() {
        let refusals = Refusals::new(now);
        refusals.add(now());
        refusals.add(now() + TimeDelta::minutes(59));
        refusals.add(now() + TimeDelta::hours(1));
        let counts = |refusals: &Refusals| {
            refusals
                .by_hour()
                .iter()
                .map(|hour| hour.1)
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(&refusals), [2, 1]);
        refusals.add(now() + TimeDelta::hours(24));
        assert_eq!(counts(&refusals), [1, 1]);
    }
}
