//! Every call of every function meets every fault that DynamoDB, SES or the network between can
//! have, once and for good.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream};
use tests::{
    app::TestApp,
    functions::Functions,
    lambda::FUNCTION_TIMEOUT,
    own::Own,
    step::{Case, End, Step},
    wire::{Call, Fate, SEND_EMAIL, Wire},
};
use tokio::time::timeout;

const TRANSACTION: &str = "TransactWriteItems";
/// Cases side by side, since most of the time goes into waits.
const AT_ONCE: usize = 24;

/// What a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It goes through after its caller has given up.
    Late,
    /// The connection ends before it goes through.
    Cut,
    /// It goes through, and its answer is lost.
    Lost,
    /// It goes through, and its answer is none.
    Garbled,
    /// Another transaction is in the way.
    Conflict,
    /// This error is the answer.
    Error(u16, &'static str),
}

const FAULTS: [Fault; 10] = [
    Fault::Late,
    Fault::Cut,
    Fault::Lost,
    Fault::Garbled,
    Fault::Conflict,
    Fault::Error(400, "ProvisionedThroughputExceededException"),
    Fault::Error(400, "ThrottlingException"),
    Fault::Error(400, "TransactionInProgressException"),
    Fault::Error(500, "InternalServerError"),
    Fault::Error(503, "ServiceUnavailable"),
];

impl Fault {
    fn fate(self, target: &str) -> Fate {
        match self {
            // Longer than an attempt may take: 5 s for SES, 1.5 s for DynamoDB.
            Self::Late if target == SEND_EMAIL => Fate::Delay(Duration::from_secs(6)),
            Self::Late => Fate::Delay(Duration::from_secs(2)),
            Self::Cut => Fate::Cut,
            Self::Lost => Fate::Lose,
            Self::Garbled => Fate::Garble("<html>"),
            Self::Conflict if target == TRANSACTION => {
                Fate::cancelled(&["None", "TransactionConflict", "None"])
            }
            Self::Conflict => Fate::error(400, "TransactionConflictException", "in the way"),
            Self::Error(status, code) => Fate::error(status, code, "out of order"),
        }
    }

    /// Whether one is overcome within the invocation that meets it. What the SDK does not try
    /// again, an answer that is none and the conflict of a single write, is left to whoever
    /// invokes again.
    fn is_overcome(self, target: &str) -> bool {
        match self {
            Self::Garbled => false,
            Self::Conflict => target == TRANSACTION,
            _ => true,
        }
    }

    /// Whether the call is made all the same.
    fn goes_through(self) -> bool {
        matches!(self, Self::Late | Self::Lost | Self::Garbled)
    }
}

/// Whom the fates of calls are decided for.
type Rules = Arc<Mutex<HashMap<u32, (Arc<Case>, Trap)>>>;

/// The call that meets a fault, and how often it does.
struct Trap {
    target: String,
    fault: Fault,
    left: usize,
}

/// The fate of `call` by the rule of the case that it is for.
fn fate(rules: &Rules, call: &Call) -> Fate {
    let mut rules = rules.lock().expect("no panic");
    let rule = rules
        .values_mut()
        .find(|(case, trap)| trap.left > 0 && call.target == trap.target && case.is_about(call));
    rule.map_or(Fate::Pass, |(_, trap)| {
        trap.left -= 1;
        trap.fault.fate(&trap.target)
    })
}

/// The operations that the step makes when nothing happens.
async fn targets(app: &TestApp, step: Step, number: u32) -> BTreeSet<String> {
    let case = step.case(app, number).await;
    app.dynamodb.forget();
    app.ses.forget();
    assert_eq!(case.run(&app.functions).await, End::Done, "{step:?}");
    let calls = [app.dynamodb.take_targets(), app.ses.take_targets()];
    // A process asks for the table's key once, for no case in particular.
    let is_for_all = |target: &String| target == "DescribeTable";
    calls
        .into_iter()
        .flatten()
        .filter(|target| !is_for_all(target))
        .collect()
}

/// The functions with new clients. The SDK counts its retries by region, for the process as a
/// whole, and makes none when there were many: each case has a region of its own.
fn functions(app: &TestApp, number: u32) -> Functions {
    let mut environment = app.environment();
    environment.insert("AWS_REGION".to_owned(), format!("case-{number}"));
    Functions::new(&environment)
}

/// One case: the step meets the fault, and its event comes again.
async fn meet(app: &TestApp, rules: &Rules, case: Arc<Case>, number: u32, trap: Trap) {
    let (target, fault, once) = (trap.target.clone(), trap.fault, trap.left == 1);
    let name = format!("{:?}, {target}, {fault:?}, once: {once}", case.step);
    let rule = (case.clone(), trap);
    rules.lock().expect("no panic").insert(number, rule);

    let functions = functions(app, number);
    let end = timeout(FUNCTION_TIMEOUT, case.run(&functions)).await;
    let end = end.unwrap_or_else(|_| panic!("{name}: over the function's timeout"));
    rules.lock().expect("no panic").remove(&number);
    match (once, fault) {
        // Whether there is time for another try is a matter of the machine.
        (true, Fault::Late) => {}
        (true, _) if fault.is_overcome(&target) => assert_eq!(end, End::Done, "{name}"),
        _ => assert_eq!(end, End::Again, "{name}"),
    }
    let was_done = case.is_done(app).await;
    assert!(was_done || end == End::Again, "{name}: said to be done");

    // The invocation after it, by the person or by Lambda.
    if end == End::Again {
        let repeat = case.run(&functions).await;
        let is_spent = case.step == Step::Confirm && was_done;
        let expected = if is_spent { End::Spent } else { End::Done };
        assert_eq!(repeat, expected, "{name}: the repeat");
    }
    // What was late comes by now, and changes nothing.
    if fault == Fault::Late {
        app.dynamodb.settle().await;
        app.ses.settle().await;
    }
    assert!(case.is_done(app).await, "{name}: in the end");
    let may_be_twice = target == SEND_EMAIL && fault.goes_through();
    let is_mail = matches!(case.step, Step::Link | Step::Notice);
    assert!(!is_mail || may_be_twice || case.mails(app) == 1, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_meets_every_fault() {
    let builder = TestApp::builder().with_cheap_hashes();
    meet_all(&builder.by_hand().start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_meets_every_fault_where_users_are_found_by_an_index() {
    meet_all(&Own::Indexed.builder().by_hand().start().await).await;
}

#[tokio::test]
async fn a_mail_comes_again_where_the_key_of_the_table_is_not_told() {
    let app = Own::Indexed.builder().by_hand().start().await;
    let case = Step::Link.case(&app, 1).await;
    for fault in FAULTS {
        app.dynamodb.rule(move |call| match call.target.as_str() {
            "DescribeTable" => fault.fate(&call.target),
            _ => Fate::Pass,
        });
        assert_eq!(case.run(&app.functions).await, End::Again, "{fault:?}");
    }
    app.dynamodb.rule(|_| Fate::Pass);
    assert_eq!(case.run(&app.functions).await, End::Done);
    assert_eq!(case.mails(&app), 1);
}

async fn meet_all(app: &TestApp) {
    let rules = Rules::default();
    let mut traps = Vec::new();
    for (step, number) in Step::ALL.into_iter().zip(0..) {
        for target in targets(app, step, number).await {
            for (fault, left) in FAULTS
                .iter()
                .flat_map(|fault| [(*fault, 1), (*fault, usize::MAX)])
            {
                let target = target.clone();
                traps.push((
                    step,
                    Trap {
                        target,
                        fault,
                        left,
                    },
                ));
            }
        }
    }
    let decide = |wire: &Wire| {
        let rules = rules.clone();
        wire.rule(move |call| fate(&rules, call));
    };
    decide(&app.dynamodb);
    decide(&app.ses);

    println!("{} faults, one at a time", traps.len());
    let cases = stream::iter(traps.into_iter().zip(100..));
    cases
        .for_each_concurrent(AT_ONCE, async |((step, trap), number)| {
            let case = Arc::new(step.case(app, number).await);
            meet(app, &rules, case, number, trap).await;
        })
        .await;
}
