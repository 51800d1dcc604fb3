//! Lambda's Runtime API for one process at a time.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use tokio::{
    net::TcpStream,
    sync::{Mutex, mpsc as events},
};

/// How long a function may take for anything; under valgrind everything takes fifty times as long.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a function says.
enum Said {
    /// It waits for an event.
    Next,
    /// This is its answer, and whether it is one.
    Answer(bool, Bytes),
}

/// The Runtime API.
pub struct RuntimeApi {
    port: u16,
    events: events::UnboundedSender<Bytes>,
    said: Receiver<(Instant, Said)>,
}

impl RuntimeApi {
    /// Starts it on a free port.
    #[must_use]
    pub fn start() -> Self {
        let (events, waiting) = events::unbounded_channel();
        let (say, said) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let answer = move |request: Request<Bytes>| {
            let (waiting, say) = (waiting.clone(), say.clone());
            async move {
                let now = Instant::now();
                if request.method() == Method::GET {
                    // The test that listened may have ended.
                    let _ = say.send((now, Said::Next));
                    let event: Option<Bytes> = waiting.lock().await.recv().await;
                    return event.map_or_else(|| status(StatusCode::GONE), invocation);
                }
                let is_answer = request.uri().path().ends_with("/response");
                let _ = say.send((now, Said::Answer(is_answer, request.into_body())));
                status(StatusCode::ACCEPTED)
            }
        };
        let port = crate::serve(async |stream: TcpStream| Some(stream), answer);
        Self { port, events, said }
    }

    /// What `AWS_LAMBDA_RUNTIME_API` holds.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// When the function asked for its next event.
    #[expect(
        clippy::must_use_candidate,
        reason = "the waiting is what it is called for"
    )]
    pub fn wait_for_next(&self) -> Instant {
        let said = self.said.recv_timeout(PATIENCE);
        match said.expect("the function asks for an event in time") {
            (at, Said::Next) => at,
            (_, Said::Answer(_, body)) => panic!("an answer without an event: {body:?}"),
        }
    }

    /// Hands `event` to the function, which waits for one: how long the answer took, and what
    /// it is.
    pub fn invoke(&self, event: &Bytes) -> (Duration, Bytes) {
        let start = Instant::now();
        self.events.send(event.clone()).expect("the API runs");
        let said = self.said.recv_timeout(PATIENCE);
        match said.expect("the function answers in time") {
            (at, Said::Answer(true, body)) => (at - start, body),
            (_, Said::Answer(false, body)) => panic!("the function failed: {body:?}"),
            (_, Said::Next) => panic!("the function asked for an event without an answer"),
        }
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

fn invocation(event: Bytes) -> Response<Bytes> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    Response::builder()
        .header("content-type", "application/json")
        .header(
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        )
        .header(
            "lambda-runtime-deadline-ms",
            (now + PATIENCE).as_millis().to_string(),
        )
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:f",
        )
        .header(
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
        )
        .body(event)
        .expect("valid headers")
}
