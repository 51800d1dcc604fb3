//! What fuzzing has found worth keeping, once more and without its instrumentation: each input
//! goes through its target in `tests/fuzz`, which asserts what must hold.

#[allow(
    unreachable_pub,
    reason = "it is a module of the fuzzing crate's library, too"
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
        // Shown where the target panics.
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
fn a_body_has_nothing_that_was_not_sent_and_an_error_repeats_no_secret() {
    replay("body", targets::body);
}

#[test]
fn an_event_for_confirm_has_a_documented_answer() {
    replay("confirm_event", targets::confirm_event);
}

#[test]
fn an_event_for_the_mailer_never_comes_again() {
    replay("mailer_event", targets::mailer_event);
}

#[test]
fn a_password_is_judged_by_its_length_at_least() {
    replay("password", targets::password);
}

#[test]
fn an_event_for_request_has_a_documented_answer() {
    replay("request_event", targets::request_event);
}

#[test]
fn a_wrong_setting_is_named() {
    replay("settings", targets::settings);
}

#[test]
fn a_token_has_43_characters() {
    replay("token", targets::token);
}
