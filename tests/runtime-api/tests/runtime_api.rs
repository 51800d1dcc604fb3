//! The server as a function's runtime sees it.

mod http;

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{Reply, call};
use runtime_api::RuntimeApi;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(15);

async fn get_next(api: SocketAddr) -> Reply {
    on_thread(move || call(api, "GET", "/2018-06-01/runtime/invocation/next", "")).await
}

async fn report(api: SocketAddr, id: &str, kind: &str, body: &'static str) -> Reply {
    let path = format!("/2018-06-01/runtime/invocation/{id}/{kind}");
    on_thread(move || call(api, "POST", &path, body)).await
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test]
async fn an_event_and_its_response_pass_unchanged() {
    let api = RuntimeApi::start(TIMEOUT);
    let function = async {
        let next = get_next(api.address()).await;
        assert_eq!((next.status, next.body.as_str()), (200, "not JSON \u{e9}"));
        let id = next.header("lambda-runtime-aws-request-id");
        report(api.address(), id, "response", "\u{fc} not JSON").await
    };
    let event = Bytes::from("not JSON \u{e9}");
    let (outcome, reported) = tokio::join!(api.invoke(event), function);
    assert_eq!(reported.status, 202);
    assert_eq!(outcome.result, Ok(Bytes::from("\u{fc} not JSON")));
}

#[tokio::test]
async fn a_reported_error_fails_the_invocation() {
    let api = RuntimeApi::start(TIMEOUT);
    let function = async {
        let next = get_next(api.address()).await;
        let id = next.header("lambda-runtime-aws-request-id");
        report(api.address(), id, "error", "boom").await
    };
    let (outcome, _) = tokio::join!(api.invoke(Bytes::from("{}")), function);
    assert_eq!(outcome.result, Err(Bytes::from("boom")));
}

#[tokio::test]
async fn queued_events_come_in_order_and_can_finish_in_any() {
    let api = RuntimeApi::start(TIMEOUT);
    let function = async {
        let first = get_next(api.address()).await;
        let second = get_next(api.address()).await;
        assert_eq!((first.body.as_str(), second.body.as_str()), ("1", "2"));
        for (next, response) in [(second, "two"), (first, "one")] {
            let id = next.header("lambda-runtime-aws-request-id");
            report(api.address(), id, "response", response).await;
        }
    };
    let (one, two, ()) = tokio::join!(
        api.invoke(Bytes::from("1")),
        api.invoke(Bytes::from("2")),
        function
    );
    assert_eq!(one.result, Ok(Bytes::from("one")));
    assert_eq!(two.result, Ok(Bytes::from("two")));
    assert!(two.at < one.at);
}

#[tokio::test]
async fn an_unknown_request_id_is_refused() {
    let api = RuntimeApi::start(TIMEOUT);
    let reported = report(api.address(), "unknown", "response", "{}").await;
    assert_eq!(reported.status, 400);
}

#[tokio::test]
async fn an_init_error_fails_the_queued_invocations() {
    let api = RuntimeApi::start(TIMEOUT);
    let address = api.address();
    let path = "/2018-06-01/runtime/init/error";
    let function = on_thread(move || call(address, "POST", path, "no settings"));
    let (outcome, reported) = tokio::join!(api.invoke(Bytes::from("{}")), function);
    assert_eq!(reported.status, 202);
    assert_eq!(outcome.result, Err(Bytes::from("no settings")));
}

#[tokio::test]
async fn the_deadline_is_the_timeout_after_the_function_got_the_event() {
    let api = RuntimeApi::start(TIMEOUT);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("now");
    let before = now();
    let function = async {
        let next = get_next(api.address()).await;
        let deadline = next.header("lambda-runtime-deadline-ms").parse();
        let deadline: u128 = deadline.expect("a number");
        assert!(deadline >= (before + TIMEOUT).as_millis());
        assert!(deadline <= (now() + TIMEOUT).as_millis());
        let id = next.header("lambda-runtime-aws-request-id");
        report(api.address(), id, "response", "{}").await;
    };
    tokio::join!(api.invoke(Bytes::from("{}")), function);
}

#[tokio::test]
async fn requests_and_responses_are_timed_when_they_arrive() {
    let api = RuntimeApi::start(TIMEOUT);
    let start = Instant::now();
    let function = async {
        let next = get_next(api.address()).await;
        let id = next.header("lambda-runtime-aws-request-id");
        report(api.address(), id, "response", "{}").await;
    };
    let (outcome, ()) = tokio::join!(api.invoke(Bytes::from("{}")), function);
    let read_late = Instant::now();
    let requested = api.wait_for_next().await;
    assert!(start < requested && requested < outcome.at && outcome.at < read_late);
}

#[tokio::test]
async fn the_event_goes_to_the_process_that_is_still_connected() {
    let api = RuntimeApi::start(TIMEOUT);
    let mut killed = TcpStream::connect(api.address()).expect("a connection");
    killed
        .write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: a\r\n\r\n")
        .expect("sent");
    api.wait_for_next().await;
    drop(killed);
    let address = api.address();
    let function = tokio::spawn(async move {
        let next = get_next(address).await;
        let id = next.header("lambda-runtime-aws-request-id");
        report(address, id, "response", "{}").await
    });
    api.wait_for_next().await;
    let outcome = timeout(TIMEOUT, api.invoke(Bytes::from("{}"))).await;
    outcome.expect("the event was not lost").result.expect("{}");
    assert_eq!(function.await.expect("no panic").status, 202);
}

#[tokio::test]
async fn dropping_the_value_stops_the_server() {
    let api = RuntimeApi::start(TIMEOUT);
    let address = api.address();
    let reply = on_thread(move || call(address, "GET", "/", "")).await;
    assert_eq!(reply.status, 404);
    drop(api);
    let start = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(start.elapsed() < TIMEOUT, "it still listens");
        std::thread::yield_now();
    }
}
