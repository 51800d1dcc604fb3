//! The root certificates that the functions trust.

use benchmark::aws::{self, CannedAws};
use chrono::DateTime;
use lambda_http::{Body, Request, Response};
use request::settings::RequestSettings;
use rules::environment::Environment;

/// Requests a reset email from `request` with AWS at `url`.
async fn request_reset(url: &str, roots: Option<&str>) -> Response<Body> {
    let variable = |name: &str| {
        let value = match name {
            "AWS_REGION" => "eu-central-1",
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "none",
            "AWS_ENDPOINT_URL" => url,
            "SSL_CERT_FILE" => roots?,
            _ => return None,
        };
        Some(value.to_owned())
    };
    let env = Environment::new(&variable);
    let config = ::aws::config(&env).expect("a region and credentials");
    let dynamodb = ::aws::dynamodb(&config, &env);
    let settings = RequestSettings::read(&env).expect("the defaults");
    let app = request::App::new(settings, dynamodb);
    let request = Request::new(Body::Text(r#"{"email":"ada@example.com"}"#.to_owned()));
    let (mut parts, body) = request.into_parts();
    parts.method = http::Method::POST;
    let json = http::HeaderValue::from_static("application/json");
    parts.headers.insert(http::header::CONTENT_TYPE, json);
    let now = DateTime::from_timestamp(4_102_488_000, 0).expect("noon of 2100-01-01");
    app.handle(Request::from_parts(parts, body), now).await
}

#[tokio::test]
async fn a_certificate_without_an_amazon_root_is_refused() {
    let aws = CannedAws::start();
    let response = request_reset(&aws.https_url(), None).await;
    assert_eq!(response.status(), 503);
}

#[tokio::test]
async fn ssl_cert_file_replaces_the_amazon_roots() {
    let aws = CannedAws::start();
    let root = aws::root_file();
    let response = request_reset(&aws.https_url(), root.to_str()).await;
    assert_eq!(response.status(), 200);
}
