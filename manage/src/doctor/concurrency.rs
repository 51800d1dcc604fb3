//! The check of the account's concurrency on Lambda.

use aws::AwsError;
use aws_sdk_lambda::{Client, types::AccountLimit};
use aws_types::SdkConfig;

use crate::finding::Finding;

/// Concurrent calls that AWS keeps for functions without a reservation, if the account may run more.
const ALWAYS_UNRESERVED: i32 = 100;

const SUBJECT: &str = "Lambda concurrency";

/// Checks how many calls the functions may run at once.
pub(super) async fn check(config: &SdkConfig) -> Finding {
    match Client::new(config).get_account_settings().send().await {
        Ok(settings) => {
            let limit = settings.account_limit();
            let total = limit.map_or(0, AccountLimit::concurrent_executions);
            let unreserved = limit.and_then(AccountLimit::unreserved_concurrent_executions);
            concurrency_finding(total, unreserved.unwrap_or(total))
        }
        Err(error) => Finding::problem(
            SUBJECT,
            format!(
                "cannot be checked: {}",
                AwsError::new("GetAccountSettings", &error)
            ),
            "grant your credentials lambda:GetAccountSettings",
        ),
    }
}

fn concurrency_finding(total: i32, unreserved: i32) -> Finding {
    let detail = format!(
        "the account may run {total} calls at once in this region, {unreserved} of them not \
         reserved"
    );
    if total > ALWAYS_UNRESERVED {
        return Finding::ok(SUBJECT, detail);
    }
    Finding::advice(
        SUBJECT,
        format!(
            "{detail}: all functions share them, so a busy mailer throttles the API, and a \
             deployment that reserves some fails"
        ),
        "request 1,000: `aws service-quotas request-service-quota-increase --service-code lambda \
         --quota-code L-B99A9384 --desired-value 1000`; until then leave MailerConcurrency at 2, \
         and RequestConcurrency and ConfirmConcurrency at 0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Health;

    #[test]
    fn the_concurrency_of_a_new_account_is_too_low() {
        for (total, unreserved, health) in [
            (10, 10, Health::Advice),
            (100, 100, Health::Advice),
            (1000, 1000, Health::Ok),
            (1000, 100, Health::Ok),
        ] {
            let finding = concurrency_finding(total, unreserved);
            assert_eq!(finding.health, health, "{total}");
            assert!(finding.detail.contains(&format!("{total} calls at once")));
        }
    }
}
