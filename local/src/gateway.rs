//! The local gateway: passes HTTP requests to the functions as API Gateway does.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use chrono::{DateTime, Utc};
use http_body_util::BodyExt;
use lambda_http::{
    Body as LambdaBody, RequestExt,
    aws_lambda_events::{apigw::ApiGatewayV2httpRequestContext, query_map::QueryMap},
    request::RequestContext,
};
use rand::{TryRng, rngs::SysRng};
use web::{MAX_BODY_BYTES, Problem};

/// API Gateway's limit. Bytes over the functions' own limit are read and dropped: a client whose
/// connection is closed while it sends does not see the response.
const MAX_READ_BYTES: usize = 10 * 1024 * 1024;

/// Paths to request a reset email.
pub const FORGOT_PASSWORD: [&str; 2] =
    ["/core/user/forgot-password", "/core/user/forgot-password/"];
/// Paths to set a new password.
pub const CHANGE_FORGOTTEN_PASSWORD: [&str; 2] = [
    "/core/user/change-forgotten-password",
    "/core/user/change-forgotten-password/",
];
/// Path of the page for password managers.
pub const WELL_KNOWN: &str = "/.well-known/change-password";

/// The OpenAPI description of the resources.
const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// State of the routes: the functions.
#[derive(Clone)]
pub(crate) struct Functions {
    pub(crate) request: Arc<request::App>,
    pub(crate) confirm: Arc<confirm::App>,
    pub(crate) now: fn() -> DateTime<Utc>,
}

/// Builds the router of both resources, with and without a trailing slash, and of `other`. All other
/// paths go to the function `request`, as on AWS.
pub(crate) fn router(functions: Functions, other: Router) -> Router {
    let mut router = Router::new();
    for path in FORGOT_PASSWORD {
        router = router.route(path, any(forgot_password));
    }
    for path in CHANGE_FORGOTTEN_PASSWORD {
        router = router.route(path, any(change_forgotten_password));
    }
    router
        .route(WELL_KNOWN, any(forgot_password))
        .route("/openapi.json", get(openapi).fallback(method_not_allowed))
        .fallback(forgot_password)
        .with_state(functions)
        .merge(other)
}

async fn forgot_password(
    State(functions): State<Functions>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    route: Option<MatchedPath>,
    request: Request,
) -> Response {
    let id = request_id();
    let request = lambda_request(request, peer, route.as_ref(), &id).await;
    let response = functions.request.handle(request, (functions.now)()).await;
    http_response(response, &id)
}

async fn change_forgotten_password(
    State(functions): State<Functions>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    route: Option<MatchedPath>,
    request: Request,
) -> Response {
    let id = request_id();
    let request = lambda_request(request, peer, route.as_ref(), &id).await;
    let now = (functions.now)();
    let response = functions.confirm.handle(request, now, &mut SysRng).await;
    http_response(response, &id)
}

/// Returns a random ID of the form that API Gateway gives a request.
fn request_id() -> String {
    let mut bytes = [0; 11];
    SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system has random bytes");
    URL_SAFE.encode(bytes)
}

async fn openapi() -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    web::secured((json, OPENAPI).into_response())
}

async fn method_not_allowed() -> Response {
    let problem = Problem::MethodNotAllowed("GET, HEAD").into_response(None);
    http_response(web::secured(problem), &request_id())
}

async fn lambda_request(
    request: Request,
    peer: SocketAddr,
    route: Option<&MatchedPath>,
    id: &str,
) -> lambda_http::Request {
    let (parts, body) = request.into_parts();
    let route_key = route.map(|path| format!("ANY {}", path.as_str()));
    let mut context = ApiGatewayV2httpRequestContext::default();
    context.route_key = Some(route_key.unwrap_or_else(|| "$default".to_owned()));
    context.request_id = Some(id.to_owned());
    context.http.method = parts.method.clone();
    context.http.source_ip = Some(peer.ip().to_string());
    let path = parts.uri.path().to_owned();
    let query: QueryMap = parts
        .uri
        .query()
        .unwrap_or_default()
        .parse()
        .unwrap_or_default();
    lambda_http::Request::from_parts(parts, LambdaBody::Binary(read_body(body).await))
        .with_raw_http_path(&path)
        .with_query_string_parameters(query)
        .with_request_context(RequestContext::ApiGatewayV2(context))
}

/// Reads the body and keeps up to one byte over the functions' limit, which is enough for them to
/// refuse it.
async fn read_body(mut body: Body) -> Vec<u8> {
    let (mut kept, mut read) = (Vec::new(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        let data: Bytes = frame.into_data().unwrap_or_default();
        read += data.len();
        let room = (MAX_BODY_BYTES + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if read > MAX_READ_BYTES {
            break;
        }
    }
    kept
}

fn http_response(mut response: lambda_http::Response<LambdaBody>, id: &str) -> Response {
    let id = HeaderValue::from_str(id).expect("base64");
    response.headers_mut().insert("apigw-requestid", id);
    response.map(|body| match body {
        LambdaBody::Text(text) => Body::from(text),
        LambdaBody::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    })
}
