//! Serving HTTP on loopback until a signal: used by the local system and the deployed admin panel.

use std::{
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result};
use axum::Router;
use clap::Args;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};
use tracing::Level;
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Time limit for open connections after a stop.
pub const GRACE: Duration = Duration::from_secs(2);

/// Log options of a server.
#[derive(Args)]
pub struct LogArgs {
    /// Log level on standard error: error, warn, info, debug or trace
    #[arg(
        long = "log-level",
        default_value = "info",
        value_name = "LEVEL",
        env = "AWS_LAMBDA_LOG_LEVEL"
    )]
    pub level: Level,
}

/// Starts logging to standard error, with the events that the functions log, and adds `layer`.
pub fn start_logging(level: Level, layer: impl Layer<Registry> + Send + Sync) {
    // The embedded database warns about every failed condition, and the limits rely on those.
    let without_noise = filter_fn(|event| {
        !event.target().starts_with("dynoxide") || *event.level() == Level::ERROR
    });
    let lines = tracing_subscriber::fmt::layer()
        .compact()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_filter(aws::log::events_up_to(level).and(without_noise));
    tracing_subscriber::registry()
        .with(layer)
        .with(lines)
        .init();
    aws::log::log_panics();
}

/// Binds `port` on loopback. The error names `option`, which chooses another port.
pub async fn bind(port: u16, option: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    bound.with_context(|| {
        format!("cannot listen on port {port}; stop the process that uses it, or choose another port with {option}")
    })
}

/// Serves `router` on `listener` until `stopped` turns true.
pub fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    });
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "a server failed");
        }
    })
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn shutdown_signal() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
