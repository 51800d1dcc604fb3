//! Start-up of a function.

use std::{fmt::Display, future::Future, process::ExitCode};

use lambda_runtime::Error;
use rules::environment::Environment;

use crate::log;

/// Variables that the runtime reads, and without which it panics.
const RUNTIME_VARIABLES: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

/// Runs the function `name`: starts logging, then runs `serve` on a single-threaded runtime. A
/// failed start prints the reason in one sentence on standard error.
pub fn run<F, E>(
    name: &'static str,
    serve: impl FnOnce(&Environment<'_>) -> Result<F, E>,
) -> ExitCode
where
    F: Future<Output = Result<(), Error>>,
    E: Display,
{
    let env = Environment::process();
    let start = || -> Result<(), String> {
        log::init(name, &env).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime =
            runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?;
        // Clients must be created inside the runtime: they take their timers from it.
        let _guard = runtime.enter();
        let service = serve(&env).map_err(|error| error.to_string())?;
        for name in RUNTIME_VARIABLES {
            let expected = "the value that Lambda sets; start the function under Lambda or `cargo lambda watch`";
            env.required(name, expected, |_| Some(()))
                .map_err(|error| error.to_string())?;
        }
        runtime.block_on(service).map_err(|error| error.to_string())
    };
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{name} cannot run: {reason}");
            ExitCode::FAILURE
        }
    }
}
