//! The Lambda function `confirm`: wiring only.

use std::{error::Error, process::ExitCode, sync::Arc};

use rand::rngs::SysRng;
use shared::{aws, lambda, settings::ConfirmSettings};

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
fn main() -> ExitCode {
    lambda::run("confirm", |env| {
        let settings = ConfirmSettings::read(env)?;
        let dynamodb = aws::dynamodb(&aws::config(env)?, env);
        let app = Arc::new(confirm::App::new(settings, dynamodb)?);
        Ok::<_, Box<dyn Error>>(lambda::serve_http(move |request| {
            let app = app.clone();
            async move { confirm::handle(&app, request, chrono::Utc::now(), &mut SysRng).await }
        }))
    })
}
