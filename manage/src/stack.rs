//! The settings of a stack that is deployed, as CloudFormation tells them: the names of its
//! tables are among its outputs, and its parameters are the functions' settings.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use aws::AwsError;
use aws_sdk_cloudformation::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::describe_stacks::DescribeStacksError,
    types::{Output, Parameter, Stack},
};
use aws_types::{SdkConfig, region::Region};

use crate::exit::NotFound;

/// The outputs that are settings and that every stack has.
const TABLES: [(&str, &str); 3] = [
    ("UsersTableName", "USERS_TABLE"),
    ("TokensTableName", "TOKENS_TABLE"),
    ("OutboxTableName", "OUTBOX_TABLE"),
];
/// The outputs that say what became of a parameter that was left empty, or of what has none.
const CHOICES: [(&str, &str); 3] = [
    ("ResetUrl", "RESET_URL"),
    ("ConfigurationSetName", "SES_CONFIGURATION_SET"),
    ("UnsentMailQueueUrl", "UNSENT_MAIL_QUEUE_URL"),
];

/// The settings of the stack `name`, by their variables.
pub(crate) async fn settings(config: &SdkConfig, name: &str) -> Result<BTreeMap<String, String>> {
    let place = place(config, name);
    let answer = Client::new(config)
        .describe_stacks()
        .stack_name(name)
        .send()
        .await;
    let described = answer.map_err(|error| explain(&error, &place))?;
    let stack = described.stacks().first().ok_or_else(|| missing(&place))?;
    let mut settings = parameters(stack);
    for (output, variable) in CHOICES {
        if let Some(value) = find(stack, output) {
            settings.insert(variable.to_owned(), value);
        }
    }
    for (output, variable) in TABLES {
        let value = find(stack, output).ok_or_else(|| {
            anyhow!(
                "the {place} has no output {output}, so that it is no stack of this project, or \
                 one that is not deployed whole; deploy it, or name the tables with --aws, \
                 --users-table, --tokens-table and --outbox-table"
            )
        })?;
        settings.insert(variable.to_owned(), value);
    }
    Ok(settings)
}

fn place(config: &SdkConfig, name: &str) -> String {
    let region = config.region().map_or("no region", Region::as_ref);
    format!("stack {name} in {region}")
}

fn missing(place: &str) -> anyhow::Error {
    NotFound(format!(
        "there is no {place}; give --stack the name that `sam deploy` was given, and set \
         AWS_REGION and AWS_PROFILE to where that was"
    ))
    .into()
}

fn explain(error: &SdkError<DescribeStacksError>, place: &str) -> anyhow::Error {
    let (code, message) = (error.code(), error.message().unwrap_or_default());
    // The one code has many meanings, which only its text tells apart.
    if code == Some("ValidationError") && message.contains("does not exist") {
        return missing(place);
    }
    let hint = match code {
        Some("AccessDenied" | "AccessDeniedException") => {
            "the credentials need the permission cloudformation:DescribeStacks"
        }
        _ => "CloudFormation could not be asked",
    };
    anyhow::Error::new(AwsError::new("DescribeStacks", error)).context(format!("{place}: {hint}"))
}

/// The parameters under the names that the functions know them by: `MailFrom` is `MAIL_FROM`.
fn parameters(stack: &Stack) -> BTreeMap<String, String> {
    let setting = |parameter: &Parameter| {
        let (key, value) = (parameter.parameter_key()?, parameter.parameter_value()?);
        Some((variable(key), value.to_owned()))
    };
    stack.parameters().iter().filter_map(setting).collect()
}

fn variable(parameter: &str) -> String {
    let mut name = String::new();
    for letter in parameter.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn find(stack: &Stack, output: &str) -> Option<String> {
    let is_it = |found: &&Output| found.output_key() == Some(output);
    let found = stack.outputs().iter().find(is_it)?;
    found.output_value().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_the_setting_of_the_same_name() {
        for (parameter, setting) in [
            ("MailFrom", "MAIL_FROM"),
            ("AccountCooldownSeconds", "ACCOUNT_COOLDOWN_SECONDS"),
            ("Argon2MemoryKib", "ARGON2_MEMORY_KIB"),
        ] {
            assert_eq!(variable(parameter), setting);
        }
    }
}
