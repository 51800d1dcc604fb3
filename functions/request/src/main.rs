//! The Lambda function `request`: wiring only.

use std::{process::ExitCode, sync::Arc};

use request::{App, settings::RequestSettings};

#[expect(clippy::disallowed_methods, reason = "the clock is read only here")]
fn main() -> ExitCode {
    aws::lambda::run("request", |env| {
        let settings = RequestSettings::read(env)?;
        let dynamodb = aws::dynamodb(&aws::config(env)?, env);
        let app = Arc::new(App::new(settings, dynamodb));
        Ok::<_, aws::AwsConfigError>(web::event::serve(move |request| {
            let app = app.clone();
            async move { app.handle(request, chrono::Utc::now()).await }
        }))
    })
}
