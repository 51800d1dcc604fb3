//! The Lambda function `mailer`: wiring only.

use std::{error::Error, process::ExitCode, sync::Arc};

use lambda_runtime::{LambdaEvent, service_fn};
use mailer::{App, settings::MailerSettings};
use rand::rngs::SysRng;
use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "the clock is read only here")]
fn main() -> ExitCode {
    aws::lambda::run("mailer", |env| {
        let settings = MailerSettings::read(env)?;
        let config = aws::config(env)?;
        let dynamodb = aws::dynamodb(&config, env);
        let app = Arc::new(App::new(settings, dynamodb, &config, env));
        Ok::<_, Box<dyn Error>>(lambda_runtime::run(service_fn(
            move |event: LambdaEvent<Value>| {
                let app = app.clone();
                // Boxed, because the runtime copies the future, which is large.
                Box::pin(async move { app.handle(event, chrono::Utc::now(), &mut SysRng).await })
            },
        )))
    })
}
