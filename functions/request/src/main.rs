//! The Lambda function `request`: wiring only.

use std::{process::ExitCode, sync::Arc};

use shared::{aws, lambda, settings::RequestSettings};

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
fn main() -> ExitCode {
    lambda::run("request", |env| {
        let settings = RequestSettings::read(env)?;
        let dynamodb = aws::dynamodb(&aws::config(env)?, env);
        let app = Arc::new(request::App::new(settings, dynamodb));
        Ok::<_, aws::AwsConfigError>(lambda::serve_http(move |request| {
            let app = app.clone();
            async move { request::handle(&app, request, chrono::Utc::now()).await }
        }))
    })
}
