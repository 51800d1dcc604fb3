//! `unsent redrive`: SQS's own redrive of a dead-letter queue, and the wait for its end.

use std::time::Duration;

use anyhow::{Result, bail};
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry as Move;
use tokio::time::sleep;

use super::queue::Queue;
use crate::exit::ExitStatus;

/// Seconds to wait for the end of a redrive. SQS moves up to 500 messages a second.
const MAX_WAIT_SECONDS: u32 = 300;

/// Moves all messages back to the queue that they came from.
pub(super) async fn run(queue: &Queue) -> Result<ExitStatus> {
    if !queue.is_dead_letter_queue().await? {
        bail!(
            "no queue uses this one as its dead-letter queue, so SQS cannot move its messages back; \
             pass the stack's output UnsentMailQueueUrl to --queue-url"
        );
    }
    let arn = queue.arn().await?;
    let previous = queue.latest_move(&arn).await?;
    if let Some(running) = previous.as_ref().filter(|previous| is_running(previous)) {
        bail!(
            "a redrive is already running ({}); wait until it has completed",
            progress(running)
        );
    }
    queue.start_move(&arn).await?;
    let is_new = |latest: &Move| {
        let previous = previous.as_ref().map(|previous| previous.started_timestamp);
        previous != Some(latest.started_timestamp)
    };
    for _ in 0..MAX_WAIT_SECONDS {
        let latest = queue.latest_move(&arn).await?.filter(is_new);
        if let Some(ended) = latest.filter(|latest| !is_running(latest)) {
            return report(&ended);
        }
        sleep(Duration::from_secs(1)).await;
    }
    println!(
        "the redrive is still running after {MAX_WAIT_SECONDS} seconds and continues by itself; \
         `unsent list` shows what is left"
    );
    Ok(ExitStatus::Problems)
}

fn is_running(task: &Move) -> bool {
    matches!(task.status(), Some("RUNNING" | "CANCELLING"))
}

fn progress(task: &Move) -> String {
    let moved = task.approximate_number_of_messages_moved;
    match task.approximate_number_of_messages_to_move {
        Some(total) => format!("messages moved: {moved} of {total}"),
        None => format!("messages moved: {moved}"),
    }
}

/// Prints the result of a move that has ended.
fn report(ended: &Move) -> Result<ExitStatus> {
    let progress = progress(ended);
    match ended.status().unwrap_or("no status") {
        "COMPLETED" if ended.approximate_number_of_messages_moved == 0 => {
            println!(
                "SQS moved no message: the queue is empty, or another command is reading it; if \
                 `unsent list` shows messages, try again in a minute"
            );
        }
        "COMPLETED" => println!("{progress}; the mailer sends them now"),
        status => bail!(
            "the redrive ended as {status} ({progress}): {}; fix the cause, then run `unsent \
             redrive` again for the rest",
            ended.failure_reason().unwrap_or("SQS gives no reason")
        ),
    }
    Ok(ExitStatus::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(status: &str, moved: i64) -> Move {
        Move::builder()
            .status(status)
            .approximate_number_of_messages_moved(moved)
            .approximate_number_of_messages_to_move(25)
            .failure_reason("AWS.SimpleQueueService.NonExistentQueue")
            .build()
    }

    #[test]
    fn a_task_runs_until_it_has_completed_failed_or_been_cancelled() {
        for (status, expected) in [
            ("RUNNING", true),
            ("CANCELLING", true),
            ("COMPLETED", false),
            ("CANCELLED", false),
            ("FAILED", false),
        ] {
            assert_eq!(is_running(&task(status, 0)), expected, "{status}");
        }
    }

    #[test]
    fn a_failed_redrive_reports_its_progress_and_reason() {
        let error = report(&task("FAILED", 7))
            .expect_err("an error")
            .to_string();
        assert!(
            error.contains("FAILED (messages moved: 7 of 25)"),
            "{error}"
        );
        assert!(error.contains("NonExistentQueue"), "{error}");
    }
}
