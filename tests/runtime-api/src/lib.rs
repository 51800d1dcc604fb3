//! Lambda's Runtime API (version 2018-06-01) for one function at a time.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex as SyncMutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{get, post},
    serve::ListenerExt,
};
use bytes::Bytes;
use http::StatusCode;
use tokio::{
    runtime::Builder,
    sync::{Mutex, mpsc, oneshot},
};

/// The outcome of an invocation.
#[derive(Debug)]
pub struct Outcome {
    /// When it arrived.
    pub at: Instant,
    /// The function's response, or the error document if the function failed.
    pub result: Result<Bytes, Bytes>,
}

/// The server. It runs on a thread of its own, so the caller's work does not delay it, and stops
/// when the value is dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    invocations: mpsc::UnboundedSender<Invocation>,
    polls: Mutex<mpsc::UnboundedReceiver<Instant>>,
    _stop: oneshot::Sender<Infallible>,
}

#[derive(Debug)]
struct Invocation {
    event: Bytes,
    outcome: oneshot::Sender<Outcome>,
}

struct Server {
    timeout: Duration,
    queue: Mutex<mpsc::UnboundedReceiver<Invocation>>,
    /// Invocations that the function has received and not finished, by request id.
    running: SyncMutex<HashMap<String, oneshot::Sender<Outcome>>>,
    polls: mpsc::UnboundedSender<Instant>,
}

impl RuntimeApi {
    /// Starts the server on a free port. The deadline of each invocation is `timeout` after the
    /// function receives its event.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[must_use]
    pub fn start(timeout: Duration) -> Self {
        let (invocations, queue) = mpsc::unbounded_channel();
        let (poll, polls) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let server = Server {
            timeout,
            queue: Mutex::new(queue),
            running: SyncMutex::default(),
            polls: poll,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        thread::spawn(move || serve(listener, server, stopped));
        Self {
            address,
            invocations,
            polls: Mutex::new(polls),
            _stop: stop,
        }
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queues `event` and waits for its outcome.
    ///
    /// # Panics
    ///
    /// If the server's thread has panicked.
    pub async fn invoke(&self, event: Bytes) -> Outcome {
        let (outcome, received) = oneshot::channel();
        self.invocations
            .send(Invocation { event, outcome })
            .expect("the server runs");
        received.await.expect("the server runs")
    }

    /// Waits until the function asks for an event and returns when it did. Each request for an
    /// event is reported once.
    ///
    /// # Panics
    ///
    /// If the server's thread has panicked.
    pub async fn wait_for_next(&self) -> Instant {
        let next = self.polls.lock().await.recv().await;
        next.expect("the server runs")
    }
}

fn serve(listener: TcpListener, server: Server, stopped: oneshot::Receiver<Infallible>) {
    let paths = Router::new()
        .route("/invocation/next", get(next))
        .route("/invocation/{id}/response", post(response))
        .route("/invocation/{id}/error", post(error))
        .route("/init/error", post(init_error))
        .with_state(Arc::new(server));
    let router = Router::new().nest("/2018-06-01/runtime", paths);
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        listener.set_nonblocking(true).expect("a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        // Without it Nagle's algorithm would show in the benchmark.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a socket"));
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            _ = stopped => {}
        }
    });
}

/// Responds when there is an event, as Lambda does.
async fn next(State(server): State<Arc<Server>>) -> impl IntoResponse {
    // The receiver lives as long as the server.
    let _ = server.polls.send(Instant::now());
    let invocation = server.queue.lock().await.recv().await;
    let Invocation { event, outcome } = invocation.ok_or(StatusCode::GONE)?;
    let id = request_id();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let deadline = now.expect("after 1970") + server.timeout;
    lock(&server.running).insert(id.clone(), outcome);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", id),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:f".to_owned(),
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0".to_owned(),
        ),
    ];
    Ok::<_, StatusCode>((headers, event))
}

/// Returns an id that no other invocation of this process has.
fn request_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("8476a536-e9f4-11e8-9739-{count:012x}")
}

async fn response(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    finish(&server, &id, Ok(body))
}

async fn error(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    body: Bytes,
) -> StatusCode {
    finish(&server, &id, Err(body))
}

fn finish(server: &Server, id: &str, result: Result<Bytes, Bytes>) -> StatusCode {
    let at = Instant::now();
    let Some(outcome) = lock(&server.running).remove(id) else {
        return StatusCode::BAD_REQUEST;
    };
    // The caller may have given up.
    let _ = outcome.send(Outcome { at, result });
    StatusCode::ACCEPTED
}

/// Fails the queued invocations: a function that cannot start does not ask for them.
async fn init_error(State(server): State<Arc<Server>>, body: Bytes) -> StatusCode {
    let at = Instant::now();
    let mut queue = server.queue.lock().await;
    while let Ok(Invocation { outcome, .. }) = queue.try_recv() {
        let result = Err(body.clone());
        let _ = outcome.send(Outcome { at, result });
    }
    StatusCode::ACCEPTED
}

fn lock<T>(mutex: &SyncMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
