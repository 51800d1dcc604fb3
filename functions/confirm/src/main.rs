//! The Lambda function `confirm`: wiring only.

use std::{error::Error, process::ExitCode, sync::Arc, thread};

use confirm::{App, settings::ConfirmSettings};
use rand::rngs::SysRng;

#[expect(clippy::disallowed_methods, reason = "the clock is read only here")]
fn main() -> ExitCode {
    // Runs while the first event is fetched and its token looked up. If no thread can be started,
    // the first password waits for it instead.
    let _ = thread::Builder::new().spawn(passwords::prepare);
    aws::lambda::run("confirm", |env| {
        let settings = ConfirmSettings::read(env)?;
        let dynamodb = aws::dynamodb(&aws::config(env)?, env);
        let app = Arc::new(App::new(settings, dynamodb)?);
        Ok::<_, Box<dyn Error>>(web::event::serve(move |request| {
            let app = app.clone();
            async move { app.handle(request, chrono::Utc::now(), &mut SysRng).await }
        }))
    })
}
