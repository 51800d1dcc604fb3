//! The measurements as tables, with the ratios between subjects.

use std::time::Duration;

use benchmark::subjects::BATCH;

use crate::time::Measurement;

/// Summary of a sample of times, in milliseconds.
#[derive(Clone, Copy)]
struct Times {
    min: f64,
    p50: f64,
    p99: f64,
}

impl Times {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: usize| sorted[(sorted.len() - 1) * percent / 100];
        Self {
            min: sorted[0],
            p50: at(50),
            p99: at(99),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            min: self.min - other.min,
            p50: self.p50 - other.p50,
            p99: self.p99 - other.p99,
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) name: String,
    init: Times,
    first: Times,
    cold: Times,
    cpu: Times,
    warm: Times,
    per_second: f64,
    per_cpu_second: f64,
    peak_mib: f64,
    raw_bytes: u64,
    zipped_bytes: u64,
}

impl Row {
    fn new(measurement: &Measurement) -> Self {
        let Measurement { colds, warm, .. } = measurement;
        let invocations = f64::from(u32::try_from(warm.len()).expect("some thousands"));
        let protocol = if measurement.subject.is_https {
            ", HTTPS"
        } else {
            ""
        };
        Self {
            name: format!("{}{protocol}", measurement.subject.name),
            init: Times::of(colds.iter().map(|cold| cold.init)),
            first: Times::of(colds.iter().map(|cold| cold.first)),
            cold: Times::of(colds.iter().map(|cold| cold.init + cold.first)),
            cpu: Times::of(colds.iter().map(|cold| cold.cpu)),
            warm: Times::of(warm.iter().copied()),
            per_second: invocations / measurement.warm_elapsed.as_secs_f64(),
            per_cpu_second: invocations / measurement.warm_cpu.as_secs_f64(),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            peak_mib: measurement.peak_kib as f64 / 1024.0,
            raw_bytes: measurement.raw_bytes,
            zipped_bytes: measurement.zipped_bytes,
        }
    }

    /// Returns the shortest time from start to first response, in milliseconds.
    pub(crate) fn cold_ms(&self) -> f64 {
        self.cold.min
    }

    /// Returns the median of the warm invocations, in milliseconds.
    pub(crate) fn warm_ms(&self) -> f64 {
        self.warm.p50
    }

    fn line(&self) -> String {
        let kib = |bytes: u64| {
            if bytes == 0 {
                "–".to_owned()
            } else {
                (bytes / 1024).to_string()
            }
        };
        format!(
            "| {} | {:.2} | {:.2} | {:.2} / {:.2} | {:.2} | {:.3} / {:.3} | {:.0} | {:.1} | {} | {} |",
            self.name,
            self.init.p50,
            self.first.p50,
            self.cold.min,
            self.cold.p50,
            self.cpu.p50,
            self.warm.p50,
            self.warm.p99,
            self.per_second,
            self.peak_mib,
            kib(self.raw_bytes),
            kib(self.zipped_bytes),
        )
    }
}

const HEAD: &str = "\
| | init | first | cold, min / p50 | CPU of both | warm, p50 / p99 | per second | MiB | raw KiB | zip KiB |
|---|---|---|---|---|---|---|---|---|---|";

/// Prints the tables and returns the rows of the first one.
pub(crate) fn print(measurements: &[Measurement]) -> Vec<Row> {
    let rows: Vec<Row> = measurements.iter().map(Row::new).collect();
    let ratios = ratios(&rows);
    println!("{HEAD}");
    for row in &rows {
        println!("{}", row.line());
    }
    println!("\n| | of minima | of medians |\n|---|---|---|");
    for (name, minima, medians) in &ratios {
        println!("| {name} | {minima:.3} | {medians:.3} |");
    }
    let mailer = rows.iter().find(|row| row.name == "mailer");
    let batch = f64::from(u32::try_from(BATCH).expect("ten"));
    let emails = mailer.map_or(0.0, |row| row.per_cpu_second * batch);
    println!("\nemails per second and core: {emails:.0}");
    rows
}

/// The figure by which two subjects are compared.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Cold,
    /// Cold, with the time of a hash subtracted from the first subject.
    LessHash,
    /// Cold, with the time of a hash subtracted from both.
    BothLessHash,
    Warm,
}

use Measure::{BothLessHash, Cold, LessHash, Warm};

/// The ratios that have a target in docs/performance.md.
const RATIOS: [(Measure, &str, &str); 17] = [
    (Cold, "request", "floor: bare"),
    (Cold, "request", "Node: request"),
    (Cold, "request", "Node: request, one call"),
    (Cold, "request, HTTPS", "floor: one call, HTTPS"),
    (Cold, "request, HTTPS", "Node: request, HTTPS"),
    (Cold, "request, HTTPS", "Python: request, HTTPS"),
    (Warm, "request", "floor: one call"),
    (Warm, "request", "Node: request"),
    (Warm, "request", "Node: request, one call"),
    (Warm, "request", "Python: request"),
    (LessHash, "confirm, HTTPS", "floor: one call, HTTPS"),
    (BothLessHash, "confirm, HTTPS", "Node: confirm, HTTPS"),
    (Warm, "confirm", "floor: hash and two calls"),
    (Warm, "confirm", "Node: confirm"),
    (Warm, "confirm", "Node: confirm, its default hash"),
    (Warm, "confirm", "Python: confirm"),
    (Warm, "confirm", "Python: confirm, its default hash"),
];

/// Computes each of [`RATIOS`], of minima and of medians.
fn ratios(rows: &[Row]) -> Vec<(String, f64, f64)> {
    let row = |name: &str| {
        let found = rows.iter().find(|row| row.name == name);
        found.unwrap_or_else(|| panic!("unknown subject {name}"))
    };
    // Cold times, because a cold hash also touches its memory for the first time.
    let with_hash = row("floor: hash and two calls").cold;
    let hash = with_hash.minus(row("floor: one call").cold);
    let times = |name: &str, is_warm, is_less_hash| match (is_warm, is_less_hash) {
        (true, _) => row(name).warm,
        (false, false) => row(name).cold,
        (false, true) => row(name).cold.minus(hash),
    };
    let compare = |&(measure, ours, theirs): &(Measure, &str, &str)| {
        let is_warm = measure == Warm;
        let one = times(ours, is_warm, matches!(measure, LessHash | BothLessHash));
        let other = times(theirs, is_warm, measure == BothLessHash);
        let words = match measure {
            Cold => "cold",
            LessHash => "cold, less its hash",
            BothLessHash => "cold, both less the hash",
            Warm => "warm",
        };
        let name = format!("{words}: {ours} / {theirs}");
        (name, one.min / other.min, one.p50 / other.p50)
    };
    RATIOS.iter().map(compare).collect()
}
