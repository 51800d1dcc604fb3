//! What happens in a sequence, in random order.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_oneof,
};

use super::expected::ACCOUNTS;

/// One step of a sequence. A number selects an account, or one of the records or links so far.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    /// Requests a reset email.
    RequestReset(usize),
    /// Delivers a stream record: for the first time or again, in any order.
    Deliver(usize, Ses),
    /// Sets new passwords with these links, concurrently.
    Confirm(Vec<usize>),
    /// Tries a weak password.
    TryWeakPassword(usize),
    /// Moves the clock forwards or backwards, by seconds.
    MoveClock(i64),
    /// Activates or deactivates a user.
    SetActive(usize, bool),
    /// Deletes a user.
    Delete(usize),
    /// Creates a user, or creates one again.
    Create(usize),
    /// Reports a permanent bounce of an email.
    Bounce(usize),
}

/// How SES responds to an email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ses {
    Accepts,
    Fails,
    AcceptsAndLosesResponse,
}

pub(super) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let account = || 0..ACCOUNTS;
    // The newest is selected most often.
    let any_of = || prop_oneof![2 => Just(0), 1 => 0..60_usize];
    let ses = prop_oneof![
        6 => Just(Ses::Accepts),
        1 => Just(Ses::Fails),
        1 => Just(Ses::AcceptsAndLosesResponse),
    ];
    let seconds = [
        -90_000, -3_600, -61, -1, 1, 59, 60, 61, 3_599, 3_600, 43_200, 86_399, 86_400,
    ];
    let operation = prop_oneof![
        6 => (0..=ACCOUNTS).prop_map(Operation::RequestReset),
        8 => (any_of(), ses).prop_map(|(which, ses)| Operation::Deliver(which, ses)),
        6 => vec(any_of(), 1..=3).prop_map(Operation::Confirm),
        1 => any_of().prop_map(Operation::TryWeakPassword),
        4 => proptest::sample::select(seconds.to_vec()).prop_map(Operation::MoveClock),
        2 => (account(), any::<bool>()).prop_map(|(who, active)| Operation::SetActive(who, active)),
        1 => account().prop_map(Operation::Delete),
        1 => account().prop_map(Operation::Create),
        1 => any_of().prop_map(Operation::Bounce),
    ];
    // A user's row keeps only its latest ten emails, so a sequence is short.
    vec(operation, 1..20)
}
