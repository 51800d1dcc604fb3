//! Instructions by callgrind: they are the same in every run to a fraction of a percent, on a
//! busy machine too, so that a growth of them can fail a build.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{self, ExitCode},
};

use benchmark::{
    aws::CannedAws,
    lambda::Lambda,
    process::Process,
    subjects::{self, Subject},
};

/// How many invocations the warm figure is the mean of.
const WARM: u64 = 20;
/// By how much a figure may be over its baseline, in percent.
const ALLOWED_PERCENT: u64 = 3;

/// Figures by name, such as `request https cold`.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Counts the instructions of the binaries in `bootstraps`: from the start to the wait for the
/// first event (init), with the first event (cold), and for one event more (warm).
pub(crate) fn count(bootstraps: &Path) -> Counts {
    let (lambda, aws) = (Lambda::start(), CannedAws::start());
    let mut counts = Counts::new();
    for mut subject in subjects::functions(bootstraps, &aws) {
        // A hash of the smallest size: else nothing but the hash would be seen.
        for (name, value) in [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_ITERATIONS", "1")] {
            subject
                .environment
                .insert(name.to_owned(), value.to_owned());
        }
        let [init, cold, all] = [0, 1, 1 + WARM].map(|events| run(&lambda, &subject, events));
        let protocol = if subject.is_https { "https" } else { "http" };
        for (phase, count) in [
            ("init", init),
            ("cold", cold),
            ("warm", (all - cold) / WARM),
        ] {
            counts.insert(format!("{} {protocol} {phase}", subject.name), count);
        }
    }
    counts
}

fn run(lambda: &Lambda, subject: &Subject, events: u64) -> u64 {
    let profile = env::temp_dir().join(format!("callgrind-{}", process::id()));
    let mut command = vec![
        "/usr/bin/env".to_owned(),
        "valgrind".to_owned(),
        "--quiet".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", profile.display()),
    ];
    command.extend(subject.command.iter().cloned());
    let mut environment = subject.environment.clone();
    environment.insert("PATH".to_owned(), env::var("PATH").unwrap_or_default());
    let process = Process::start(&command, &environment, &lambda.address());
    lambda.wait_for_next();
    for _ in 0..events {
        let (_, answer) = lambda.invoke(&subject.event);
        subject.check(&answer);
        lambda.wait_for_next();
    }
    // What `confirm` prepares beside.
    process.settle();
    process.end();
    let text = fs::read_to_string(&profile).expect("valgrind writes a profile as it ends");
    fs::remove_file(&profile).expect("it is there");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .expect("a profile has a total")
}

/// Prints `counts` beside those of the `baseline`; fails where one has grown.
pub(crate) fn compare(counts: &Counts, baseline: &Path) -> ExitCode {
    let text = fs::read_to_string(baseline)
        .unwrap_or_else(|error| panic!("{}: {error}", baseline.display()));
    let before: Counts = serde_json::from_str(&text).expect("names and numbers");
    let mut has_grown = !before.keys().eq(counts.keys());
    if has_grown {
        println!("the baseline is of other figures than these");
    }
    for (name, count) in counts {
        let allowed = before
            .get(name)
            .map_or(0, |before| before + before * ALLOWED_PERCENT / 100);
        let known = before.get(name).copied().unwrap_or(0);
        let mark = if *count > allowed { "GROWN" } else { "" };
        println!("{name:<20} {count:>10} before {known:>10} {mark}");
        has_grown |= *count > allowed;
    }
    if has_grown {
        println!(
            "Instructions have grown by more than {ALLOWED_PERCENT} %. Take back what costs them, or, where \
             it is worth them, make them the baseline with\n\
             cargo run -p benchmark -- baseline FOLDER"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Makes `counts` the `baseline`.
pub(crate) fn keep(counts: &Counts, baseline: &Path) -> ExitCode {
    let text = serde_json::to_string_pretty(counts).expect("names and numbers");
    fs::write(baseline, text + "\n").expect("the folder is there");
    for (name, count) in counts {
        println!("{name:<20} {count:>10}");
    }
    ExitCode::SUCCESS
}
