//! Time and memory of all subjects. They take turns, so other work on the machine affects all of
//! them.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use benchmark::{
    aws::CannedAws,
    lambda::Lambda,
    process::Process,
    subjects::{self, Subject},
};

/// Cold starts of each subject.
const ROUNDS: usize = 21;
/// Warm processes of each subject.
const WARM_ROUNDS: usize = 3;
/// Unmeasured and measured invocations of a warm process. Either ends early after [`WARM_TIME`].
const WARM_UP: usize = 200;
const WARM: usize = 300;
const WARM_TIME: Duration = Duration::from_secs(1);

/// Times of one cold start.
pub(crate) struct Cold {
    pub(crate) init: Duration,
    pub(crate) first: Duration,
    pub(crate) cpu: Duration,
}

/// The measurements of one subject.
pub(crate) struct Measurement {
    pub(crate) subject: Subject,
    pub(crate) colds: Vec<Cold>,
    pub(crate) warm: Vec<Duration>,
    pub(crate) warm_cpu: Duration,
    /// Total time of the warm invocations.
    pub(crate) warm_elapsed: Duration,
    pub(crate) peak_kib: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) zipped_bytes: u64,
}

/// Measures the binaries in `bootstraps`, the peers and the floors.
pub(crate) fn measure(bootstraps: &Path) -> Vec<Measurement> {
    let (lambda, aws) = (Lambda::start(), CannedAws::start());
    let subjects = subjects::floors(&aws)
        .into_iter()
        .chain(subjects::functions(bootstraps, &aws))
        .chain(subjects::peers(&aws));
    let mut all: Vec<Measurement> = subjects.map(Measurement::new).collect();
    for _ in 0..ROUNDS {
        for measurement in &mut all {
            measurement.add_cold_start(&lambda);
        }
    }
    for _ in 0..WARM_ROUNDS {
        for measurement in &mut all {
            measurement.add_warm_invocations(&lambda);
        }
    }
    all
}

impl Measurement {
    fn new(subject: Subject) -> Self {
        let size = |file| fs::metadata(file).expect("a built file").len();
        let raw_bytes = subject.files.iter().map(size).sum();
        let zipped_bytes = subject.files.iter().map(|file| zipped(file)).sum();
        Self {
            subject,
            colds: Vec::new(),
            warm: Vec::new(),
            warm_cpu: Duration::ZERO,
            warm_elapsed: Duration::ZERO,
            peak_kib: 0,
            raw_bytes,
            zipped_bytes,
        }
    }

    fn add_cold_start(&mut self, lambda: &Lambda) {
        let start = Instant::now();
        let process = self.start(lambda);
        let init = lambda.wait_for_next() - start;
        let first = self.invoke(lambda);
        self.colds.push(Cold {
            init,
            first,
            cpu: process.cpu(),
        });
        process.stop();
    }

    fn add_warm_invocations(&mut self, lambda: &Lambda) {
        let process = self.start(lambda);
        lambda.wait_for_next();
        let start = Instant::now();
        for _ in 0..WARM_UP {
            self.invoke(lambda);
            if start.elapsed() > WARM_TIME {
                break;
            }
        }
        let (start, cpu) = (Instant::now(), process.cpu());
        for _ in 0..WARM {
            let time = self.invoke(lambda);
            self.warm.push(time);
            if start.elapsed() > WARM_TIME {
                break;
            }
        }
        self.warm_elapsed += start.elapsed();
        self.warm_cpu += process.cpu().saturating_sub(cpu);
        self.peak_kib = self.peak_kib.max(process.peak_kib());
        process.stop();
    }

    fn start(&self, lambda: &Lambda) -> Process {
        let Subject {
            command,
            environment,
            ..
        } = &self.subject;
        Process::start(command, environment, &lambda.address())
    }

    fn invoke(&self, lambda: &Lambda) -> Duration {
        let (time, response) = lambda.invoke(&self.subject.event);
        self.subject.check(&response);
        lambda.wait_for_next();
        time
    }
}

/// Returns the size of `file` after deflate, which zip uses too.
fn zipped(file: &Path) -> u64 {
    let output = Command::new("gzip").args(["-9", "-c"]).arg(file).output();
    let output = output.expect("gzip");
    u64::try_from(output.stdout.len()).expect("a length")
}
