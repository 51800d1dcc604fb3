//! How a function starts and stays up.

use std::{fmt::Display, future::Future, process::ExitCode};

use http::{HeaderMap, Request, Response, header};
use lambda_http::{Adapter, Body, Service, request::LambdaRequest};
use lambda_runtime::{Error, LambdaEvent, service_fn};

use crate::{log, settings::Environment};

/// Runs the function `name`: starts logging, then `serve` on a runtime of one thread. A start
/// that fails says why in one sentence on standard error.
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
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        // Clients are made inside the runtime, which gives them their timers.
        let _guard = runtime.enter();
        let service = serve(&env).map_err(|error| error.to_string())?;
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

/// Serves HTTP events of every kind with `handler`.
pub async fn serve_http<F>(handler: impl Fn(Request<Body>) -> F + Clone) -> Result<(), Error>
where
    F: Future<Output = Response<Body>> + Send,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let mut adapter = Adapter::from(service);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<LambdaRequest>| {
        adapter.call(LambdaEvent::new(without_url(event.payload), event.context))
    }))
    .await
}

/// Takes out of an event what its URL would be built from.
///
/// A function serves one resource, so that it needs no URL; and building one panics on a host
/// that is no host, which a load balancer passes on as the caller sent it.
fn without_url(event: LambdaRequest) -> LambdaRequest {
    let clear = |headers: &mut HeaderMap| {
        headers.remove(header::HOST);
        headers.remove("x-forwarded-proto");
    };
    match event {
        LambdaRequest::ApiGatewayV1(mut event) => {
            clear(&mut event.headers);
            clear(&mut event.multi_value_headers);
            event.request_context.domain_name = None;
            event.path = None;
            LambdaRequest::ApiGatewayV1(event)
        }
        LambdaRequest::ApiGatewayV2(mut event) => {
            clear(&mut event.headers);
            event.request_context.domain_name = None;
            event.raw_path = None;
            event.raw_query_string = None;
            LambdaRequest::ApiGatewayV2(event)
        }
        LambdaRequest::Alb(mut event) => {
            clear(&mut event.headers);
            clear(&mut event.multi_value_headers);
            event.path = None;
            LambdaRequest::Alb(event)
        }
        other => other,
    }
}
