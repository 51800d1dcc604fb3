//! The last 24 hours as small bar charts.

use aws::{AwsError, tables::OUTBOX_READ_ROWS};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use rules::recovery::EmailKind;

use super::panel::Panel;

/// Hours in a chart, including the current one.
const HOURS: usize = 24;
/// Height of a chart.
const HEIGHT: i64 = 60;
/// Width of each hour.
const STEP: usize = 10;
/// Maximum number of reads of the outbox for one page. CloudWatch has the complete numbers of a
/// busy day.
const MAX_OUTBOX_READS: usize = 50;

/// Counts of the last hours, oldest first.
pub(super) struct Overview {
    pub(super) charts: Vec<Chart>,
    /// Each hour with its number in every chart.
    pub(super) hours: Vec<(String, Vec<i64>)>,
    /// Note on counts that are missing.
    pub(super) note: String,
}

/// One chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) total: i64,
    pub(super) max: i64,
    pub(super) bars: Vec<Bar>,
}

/// One bar, in units of the chart's view box.
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: i64,
    pub(super) height: i64,
    /// The hour and its number.
    pub(super) label: String,
}

/// Counts per hour since a time.
#[derive(Clone, Copy)]
struct HourlyCounts {
    since: DateTime<Utc>,
    hours: [i64; HOURS],
}

impl HourlyCounts {
    fn add(&mut self, count: i64, at: DateTime<Utc>) {
        let index =
            usize::try_from((at - self.since).num_seconds().div_euclid(3600)).unwrap_or(HOURS);
        if let Some(total) = self.hours.get_mut(index) {
            *total += count;
        }
    }
}

impl Overview {
    /// Counts the outbox's rows, and what the local system records. The requests of one client in
    /// one window are one row, which counts in the hour of the last request.
    pub(super) async fn read(panel: &Panel, now: DateTime<Utc>) -> Result<Self, AwsError> {
        let hour = TimeDelta::hours(1);
        let since = now.duration_trunc(hour).unwrap_or(now) - hour * 23;
        let none = HourlyCounts {
            since,
            hours: [0; HOURS],
        };
        let (mut requests, mut resets) = (none, none);
        let tally = |kind, count, at| match kind {
            EmailKind::ResetRequested => requests.add(count, at),
            EmailKind::PasswordChanged => resets.add(count, at),
        };
        let outbox = &panel.outbox;
        let is_complete = outbox
            .for_each_since(since, MAX_OUTBOX_READS, tally)
            .await?;
        let mut series = vec![("Requests", requests.hours)];
        if let Some(local) = &panel.local {
            let mut emails = none;
            for at in (local.sent_at)() {
                emails.add(1, at);
            }
            series.push(("Mails", emails.hours));
        }
        series.push(("Passwords reset", resets.hours));
        let refusals = panel
            .local
            .as_ref()
            .and_then(|local| local.refusals.as_ref());
        if let Some(refusals) = refusals {
            let mut refused = none;
            let hours = refusals.by_hour().into_iter();
            hours.for_each(|(at, count)| refused.add(count, at));
            series.push(("Refusals", refused.hours));
        }
        Ok(Self::new(since, &series, note(panel, is_complete)))
    }

    fn new(since: DateTime<Utc>, series: &[(&'static str, [i64; HOURS])], note: String) -> Self {
        let starts: Vec<String> = (0..)
            .map(|hour| since + TimeDelta::hours(hour))
            .map(|start| start.format("%m-%d %H:00").to_string())
            .take(HOURS)
            .collect();
        let chart = |(title, counts): &(&'static str, _)| Chart::new(title, counts, &starts);
        let row = |(hour, start): (usize, &String)| {
            let counts = series.iter().map(|(_, counts)| counts[hour]).collect();
            (start.clone(), counts)
        };
        Self {
            charts: series.iter().map(chart).collect(),
            hours: starts.iter().enumerate().map(row).collect(),
            note,
        }
    }
}

fn note(panel: &Panel, is_complete: bool) -> String {
    let sources = sources_note(panel);
    if is_complete {
        return sources;
    }
    let rows = MAX_OUTBOX_READS * usize::try_from(OUTBOX_READ_ROWS).unwrap_or(0);
    format!("Requests and resets are those in {rows} rows of the outbox, which has more. {sources}")
}

fn sources_note(panel: &Panel) -> String {
    match &panel.local {
        None => {
            "Mails and refusals are in CloudWatch, among the metrics of AccountRecovery.".into()
        }
        Some(local) => local
            .refusals
            .as_ref()
            .map_or_else(String::new, |refusals| {
                let since = refusals.since().format("%Y-%m-%d %H:%M UTC");
                format!("Refusals are counted since this system started, {since}.")
            }),
    }
}

impl Chart {
    fn new(title: &'static str, counts: &[i64; HOURS], starts: &[String]) -> Self {
        let max = counts.iter().copied().max().unwrap_or(0);
        let bar = |(index, (count, start)): (usize, (&i64, &String))| {
            // A count above zero is always visible.
            let height = (count * HEIGHT / max.max(1)).max(i64::from(*count > 0) * 2);
            Bar {
                x: index * STEP + 1,
                y: HEIGHT - height,
                height,
                label: format!("{start}: {count}"),
            }
        };
        Self {
            title,
            total: counts.iter().sum(),
            max,
            bars: counts.iter().zip(starts).enumerate().map(bar).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tallest_bar_fills_the_chart_and_the_smallest_is_visible() {
        let mut counts = [0; HOURS];
        (counts[3], counts[4]) = (1, 1000);
        let starts = vec![String::new(); HOURS];
        let chart = Chart::new("x", &counts, &starts);
        assert_eq!((chart.total, chart.max), (1001, 1000));
        let heights: Vec<i64> = chart.bars[2..5].iter().map(|bar| bar.height).collect();
        assert_eq!(heights, [0, 2, HEIGHT]);
        assert_eq!(chart.bars[4].y, 0);
        assert!(
            Chart::new("x", &[0; HOURS], &starts)
                .bars
                .iter()
                .all(|bar| bar.height == 0)
        );
    }

    #[test]
    fn an_event_counts_in_its_hour_if_that_is_within_the_day() {
        let since = DateTime::from_timestamp(1_800_000_000, 0).expect("a time in range");
        let mut counts = HourlyCounts {
            since,
            hours: [0; HOURS],
        };
        for minutes in [-1, 0, 59, 60, 24 * 60 - 1, 24 * 60] {
            counts.add(1, since + TimeDelta::minutes(minutes));
        }
        assert_eq!(
            (counts.hours[0], counts.hours[1], counts.hours[23]),
            (2, 1, 1)
        );
        assert_eq!(counts.hours.iter().sum::<i64>(), 4);
    }
}
