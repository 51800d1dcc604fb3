//! The settings of a deployed stack, from CloudFormation: its outputs include the names of its
//! tables, and its parameters are the functions' settings.

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

/// Outputs that every stack has, and the settings that they provide.
const TABLE_OUTPUTS: [(&str, &str); 3] = [
    ("UsersTableName", "USERS_TABLE"),
    ("TokensTableName", "TOKENS_TABLE"),
    ("OutboxTableName", "OUTBOX_TABLE"),
];
/// Outputs that only some stacks have, and the settings that they provide. They override
/// parameters, which may be empty.
const OPTIONAL_OUTPUTS: [(&str, &str); 5] = [
    ("ApiUrl", "API_URL"),
    ("ResetUrl", "RESET_URL"),
    ("ConfigurationSetName", "SES_CONFIGURATION_SET"),
    ("UnsentMailQueueUrl", "UNSENT_MAIL_QUEUE_URL"),
    ("MailPipeName", "MAIL_PIPE_NAME"),
];

/// What CloudFormation returns for the value of a `NoEcho` parameter.
const HIDDEN: &str = "****";
/// Stands in for the value of a `NoEcho` parameter, which CloudFormation has checked and hides. It is
/// a valid `ORIGIN_SECRET` and `LOG_CLIENT_KEY`, the only such settings.
const HIDDEN_VALUE: &str = "hidden-by-CloudFormation-because-of-NoEcho";

/// Returns the settings of the stack `name`.
pub(crate) async fn settings(config: &SdkConfig, name: &str) -> Result<BTreeMap<String, String>> {
    let description = description(config, name);
    let response = Client::new(config)
        .describe_stacks()
        .stack_name(name)
        .send()
        .await;
    let described = response.map_err(|error| describe_error(&error, &description))?;
    let stack = described
        .stacks()
        .first()
        .ok_or_else(|| not_found(&description))?;
    let mut settings = parameters(stack);
    for (key, variable) in OPTIONAL_OUTPUTS {
        if let Some(value) = output(stack, key) {
            settings.insert(variable.to_owned(), value);
        }
    }
    for (key, variable) in TABLE_OUTPUTS {
        let value = output(stack, key).ok_or_else(|| {
            anyhow!(
                "the {description} has no output {key}: it is another project's stack, or not completely \
                 deployed; deploy it, or name the tables with --aws, --users-table, --tokens-table \
                 and --outbox-table"
            )
        })?;
        settings.insert(variable.to_owned(), value);
    }
    Ok(settings)
}

fn description(config: &SdkConfig, name: &str) -> String {
    let region = config.region().map_or("no region", Region::as_ref);
    format!("stack {name} in {region}")
}

fn not_found(description: &str) -> anyhow::Error {
    NotFound(format!(
        "there is no {description}; pass the name that you gave `sam deploy` to --stack, and set \
         AWS_REGION and AWS_PROFILE to the same region and account"
    ))
    .into()
}

fn describe_error(error: &SdkError<DescribeStacksError>, description: &str) -> anyhow::Error {
    let (code, message) = (error.code(), error.message().unwrap_or_default());
    // The code has several meanings, which only the message distinguishes.
    if code == Some("ValidationError") && message.contains("does not exist") {
        return not_found(description);
    }
    let hint = match code {
        Some("AccessDenied" | "AccessDeniedException") => {
            "your credentials need the permission cloudformation:DescribeStacks"
        }
        _ => "cannot be read from CloudFormation",
    };
    anyhow::Error::new(AwsError::new("DescribeStacks", error))
        .context(format!("{description}: {hint}"))
}

/// Returns the parameters by the names of their settings: `MailFrom` is `MAIL_FROM`.
fn parameters(stack: &Stack) -> BTreeMap<String, String> {
    let setting = |parameter: &Parameter| {
        let (key, value) = (parameter.parameter_key()?, parameter.parameter_value()?);
        let value = if value == HIDDEN { HIDDEN_VALUE } else { value };
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

fn output(stack: &Stack, key: &str) -> Option<String> {
    let has_key = |output: &&Output| output.output_key() == Some(key);
    let output = stack.outputs().iter().find(has_key)?;
    output.output_value().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rules::environment::Environment;
    use web::{Edge, LogClient};

    use super::*;

    #[test]
    fn a_hidden_secret_is_a_valid_setting() {
        let parameter = |name: &str, value: &str| {
            let parameter = Parameter::builder().parameter_key(name);
            parameter.parameter_value(value).build()
        };
        let stack = Stack::builder()
            .parameters(parameter("OriginSecret", "****"))
            .parameters(parameter("ClientAddressHeader", "True-Client-IP"))
            .parameters(parameter("LogClient", "digest"))
            .parameters(parameter("LogClientKey", "****"))
            .build();
        let settings = parameters(&stack);
        let lookup = |name: &str| settings.get(name).cloned();
        Edge::read(&Environment::new(&lookup)).expect("valid settings");
        LogClient::read(&Environment::new(&lookup)).expect("valid settings");
        assert_eq!(settings["CLIENT_ADDRESS_HEADER"], "True-Client-IP");
    }

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
