//! Checks of the path from the outbox to the mailer: the pipe, and the emails that could not be
//! sent.

use aws::AwsError;
use aws_sdk_pipes::{
    Client as Pipes,
    error::ProvideErrorMetadata,
    operation::describe_pipe::DescribePipeOutput,
    types::{PipeState, RequestedPipeStateDescribeResponse as DesiredState},
};
use aws_types::SdkConfig;

use crate::{
    finding::Finding,
    unsent::{self, queue::Queue},
    workspace::Workspace,
};

/// The setting with the pipe's name, from the stack's output `MailPipeName`.
const PIPE_NAME: &str = "MAIL_PIPE_NAME";

/// Checks the pipe and the queue that the settings name.
pub(super) async fn check(workspace: &Workspace) -> Vec<Finding> {
    let config = &workspace.connection.config;
    let mut findings = Vec::new();
    if let Some(name) = workspace.setting(PIPE_NAME) {
        findings.push(check_pipe(config, &name).await);
    }
    if let Some(url) = workspace.setting(unsent::QUEUE_URL) {
        findings.push(check_unsent(&Queue::new(config, url)).await);
    }
    findings
}

async fn check_pipe(config: &SdkConfig, name: &str) -> Finding {
    let subject = format!("pipe {name}");
    match Pipes::new(config).describe_pipe().name(name).send().await {
        Ok(pipe) => pipe_finding(subject, name, &pipe),
        Err(error) if error.code() == Some("NotFoundException") => Finding::problem(
            subject,
            "does not exist, so no email is sent",
            "deploy the stack again",
        ),
        Err(error) => Finding::problem(
            subject,
            format!(
                "cannot be checked: {}",
                AwsError::new("DescribePipe", &error)
            ),
            "grant your credentials pipes:DescribePipe",
        ),
    }
}

fn pipe_finding(subject: String, name: &str, pipe: &DescribePipeOutput) -> Finding {
    let current = pipe.current_state().map_or("UNKNOWN", PipeState::as_str);
    let detail = format!("is {current}");
    if current == "RUNNING" {
        return Finding::ok(subject, detail);
    }
    let desired = pipe.desired_state().map_or("UNKNOWN", DesiredState::as_str);
    let reason = pipe.state_reason().unwrap_or("no reason is given");
    Finding::problem(
        subject,
        format!("{detail} (desired state {desired}): {reason}"),
        match current {
            "CREATING" | "STARTING" | "UPDATING" => {
                "wait a few minutes, then check again".to_owned()
            }
            _ => format!("fix the cause, then `aws pipes start-pipe --name {name}`"),
        },
    )
}

async fn check_unsent(queue: &Queue) -> Finding {
    let subject = "queue of unsent email";
    match queue.count().await {
        Ok(0) => Finding::ok(subject, "is empty"),
        Ok(count) => Finding::problem(
            subject,
            format!("emails that could not be sent for hours: {count}"),
            "`unsent list` shows why; fix the cause, then `unsent redrive` sends them",
        ),
        Err(error) => Finding::problem(
            subject,
            format!("cannot be checked: {error}"),
            "grant your credentials sqs:GetQueueAttributes",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Health;

    fn finding(current: PipeState) -> Finding {
        let pipe = DescribePipeOutput::builder()
            .current_state(current)
            .desired_state(DesiredState::Running)
            .state_reason("the role may not send to the queue");
        pipe_finding("pipe mail".to_owned(), "mail", &pipe.build())
    }

    #[test]
    fn only_a_running_pipe_is_healthy() {
        assert_eq!(finding(PipeState::Running).health, Health::Ok);
        for state in [
            PipeState::Stopped,
            PipeState::Stopping,
            PipeState::StartFailed,
            PipeState::Starting,
        ] {
            assert_eq!(finding(state.clone()).health, Health::Problem, "{state}");
        }
    }

    #[test]
    fn a_stopped_pipe_is_reported_with_its_reason() {
        let finding = finding(PipeState::Stopped);
        assert_eq!(
            finding.detail,
            "is STOPPED (desired state RUNNING): the role may not send to the queue"
        );
        assert!(
            finding
                .advice
                .ends_with("`aws pipes start-pipe --name mail`")
        );
    }
}
