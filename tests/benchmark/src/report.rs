//! What was measured, as JSON, as a table and as a chart, and how the parts compare.

use std::{fs, path::Path, time::Duration};

use benchmark::subjects::BATCH;

use crate::{chart, time::Measured};

/// Times of one kind, in milliseconds.
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
    fn new(measured: &Measured) -> Self {
        let Measured { colds, warm, .. } = measured;
        let invocations = f64::from(u32::try_from(warm.len()).expect("some thousands"));
        let protocol = if measured.subject.is_https {
            ", HTTPS"
        } else {
            ""
        };
        Self {
            name: format!("{}{protocol}", measured.subject.name),
            init: Times::of(colds.iter().map(|cold| cold.init)),
            first: Times::of(colds.iter().map(|cold| cold.first)),
            cold: Times::of(colds.iter().map(|cold| cold.init + cold.first)),
            cpu: Times::of(colds.iter().map(|cold| cold.cpu)),
            warm: Times::of(warm.iter().copied()),
            per_second: invocations / measured.warm_elapsed.as_secs_f64(),
            per_cpu_second: invocations / measured.warm_cpu.as_secs_f64(),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            peak_mib: measured.peak_kib as f64 / 1024.0,
            raw_bytes: measured.raw_bytes,
            zipped_bytes: measured.zipped_bytes,
        }
    }

    /// The least time from its start to its first answer, in milliseconds.
    pub(crate) fn cold_ms(&self) -> f64 {
        self.cold.min
    }

    /// The median of its warm invocations, in milliseconds.
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
| | init | first | cold, min / p50 | CPU of both | warm, p50 / p99 | a second | MiB | raw KiB | zip KiB |
|---|---|---|---|---|---|---|---|---|---|";

/// Prints the tables and writes `pictures/performance.svg` into the folder `docs`.
pub(crate) fn write(measured: &[Measured], docs: &Path) {
    let rows: Vec<Row> = measured.iter().map(Row::new).collect();
    let ratios = ratios(&rows);
    println!("{HEAD}");
    for row in &rows {
        println!("{}", row.line());
    }
    println!("\n| | of minima | of medians |\n|---|---|---|");
    for (name, minima, medians) in &ratios {
        println!("| {name} | {minima:.3} | {medians:.3} |");
    }
    let of_mailer = rows.iter().find(|row| row.name == "mailer");
    let batch = f64::from(u32::try_from(BATCH).expect("ten"));
    let mails = of_mailer.map_or(0.0, |row| row.per_cpu_second * batch);
    println!("\nmails a second of one core: {mails:.0}");
    let picture = docs.join("pictures/performance.svg");
    fs::write(picture, chart::draw(&rows)).expect("docs/pictures/ is there");
}

/// What of two subjects is compared.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Cold,
    /// Cold without what a hash takes of ours.
    LessHash,
    /// Cold without what a hash takes of both.
    BothLessHash,
    Warm,
}

use Measure::{BothLessHash, Cold, LessHash, Warm};

/// The ratios that the targets are about.
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

/// Each of [`RATIOS`], of minima and of medians.
fn ratios(rows: &[Row]) -> Vec<(String, f64, f64)> {
    let row = |name: &str| {
        let found = rows.iter().find(|row| row.name == name);
        found.unwrap_or_else(|| panic!("no subject is called {name}"))
    };
    // A cold hash touches its memory for the first time, which a warm one does not.
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
