//! Anything in any order, against a model that is simple enough to be believed: two accounts,
//! what is owed, the links that were mailed, and a clock that may be set back.
//!
//! `PROPTEST_CASES` says how many sequences are tried.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use passwords::{Password, verify};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
    test_runner::{Config, TestRunner},
};
use rules::{address::EmailAddress, recovery::EmailId, token::ResetToken};
use serde_json::{Value, json};
use tests::{
    app::{GOOD_PASSWORD, TestApp, WEAK_PASSWORD, user},
    functions::{Functions, at, bounce_event},
    link::Link,
    proxy::{Action, Call},
};

/// Sequences of a run that does not say how many.
const CASES: u32 = 32;
/// Sequences with one system. It keeps all mail, and logs are searched at its end.
const CASES_A_SYSTEM: u32 = 250;
/// The settings of the mailer: 60 seconds, 5 an hour; and a link holds for a day.
const COOLDOWN: TimeDelta = TimeDelta::seconds(60);
const PER_HOUR: usize = 5;
const HOUR: TimeDelta = TimeDelta::hours(1);
const DAY: TimeDelta = TimeDelta::hours(24);
/// The accounts of a sequence; somebody else is nobody.
const ACCOUNTS: usize = 2;

/// What happens next. A number picks one of what there is.
#[derive(Debug, Clone)]
enum Op {
    /// Somebody asks for a mail.
    Ask(usize),
    /// A record of the stream comes: for the first time or again, in any order.
    Deliver(usize, Ses),
    /// New passwords are set with these links, at once.
    Confirm(Vec<usize>),
    /// A password is tried that is too weak.
    TryWeak(usize),
    /// The clock goes on, or back.
    Task(i64),
    /// An account is switched on or off.
    SetActive(usize, bool),
    /// A user goes.
    Delete(usize),
    /// A user comes, or comes back.
    Create(usize),
    /// A mail comes back for good.
    Bounce(usize),
}

/// What SES makes of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ses {
    Takes,
    Fails,
    TakesAndSaysNothing,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let account = || 0..ACCOUNTS;
    // The newest more often than any other.
    let any_of = || prop_oneof![2 => Just(0), 1 => 0..60_usize];
    let ses = prop_oneof![
        6 => Just(Ses::Takes),
        1 => Just(Ses::Fails),
        1 => Just(Ses::TakesAndSaysNothing),
    ];
    let steps = [
        -90_000, -3_600, -61, -1, 1, 59, 60, 61, 3_599, 3_600, 43_200, 86_399, 86_400,
    ];
    let op = prop_oneof![
        6 => (0..=ACCOUNTS).prop_map(Op::Ask),
        8 => (any_of(), ses).prop_map(|(which, ses)| Op::Deliver(which, ses)),
        6 => vec(any_of(), 1..=3).prop_map(Op::Confirm),
        1 => any_of().prop_map(Op::TryWeak),
        4 => proptest::sample::select(steps.to_vec()).prop_map(Op::Task),
        2 => (account(), any::<bool>()).prop_map(|(who, active)| Op::SetActive(who, active)),
        1 => account().prop_map(Op::Delete),
        1 => account().prop_map(Op::Create),
        1 => any_of().prop_map(Op::Bounce),
    ];
    // No more, so that a row never drops one of its latest ten mails.
    vec(op, 1..20)
}

/// An account, as far as recovery goes.
#[derive(Debug, Clone, PartialEq, Default)]
struct Account {
    is_active: bool,
    password: Option<String>,
    changed_at: Option<DateTime<Utc>>,
    epoch: i64,
    /// The mails that were ever begun: event, whether it is a link, and when.
    mails: Vec<(String, bool, DateTime<Utc>)>,
    is_suppressed: bool,
}

/// A mail that is owed, and its record in the stream.
#[derive(Clone)]
struct Owed {
    who: usize,
    is_link: bool,
    event: EmailId,
    record: Value,
}

/// A link that somebody has in their mailbox.
#[derive(Debug, Clone)]
struct Mailed {
    who: usize,
    token: String,
    issued_at: DateTime<Utc>,
    is_spent: bool,
}

#[derive(Clone)]
struct Model {
    now: DateTime<Utc>,
    accounts: [Option<Account>; ACCOUNTS],
    owed: Vec<Owed>,
    links: Vec<Mailed>,
}

impl Account {
    fn new() -> Self {
        Self {
            is_active: true,
            ..Self::default()
        }
    }

    /// Whether a mail goes out for `owed` at `now`; it is then written down.
    fn begin(&mut self, owed: &Owed, now: DateTime<Utc>) -> bool {
        if self.is_suppressed || (owed.is_link && !self.is_active) {
            return false;
        }
        let event = owed.event.as_str();
        if self.mails.iter().any(|(known, ..)| known == event) {
            return true;
        }
        let ages = self
            .mails
            .iter()
            .filter(|(_, is_link, _)| *is_link)
            .map(|(.., at)| now - *at);
        let ages: Vec<_> = ages.filter(|age| *age < HOUR).collect();
        let is_spent = ages.len() >= PER_HOUR || ages.iter().any(|age| *age < COOLDOWN);
        if owed.is_link && is_spent {
            return false;
        }
        self.mails.push((event.to_owned(), owed.is_link, now));
        true
    }
}

impl Mailed {
    /// Whether its token is still there and holds, to the second.
    fn holds(&self, now: DateTime<Utc>) -> bool {
        !self.is_spent && (self.issued_at + DAY).timestamp() > now.timestamp()
    }
}

impl Model {
    /// Uses the link `index`; whether it works.
    fn confirm(&mut self, index: usize, password: &str) -> bool {
        let link = &mut self.links[index];
        let Some(account) = &mut self.accounts[link.who] else {
            return false;
        };
        let is_newer = account.changed_at.is_none_or(|at| at < link.issued_at);
        if !(link.holds(self.now) && account.is_active && is_newer) {
            return false;
        }
        link.is_spent = true;
        account.password = Some(password.to_owned());
        account.changed_at = Some(self.now.max(link.issued_at));
        account.epoch += 1;
        true
    }
}

/// A sequence: the real system beside the model.
struct Play<'a> {
    app: &'a TestApp,
    functions: &'a Functions,
    emails: [String; ACCOUNTS + 1],
    model: Model,
}

/// Counts everything that has to be new.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One of `things`, counted from the newest.
fn pick<T>(things: &[T], which: usize) -> Option<usize> {
    (!things.is_empty()).then(|| things.len() - 1 - which % things.len())
}

impl<'a> Play<'a> {
    async fn new(app: &'a TestApp, functions: &'a Functions) -> Self {
        app.ses.clear_calls();
        let sequence = next();
        let model = Model {
            now: at(0),
            accounts: [Some(Account::new()), None],
            owed: Vec::new(),
            links: Vec::new(),
        };
        let emails = std::array::from_fn(|who| format!("model-{sequence}-{who}@example.com"));
        let play = Self {
            app,
            functions,
            emails,
            model,
        };
        play.create(0).await;
        play
    }

    fn key(&self, who: usize) -> EmailAddress {
        EmailAddress::parse(&self.emails[who]).expect("an address")
    }

    async fn create(&self, who: usize) {
        let created = self.app.users().create(&user(&self.emails[who])).await;
        // Not whether: a try whose response came too late has made it, and the next finds it.
        created.expect("DynamoDB responds");
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Ask(who) => self.ask(*who).await,
            Op::Deliver(which, ses) => self.deliver(*which, *ses).await,
            Op::Confirm(which) => self.confirm(which).await,
            Op::TryWeak(which) => self.try_weak(*which).await,
            Op::Task(seconds) => self.model.now += TimeDelta::seconds(*seconds),
            Op::SetActive(who, is_active) => self.set_active(*who, *is_active).await,
            Op::Delete(who) => self.delete(*who).await,
            Op::Create(who) => {
                if self.model.accounts[*who].is_none() {
                    self.create(*who).await;
                    self.model.accounts[*who] = Some(Account::new());
                }
            }
            Op::Bounce(which) => self.bounce(*which).await,
        }
    }

    async fn ask(&mut self, who: usize) {
        // From a client of its own: the limit per client is another matter.
        let client = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + next()).to_string();
        let now = self.model.now;
        let response = self
            .functions
            .request_reset_from(&client, &self.emails[who], now);
        response.await.assert_worked();
        let window = now.timestamp().div_euclid(600) * 600;
        let id = format!("request#{client}#{window}");
        self.owe(who, true, &id).await;
    }

    /// Reads the record of the outbox's row `id`.
    async fn owe(&mut self, who: usize, is_link: bool, id: &str) {
        let row = self.app.row("outbox", ("id", id)).await;
        let row = row.unwrap_or_else(|| panic!("{id} is owed"));
        self.model.owed.push(Owed {
            who,
            is_link,
            event: EmailId::new(id, 1),
            record: stream_record(&row),
        });
    }

    async fn deliver(&mut self, which: usize, ses: Ses) {
        let Some(index) = pick(&self.model.owed, which) else {
            return;
        };
        let (owed, now) = (self.model.owed[index].clone(), self.model.now);
        self.app.ses.intercept(move |_| match ses {
            Ses::Takes => Action::Pass,
            Ses::Fails => Action::error(400, "SendingPausedException", "paused"),
            Ses::TakesAndSaysNothing => Action::GarbleResponse("<html>"),
        });
        let failed = self
            .app
            .functions
            .deliver(std::slice::from_ref(&owed.record), now)
            .await;

        let account = self
            .model
            .accounts
            .get_mut(owed.who)
            .and_then(Option::as_mut);
        let is_due = account.is_some_and(|account| account.begin(&owed, now));
        assert_eq!(failed.is_empty(), !is_due || ses == Ses::Takes, "reported");
        let calls = self.app.ses.take_calls();
        assert_eq!(calls.len(), usize::from(is_due), "mails");
        if ses != Ses::Fails {
            for call in calls {
                self.receive(&owed, &call);
            }
        }
    }

    /// The mail of `call` is in a mailbox.
    fn receive(&mut self, owed: &Owed, call: &Call) {
        let to = &call.body["Destination"]["ToAddresses"];
        assert_eq!(*to, json!([self.emails[owed.who]]));
        let text = &call.body["Content"]["Simple"]["Body"]["Text"]["Data"];
        let link = Link::find(text.as_str().expect("a plain part"));
        assert_eq!(link.is_some(), owed.is_link);
        if let Some(link) = link {
            self.model.links.push(Mailed {
                who: owed.who,
                token: link.token,
                issued_at: self.model.now,
                is_spent: false,
            });
        }
    }

    /// All at once has to be as if one came after the other, in some order.
    async fn confirm(&mut self, which: &[usize]) {
        let picked = which
            .iter()
            .filter_map(|which| pick(&self.model.links, *which));
        let tries: Vec<(usize, String)> = picked
            .map(|index| (index, format!("{GOOD_PASSWORD} {}", next())))
            .collect();
        let (functions, now) = (self.functions, self.model.now);
        let responses = tries.iter().map(|(index, password)| {
            functions.confirm(&self.model.links[*index].token, password, now)
        });
        let responses: Vec<bool> = join_all(responses)
            .await
            .iter()
            .map(|response| match response.status_and_code() {
                (200, _) => true,
                (400, code) if code == "invalid_token" => false,
                _ => panic!("{response:?}"),
            })
            .collect();

        let mut explained = None;
        for order in orders(tries.len()) {
            let mut model = self.model.clone();
            let mut worked = vec![false; tries.len()];
            for index in order {
                let (link, password) = &tries[index];
                worked[index] = model.confirm(*link, password);
            }
            if worked == responses && self.is_as(&model).await {
                explained = Some(model);
                break;
            }
        }
        self.model = explained.unwrap_or_else(|| panic!("no order explains {responses:?}"));
        for ((index, _), worked) in tries.iter().zip(responses) {
            if worked {
                let link = &self.model.links[*index];
                let digest = ResetToken::parse(&link.token).expect("a token").digest();
                let (who, id) = (link.who, format!("changed#{}", digest.as_str()));
                self.owe(who, false, &id).await;
            }
        }
    }

    async fn try_weak(&mut self, which: usize) {
        let Some(index) = pick(&self.model.links, which) else {
            return;
        };
        let (link, now) = (&self.model.links[index], self.model.now);
        let response = self.functions.confirm(&link.token, WEAK_PASSWORD, now);
        let expected = if link.holds(now) {
            (422, "weak_password".to_owned())
        } else {
            (400, "invalid_token".to_owned())
        };
        assert_eq!(response.await.status_and_code(), expected);
    }

    async fn set_active(&mut self, who: usize, is_active: bool) {
        let set = self.app.users().set_active(&self.key(who), is_active).await;
        let account = &mut self.model.accounts[who];
        assert_eq!(set.ok(), Some(account.is_some()));
        if let Some(account) = account {
            account.is_active = is_active;
        }
    }

    async fn delete(&mut self, who: usize) {
        let delete = self.app.dynamodb_client().delete_item().table_name("users");
        let key = AttributeValue::S(self.emails[who].clone());
        let delete = delete.key("email", key).send();
        Box::pin(delete).await.expect("DynamoDB responds");
        self.model.accounts[who] = None;
    }

    async fn bounce(&mut self, which: usize) {
        let Some(index) = pick(&self.model.owed, which) else {
            return;
        };
        let owed = &self.model.owed[index];
        let report = bounce_event(&owed.event, &self.emails[owed.who]);
        let told = self.functions.record_outcome(&report).await;
        told.expect("DynamoDB responds");
        if let Some(Some(account)) = self.model.accounts.get_mut(owed.who) {
            let event = owed.event.as_str();
            let is_known = account.mails.iter().any(|(known, ..)| known == event);
            account.is_suppressed |= is_known;
        }
    }

    /// Whether the tables hold what the model says.
    async fn is_as(&self, model: &Model) -> bool {
        for (who, expected) in model.accounts.iter().enumerate() {
            let found = self.app.users().get(&self.key(who)).await;
            let found = found.expect("DynamoDB responds");
            let is_same = match (found, expected) {
                (Some(found), Some(expected)) => is_same(&found, expected),
                (None, None) => true,
                _ => false,
            };
            if !is_same {
                return false;
            }
        }
        true
    }
}

fn is_same(found: &User, expected: &Account) -> bool {
    let mails: Vec<&str> = expected.mails.iter().map(|mail| mail.0.as_str()).collect();
    let found_mails = found.recovery.emails.iter().map(|mail| mail.id.as_str());
    let is_password = match (&found.password_hash, &expected.password) {
        (Some(hash), Some(password)) => verify(&Password::new(password), hash),
        (None, None) => true,
        _ => false,
    };
    is_password
        && found_mails.eq(mails)
        && found.is_active == expected.is_active
        && found.password_changed_at == expected.changed_at
        && found.session_epoch == expected.epoch
        && found.suppression().is_some() == expected.is_suppressed
}

/// The record of the stream that a new row of the outbox makes.
fn stream_record(row: &HashMap<String, AttributeValue>) -> Value {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        other => panic!("{other:?} in the outbox"),
    };
    let image: serde_json::Map<String, Value> = row
        .iter()
        .map(|(name, held)| (name.clone(), value(held)))
        .collect();
    json!({
        "eventName": "INSERT",
        "dynamodb": { "SequenceNumber": "1", "NewImage": image },
    })
}

/// Every order of so many.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for _ in 0..count {
        let longer = orders.iter().flat_map(|order: &Vec<usize>| {
            let rest = (0..count).filter(|index| !order.contains(index));
            rest.map(|index| [order.as_slice(), &[index]].concat())
        });
        orders = longer.collect();
    }
    orders
}

async fn play(app: &TestApp, functions: &Functions, ops: &[Op]) {
    let mut play = Play::new(app, functions).await;
    for op in ops {
        play.apply(op).await;
        assert!(play.is_as(&play.model).await, "after {op:?}");
    }
    app.dynamodb.clear_calls();
}

#[test]
fn random_sequences_match_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let asked = std::env::var("PROPTEST_CASES").ok();
    let cases = asked.map_or(CASES, |cases| cases.parse().expect("a number"));
    let mut done = 0;
    while done < cases {
        let now = (cases - done).min(CASES_A_SYSTEM);
        let app = TestApp::builder()
            .manual_delivery()
            .with_cheap_hashes()
            .start();
        let app = runtime.block_on(app);
        let functions = runtime.block_on(async { Functions::without_timeouts(&app.environment()) });
        let config = Config {
            cases: now,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&ops(), |ops| {
                runtime.block_on(play(&app, &functions, &ops));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        done += now;
        println!("{done} sequences");
    }
}
