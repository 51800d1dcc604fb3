//! The last 24 hours of the outbox as small bar charts.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use shared::{
    aws::AwsError,
    tables::{Kind, Outbox},
};

/// Hours in a chart, the one under way included.
const HOURS: usize = 24;
/// A chart's height, and the room that each hour has.
const HEIGHT: i64 = 60;
const STEP: usize = 10;

/// What happened, hour by hour, the oldest first.
pub(super) struct Overview {
    pub(super) hours: Vec<Hour>,
    pub(super) charts: [Chart; 2],
}

/// One hour.
pub(super) struct Hour {
    pub(super) begins: String,
    pub(super) requests: i64,
    pub(super) changes: i64,
}

/// One chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) total: i64,
    pub(super) most: i64,
    pub(super) bars: Vec<Bar>,
}

/// One bar, in the units of the chart's view box.
pub(super) struct Bar {
    pub(super) x: usize,
    pub(super) y: i64,
    pub(super) height: i64,
}

impl Overview {
    /// Counts the outbox. The requests of one client in one window are one row, which counts in
    /// the hour of the last of them.
    pub(super) async fn read(outbox: &Outbox, now: DateTime<Utc>) -> Result<Self, AwsError> {
        let hour = TimeDelta::hours(1);
        let this_hour = now.duration_trunc(hour).unwrap_or(now);
        let since = this_hour - hour * 23;
        let (mut requests, mut changes) = ([0_i64; HOURS], [0_i64; HOURS]);
        let tally = |kind, count, at: DateTime<Utc>| {
            let counts = match kind {
                Kind::ResetRequested => &mut requests,
                Kind::PasswordChanged => &mut changes,
            };
            let index = usize::try_from((at - since).num_hours()).unwrap_or(HOURS);
            if let Some(total) = counts.get_mut(index) {
                *total += count;
            }
        };
        outbox.for_each_since(since, tally).await?;
        Ok(Self::new(since, requests, changes))
    }

    fn new(since: DateTime<Utc>, requests: [i64; HOURS], changes: [i64; HOURS]) -> Self {
        let begins = (0..).map(|hours| since + TimeDelta::hours(hours));
        let hours = begins
            .zip(requests.iter().zip(&changes))
            .map(|(begins, (requests, changes))| Hour {
                begins: begins.format("%m-%d %H:00").to_string(),
                requests: *requests,
                changes: *changes,
            })
            .collect();
        Self {
            hours,
            charts: [
                Chart::new("Requests for a link", &requests),
                Chart::new("Passwords changed", &changes),
            ],
        }
    }
}

impl Chart {
    fn new(title: &'static str, counts: &[i64; HOURS]) -> Self {
        let most = counts.iter().copied().max().unwrap_or(0);
        let bar = |(index, count): (usize, &i64)| {
            // What happened at all can be seen.
            let height = (count * HEIGHT / most.max(1)).max(i64::from(*count > 0) * 2);
            Bar {
                x: index * STEP + 1,
                y: HEIGHT - height,
                height,
            }
        };
        Self {
            title,
            total: counts.iter().sum(),
            most,
            bars: counts.iter().enumerate().map(bar).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tallest_bar_fills_the_chart_and_the_smallest_can_be_seen() {
        let mut counts = [0; HOURS];
        (counts[3], counts[4]) = (1, 1000);
        let chart = Chart::new("x", &counts);
        assert_eq!((chart.total, chart.most), (1001, 1000));
        let heights: Vec<i64> = chart.bars[2..5].iter().map(|bar| bar.height).collect();
        assert_eq!(heights, [0, 2, HEIGHT]);
        assert_eq!(chart.bars[4].y, 0);
        assert!(
            Chart::new("x", &[0; HOURS])
                .bars
                .iter()
                .all(|bar| bar.height == 0)
        );
    }
}
