//! The Lambda function `mailer`: wiring only.

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use lambda_runtime::{LambdaEvent, service_fn};
use mailer::{App, Event, settings::MailerSettings};
use rand::rngs::SysRng;
use serde_json::Value;
use tokio::time::Instant;

fn main() -> ExitCode {
    aws::lambda::run("mailer", |env| {
        let settings = MailerSettings::read(env)?;
        let config = aws::config(env)?;
        let dynamodb = aws::dynamodb(&config, env);
        let app = Arc::new(App::new(settings, dynamodb, &config, env));
        Ok::<_, Box<dyn Error>>(lambda_runtime::run(service_fn(
            move |event: LambdaEvent<Value>| {
                let app = app.clone();
                async move { handle(&app, event).await }
            },
        )))
    })
}

#[expect(clippy::disallowed_methods, reason = "the clock is read only here")]
async fn handle(app: &App, event: LambdaEvent<Value>) -> Result<Value, lambda_runtime::Error> {
    let now = Utc::now();
    let half_time = half_time(event.context.deadline, now);
    Ok(match Event::read(event.payload)? {
        Event::Outbox(batch) => {
            serde_json::to_value(app.handle_batch(batch, now, half_time, &mut SysRng).await)?
        }
        Event::Ses(event) => {
            app.handle_ses_event(&event).await?;
            Value::Null
        }
    })
}

/// Returns the moment at which half of the invocation's time has passed; `None` if Lambda set no
/// deadline.
fn half_time(deadline_millis: u64, now: DateTime<Utc>) -> Option<Instant> {
    let now_millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    let remaining = deadline_millis.saturating_sub(now_millis);
    (remaining > 0).then(|| Instant::now() + Duration::from_millis(remaining / 2))
}
