//! A proxy in front of DynamoDB or SES: it counts the calls, and breaks those that it is told
//! to.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri, header::CONTENT_LENGTH, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};

/// The call that sends a mail.
pub const SEND_EMAIL: &str = "POST /v2/email/outbound-emails";
/// Calls of whoever reads the outbox's stream, which on AWS is Lambda and not a function.
const STREAM_READS: [&str; 3] = ["DescribeStream", "GetShardIterator", "GetRecords"];

/// One call that came by.
#[derive(Debug, Clone)]
pub struct Call {
    /// The operation of `X-Amz-Target`; method and path where there is no such header.
    pub target: String,
    /// What was sent, where it is JSON.
    pub body: Value,
}

/// What becomes of a call.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It goes through.
    Pass,
    /// This is the answer, and nobody else hears of the call.
    Answer(Response<Bytes>),
    /// It goes through, and its answer is lost.
    Lose,
    /// It goes through, and this is the body of its answer.
    Garble(&'static str),
    /// It goes through after a while, even where the caller has given up by then.
    Delay(Duration),
    /// It goes through once the test says so.
    Hold(Arc<Notify>),
    /// The connection ends before anything goes through.
    Cut,
    /// It comes as far as this, of which the test is told, and no answer ever comes.
    Hang(Moment, Arc<Notify>),
}

/// How far a call comes that hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nobody else has heard of it.
    Before,
    /// What it asked for is done.
    After,
}

impl Fate {
    /// An error as the services write it.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::error_with(
            status,
            code,
            json!({ "message": message, "Message": message }),
        )
    }

    /// An error with other members in its body.
    #[must_use]
    pub fn error_with(status: u16, code: &str, mut body: Value) -> Self {
        body["__type"] = json!(code);
        let answer = Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("x-amzn-errortype", code)
            .body(Bytes::from(body.to_string()));
        Self::Answer(answer.expect("a valid answer"))
    }

    /// A transaction that was cancelled, with the reason for each of its items.
    #[must_use]
    pub fn cancelled(reasons: &[&str]) -> Self {
        let reasons: Vec<Value> = reasons.iter().map(|code| json!({ "Code": code })).collect();
        let message =
            "Transaction cancelled, please refer cancellation reasons for specific reasons";
        let body = json!({ "Message": message, "CancellationReasons": reasons });
        Self::error_with(
            400,
            "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            body,
        )
    }
}

type Rule = Box<dyn FnMut(&Call) -> Fate + Send>;

/// A proxy on a port of its own.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: Mutex<Vec<Call>>,
    rule: Mutex<Rule>,
    /// Each call that was delayed so far.
    delayed: Mutex<Vec<AbortHandle>>,
    is_metered: AtomicBool,
    units: Mutex<Vec<f64>>,
}

impl Wire {
    /// A proxy in front of `upstream`, such as `http://127.0.0.1:8001`, that lets all pass.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let state = Arc::new(State {
            upstream: upstream.parse().expect("an address"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            calls: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Fate::Pass)),
            delayed: Mutex::default(),
            is_metered: AtomicBool::new(false),
            units: Mutex::default(),
        });
        tokio::spawn(accept(listener, state.clone()));
        Self { address, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asks `rule` about every call from now on.
    pub fn rule(&self, rule: impl FnMut(&Call) -> Fate + Send + 'static) {
        *lock(&self.state.rule) = Box::new(rule);
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.rule(|_| Fate::Pass);
    }

    /// Waits until every call that was delayed so far has gone through, whatever others are delayed
    /// meanwhile.
    pub async fn settle(&self) {
        let delayed = lock(&self.state.delayed).clone();
        let look = async || delayed.iter().all(AbortHandle::is_finished).then_some(());
        crate::eventually("the delayed calls to go through", look).await;
    }

    /// The calls so far, but for reads of the stream.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).clone()
    }

    /// Forgets the calls so far.
    pub fn forget(&self) {
        lock(&self.state.calls).clear();
    }

    /// The calls so far, but for reads of the stream; they are forgotten.
    #[must_use]
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.state.calls))
    }

    /// From now on has DynamoDB say what each call consumes.
    pub fn meter(&self) {
        self.state.is_metered.store(true, Ordering::SeqCst);
    }

    /// The capacity units that each call has consumed, by DynamoDB's own word; they are forgotten.
    #[must_use]
    pub fn take_units(&self) -> Vec<f64> {
        std::mem::take(&mut *lock(&self.state.units))
    }

    /// The operations of [`take`](Self::take).
    #[must_use]
    pub fn take_targets(&self) -> Vec<String> {
        self.take().into_iter().map(|call| call.target).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        let service = service_fn(move |request| answer(state.clone(), request));
        // A connection that is cut is an error by intention.
        tokio::spawn(async move {
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok()
        });
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok()?.rsplit('.').next());
    let target = target.map_or_else(
        || format!("{} {}", parts.method, parts.uri.path()),
        str::to_owned,
    );
    let call = Call {
        target,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let is_metered = state.is_metered.load(Ordering::SeqCst) && call.body.is_object();
    let body = if is_metered {
        let mut asking = call.body.clone();
        asking["ReturnConsumedCapacity"] = json!("TOTAL");
        parts.headers.remove(CONTENT_LENGTH);
        Bytes::from(asking.to_string())
    } else {
        body
    };
    let fate = fate(&state, call);
    let request = Request::from_parts(parts, Full::new(body));
    match fate {
        Fate::Pass => forward(&state, request).await,
        Fate::Answer(answer) => Ok(answer.map(Full::new)),
        Fate::Lose => forward(&state, request).await.and(Err(Cut)),
        Fate::Garble(body) => {
            let body = Full::new(Bytes::from_static(body.as_bytes()));
            forward(&state, request).await.map(|_| Response::new(body))
        }
        Fate::Delay(time) => {
            // A task of its own, since this one ends with the caller's connection.
            let late = tokio::spawn({
                let state = state.clone();
                async move {
                    tokio::time::sleep(time).await;
                    forward(&state, request).await
                }
            });
            lock(&state.delayed).push(late.abort_handle());
            late.await.unwrap_or(Err(Cut))
        }
        Fate::Hold(go) => {
            go.notified().await;
            forward(&state, request).await
        }
        Fate::Cut => Err(Cut),
        Fate::Hang(moment, reached) => {
            if moment == Moment::After {
                forward(&state, request).await?;
            }
            reached.notify_one();
            std::future::pending().await
        }
    }
}

fn fate(state: &State, call: Call) -> Fate {
    if STREAM_READS.contains(&call.target.as_str()) {
        return Fate::Pass;
    }
    let fate = (lock(&state.rule))(&call);
    lock(&state.calls).push(call);
    fate
}

async fn forward(
    state: &State,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let mut uri = state.upstream.clone().into_parts();
    uri.path_and_query = request
        .uri()
        .path_and_query()
        .cloned()
        .or(Some(PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Cut)?;
    let (parts, body) = state
        .client
        .request(request)
        .await
        .map_err(|_| Cut)?
        .into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    if let Some(units) = consumed_units(&body) {
        lock(&state.units).push(units);
    }
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// What an answer says was consumed: by a call on one table, or by each table of a transaction.
fn consumed_units(answer: &[u8]) -> Option<f64> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let units = |consumed: &Value| consumed["CapacityUnits"].as_f64();
    match &answer["ConsumedCapacity"] {
        Value::Null => None,
        Value::Array(tables) => tables.iter().map(units).sum(),
        table => units(table),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpStream};

    use super::*;

    #[tokio::test]
    async fn what_is_delayed_meanwhile_keeps_nothing_from_settling() {
        // Nobody is behind it: the calls go through to an error.
        let wire = Wire::start("http://127.0.0.1:9").await;
        let mut delays = [Duration::from_millis(100), crate::PATIENCE * 2].into_iter();
        wire.rule(move |_| Fate::Delay(delays.next().expect("two calls")));
        let call = async |number| {
            let mut stream = TcpStream::connect(wire.address).await.expect("it listens");
            let call = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(call).await.expect("it reads");
            let is_seen = async || (wire.calls().len() == number).then_some(());
            crate::eventually("the call", is_seen).await;
            stream
        };
        let _first = call(1).await;
        let ((), _second) = tokio::join!(wire.settle(), call(2));
        assert_eq!(wire.calls().len(), 2);
        let are_through = lock(&wire.state.delayed)
            .iter()
            .map(AbortHandle::is_finished)
            .collect::<Vec<_>>();
        assert_eq!(are_through, [true, false]);
    }
}
