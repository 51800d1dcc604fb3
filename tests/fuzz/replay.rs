//! Runs the fuzzing corpus through its targets without instrumentation. The targets in `tests/fuzz`
//! make the assertions.

#[allow(
    unreachable_pub,
    reason = "also a module of the fuzzing crate's library"
)]
#[path = "src/targets.rs"]
mod targets;

use std::{fs, path::Path};

/// Runs `target` on every input of its corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let inputs = fs::read_dir(&corpus).expect("a corpus");
    let mut count = 0;
    for input in inputs {
        let path = input.expect("a readable folder").path();
        // Shown if the target panics.
        println!("{}", path.display());
        target(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}

#[test]
fn an_address_is_canonical_and_stays_so() {
    replay("address", targets::address);
}

#[test]
fn a_body_yields_only_what_was_sent_and_errors_repeat_no_secret() {
    replay("body", targets::body);
}

#[test]
fn confirm_gives_a_documented_response_to_every_event() {
    replay("confirm_event", targets::confirm_event);
}

#[test]
fn the_mailer_never_asks_for_a_retry() {
    replay("mailer_event", targets::mailer_event);
}

#[test]
fn password_weaknesses_include_its_length() {
    replay("password", targets::password);
}

#[test]
fn request_gives_a_documented_response_to_every_event() {
    replay("request_event", targets::request_event);
}

#[test]
fn an_invalid_setting_is_named() {
    replay("settings", targets::settings);
}

#[test]
fn a_token_has_43_characters() {
    replay("token", targets::token);
}
