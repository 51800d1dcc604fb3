//! Instruction counts by callgrind. They vary by a fraction of a percent between runs, even on a
//! busy machine, so growth can fail a build.

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

/// Invocations that the warm count is the mean of.
const WARM: u64 = 20;
/// Growth over the baseline that is tolerated, in percent.
const ALLOWED_PERCENT: u64 = 3;

/// Instruction counts by name, such as `request https cold`.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Counts the instructions of the binaries in `bootstraps`: from the start until the first event is
/// requested (init), the same plus the first event (cold), and for each further event (warm).
pub(crate) fn count(bootstraps: &Path) -> Counts {
    let (lambda, aws) = (Lambda::start(), CannedAws::start());
    let mut counts = Counts::new();
    for mut subject in subjects::functions(bootstraps, &aws) {
        // The smallest hash. The default one would hide all other changes.
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
        let (_, response) = lambda.invoke(&subject.event);
        subject.check(&response);
        lambda.wait_for_next();
    }
    // `confirm` fills its dictionaries on another thread.
    process.wait_until_idle();
    process.stop();
    let text = fs::read_to_string(&profile).expect("a profile by valgrind");
    fs::remove_file(&profile).expect("a profile to remove");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .expect("a total in the profile")
}

/// Prints `counts` next to the `baseline`. Fails if one has grown or their names differ.
pub(crate) fn compare(counts: &Counts, baseline: &Path) -> ExitCode {
    let text = fs::read_to_string(baseline)
        .unwrap_or_else(|error| panic!("{}: {error}", baseline.display()));
    let before: Counts = serde_json::from_str(&text).expect("names and numbers");
    let mut has_grown = !before.keys().eq(counts.keys());
    if has_grown {
        println!("the baseline has other names than these counts");
    }
    for (name, count) in counts {
        let before = before.get(name).copied().unwrap_or(0);
        let is_over = *count > before + before * ALLOWED_PERCENT / 100;
        let mark = if is_over { "GROWN" } else { "" };
        println!("{name:<20} {count:>10} before {before:>10} {mark}");
        has_grown |= is_over;
    }
    if has_grown {
        println!(
            "Instructions have grown by more than {ALLOWED_PERCENT}%. Undo the change that costs them or, \
             if it is worth them, store a new baseline:\n\
             cargo run -p benchmark -- baseline FOLDER"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Stores `counts` as the `baseline`.
pub(crate) fn store(counts: &Counts, baseline: &Path) -> ExitCode {
    let text = serde_json::to_string_pretty(counts).expect("names and numbers");
    fs::write(baseline, text + "\n").expect("a writable file");
    for (name, count) in counts {
        println!("{name:<20} {count:>10}");
    }
    ExitCode::SUCCESS
}
