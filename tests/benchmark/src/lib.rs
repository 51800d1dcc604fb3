//! The world around a measured function: Lambda's Runtime API, and an AWS that always responds
//! the same. [`floor`] is the least that a function can be.

pub mod aws;
pub mod floor;
pub mod lambda;
pub mod process;
pub mod statistics;
pub mod subjects;

use std::{convert::Infallible, env, future::Future, net::Ipv4Addr, thread};

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
    env::args().skip(1).filter(is_given).collect()
}

/// Serves HTTP on a free loopback port, on a thread that lives as long as the process, and
/// returns the port. `secure` wraps each connection, for TLS.
fn serve<S, R, F>(
    secure: impl AsyncFn(tokio::net::TcpStream) -> Option<S> + Clone + Send + 'static,
    respond: R,
) -> u16
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Bytes>> + 'static,
{
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    listener.set_nonblocking(true).expect("a socket");
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let tasks = tokio::task::LocalSet::new();
        let accept = async move {
            let listener = TcpListener::from_std(listener).expect("a non-blocking socket");
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a socket");
                let (secure, respond) = (secure.clone(), respond.clone());
                tokio::task::spawn_local(async move {
                    if let Some(stream) = secure(stream).await {
                        serve_connection(stream, respond).await;
                    }
                });
            }
        };
        tasks.block_on(&runtime.expect("a runtime"), accept);
    });
    port
}

async fn serve_connection<S, R, F>(stream: S, respond: R)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Fn(Request<Bytes>) -> F + Clone,
    F: Future<Output = Response<Bytes>>,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let respond = respond.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            let request = Request::from_parts(parts, body.unwrap_or_default());
            Ok::<_, Infallible>(respond(request).await.map(Full::new))
        }
    });
    // A stopped function cuts its connections off.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
