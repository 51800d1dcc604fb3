//! Runs one function's binary and serves Lambda's Invoke API for it.
//!
//! `lambda-emulator BINARY` prints its address and then serves
//! `POST /2015-03-31/functions/{name}/invocations`. It stops the function and itself when it gets
//! SIGTERM or its standard input closes, and fails if the function ends by itself.

use std::{
    env,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use runtime_api::RuntimeApi;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Deadline of each invocation.
const TIMEOUT: Duration = Duration::from_mins(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let binary = env::args().nth(1);
    let binary = binary.context("Usage: lambda-emulator BINARY")?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Outlives the function, which would otherwise log that its API is gone.
    let api = Arc::new(RuntimeApi::start(TIMEOUT));
    let mut function = start(&binary, api.address())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let router = Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .with_state(Arc::clone(&api));
    println!("listening on http://{}", listener.local_addr()?);
    io::stdout().flush()?;
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        status = function.wait() => bail!("{binary} ended: {}", status?),
        _ = terminate.recv() => {}
        _ = stdin_closed() => {}
    }
    function.kill().await?;
    Ok(())
}

fn start(binary: &str, api: SocketAddr) -> anyhow::Result<Child> {
    Command::new(binary)
        .env("AWS_LAMBDA_RUNTIME_API", api.to_string())
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{binary} does not start"))
}

async fn invoke(State(api): State<Arc<RuntimeApi>>, event: Bytes) -> Response {
    match api.invoke(event).await.result {
        Ok(response) => response.into_response(),
        Err(document) => ([("x-amz-function-error", "Unhandled")], document).into_response(),
    }
}

/// Reads standard input on a thread of its own: a task of tokio's could not be stopped.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (closed, waiting) = oneshot::channel();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = closed.send(());
    });
    waiting
}
