//! What a state has done, in numbers, for whoever watches over it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::contract::StoreRevision;

/// Numbers since the state was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Transactions that were committed.
    pub commits: u64,
    /// Transactions that others were in the way of.
    pub conflicts: u64,
    /// Transactions that the store failed on.
    pub failures: u64,
    /// Transactions that were sent and not answered yet: the queue of the store.
    pub waiting: u64,
    /// Time that transactions waited for the store, in sum.
    pub commit_time: Duration,
    /// Time that they then waited for the view, in sum.
    pub view_time: Duration,
    /// Newest revision that an answer of the store has named.
    pub store_revision: StoreRevision,
    /// Revision of the view; what it lacks to the other is its lag.
    pub view_revision: StoreRevision,
}

/// The counters behind them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    commits: AtomicU64,
    conflicts: AtomicU64,
    failures: AtomicU64,
    waiting: AtomicU64,
    commit_ns: AtomicU64,
    view_ns: AtomicU64,
    store_revision: AtomicU64,
}

/// How the store answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answered {
    Committed(StoreRevision),
    Conflict(StoreRevision),
    Failed,
}

/// A transaction that waits for the store, until this is dropped.
pub(super) struct Waiting<'a> {
    counters: &'a Counters,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
        add(&self.counters.commit_ns, self.since.elapsed());
    }
}

impl Counters {
    pub(super) fn waits(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { counters: self, since: Instant::now() }
    }

    pub(super) fn answered(&self, how: Answered) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match how {
            Answered::Committed(revision) => {
                count(&self.commits);
                self.store_revision.fetch_max(revision.0, Ordering::Relaxed);
            }
            Answered::Conflict(revision) => {
                count(&self.conflicts);
                self.store_revision.fetch_max(revision.0, Ordering::Relaxed);
            }
            Answered::Failed => _ = count(&self.failures),
        }
    }

    pub(super) fn viewed(&self, after: Duration) {
        add(&self.view_ns, after);
    }

    pub(super) fn read(&self, view_revision: StoreRevision) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            commits: read(&self.commits),
            conflicts: read(&self.conflicts),
            failures: read(&self.failures),
            waiting: read(&self.waiting),
            commit_time: Duration::from_nanos(read(&self.commit_ns)),
            view_time: Duration::from_nanos(read(&self.view_ns)),
            store_revision: StoreRevision(read(&self.store_revision)).max(view_revision),
            view_revision,
        }
    }
}

fn add(counter: &AtomicU64, time: Duration) {
    counter.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}
