//! The emulator as the stack tests use it.

mod http;

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
};

use http::call;

const FUNCTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/function.py");
const INVOKE: &str = "/2015-03-31/functions/any/invocations";

struct Emulator {
    process: Child,
    stdin: Option<ChildStdin>,
    address: SocketAddr,
}

impl Emulator {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_lambda-emulator"))
            .arg(FUNCTION)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim_end().strip_prefix("listening on http://");
        Self {
            stdin: process.stdin.take(),
            address: address.and_then(|text| text.parse().ok()).expect("a URL"),
            process,
        }
    }

    /// Waits for the end, which comes after the function's: standard error closes with both.
    fn wait(mut self) -> (bool, String) {
        let (mut stderr, mut text) = (self.process.stderr.take().expect("a pipe"), String::new());
        stderr.read_to_string(&mut text).expect("UTF-8");
        (self.process.wait().expect("a status").success(), text)
    }
}

#[test]
fn a_response_is_returned_with_status_200() {
    let emulator = Emulator::start();
    for event in ["{\"a\": 1}", "[]"] {
        let reply = call(emulator.address, "POST", INVOKE, event);
        assert_eq!((reply.status, reply.body.as_str()), (200, event));
        assert_eq!(reply.header("x-amz-function-error"), "");
    }
}

#[test]
fn a_function_error_is_marked_in_a_header() {
    let emulator = Emulator::start();
    let reply = call(emulator.address, "POST", INVOKE, "fail");
    assert_eq!((reply.status, reply.body.as_str()), (200, "fail"));
    assert_eq!(reply.header("x-amz-function-error"), "Unhandled");
}

#[test]
fn the_emulator_fails_when_the_function_ends() {
    let emulator = Emulator::start();
    let address = emulator.address;
    let cut_off = std::thread::spawn(move || call(address, "POST", INVOKE, "exit"));
    let (is_success, stderr) = emulator.wait();
    assert!(!is_success);
    assert!(
        stderr.contains("function.py ended: exit status: 3"),
        "{stderr}"
    );
    assert!(cut_off.join().is_err());
}

#[test]
fn the_function_writes_to_the_emulators_stderr() {
    let mut emulator = Emulator::start();
    call(emulator.address, "POST", INVOKE, "{}");
    emulator.stdin = None;
    let (_, stderr) = emulator.wait();
    assert_eq!(stderr, "received an event\n");
}

#[test]
fn sigterm_stops_emulator_and_function() {
    let emulator = Emulator::start();
    let pid = emulator.process.id().to_string();
    let kill = Command::new("kill").arg(pid).status().expect("kill");
    assert!(kill.success());
    assert_eq!(emulator.wait(), (true, String::new()));
}

#[test]
fn closing_stdin_stops_emulator_and_function() {
    let mut emulator = Emulator::start();
    emulator.stdin = None;
    assert_eq!(emulator.wait(), (true, String::new()));
}
