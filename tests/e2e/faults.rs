//! Every call of every function meets every fault of DynamoDB, SES or the network, once and
//! permanently.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};
use tests::{
    app::TestApp,
    existing_table::ExistingTable,
    functions::Functions,
    invocation::{Invocation, Outcome, Task},
    lambda::FUNCTION_TIMEOUT,
    proxy::{Action, Call, SEND_EMAIL, TRANSACTION},
};

use futures::{StreamExt, stream};
use tokio::time::timeout;

/// Invocations that run concurrently. They spend most of their time waiting.
const CONCURRENCY: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The call takes effect after its caller has given up.
    Late,
    /// The connection is cut before the call takes effect.
    Cut,
    /// The call takes effect and its response is lost.
    ResponseLost,
    /// The call takes effect and its response is unreadable.
    ResponseGarbled,
    /// The call conflicts with another transaction.
    Conflict,
    /// The call gets this error.
    Error(u16, &'static str),
}

const FAULTS: [Fault; 10] = [
    Fault::Late,
    Fault::Cut,
    Fault::ResponseLost,
    Fault::ResponseGarbled,
    Fault::Conflict,
    Fault::Error(400, "ProvisionedThroughputExceededException"),
    Fault::Error(400, "ThrottlingException"),
    Fault::Error(400, "TransactionInProgressException"),
    Fault::Error(500, "InternalServerError"),
    Fault::Error(503, "ServiceUnavailable"),
];

impl Fault {
    fn action(self, operation: &str) -> Action {
        match self {
            // Longer than the timeout of an attempt: 5 s for SES, 1.5 s for DynamoDB.
            Self::Late if operation == SEND_EMAIL => Action::Delay(Duration::from_secs(6)),
            Self::Late => Action::Delay(Duration::from_secs(2)),
            Self::Cut => Action::Cut,
            Self::ResponseLost => Action::LoseResponse,
            Self::ResponseGarbled => Action::GarbleResponse("<html>"),
            Self::Conflict if operation == TRANSACTION => {
                Action::cancelled(&["None", "TransactionConflict", "None"])
            }
            Self::Conflict => Action::error(400, "TransactionConflictException", "conflict"),
            Self::Error(status, code) => Action::error(status, code, "out of order"),
        }
    }

    /// Returns whether the invocation recovers from one such fault by itself. The SDK retries
    /// neither an unreadable response nor the conflict of a single write.
    fn is_retried(self, operation: &str) -> bool {
        match self {
            Self::ResponseGarbled => false,
            Self::Conflict => operation == TRANSACTION,
            _ => true,
        }
    }

    /// Returns whether the call takes effect.
    fn takes_effect(self) -> bool {
        matches!(
            self,
            Self::Late | Self::ResponseLost | Self::ResponseGarbled
        )
    }
}

/// A fault to inject, with the operation that meets it and how often.
struct Injection {
    operation: String,
    fault: Fault,
    left: usize,
}

/// Injections by the number of their invocation.
type Injections = Arc<Mutex<HashMap<u32, (Arc<Invocation>, Injection)>>>;

/// Decides about `call` by the injection for its invocation.
fn decide(injections: &Injections, call: &Call) -> Action {
    let mut injections = injections.lock().expect("no panic");
    let injection = injections.values_mut().find(|(invocation, injection)| {
        injection.left > 0 && call.operation == injection.operation && invocation.is_about(call)
    });
    injection.map_or(Action::Pass, |(_, injection)| {
        injection.left -= 1;
        injection.fault.action(&injection.operation)
    })
}

/// Returns the operations that the task calls if nothing goes wrong.
async fn operations(app: &TestApp, task: Task, number: u32) -> BTreeSet<String> {
    let invocation = task.prepare(app, number).await;
    app.dynamodb.clear_calls();
    app.ses.clear_calls();
    let outcome = invocation.run(&app.functions).await;
    assert_eq!(outcome, Outcome::Done, "{task:?}");
    let calls = [app.dynamodb.take_operations(), app.ses.take_operations()];
    // A process reads the table's key once, not for one invocation.
    let is_own = |operation: &String| operation != "DescribeTable";
    calls.into_iter().flatten().filter(is_own).collect()
}

/// Returns the functions in a region of their own, because the SDK limits its retries per region
/// and process.
fn functions(app: &TestApp, number: u32) -> Functions {
    let mut environment = app.environment();
    let region = format!("{}-{number}", environment["AWS_REGION"]);
    environment.insert("AWS_REGION".to_owned(), region);
    Functions::new(&environment)
}

/// Runs one invocation that meets the fault, and repeats it if it asks for a retry.
async fn meet(
    app: &TestApp,
    injections: &Injections,
    (invocation, number): (Arc<Invocation>, u32),
    injection: Injection,
) {
    let (operation, fault) = (injection.operation.clone(), injection.fault);
    let once = injection.left == 1;
    let task = invocation.task;
    let name = format!("{task:?}, {operation}, {fault:?}, once: {once}");
    let entry = (invocation.clone(), injection);
    injections.lock().expect("no panic").insert(number, entry);

    let functions = functions(app, number);
    let outcome = timeout(FUNCTION_TIMEOUT, invocation.run(&functions)).await;
    let outcome = outcome.unwrap_or_else(|_| panic!("{name}: over the function's timeout"));
    injections.lock().expect("no panic").remove(&number);
    match (once, fault) {
        // Whether there is time for a second attempt depends on the machine.
        (true, Fault::Late) => {}
        (true, _) if fault.is_retried(&operation) => assert_eq!(outcome, Outcome::Done, "{name}"),
        _ => assert_eq!(outcome, Outcome::Retry, "{name}"),
    }
    let was_done = invocation.is_done(app).await;
    assert!(
        was_done || outcome == Outcome::Retry,
        "{name}: reported as done"
    );

    // The user or Lambda repeats it.
    if outcome == Outcome::Retry {
        let repeat = invocation.run(&functions).await;
        let expected = if task == Task::ChangePassword && was_done {
            Outcome::TokenSpent
        } else {
            Outcome::Done
        };
        assert_eq!(repeat, expected, "{name}: the repeat");
    }
    // A late call takes effect by now and must change nothing.
    if fault == Fault::Late {
        app.dynamodb.wait_for_delayed_calls().await;
        app.ses.wait_for_delayed_calls().await;
    }
    assert!(invocation.is_done(app).await, "{name}: in the end");
    let may_be_twice = operation == SEND_EMAIL && fault.takes_effect();
    let is_email = matches!(task, Task::SendLink | Task::SendNotice);
    assert!(
        !is_email || may_be_twice || invocation.email_count(app) == 1,
        "{name}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_meets_every_fault() {
    let builder = TestApp::builder().with_cheap_hashes();
    meet_all(&builder.manual_delivery().start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_meets_every_fault_with_an_index_on_the_users_table() {
    let builder = ExistingTable::Indexed.builder();
    meet_all(&builder.manual_delivery().start().await).await;
}

async fn meet_all(app: &TestApp) {
    let mut faults = Vec::new();
    for (task, number) in Task::ALL.into_iter().zip(0..) {
        for operation in operations(app, task, number).await {
            for fault in FAULTS {
                for left in [1, usize::MAX] {
                    let operation = operation.clone();
                    let injection = Injection {
                        operation,
                        fault,
                        left,
                    };
                    faults.push((task, injection));
                }
            }
        }
    }
    let injections = Injections::default();
    for proxy in [&app.dynamodb, &app.ses] {
        let injections = injections.clone();
        proxy.intercept(move |call| decide(&injections, call));
    }
    println!("{} faults, one per invocation", faults.len());
    stream::iter(faults.into_iter().zip(100..))
        .for_each_concurrent(CONCURRENCY, async |((task, injection), number)| {
            let invocation = Arc::new(task.prepare(app, number).await);
            meet(app, &injections, (invocation, number), injection).await;
        })
        .await;
}

#[tokio::test]
async fn an_email_is_retried_when_the_key_of_the_users_table_cannot_be_read() {
    let builder = ExistingTable::Indexed.builder();
    let app = builder.manual_delivery().start().await;
    let invocation = Task::SendLink.prepare(&app, 1).await;
    for fault in FAULTS {
        let describe = "DescribeTable";
        app.dynamodb
            .intercept_operation(describe, fault.action(describe));
        let outcome = invocation.run(&app.functions).await;
        assert_eq!(outcome, Outcome::Retry, "{fault:?}");
    }
    app.dynamodb.pass_all();
    assert_eq!(invocation.run(&app.functions).await, Outcome::Done);
    assert_eq!(invocation.email_count(&app), 1);
}
