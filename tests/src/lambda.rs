//! Runs the functions as Lambda does: their binaries against a Runtime API.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command as Cargo, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use runtime_api::RuntimeApi;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};

use crate::{WAIT_TIMEOUT, logs};

/// Timeout of the functions, as in the template.
pub const FUNCTION_TIMEOUT: Duration = Duration::from_secs(15);

/// The outcome of an invocation: the response, or the error that the function reported.
type Outcome = Result<Value, Value>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A function's process. It ends when the value is dropped.
pub struct Function {
    api: RuntimeApi,
    output: Arc<Mutex<Vec<u8>>>,
    process: Child,
}

impl Function {
    /// Starts the binary of the package `name` with only `environment` and the variables that
    /// Lambda sets. It logs at the most verbose level.
    #[must_use]
    pub fn start(name: &str, environment: &BTreeMap<String, String>) -> Self {
        let api = RuntimeApi::start(FUNCTION_TIMEOUT);
        let mut process = command(name, environment, api.address())
            .spawn()
            .expect("the binary starts");
        let output = Arc::default();
        collect(process.stdout.take().expect("a pipe"), Arc::clone(&output));
        collect(process.stderr.take().expect("a pipe"), Arc::clone(&output));
        Self {
            api,
            output,
            process,
        }
    }

    /// Invokes the function with `event` and waits for the outcome.
    pub async fn invoke(&self, event: &Value) -> Outcome {
        let invocation = self.api.invoke(Bytes::from(event.to_string()));
        let Ok(outcome) = timeout(WAIT_TIMEOUT, invocation).await else {
            panic!("no response; the function wrote: {}", self.logs());
        };
        match outcome.result {
            Ok(response) => {
                serde_json::from_slice(&response).map_err(|error| json!(error.to_string()))
            }
            Err(document) => Err(serde_json::from_slice(&document).unwrap_or_default()),
        }
    }

    /// Kills the process, as a failing machine would.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("it was running");
    }

    /// Returns what the function has written to standard output and standard error.
    #[must_use]
    pub fn logs(&self) -> String {
        String::from_utf8_lossy(&lock(&self.output)).into_owned()
    }
}

/// Runs the binary of the package `name` until it exits. Returns its exit status and what it wrote
/// to standard error.
pub async fn run_to_end(
    name: &str,
    environment: &BTreeMap<String, String>,
) -> (ExitStatus, String) {
    let api = RuntimeApi::start(FUNCTION_TIMEOUT);
    let ended = command(name, environment, api.address()).output();
    let output = timeout(WAIT_TIMEOUT, ended)
        .await
        .unwrap_or_else(|_| panic!("{name} is still running"));
    let output = output.expect("the binary starts");
    (
        output.status,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn command(name: &str, environment: &BTreeMap<String, String>, api: SocketAddr) -> Command {
    let lambda = [
        ("_HANDLER", "bootstrap"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/05/[$LATEST]f"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("TZ", ":UTC"),
    ];
    let mut command = Command::new(&binaries()[name]);
    command
        .env_clear()
        .envs(lambda)
        .env("AWS_LAMBDA_FUNCTION_NAME", format!("stack-{name}"))
        .env("AWS_LAMBDA_RUNTIME_API", api.to_string())
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn collect(mut stream: impl AsyncRead + Unpin + Send + 'static, into: Arc<Mutex<Vec<u8>>>) {
    tokio::spawn(async move {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            lock(&into).extend_from_slice(&buffer[..read]);
            logs::append(&buffer[..read]);
        }
    });
}

/// Returns the binaries by package and builds them on first use: `cargo test` builds the binaries of
/// a package for its own tests only.
pub(crate) fn binaries() -> &'static HashMap<String, PathBuf> {
    static BINARIES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    BINARIES.get_or_init(build)
}

fn build() -> HashMap<String, PathBuf> {
    let (target, is_release) = target();
    let mut cargo = Cargo::new(env!("CARGO"));
    // With `tests` among the packages, dependencies have the same features as in this test, so
    // nothing is compiled again.
    cargo.args([
        "build",
        "--offline",
        "--message-format=json-render-diagnostics",
        "--lib",
        "--bins",
    ]);
    cargo.args([
        "--package=request",
        "--package=confirm",
        "--package=mailer",
        "--package=manage",
        "--package=local",
        "--package=tests",
    ]);
    cargo
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    cargo.arg("--target-dir").arg(target);
    if is_release {
        cargo.arg("--release");
    }
    // The variables that cargo sets for a test would make build scripts run again.
    for (name, _) in env::vars()
        .filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        cargo.env_remove(name);
    }
    let output = cargo.stdin(Stdio::null()).output().expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(executable)
        .collect()
}

/// Returns the target directory of the running test, `target/debug/deps/e2e-…`, and whether its
/// profile is `release`.
fn target() -> (PathBuf, bool) {
    let test = env::current_exe().expect("a path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("a profile directory");
    (
        profile.parent().expect("a target directory").to_owned(),
        profile.ends_with("release"),
    )
}

fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message["executable"].as_str()?;
    Some((
        message["target"]["name"].as_str()?.to_owned(),
        PathBuf::from(path),
    ))
}

/// Changes variables of `environment`. An empty value removes one.
#[must_use]
pub fn with_variables(
    environment: &BTreeMap<String, String>,
    changes: &[(&str, &str)],
) -> BTreeMap<String, String> {
    let mut environment = environment.clone();
    for (name, value) in changes {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    environment.retain(|_, value| !value.is_empty());
    environment
}

/// Reads the sample event `name` from `events/`.
#[must_use]
pub fn sample_event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../events")
        .join(name);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("an event in JSON")
}

/// Replaces the placeholder in a sample event for `confirm` with `token`.
#[must_use]
pub fn with_token(mut event: Value, token: &str) -> Value {
    let body = event["body"].as_str().expect("a body in plain text");
    assert!(body.contains(TOKEN_PLACEHOLDER), "a placeholder in {body}");
    event["body"] = json!(body.replace(TOKEN_PLACEHOLDER, token));
    event
}

/// Placeholder for the token in the sample events for `confirm`.
pub const TOKEN_PLACEHOLDER: &str = "PASTE-THE-TOKEN-FROM-THE-MAIL-HERE-00000000";
