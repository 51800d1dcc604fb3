//! Requests that the functions in this process refused, per hour.
//!
//! No table stores refusals, so this counts their metrics, as CloudWatch does. Those before the
//! start of the process are unknown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws::metrics::{self, Metric};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, layer::Context};

/// Metrics of refusals.
const METRICS: [Metric; 3] = [
    Metric::RequestsLimited,
    Metric::TokensRejected,
    Metric::PasswordsRejected,
];
/// Time for which counts are kept.
const RETENTION: TimeDelta = TimeDelta::hours(24);

/// Counts of refusals. As a layer of the tracing subscriber, it receives every metric.
#[derive(Debug, Clone)]
pub struct Refusals {
    since: DateTime<Utc>,
    now: fn() -> DateTime<Utc>,
    hours: Arc<Mutex<BTreeMap<DateTime<Utc>, i64>>>,
}

impl Refusals {
    /// Starts counting. `now` returns the current time.
    #[must_use]
    pub fn new(now: fn() -> DateTime<Utc>) -> Self {
        Self {
            since: now(),
            now,
            hours: Arc::default(),
        }
    }

    /// Returns when counting started.
    pub(crate) fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// Returns the count of each hour that had refusals, oldest first.
    pub(crate) fn by_hour(&self) -> Vec<(DateTime<Utc>, i64)> {
        let hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        hours.iter().map(|(hour, count)| (*hour, *count)).collect()
    }

    fn add(&self, now: DateTime<Utc>) {
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        hours.retain(|hour, _| now - *hour < RETENTION);
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
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time in range")
    }

    #[test]
    fn only_metrics_of_refusals_are_counted() {
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
    fn counts_are_kept_for_a_day() {
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
