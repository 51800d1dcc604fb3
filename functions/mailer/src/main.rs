//! The Lambda function `mailer`: wiring only.

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use lambda_runtime::{LambdaEvent, service_fn};
use mailer::{App, Batch};
use rand::rngs::SysRng;
use shared::{aws, lambda, settings::MailerSettings};
use tokio::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
fn main() -> ExitCode {
    lambda::run("mailer", |env| {
        let config = aws::config(env)?;
        let app = Arc::new(App::new(
            MailerSettings::read(env)?,
            aws::dynamodb(&config, env),
            &config,
            env,
        ));
        Ok::<_, Box<dyn Error>>(lambda_runtime::run(service_fn(
            move |event: LambdaEvent<Batch>| {
                let app = app.clone();
                async move {
                    let now = chrono::Utc::now();
                    let left = event
                        .context
                        .deadline
                        .saturating_sub(u64::try_from(now.timestamp_millis()).unwrap_or(0));
                    let half_time =
                        (left > 0).then(|| Instant::now() + Duration::from_millis(left / 2));
                    let response =
                        mailer::handle(&app, event.payload, now, half_time, &mut SysRng).await;
                    Ok::<_, std::convert::Infallible>(response)
                }
            },
        )))
    })
}
