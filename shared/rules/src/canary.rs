//! The canary: an account for which the stack requests an email every five minutes. If none is
//! delivered, something between `request` and SES is broken.

use chrono::TimeDelta;

use crate::{address::EmailAddress, recovery::EmailBudget};

/// Address of the canary's account, at SES's mailbox simulator, which accepts every email.
///
/// The label keeps it apart from the account of `smoke`.
pub const ADDRESS: &str = "success+canary@simulator.amazonses.com";

/// Returns whether `email` is the canary's account.
#[must_use]
pub fn is_canary(email: &EmailAddress) -> bool {
    email.as_str() == ADDRESS
}

/// Returns the budget of the canary's account. It permits an email every five minutes, whatever the
/// settings permit other accounts, and bounds what strangers can request for it.
#[must_use]
pub fn budget() -> EmailBudget {
    EmailBudget {
        cooldown: TimeDelta::minutes(3),
        per_hour: 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_canonical() {
        let parsed = EmailAddress::parse(ADDRESS).expect("a valid address");
        assert!(is_canary(&parsed));
    }
}
