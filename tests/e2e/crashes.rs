//! A process that dies, as machines do, at any moment of its work.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tests::{
    app::TestApp,
    lambda::Function,
    own::Own,
    step::{Case, End, Step},
    wire::{Call, Fate, Moment, Wire},
};
use tokio::sync::Notify;

/// Lets the call number `index` for `case`, of both wires together, hang; `None` lets all pass.
fn hang(app: &TestApp, case: &Arc<Case>, at: Option<(usize, Moment)>) -> Arc<Notify> {
    let reached = Arc::new(Notify::new());
    let seen = Arc::new(AtomicUsize::new(0));
    let rule = |wire: &Wire| {
        let (case, seen, reached) = (case.clone(), seen.clone(), reached.clone());
        wire.rule(move |call: &Call| {
            if !case.is_about(call) {
                return Fate::Pass;
            }
            let number = seen.fetch_add(1, Ordering::SeqCst);
            match at {
                Some((index, moment)) if number == index => Fate::Hang(moment, reached.clone()),
                _ => Fate::Pass,
            }
        });
    };
    rule(&app.dynamodb);
    rule(&app.ses);
    reached
}

/// What the function says to the case's event.
async fn invoke(app: &TestApp, case: &Case) -> End {
    let function = Function::start(case.step.function(), &app.environment());
    case.end(&function.invoke(&case.event()).await)
}

/// The number of calls that the step makes for its user when nothing happens.
async fn calls(app: &TestApp, step: Step, number: u32) -> usize {
    let case = step.case(app, number).await;
    app.dynamodb.forget();
    app.ses.forget();
    assert_eq!(invoke(app, &case).await, End::Done, "{step:?}");
    assert!(case.is_done(app).await, "{step:?}");
    let calls = app.dynamodb.take().into_iter().chain(app.ses.take());
    calls.filter(|call| case.is_about(call)).count()
}

/// The process dies at one moment, and its event comes again.
async fn die(app: &TestApp, case: &Arc<Case>, index: usize, moment: Moment) {
    let reached = hang(app, case, Some((index, moment)));
    let function = Function::start(case.step.function(), &app.environment());
    let event = case.event();
    tokio::select! {
        outcome = function.invoke(&event) => panic!("it ended: {outcome:?}"),
        () = reached.notified() => {}
    }
    function.kill().await;
    hang(app, case, None);

    let was_done = case.is_done(app).await;
    let end = invoke(app, case).await;
    let spent = case.step == Step::Confirm && was_done;
    assert_eq!(end, if spent { End::Spent } else { End::Done });
    assert!(case.is_done(app).await);
}

#[tokio::test]
async fn attack_25_a_process_that_dies_at_any_call_leaves_nothing_half_done() {
    let builder = TestApp::builder().with_cheap_hashes();
    die_everywhere(&builder.by_hand().start().await).await;
}

#[tokio::test]
async fn nor_where_users_are_found_by_an_index() {
    die_everywhere(&Own::Indexed.builder().by_hand().start().await).await;
}

async fn die_everywhere(app: &TestApp) {
    let mut number = 0;
    for step in Step::ALL {
        number += 1;
        for index in 0..calls(app, step, number).await {
            for moment in [Moment::Before, Moment::After] {
                number += 1;
                let case = Arc::new(step.case(app, number).await);
                println!("{step:?} dies at call {index}, {moment:?} it is done");
                die(app, &case, index, moment).await;
            }
        }
    }
    let healthy = u32::try_from(Step::ALL.len()).expect("few");
    println!("{} crashes", number - healthy);
}
