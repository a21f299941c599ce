//! The audit log: who did what, from where, and what was denied to whom.
//!
//! Files of lines in the shape of CloudTrail's records, one file for each day, only ever appended to.
//! Each line carries the digest of the line before it, so that one that was altered, taken out or
//! moved is found ([`verify`]). A request never waits for the disk: its record goes through a bounded
//! queue to a thread that writes it at once and makes what it wrote durable about once a second.
//!
//! What may be lost: records of the last second, when the machine loses power; those in the queue,
//! when the process is killed; and those for which the queue has no room or the disk refuses, which is
//! logged and counted. What it leaves out: callers that nobody knows, since anybody could fill the disk by
//! them; they are in the metrics.

mod chain;
mod event;
mod files;
mod redact;
mod search;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
mod trace;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

pub use chain::{Fault, Head, Report, verify};
pub(crate) use event::{Event, Kept, Reason};
pub use search::{Use, Used, find, used};
pub(crate) use trace::Trace;

/// Records that may wait to be written.
const QUEUE: usize = 10_000;

/// How an audit log is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where its files are.
    pub directory: PathBuf,
    /// Whether what only reads is recorded too.
    pub reads: bool,
    /// Days after which a file is deleted.
    pub retention_days: u32,
}

/// The audit log of a server.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Absent where none is kept.
    queue: Option<SyncSender<Message>>,
    directory: PathBuf,
    reads: bool,
    counts: Arc<Counts>,
}

/// What became of records.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Written.
    written: AtomicU64,
    /// Lost, since the queue was full or the disk refused.
    lost: AtomicU64,
}

impl Counts {
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// For the thread that writes.
enum Message {
    /// Write this.
    Record(Box<Event>),
    /// Say when all before this is written and durable, and where the log ends then.
    Flush(oneshot::Sender<Head>),
}

impl Audit {
    /// No log.
    pub(crate) fn off() -> Self {
        Self { queue: None, directory: PathBuf::new(), reads: false, counts: Arc::default() }
    }

    /// Opens the log, and goes on where it ended.
    ///
    /// # Errors
    /// Its files cannot be read or written.
    pub(crate) fn open(config: Config) -> std::io::Result<Self> {
        let counts = Arc::new(Counts::default());
        let log = writer::Log::open(&config.directory, config.retention_days)?;
        let (queue, messages) = sync_channel(QUEUE);
        let counting = Arc::clone(&counts);
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer::run(log, &messages, &counting))?;
        let Config { directory, reads, .. } = config;
        Ok(Self { queue: Some(queue), directory, reads, counts })
    }

    /// Whether calls are recorded, those that only read or others.
    pub(crate) fn records(&self, read_only: bool) -> bool {
        self.queue.is_some() && (self.reads || !read_only)
    }

    /// Whether a log is kept at all; denials are recorded whatever they are of.
    pub(crate) fn is_kept(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether what only reads is recorded too.
    pub(crate) fn has_reads(&self) -> bool {
        self.reads
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What became of records.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Records an event, some time soon.
    pub(crate) fn record(&self, event: Event) {
        let Some(queue) = &self.queue else { return };
        match queue.try_send(Message::Record(Box::new(event))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                // Once for a whole burst of them.
                if self.counts.lost.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
                    tracing::error!(
                        "the audit log cannot keep up with the calls: records are lost; look at its disk"
                    );
                }
            }
        }
    }

    /// Completes when all that was recorded before is durable; says where the log ends then, if
    /// there is one.
    pub(crate) async fn flush(&self) -> Option<Head> {
        let (done, told) = oneshot::channel();
        let queue = self.queue.clone()?;
        // The queue may be full for a while.
        tokio::task::spawn_blocking(move || queue.send(Message::Flush(done))).await.ok()?.ok()?;
        told.await.ok()
    }
}
