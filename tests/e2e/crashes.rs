//! A process that dies at any point of its work.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tests::{
    app::{TestApp, user},
    existing_table::ExistingTable,
    functions::{mail_event, stream_record},
    invocation::{Invocation, Outcome, Task},
    lambda::Function,
    proxy::{Action, Call, HangPoint, Proxy},
};
use tokio::sync::Notify;

/// Lets call number `index` of the invocation hang. Calls through both proxies are counted
/// together. The result notifies when the call is reached.
fn hang(
    app: &TestApp,
    invocation: &Arc<Invocation>,
    index: usize,
    hang_point: HangPoint,
) -> Arc<Notify> {
    let reached = Arc::new(Notify::new());
    let seen = Arc::new(AtomicUsize::new(0));
    let intercept = |proxy: &Proxy| {
        let (invocation, seen, reached) = (invocation.clone(), seen.clone(), reached.clone());
        proxy.intercept(move |call: &Call| {
            if invocation.is_about(call) && seen.fetch_add(1, Ordering::SeqCst) == index {
                Action::Hang(hang_point, reached.clone())
            } else {
                Action::Pass
            }
        });
    };
    intercept(&app.dynamodb);
    intercept(&app.ses);
    reached
}

/// Invokes the function's binary with the invocation's event.
async fn invoke(app: &TestApp, invocation: &Invocation) -> Outcome {
    let function = Function::start(invocation.task.function(), &app.environment());
    invocation.outcome(&function.invoke(&invocation.event()).await)
}

/// Returns the number of calls that the task makes for its user if nothing goes wrong.
async fn count_calls(app: &TestApp, task: Task, number: u32) -> usize {
    let invocation = task.prepare(app, number).await;
    app.dynamodb.clear_calls();
    app.ses.clear_calls();
    assert_eq!(invoke(app, &invocation).await, Outcome::Done, "{task:?}");
    assert!(invocation.is_done(app).await, "{task:?}");
    let calls = app.dynamodb.take_calls().into_iter();
    let calls = calls.chain(app.ses.take_calls());
    calls.filter(|call| invocation.is_about(call)).count()
}

/// Invokes `function` with `event` and kills it when the call that hangs is reached.
async fn kill_when_reached(app: &TestApp, function: Function, event: &Value, reached: &Notify) {
    tokio::select! {
        outcome = function.invoke(event) => panic!("the function returned {outcome:?}"),
        () = reached.notified() => {}
    }
    function.kill().await;
    app.dynamodb.pass_all();
    app.ses.pass_all();
}

/// Kills the process at call number `index`, then delivers its event again.
async fn crash(app: &TestApp, invocation: &Arc<Invocation>, index: usize, hang_point: HangPoint) {
    let reached = hang(app, invocation, index, hang_point);
    let function = Function::start(invocation.task.function(), &app.environment());
    kill_when_reached(app, function, &invocation.event(), &reached).await;

    let was_done = invocation.is_done(app).await;
    let outcome = invoke(app, invocation).await;
    let expected = if invocation.task == Task::ChangePassword && was_done {
        Outcome::TokenSpent
    } else {
        Outcome::Done
    };
    assert_eq!(outcome, expected);
    assert!(invocation.is_done(app).await);
}

#[tokio::test]
async fn attack_25_a_crash_at_any_call_leaves_nothing_half_done() {
    let builder = TestApp::builder().with_cheap_hashes();
    crash_everywhere(&builder.manual_delivery().start().await).await;
}

#[tokio::test]
async fn a_crash_leaves_nothing_half_done_with_an_index_on_the_users_table() {
    let builder = ExistingTable::Indexed.builder();
    crash_everywhere(&builder.manual_delivery().start().await).await;
}

async fn crash_everywhere(app: &TestApp) {
    let mut number = 0;
    for task in Task::ALL {
        number += 1;
        for index in 0..count_calls(app, task, number).await {
            for hang_point in [HangPoint::BeforeForwarding, HangPoint::AfterForwarding] {
                number += 1;
                let invocation = Arc::new(task.prepare(app, number).await);
                println!("{task:?} dies at call {index}, {hang_point:?}");
                crash(app, &invocation, index, hang_point).await;
            }
        }
    }
    let healthy = u32::try_from(Task::ALL.len()).expect("few tasks");
    println!("{} crashes", number - healthy);
}

/// Kills the mailer at each call of a batch for three users, then delivers the batch again.
#[tokio::test]
async fn a_crash_in_a_batch_loses_no_email() {
    const USERS: u32 = 3;
    // Each email takes a lookup, a claim, a token and a call of SES.
    const CALLS: usize = 4 * USERS as usize;
    let builder = TestApp::builder().with_cheap_hashes();
    let app = builder.manual_delivery().start().await;
    for index in 0..CALLS {
        let first = u32::try_from(index).expect("few calls") * USERS;
        let mut records = Vec::new();
        for number in first..first + USERS {
            let email = format!("batch-{number}@example.com");
            app.add(&user(&email)).await;
            records.push(stream_record("reset_requested", &email, number));
        }
        let (seen, reached) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        for proxy in [&app.dynamodb, &app.ses] {
            let (seen, reached) = (seen.clone(), reached.clone());
            proxy.intercept(move |_| {
                // The calls after it hang too: the process is dead by then.
                if seen.fetch_add(1, Ordering::SeqCst) >= index {
                    Action::Hang(HangPoint::AfterForwarding, reached.clone())
                } else {
                    Action::Pass
                }
            });
        }
        let event = mail_event(&records);
        let function = Function::start("mailer", &app.environment());
        kill_when_reached(&app, function, &event, &reached).await;

        let function = Function::start("mailer", &app.environment());
        let response = function.invoke(&event).await;
        assert_eq!(response, Ok(json!({ "batchItemFailures": [] })));
        for number in first..first + USERS {
            let email = format!("batch-{number}@example.com");
            let emails = app.emails_to(&email).len();
            assert!((1..=2).contains(&emails), "call {index}: {emails} emails");
            let user = app.user(&email).await.expect("a user");
            assert_eq!(user.recovery.email_count, 1, "charged once");
        }
    }
}
