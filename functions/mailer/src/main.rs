//! The Lambda function `mailer`: wiring only.

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use lambda_runtime::{LambdaEvent, service_fn};
use mailer::{App, Event};
use rand::rngs::SysRng;
use serde_json::Value;
use shared::{aws, lambda, settings::MailerSettings};
use tokio::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
fn main() -> ExitCode {
    lambda::run("mailer", |env| {
        let settings = MailerSettings::read(env)?;
        let config = aws::config(env)?;
        let dynamodb = aws::dynamodb(&config, env);
        let app = Arc::new(App::new(settings, dynamodb, &config, env));
        Ok::<_, Box<dyn Error>>(lambda_runtime::run(service_fn(
            move |event: LambdaEvent<Value>| {
                let app = app.clone();
                async move {
                    let now = chrono::Utc::now();
                    let left = event
                        .context
                        .deadline
                        .saturating_sub(u64::try_from(now.timestamp_millis()).unwrap_or(0));
                    let half_time =
                        (left > 0).then(|| Instant::now() + Duration::from_millis(left / 2));
                    Ok::<_, lambda_runtime::Error>(match Event::read(event.payload)? {
                        Event::Batch(batch) => serde_json::to_value(
                            mailer::handle(&app, batch, now, half_time, &mut SysRng).await,
                        )?,
                        Event::Report(report) => {
                            mailer::handle_report(&app, &report).await?;
                            Value::Null
                        }
                    })
                }
            },
        )))
    })
}
