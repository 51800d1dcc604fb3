//! The mail queue: what SQS does between the pipe and the mailer, with the same visibility timeout
//! and the same count of receives.
//!
//! A file keeps its messages and how far the pipe has read, so an email that is due when the
//! process stops, even by a kill, is sent after the next start. Each change is a line at the end
//! of the file; opening the queue drops the lines that no longer matter.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use rules::environment::{Environment, SettingError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::atomic_file;

/// Messages per batch, as in the template.
const BATCH_SIZE: usize = 10;
/// Receives after which a message is no longer delivered, as in the template: six hours.
const MAX_RECEIVES: u32 = 120;

/// The queue.
pub struct MailQueue {
    state: Mutex<State>,
    changed: Notify,
    visibility_timeout: Duration,
}

#[derive(Default)]
struct State {
    /// Messages by number, in the order in which they were sent.
    messages: BTreeMap<u64, Message>,
    last_number: u64,
    /// Sequence number of the last record read from each shard.
    places: BTreeMap<String, String>,
    file: Option<File>,
    /// Whether the file may end with a part of a line.
    is_torn: bool,
}

struct Message {
    body: String,
    receives: u32,
    visible_at: Instant,
    is_in_flight: bool,
}

/// A received message.
pub(crate) struct Received {
    pub(crate) number: u64,
    body: String,
    receives: u32,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// A message was sent to the queue, or is still in it.
    Message {
        number: u64,
        body: String,
        receives: u32,
    },
    /// The pipe has read a shard up to this record.
    Place {
        shard: String,
        sequence_number: String,
    },
    /// Messages were received.
    Received(Vec<u64>),
    /// Messages were deleted.
    Deleted(Vec<u64>),
}

impl MailQueue {
    /// Reads `MAIL_QUEUE_VISIBILITY_SECONDS`: the time after which a message that was not deleted
    /// is delivered again.
    pub(crate) fn visibility_timeout(env: &Environment<'_>) -> Result<Duration, SettingError> {
        let seconds = env.number("MAIL_QUEUE_VISIBILITY_SECONDS", 180, 1..=43_200)?;
        Ok(Duration::from_secs(seconds.into()))
    }

    /// Opens the queue in `file`, or creates it; `None` keeps it in memory. Messages that were
    /// received too often are delivered again, as after a redrive.
    pub fn open(file: Option<&Path>, visibility_timeout: Duration) -> Result<Self> {
        let mut state = State::default();
        if let Some(path) = file {
            state
                .load(path)
                .with_context(|| format!("opening the mail queue {}", path.display()))?;
        }
        Ok(Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            visibility_timeout,
        })
    }

    /// Returns the sequence number of the last record read from `shard`.
    pub(crate) fn place(&self, shard: &str) -> Option<String> {
        self.lock().places.get(shard).cloned()
    }

    /// Puts a record of `shard` into the queue and remembers that it was read. `body` is `None` for
    /// a record that the filter drops.
    pub(crate) fn send(
        &self,
        shard: &str,
        sequence_number: &str,
        body: Option<String>,
    ) -> Result<()> {
        let mut state = self.lock();
        // The message first: if only this line is written, the record is read again.
        let number = state.last_number + 1;
        let message = body.map(|body| Line::Message {
            number,
            body,
            receives: 0,
        });
        let place = Line::Place {
            shard: shard.to_owned(),
            sequence_number: sequence_number.to_owned(),
        };
        state.write(message.into_iter().chain([place]).collect())?;
        self.changed.notify_waiters();
        Ok(())
    }

    /// Receives at most ten messages; waits until one is visible.
    pub(crate) async fn receive(&self) -> Result<Vec<Received>> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on, a message that is sent wakes this call.
            changed.as_mut().enable();
            let next = {
                let mut state = self.lock();
                let received = state.receive(self.visibility_timeout)?;
                if !received.is_empty() {
                    return Ok(received);
                }
                state.next_visible_at()
            };
            match next {
                Some(next) => drop(timeout_at(next, changed).await),
                None => changed.await,
            }
        }
    }

    /// Deletes the messages in `done`; the others return to the queue when their visibility timeout
    /// ends.
    pub(crate) fn complete(&self, received: &[Received], done: &[u64]) -> Result<()> {
        let mut state = self.lock();
        for message in received {
            if let Some(message) = state.messages.get_mut(&message.number) {
                message.is_in_flight = false;
            }
        }
        state.write(vec![Line::Deleted(done.to_vec())])
    }

    /// Returns whether every remaining message has failed and waits for its next attempt.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let now = Instant::now();
        let state = self.lock();
        let mut messages = state.messages.values();
        messages.all(|message| !message.is_in_flight && !message.is_visible(now))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn load(&mut self, path: &Path) -> Result<()> {
        if path.exists() {
            for line in std::fs::read(path)?.split(|byte| *byte == b'\n') {
                match serde_json::from_slice(line) {
                    Ok(line) => self.apply(line),
                    Err(_) if line.is_empty() => {}
                    // The process was killed while writing the last line, or the disk was full.
                    Err(error) => {
                        tracing::warn!(%error, "skipping an unreadable line of the mail queue");
                    }
                }
            }
        }
        for message in self.messages.values_mut() {
            message.receives %= MAX_RECEIVES;
        }
        atomic_file::write(path, &to_text(&self.to_lines())?)?;
        self.file = Some(OpenOptions::new().append(true).open(path)?);
        Ok(())
    }

    /// Returns the lines that recreate the current state.
    fn to_lines(&self) -> Vec<Line> {
        let places = self
            .places
            .iter()
            .map(|(shard, sequence_number)| Line::Place {
                shard: shard.clone(),
                sequence_number: sequence_number.clone(),
            });
        let messages = self.messages.iter().map(|(number, message)| Line::Message {
            number: *number,
            body: message.body.clone(),
            receives: message.receives,
        });
        places.chain(messages).collect()
    }

    /// Appends `lines` to the file, then applies them.
    fn write(&mut self, lines: Vec<Line>) -> Result<()> {
        if let Some(file) = &mut self.file {
            let start = if self.is_torn { "\n" } else { "" };
            let text = start.to_owned() + &to_text(&lines)?;
            self.is_torn = true;
            file.write_all(text.as_bytes())
                .context("writing the mail queue")?;
            self.is_torn = false;
        }
        for line in lines {
            self.apply(line);
        }
        Ok(())
    }

    fn apply(&mut self, line: Line) {
        match line {
            Line::Message {
                number,
                body,
                receives,
            } => {
                let message = Message {
                    body,
                    receives,
                    visible_at: Instant::now(),
                    is_in_flight: false,
                };
                self.messages.insert(number, message);
                self.last_number = self.last_number.max(number);
            }
            Line::Place {
                shard,
                sequence_number,
            } => {
                self.places.insert(shard, sequence_number);
            }
            Line::Received(numbers) => {
                for number in numbers {
                    if let Some(message) = self.messages.get_mut(&number) {
                        message.receives += 1;
                    }
                }
            }
            Line::Deleted(numbers) => {
                for number in numbers {
                    self.messages.remove(&number);
                }
            }
        }
    }

    /// Receives the visible messages, at most ten, and hides them for `visibility_timeout`.
    fn receive(&mut self, visibility_timeout: Duration) -> Result<Vec<Received>> {
        let now = Instant::now();
        let visible = self.messages.iter();
        let visible = visible.filter(|(_, message)| message.is_visible(now));
        // Those that wait longest come first, so failing messages do not crowd out new ones.
        let mut numbers: Vec<_> = visible
            .map(|(number, message)| (message.visible_at, *number))
            .collect();
        numbers.sort_unstable();
        let numbers = numbers.into_iter().take(BATCH_SIZE);
        let numbers: Vec<u64> = numbers.map(|(_, number)| number).collect();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        self.write(vec![Line::Received(numbers.clone())])?;
        let mut received = Vec::new();
        for number in numbers {
            if let Some(message) = self.messages.get_mut(&number) {
                message.visible_at = now + visibility_timeout;
                message.is_in_flight = true;
                if message.receives == MAX_RECEIVES {
                    tracing::error!(
                        number,
                        "last attempt to send an email until the system restarts"
                    );
                }
                received.push(Received {
                    number,
                    body: message.body.clone(),
                    receives: message.receives,
                });
            }
        }
        Ok(received)
    }

    fn next_visible_at(&self) -> Option<Instant> {
        let waiting = self
            .messages
            .values()
            .filter(|message| message.may_return());
        waiting.map(|message| message.visible_at).min()
    }
}

impl Message {
    /// Returns whether the message is delivered again when its visibility timeout ends.
    fn may_return(&self) -> bool {
        self.receives < MAX_RECEIVES
    }

    fn is_visible(&self, now: Instant) -> bool {
        self.may_return() && self.visible_at <= now
    }
}

impl Received {
    /// Returns the ID under which the mailer reports the message.
    pub(crate) fn id(&self) -> String {
        self.number.to_string()
    }

    /// Returns the message as Lambda delivers it.
    pub(crate) fn to_record(&self) -> Value {
        json!({
            "messageId": self.id(),
            "body": self.body,
            "attributes": { "ApproximateReceiveCount": self.receives.to_string() },
            "eventSource": "aws:sqs",
        })
    }
}

fn to_text(lines: &[Line]) -> Result<String> {
    let lines: Result<Vec<String>, _> = lines.iter().map(serde_json::to_string).collect();
    Ok(lines?.into_iter().map(|line| line + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISIBILITY: Duration = Duration::from_mins(3);

    /// A temporary folder, deleted on drop.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("mail-queue-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn file(&self) -> std::path::PathBuf {
            self.0.join("mail-queue.jsonl")
        }

        fn open(&self) -> MailQueue {
            MailQueue::open(Some(&self.file()), VISIBILITY).expect("a queue")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn send(queue: &MailQueue, bodies: &[&str]) {
        for (index, body) in bodies.iter().enumerate() {
            let place = index.to_string();
            queue
                .send("shard", &place, Some((*body).to_owned()))
                .expect("written");
        }
    }

    fn bodies(received: &[Received]) -> Vec<&str> {
        received.iter().map(|message| &*message.body).collect()
    }

    #[tokio::test]
    async fn a_failed_message_returns_after_its_visibility_timeout() {
        let visibility = Duration::from_millis(50);
        let queue = MailQueue::open(None, visibility).expect("a queue");
        send(&queue, &["a", "b"]);
        let sent = Instant::now();
        let first = queue.receive().await.expect("messages");
        assert_eq!(bodies(&first), ["a", "b"]);
        assert!(!queue.is_quiet());
        queue.complete(&first, &[first[0].number]).expect("written");

        let second = queue.receive().await.expect("messages");
        assert_eq!(bodies(&second), ["b"]);
        assert_eq!(second[0].receives, 2);
        assert!(sent.elapsed() >= visibility);
        queue
            .complete(&second, &[second[0].number])
            .expect("written");
        assert!(queue.is_quiet());
    }

    #[tokio::test]
    async fn a_message_is_delivered_for_six_hours() {
        assert_eq!(VISIBILITY * MAX_RECEIVES, Duration::from_hours(6));
        let queue = MailQueue::open(None, Duration::from_millis(1)).expect("a queue");
        send(&queue, &["a"]);
        for _ in 0..MAX_RECEIVES {
            let received = queue.receive().await.expect("messages");
            queue.complete(&received, &[]).expect("written");
        }
        let further = tokio::time::timeout(Duration::from_millis(50), queue.receive());
        assert!(further.await.is_err());
        assert!(queue.is_quiet());
    }

    #[tokio::test]
    async fn a_kill_loses_no_message_and_no_place() {
        let folder = Folder::new("kill");
        let queue = folder.open();
        send(&queue, &["a", "b", "c"]);
        queue.send("shard", "3", None).expect("written");
        let received = queue.receive().await.expect("messages");
        queue
            .complete(&received, &[received[1].number])
            .expect("written");
        // Nothing is written when the queue is dropped, and the last line is incomplete.
        drop(queue);
        let mut file = OpenOptions::new()
            .append(true)
            .open(folder.file())
            .expect("the file");
        file.write_all(br#"{"deleted":[1"#).expect("written");

        for receives in 2..4 {
            let queue = folder.open();
            assert_eq!(queue.place("shard").as_deref(), Some("3"));
            let received = queue.receive().await.expect("messages");
            assert_eq!(bodies(&received), ["a", "c"]);
            assert_eq!(received[0].receives, receives);
        }
    }

    #[tokio::test]
    async fn failing_messages_do_not_crowd_out_new_ones() {
        let queue = MailQueue::open(None, Duration::ZERO).expect("a queue");
        send(&queue, &["failing"; 2 * BATCH_SIZE]);
        queue.receive().await.expect("messages");
        send(&queue, &["new"]);
        // Every other message is received once more before it.
        let mut received = Vec::new();
        for _ in 0..3 {
            received.extend(queue.receive().await.expect("messages"));
        }
        assert!(bodies(&received).contains(&"new"));
    }

    #[tokio::test]
    async fn an_unreadable_line_loses_no_other() {
        let folder = Folder::new("unreadable");
        send(&folder.open(), &["a"]);
        let mut file = OpenOptions::new()
            .append(true)
            .open(folder.file())
            .expect("the file");
        file.write_all(b"\xff{\n").expect("written");
        let queue = folder.open();
        send(&queue, &["b"]);
        // What a full disk leaves behind: the start of a line.
        queue.lock().is_torn = true;
        let torn = br#"{"message":{"number":9,"bo"#;
        file.write_all(torn).expect("written");
        send(&queue, &["c"]);
        drop(queue);
        let received = folder.open().receive().await.expect("messages");
        assert_eq!(bodies(&received), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_message_received_too_often_is_delivered_again_after_a_start() {
        let folder = Folder::new("redrive");
        let queue = MailQueue::open(Some(&folder.file()), Duration::ZERO).expect("a queue");
        send(&queue, &["a"]);
        for _ in 0..MAX_RECEIVES {
            queue.receive().await.expect("messages");
        }
        drop(queue);
        // The first start resets the count, and the message is received once.
        for receives in 1..3 {
            let received = folder.open().receive().await.expect("messages");
            assert_eq!(received[0].receives, receives);
        }
    }
}
