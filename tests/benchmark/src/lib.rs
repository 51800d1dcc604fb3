//! What the benchmark plays around a function: Lambda's Runtime API and an AWS whose answers are
//! always the same. And [`bare`], the least that a function can be.

pub mod aws;
pub mod bare;
pub mod lambda;
pub mod process;
pub mod statistics;
pub mod subjects;

use std::{convert::Infallible, future::Future, net::Ipv4Addr, thread};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    runtime::Builder,
};

/// Returns the arguments of a bench without the one that cargo adds.
#[must_use]
pub fn arguments() -> Vec<String> {
    let is_given = |argument: &String| argument != "--bench";
    std::env::args().skip(1).filter(is_given).collect()
}

/// Serves on a free port of the loopback address, on a thread of its own that ends with the
/// process; the port. `secure` makes of each connection what is spoken HTTP on.
fn serve<S, C, F>(
    secure: impl AsyncFn(tokio::net::TcpStream) -> Option<S> + Clone + Send + 'static,
    answer: C,
) -> u16
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    C: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Bytes>> + 'static,
{
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    listener.set_nonblocking(true).expect("a listener takes it");
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let tasks = tokio::task::LocalSet::new();
        let accept = async move {
            let listener = TcpListener::from_std(listener).expect("it does not block");
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a connection takes it");
                let (secure, answer) = (secure.clone(), answer.clone());
                tokio::task::spawn_local(async move {
                    if let Some(stream) = secure(stream).await {
                        converse(stream, answer).await;
                    }
                });
            }
        };
        tasks.block_on(&runtime.expect("a runtime"), accept);
    });
    port
}

/// Answers what comes over one connection until it ends.
async fn converse<S, C, F>(stream: S, answer: C)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    C: Fn(Request<Bytes>) -> F + Clone,
    F: Future<Output = Response<Bytes>>,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            let request = Request::from_parts(parts, body.unwrap_or_default());
            Ok::<_, Infallible>(answer(request).await.map(Full::new))
        }
    });
    // A function that was stopped ends its connections in the middle.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
