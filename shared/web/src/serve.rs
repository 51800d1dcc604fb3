//! Paths, methods, panics and headers: everything around a handler.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use lambda_http::Body;
use rules::client::ClientNetwork;
use tracing::Instrument;

use crate::{
    cors::CorsOrigins,
    edge::Edge,
    negotiation::{accepts_html, wants_page},
    pages::{Pages, Resource},
    path::{Target, redirect_well_known},
    problem::Problem,
    request_log::{self, LogClient, request_id},
    response::secured,
    theme::Theme,
};

/// Seconds for which a browser may cache the response to a preflight request.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// State that the handlers of both functions share.
pub struct Site {
    /// Origins that may call the API from a browser.
    pub cors: CorsOrigins,
    /// The edge through which every request must come.
    pub edge: Edge,
    /// How log lines identify the client.
    pub log_client: LogClient,
    /// Look of the pages.
    pub theme: Theme,
}

/// Responds to `request` with `handler`, which gets only GET, HEAD and POST requests for `resource`,
/// and only those that came through the edge, if there is one.
///
/// Every line logged by the handler has the request's fields. Every response, including that of a
/// panic, gets the security and CORS headers.
pub async fn serve<F>(
    resource: Resource,
    site: &Site,
    request: Request<Body>,
    handler: impl FnOnce(Request<Body>, ClientNetwork) -> F,
) -> Response<Body>
where
    F: Future<Output = Result<Response<Body>, Problem>>,
{
    let client = site.edge.client_network(&request);
    let span = request_log::span(&request, client, &site.log_client);
    let handler = |request| handler(request, client);
    respond(resource, site, request, handler)
        .instrument(span)
        .await
}

async fn respond<F>(
    resource: Resource,
    site: &Site,
    request: Request<Body>,
    handler: impl FnOnce(Request<Body>) -> F,
) -> Response<Body>
where
    F: Future<Output = Result<Response<Body>, Problem>>,
{
    let origin = site.cors.allowed(request.headers()).cloned();
    let is_preflight = origin.is_some()
        && request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_head = request.method() == Method::HEAD;
    let reference = request_id(&request).map(str::to_owned);
    let result = match (Target::of(&request, resource), request.method()) {
        _ if !site.edge.admits(request.headers()) => forbidden(resource, site, &request),
        // Before the path is checked, so a page can read the 404 of an unknown path.
        _ if is_preflight => Ok(preflight()),
        (Target::Unknown, _) => Err(Problem::NotFound),
        (Target::WellKnown, &Method::GET | &Method::HEAD) => Ok(redirect_well_known()),
        (Target::WellKnown, _) => Err(Problem::MethodNotAllowed("GET, HEAD")),
        (Target::Resource, &Method::GET | &Method::HEAD | &Method::POST) => {
            let result = AssertUnwindSafe(handler(request)).catch_unwind().await;
            result.unwrap_or(Err(Problem::Panicked))
        }
        (Target::Resource, _) => Err(Problem::MethodNotAllowed("GET, HEAD, POST")),
    };
    let mut response =
        secured(result.unwrap_or_else(|problem| problem.into_response(reference.as_deref())));
    if is_head {
        *response.body_mut() = Body::Empty;
    }
    let headers = response.headers_mut();
    if site.cors.is_on() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("retry-after"),
        );
    }
    response
}

/// Refuses a request that did not come through the edge, with a page if a browser sent it.
fn forbidden(
    resource: Resource,
    site: &Site,
    request: &Request<Body>,
) -> Result<Response<Body>, Problem> {
    let headers = request.headers();
    let is_page = request.method() != Method::POST && accepts_html(headers);
    if is_page || wants_page(headers) {
        Ok(Pages::new(&site.theme, resource, request).forbidden())
    } else {
        Err(Problem::Forbidden)
    }
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().extend([
        (
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        ),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("content-type"),
        ),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE),
    ]);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use lambda_http::{
        RequestExt, aws_lambda_events::apigw::ApiGatewayV2httpRequestContext,
        request::RequestContext,
    };
    use rules::{brand::Brand, environment::Environment};
    use tracing::Level;
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    fn request() -> Request<Body> {
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.request_id = Some("JKJaXmPLvHcESHA=".to_owned());
        context.http.source_ip = Some("192.0.2.77".to_owned());
        Request::new(Body::Empty).with_request_context(RequestContext::ApiGatewayV2(context))
    }

    #[tokio::test]
    async fn a_panic_is_logged_as_part_of_its_request() {
        static OUTPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        // A span below the level of the log would add nothing.
        let lines = aws::log::json_lines(Level::ERROR, || OUTPUT.make_writer());
        let subscriber = tracing_subscriber::registry().with(lines);
        let _guard = tracing::subscriber::set_default(subscriber);
        aws::log::log_panics();

        let env = Environment::new(&|_| None);
        let site = Site {
            cors: CorsOrigins::default(),
            edge: Edge::default(),
            log_client: LogClient::Network,
            theme: Theme::new(Brand::read(&env).expect("defaults")),
        };
        let panics = async |_, _| -> Result<Response<Body>, Problem> { panic!("192.0.2.77") };
        let response = serve(Resource::ForgotPassword, &site, request(), panics).await;

        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let output = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner);
        let output = String::from_utf8_lossy(&output);
        assert_eq!(output.lines().count(), 2, "{output}");
        for line in output.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(line["request_id"], "JKJaXmPLvHcESHA=");
            assert_eq!(line["client"], "192.0.2.0/24");
            assert!(!line.to_string().contains("192.0.2.77"), "{line}");
        }
    }
}
