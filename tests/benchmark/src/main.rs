//! Measures how fast the functions are. See docs/performance.md.

mod chart;
mod instructions;
mod report;
mod time;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "Usage: cargo run --release -p benchmark -- COMMAND [FOLDER]

  time      measure time and memory of functions, peers and floors
  count     count instructions and compare them with the baseline
  baseline  count instructions and store them as the baseline

FOLDER holds the functions' release binaries: target/release, where
`cargo build --release -p request -p confirm -p mailer` puts them, or .aws-sam/build.";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = arguments
        .get(1)
        .map_or_else(|| root.join("target/release"), PathBuf::from);
    let baseline = root.join("tests/benchmark/instructions.json");
    match arguments.first().map(String::as_str) {
        Some("time") => {
            let measurements = time::measure(&folder);
            let rows = report::print(&measurements);
            let picture = root.join("docs/pictures/performance.svg");
            fs::write(picture, chart::draw(&rows)).expect("the folder docs/pictures");
            ExitCode::SUCCESS
        }
        Some("count") => instructions::compare(&instructions::count(&folder), &baseline),
        Some("baseline") => instructions::store(&instructions::count(&folder), &baseline),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}
