//! Random sequences on the system and on a simple model: two accounts, the emails owed, the links
//! sent, and a clock that may be set back.
//!
//! `PROPTEST_CASES` sets the number of sequences.

mod expected;
mod operation;

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use aws::tables::User;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;
use expected::{ACCOUNTS, Account, Model, Owed, SentLink};
use futures::future::join_all;
use operation::{Operation, Ses, operations};
use proptest::test_runner::{Config, TestRunner};
use rules::{address::EmailAddress, recovery::EmailId, token::ResetToken};
use serde_json::{Value, json};
use tests::{
    app::{GOOD_PASSWORD, TestApp, WEAK_PASSWORD, has_password, user},
    functions::{Functions, at, bounce_event},
    link::Link,
    proxy::{Action, Call},
};

/// Number of sequences by default.
const CASES: u32 = 32;
/// Sequences per system. A system keeps all emails and searches its logs at its end.
const CASES_PER_SYSTEM: u32 = 250;

/// A sequence that runs on the system and on the model.
struct Sequence<'a> {
    app: &'a TestApp,
    functions: &'a Functions,
    emails: [String; ACCOUNTS + 1],
    model: Model,
}

/// Returns a new number.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Selects one of `things`, counted from the newest. Returns its index.
fn pick<T>(things: &[T], which: usize) -> Option<usize> {
    (!things.is_empty()).then(|| things.len() - 1 - which % things.len())
}

impl<'a> Sequence<'a> {
    async fn new(app: &'a TestApp, functions: &'a Functions) -> Self {
        app.ses.clear_calls();
        let number = next();
        let model = Model {
            now: at(0),
            accounts: [Some(Account::new()), None],
            owed: Vec::new(),
            links: Vec::new(),
        };
        let emails = std::array::from_fn(|who| format!("model-{number}-{who}@example.com"));
        let sequence = Self {
            app,
            functions,
            emails,
            model,
        };
        sequence.create(0).await;
        sequence
    }

    fn key(&self, who: usize) -> EmailAddress {
        EmailAddress::parse(&self.emails[who]).expect("an address")
    }

    async fn create(&self, who: usize) {
        let created = self.app.users().create(&user(&self.emails[who])).await;
        // The result does not matter: if the response was late, the SDK's retry finds the row.
        created.expect("DynamoDB responds");
    }

    async fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::RequestReset(who) => self.request_reset(*who).await,
            Operation::Deliver(which, ses) => self.deliver(*which, *ses).await,
            Operation::Confirm(which) => self.confirm(which).await,
            Operation::TryWeakPassword(which) => self.try_weak_password(*which).await,
            Operation::MoveClock(seconds) => self.model.now += TimeDelta::seconds(*seconds),
            Operation::SetActive(who, is_active) => self.set_active(*who, *is_active).await,
            Operation::Delete(who) => self.delete(*who).await,
            Operation::Create(who) => {
                if self.model.accounts[*who].is_none() {
                    self.create(*who).await;
                    self.model.accounts[*who] = Some(Account::new());
                }
            }
            Operation::Bounce(which) => self.bounce(*which).await,
        }
    }

    async fn request_reset(&mut self, who: usize) {
        // Every request has its own client, because the limit per client is tested elsewhere.
        let client = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + next()).to_string();
        let now = self.model.now;
        let response = self
            .functions
            .request_reset_from(&client, &self.emails[who], now);
        response.await.assert_worked();
        let window = now.timestamp().div_euclid(600) * 600;
        let id = format!("request#{client}#{window}");
        self.add_owed(who, true, &id).await;
    }

    /// Adds the outbox's row `id` to the model.
    async fn add_owed(&mut self, who: usize, is_link: bool, id: &str) {
        let row = self.app.row("outbox", ("id", id)).await;
        let row = row.unwrap_or_else(|| panic!("no {id} in the outbox"));
        self.model.owed.push(Owed {
            who,
            is_link,
            id: EmailId::new(id, 1),
            record: insert_record(&row),
        });
    }

    async fn deliver(&mut self, which: usize, ses: Ses) {
        let Some(index) = pick(&self.model.owed, which) else {
            return;
        };
        let (owed, now) = (self.model.owed[index].clone(), self.model.now);
        self.app.ses.intercept(move |_| match ses {
            Ses::Accepts => Action::Pass,
            Ses::Fails => Action::error(400, "SendingPausedException", "paused"),
            Ses::AcceptsAndLosesResponse => Action::GarbleResponse("<html>"),
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
        let is_due = account.is_some_and(|account| {
            let is_due = account.begin(&owed, now);
            if is_due {
                account.end(&owed, ses == Ses::Accepts);
            }
            is_due
        });
        assert_eq!(
            failed.is_empty(),
            !is_due || ses == Ses::Accepts,
            "reported"
        );
        let calls = self.app.ses.take_calls();
        assert_eq!(calls.len(), usize::from(is_due), "emails");
        if ses != Ses::Fails {
            for call in calls {
                self.receive(&owed, &call);
            }
        }
    }

    /// Puts the link of the email in `call` into the model.
    fn receive(&mut self, owed: &Owed, call: &Call) {
        let to = &call.body["Destination"]["ToAddresses"];
        assert_eq!(*to, json!([self.emails[owed.who]]));
        let text = &call.body["Content"]["Simple"]["Body"]["Text"]["Data"];
        let link = Link::find(text.as_str().expect("a text part"));
        assert_eq!(link.is_some(), owed.is_link);
        if let Some(link) = link {
            self.model.links.push(SentLink {
                who: owed.who,
                token: link.token,
                issued_at: self.model.now,
                is_spent: false,
            });
        }
    }

    /// Concurrent changes must have the same result as some sequential order.
    async fn confirm(&mut self, which: &[usize]) {
        let picked = which
            .iter()
            .filter_map(|which| pick(&self.model.links, *which));
        let attempts: Vec<(usize, String)> = picked
            .map(|index| (index, format!("{GOOD_PASSWORD} {}", next())))
            .collect();
        let (functions, now) = (self.functions, self.model.now);
        let responses = attempts.iter().map(|(index, password)| {
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
        for order in orders(attempts.len()) {
            let mut model = self.model.clone();
            let mut worked = vec![false; attempts.len()];
            for index in order {
                let (link, password) = &attempts[index];
                worked[index] = model.confirm(*link, password);
            }
            if worked == responses && self.matches(&model).await {
                explained = Some(model);
                break;
            }
        }
        self.model = explained.unwrap_or_else(|| panic!("no order explains {responses:?}"));
        for ((index, _), worked) in attempts.iter().zip(responses) {
            if worked {
                let link = &self.model.links[*index];
                let digest = ResetToken::parse(&link.token).expect("a token").digest();
                let (who, id) = (link.who, format!("changed#{}", digest.as_str()));
                self.add_owed(who, false, &id).await;
            }
        }
    }

    async fn try_weak_password(&mut self, which: usize) {
        let Some(index) = pick(&self.model.links, which) else {
            return;
        };
        let (link, now) = (&self.model.links[index], self.model.now);
        let response = self.functions.confirm(&link.token, WEAK_PASSWORD, now);
        let expected = if link.is_valid(now) {
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
        let event = bounce_event(&owed.id, &self.emails[owed.who]);
        let recorded = self.functions.record_outcome(&event).await;
        recorded.expect("DynamoDB responds");
        if let Some(Some(account)) = self.model.accounts.get_mut(owed.who) {
            let id = owed.id.as_str();
            let is_known = account.emails.iter().any(|(known, ..)| known == id);
            account.is_suppressed |= is_known;
        }
    }

    /// Returns whether the users table matches `model`.
    async fn matches(&self, model: &Model) -> bool {
        for (who, expected) in model.accounts.iter().enumerate() {
            let found = self.app.users().get(&self.key(who)).await;
            let found = found.expect("DynamoDB responds");
            let is_match = match (found, expected) {
                (Some(found), Some(expected)) => matches(&found, expected),
                (None, None) => true,
                _ => false,
            };
            if !is_match {
                return false;
            }
        }
        true
    }
}

/// Returns whether a user's row matches the model.
fn matches(found: &User, expected: &Account) -> bool {
    let emails: Vec<&str> = expected
        .emails
        .iter()
        .map(|email| email.0.as_str())
        .collect();
    let found_emails = found.recovery.emails.iter().map(|email| email.id.as_str());
    let is_password = match &expected.password {
        Some(password) => has_password(found, password),
        None => found.password_hash.is_none(),
    };
    is_password
        && found_emails.eq(emails)
        && found.is_active == expected.is_active
        && found.password_changed_at == expected.changed_at
        && found.session_epoch == expected.epoch
        && found.suppression().is_some() == expected.is_suppressed
}

/// Returns the stream record of a new row in the outbox.
fn insert_record(row: &HashMap<String, AttributeValue>) -> Value {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        other => panic!("{other:?} in the outbox"),
    };
    let image: serde_json::Map<String, Value> = row
        .iter()
        .map(|(name, attribute)| (name.clone(), value(attribute)))
        .collect();
    json!({
        "eventName": "INSERT",
        "dynamodb": { "SequenceNumber": "1", "NewImage": image },
    })
}

/// Returns every order of the numbers up to `count`.
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

async fn run(app: &TestApp, functions: &Functions, operations: &[Operation]) {
    let mut sequence = Sequence::new(app, functions).await;
    for operation in operations {
        sequence.apply(operation).await;
        let is_match = sequence.matches(&sequence.model).await;
        assert!(is_match, "after {operation:?}");
    }
    app.dynamodb.clear_calls();
}

#[test]
fn random_sequences_match_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let cases = std::env::var("PROPTEST_CASES").ok();
    let cases = cases.map_or(CASES, |cases| cases.parse().expect("a number"));
    let mut done = 0;
    while done < cases {
        let count = (cases - done).min(CASES_PER_SYSTEM);
        let app = TestApp::builder()
            .manual_delivery()
            .with_cheap_hashes()
            .start();
        let app = runtime.block_on(app);
        let functions = runtime.block_on(async { Functions::without_timeouts(&app.environment()) });
        let config = Config {
            cases: count,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&operations(), |operations| {
                runtime.block_on(run(&app, &functions, &operations));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        done += count;
        println!("{done} sequences");
    }
}
