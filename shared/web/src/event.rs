//! HTTP events as Lambda delivers them.

use std::{collections::HashMap, convert::Infallible, future::Future};

use http::{HeaderMap, Request, Response, header};
use lambda_http::{
    Adapter, Body, Service,
    aws_lambda_events::{apigw::ApiGatewayV2httpRequest, query_map::QueryMap},
    request::LambdaRequest,
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;

/// Serves HTTP events of every shape with `handler`.
pub async fn serve<F>(handler: impl Fn(Request<Body>) -> F + Clone) -> Result<(), Error>
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    lambda_runtime::run(service(handler)).await
}

/// Wraps `handler` in a service that takes an HTTP event of any shape and returns the response in
/// the same shape.
pub fn service<F>(
    handler: impl Fn(Request<Body>) -> F + Clone,
) -> impl Service<LambdaEvent<HttpEvent>, Response: Serialize, Error = Infallible>
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let mut adapter = Adapter::from(service);
    service_fn(move |event: LambdaEvent<HttpEvent>| {
        adapter.call(LambdaEvent::new(
            without_url(event.payload.0),
            event.context,
        ))
    })
}

/// An HTTP event of an HTTP API, a REST API, a function URL or a load balancer.
pub struct HttpEvent(LambdaRequest);

impl<'de> Deserialize<'de> for HttpEvent {
    /// Tries the event of an HTTP API or a function URL first, because the template deploys one.
    /// `lambda_http` would try the event of a REST API before it, which costs 29,000 of the 640,000
    /// instructions of a warm request. A REST API's event costs 37,000 more this way.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Box::<RawValue>::deserialize(deserializer)?;
        let event = event.get();
        if let Ok(event) = serde_json::from_str::<ApiGatewayV2httpRequest>(event)
            && event.version.as_deref() == Some("2.0")
        {
            return Ok(Self(LambdaRequest::ApiGatewayV2(event)));
        }
        serde_json::from_str(event)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// Removes everything that `lambda_http` builds the URL from, except the path and the language.
///
/// A function serves one resource, so it needs no URL, and building one panics on a malformed Host
/// header, which a load balancer passes through.
fn without_url(event: LambdaRequest) -> LambdaRequest {
    match event {
        LambdaRequest::ApiGatewayV1(mut event) => {
            clear_headers(&mut event.headers);
            clear_headers(&mut event.multi_value_headers);
            clear_query(&mut event.query_string_parameters);
            clear_query(&mut event.multi_value_query_string_parameters);
            event.request_context.domain_name = None;
            event.path = event.path.filter(is_path);
            LambdaRequest::ApiGatewayV1(event)
        }
        LambdaRequest::ApiGatewayV2(mut event) => {
            clear_headers(&mut event.headers);
            clear_query(&mut event.query_string_parameters);
            let domain_name = event.request_context.domain_name.take();
            // A function URL has no routes, but its events name one.
            if domain_name.is_some_and(|name| name.contains(".lambda-url.")) {
                event.request_context.route_key = None;
            }
            event.raw_query_string = None;
            event.raw_path = event.raw_path.filter(is_path);
            LambdaRequest::ApiGatewayV2(event)
        }
        LambdaRequest::Alb(mut event) => {
            clear_headers(&mut event.headers);
            clear_headers(&mut event.multi_value_headers);
            clear_query(&mut event.query_string_parameters);
            clear_query(&mut event.multi_value_query_string_parameters);
            event.path = event.path.filter(is_path);
            LambdaRequest::Alb(event)
        }
        other => other,
    }
}

fn clear_headers(headers: &mut HeaderMap) {
    headers.remove(header::HOST);
    headers.remove("x-forwarded-proto");
}

fn clear_query(query: &mut QueryMap) {
    let is_tag = |text: &&str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let language = query
        .first("lang")
        .filter(is_tag)
        .map(|tag| vec![tag.to_owned()]);
    *query = language
        .map(|tag| QueryMap::from(HashMap::from([("lang".to_owned(), tag)])))
        .unwrap_or_default();
}

#[expect(
    clippy::ptr_arg,
    reason = "Option::filter passes a reference to the String"
)]
fn is_path(path: &String) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(event: &str) -> Result<LambdaRequest, serde_json::Error> {
        serde_json::from_str(event).map(|HttpEvent(event)| event)
    }

    #[test]
    fn every_event_is_recognised_in_any_formatting() {
        let http = include_str!("../../../events/request.json");
        let rest = include_str!("../../../events/request-rest.json");
        let alb = include_str!("../../../events/request-alb.json");
        let line = |event: &str| -> String { event.split_whitespace().collect() };
        let version_header =
            rest.replacen("\"headers\": {", "\"headers\": {\"version\": \"2.0\",", 1);
        assert_ne!(version_header, rest);
        for event in [http.to_owned(), line(http)] {
            assert!(matches!(read(&event), Ok(LambdaRequest::ApiGatewayV2(_))));
        }
        // A REST API's event with a version is still a REST API's event.
        let with_version = format!("{{\"version\":\"2.0\",{}", &line(rest)[1..]);
        for event in [rest.to_owned(), line(rest), version_header, with_version] {
            assert!(
                matches!(read(&event), Ok(LambdaRequest::ApiGatewayV1(_))),
                "{event}"
            );
        }
        assert!(matches!(read(&line(alb)), Ok(LambdaRequest::Alb(_))));
        assert!(read("{\"version\":\"2.0\",\"routeKey\":1}").is_err());
    }
}
