//! A proxy in front of DynamoDB or SES. It records calls and can disturb them.

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

/// The call that sends an email.
pub const SEND_EMAIL: &str = "POST /v2/email/outbound-emails";
/// The call that writes a transaction.
pub const TRANSACTION: &str = "TransactWriteItems";
/// Reads of the outbox's stream, which on AWS are not made by a function. They are not recorded.
const STREAM_READS: [&str; 3] = ["DescribeStream", "GetShardIterator", "GetRecords"];

/// A recorded call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Operation in `X-Amz-Target`, or method and path if there is no such header.
    pub operation: String,
    /// Body, if it is JSON.
    pub body: Value,
}

/// What the proxy does with a call.
#[derive(Debug, Clone)]
pub enum Action {
    /// Forwards it.
    Pass,
    /// Responds without forwarding it.
    Respond(Response<Bytes>),
    /// Forwards it and drops the response.
    LoseResponse,
    /// Forwards it and replaces the body of the response.
    GarbleResponse(&'static str),
    /// Forwards it after a delay, even if the caller has given up by then.
    Delay(Duration),
    /// Forwards it when the test notifies.
    Hold(Arc<Notify>),
    /// Closes the connection without forwarding it.
    Cut,
    /// Notifies the test at this point and never responds.
    Hang(HangPoint, Arc<Notify>),
}

/// When a hanging call stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangPoint {
    /// Before it is forwarded.
    BeforeForwarding,
    /// After it is forwarded and has taken effect.
    AfterForwarding,
}

impl Action {
    /// Responds as SES does to an email that it accepts. The local simulator reports no event.
    #[must_use]
    pub fn accept_email() -> Self {
        Self::Respond(Response::new(Bytes::from_static(
            br#"{"MessageId": "m-1"}"#,
        )))
    }

    /// Responds with an error in the services' format.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::error_with(
            status,
            code,
            json!({ "message": message, "Message": message }),
        )
    }

    /// Responds with an error that has other members in its body.
    #[must_use]
    pub fn error_with(status: u16, code: &str, mut body: Value) -> Self {
        body["__type"] = json!(code);
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("x-amzn-errortype", code)
            .body(Bytes::from(body.to_string()));
        Self::Respond(response.expect("a valid response"))
    }

    /// Responds that a transaction was cancelled, with a reason for each item.
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

type Rule = Box<dyn FnMut(&Call) -> Action + Send>;

/// A proxy on its own port.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
    calls: Mutex<Vec<Call>>,
    rule: Mutex<Rule>,
    /// Every call delayed so far.
    delayed: Mutex<Vec<AbortHandle>>,
    is_metered: AtomicBool,
    units: Mutex<Vec<f64>>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`, such as `http://127.0.0.1:8001`, that forwards
    /// everything.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let state = Arc::new(State {
            upstream: upstream.parse().expect("an address"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            calls: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Action::Pass)),
            delayed: Mutex::default(),
            is_metered: AtomicBool::new(false),
            units: Mutex::default(),
        });
        tokio::spawn(accept(listener, state.clone()));
        Self { address, state }
    }

    /// Returns the proxy's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets `rule` decide about every further call.
    pub fn intercept(&self, rule: impl FnMut(&Call) -> Action + Send + 'static) {
        *lock(&self.state.rule) = Box::new(rule);
    }

    /// Applies `action` to every further call of `operation` and forwards the others.
    pub fn intercept_operation(&self, operation: &'static str, action: Action) {
        self.intercept(move |call| {
            if call.operation == operation {
                action.clone()
            } else {
                Action::Pass
            }
        });
    }

    /// Applies `action` to the further call number `number` of `operation`, counted from 1.
    pub fn intercept_call(&self, operation: &'static str, number: usize, action: Action) {
        let mut seen = 0;
        self.intercept(move |call| {
            seen += usize::from(call.operation == operation);
            if call.operation == operation && seen == number {
                action.clone()
            } else {
                Action::Pass
            }
        });
    }

    /// Applies `action` to every further call.
    pub fn intercept_all(&self, action: Action) {
        self.intercept(move |_| action.clone());
    }

    /// Forwards everything again.
    pub fn pass_all(&self) {
        self.intercept(|_| Action::Pass);
    }

    /// Waits until every call delayed so far has been forwarded. Calls delayed meanwhile do not
    /// count.
    pub async fn wait_for_delayed_calls(&self) {
        let delayed = lock(&self.state.delayed).clone();
        let look = async || delayed.iter().all(AbortHandle::is_finished).then_some(());
        crate::wait_for("delayed calls", look).await;
    }

    /// Returns the recorded calls.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).clone()
    }

    /// Clears the recorded calls.
    pub fn clear_calls(&self) {
        lock(&self.state.calls).clear();
    }

    /// Returns the recorded calls and clears them.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.state.calls))
    }

    /// Asks DynamoDB to report the capacity that each further call consumes.
    pub fn report_capacity(&self) {
        self.state.is_metered.store(true, Ordering::SeqCst);
    }

    /// Returns the capacity units that each call consumed, as DynamoDB reports them, and clears
    /// them.
    #[must_use]
    pub fn take_capacity_units(&self) -> Vec<f64> {
        std::mem::take(&mut *lock(&self.state.units))
    }

    /// Returns the operations of the recorded calls and clears them.
    #[must_use]
    pub fn take_operations(&self) -> Vec<String> {
        self.take_calls()
            .into_iter()
            .map(|call| call.operation)
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        let service = service_fn(move |request| handle(state.clone(), request));
        // A cut connection is an intended error.
        tokio::spawn(async move {
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok()
        });
    }
}

/// Closes the connection without a response.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

async fn handle(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let operation = parts
        .headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok()?.rsplit('.').next());
    let operation = operation.map_or_else(
        || format!("{} {}", parts.method, parts.uri.path()),
        str::to_owned,
    );
    let call = Call {
        operation,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let is_metered = state.is_metered.load(Ordering::SeqCst) && call.body.is_object();
    let body = if is_metered {
        let mut body = call.body.clone();
        body["ReturnConsumedCapacity"] = json!("TOTAL");
        parts.headers.remove(CONTENT_LENGTH);
        Bytes::from(body.to_string())
    } else {
        body
    };
    let action = decide(&state, call);
    let request = Request::from_parts(parts, Full::new(body));
    match action {
        Action::Pass => forward(&state, request).await,
        Action::Respond(response) => Ok(response.map(Full::new)),
        Action::LoseResponse => forward(&state, request).await.and(Err(Cut)),
        Action::GarbleResponse(body) => {
            let body = Full::new(Bytes::from_static(body.as_bytes()));
            forward(&state, request).await.map(|_| Response::new(body))
        }
        Action::Delay(time) => {
            // A separate task, because this one ends with the caller's connection.
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
        Action::Hold(go) => {
            go.notified().await;
            forward(&state, request).await
        }
        Action::Cut => Err(Cut),
        Action::Hang(moment, reached) => {
            if moment == HangPoint::AfterForwarding {
                forward(&state, request).await?;
            }
            reached.notify_one();
            std::future::pending().await
        }
    }
}

fn decide(state: &State, call: Call) -> Action {
    if STREAM_READS.contains(&call.operation.as_str()) {
        return Action::Pass;
    }
    let action = (lock(&state.rule))(&call);
    lock(&state.calls).push(call);
    action
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

/// Returns the capacity that a response reports: of one table, or summed over a transaction's
/// tables.
fn consumed_units(response: &[u8]) -> Option<f64> {
    let response: Value = serde_json::from_slice(response).ok()?;
    let units = |consumed: &Value| consumed["CapacityUnits"].as_f64();
    match &response["ConsumedCapacity"] {
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
    async fn waiting_for_delayed_calls_ignores_calls_delayed_meanwhile() {
        // Nothing listens upstream: forwarding fails, which counts as done.
        let wire = Proxy::start("http://127.0.0.1:9").await;
        let mut delays = [Duration::from_millis(100), crate::WAIT_TIMEOUT * 2].into_iter();
        wire.intercept(move |_| Action::Delay(delays.next().expect("two calls")));
        let call = async |number| {
            let mut stream = TcpStream::connect(wire.address).await.expect("it listens");
            let call = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(call).await.expect("it reads");
            let is_seen = async || (wire.calls().len() == number).then_some(());
            crate::wait_for("the call", is_seen).await;
            stream
        };
        let _first = call(1).await;
        let ((), _second) = tokio::join!(wire.wait_for_delayed_calls(), call(2));
        assert_eq!(wire.calls().len(), 2);
        let finished = lock(&wire.state.delayed)
            .iter()
            .map(AbortHandle::is_finished)
            .collect::<Vec<_>>();
        assert_eq!(finished, [true, false]);
    }
}
