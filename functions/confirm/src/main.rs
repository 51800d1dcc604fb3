//! The Lambda function `confirm`: wiring only.

use std::{error::Error, process::ExitCode, sync::Arc, thread};

use rand::rngs::SysRng;
use shared::{aws, lambda, password, settings::ConfirmSettings};

#[expect(
    clippy::disallowed_methods,
    reason = "the edge, where the time comes from"
)]
fn main() -> ExitCode {
    // While the first event is fetched and its token looked up. Where there is no such thread, the
    // first password waits.
    let _ = thread::Builder::new().spawn(password::prepare);
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
