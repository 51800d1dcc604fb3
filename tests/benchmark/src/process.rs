//! A function's process, started as Lambda starts it, and its CPU time and memory.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A process whose CPU time does not change for this long is idle.
const IDLE: Duration = Duration::from_millis(300);

/// A running function. Dropping the value kills it.
pub struct Process(Child);

impl Process {
    /// Starts `command`. Its environment has only `environment` and the variables that Lambda sets.
    ///
    /// # Panics
    ///
    /// If the program does not start.
    #[must_use]
    pub fn start(command: &[String], environment: &BTreeMap<String, String>, api: &str) -> Self {
        let lambda = [
            ("_HANDLER", "bootstrap"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_FUNCTION_NAME", "f"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/05/[$LATEST]f"),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_DEFAULT_REGION", "eu-central-1"),
            (
                "AWS_SECRET_ACCESS_KEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
            (
                "AWS_SESSION_TOKEN",
                "a session token, which is longer on AWS",
            ),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
        ];
        let child = Command::new(&command[0])
            .args(&command[1..])
            .env_clear()
            .envs(lambda)
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{} does not start: {error}", command[0])))
    }

    /// Returns the CPU time of all its threads.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("a running process");
        let nanoseconds = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Waits until all its threads are idle.
    pub fn wait_until_idle(&self) {
        let mut before = self.cpu();
        loop {
            thread::sleep(IDLE);
            let now = self.cpu();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Returns its peak resident memory, in KiB.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("a running process");
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        peak.and_then(|peak| peak.trim().parse().ok())
            .expect("a line for the peak")
    }

    /// Sends SIGTERM and waits for its end.
    pub fn stop(mut self) {
        let pid = self.0.id().to_string();
        let kill = Command::new("kill").arg(pid).status();
        assert!(kill.is_ok_and(|status| status.success()), "it had ended");
        self.0.wait().expect("an exit status");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
