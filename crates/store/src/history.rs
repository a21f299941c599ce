//! The watch history: the latest batches, in memory, and the watches that read them.
//!
//! A watch is a position in the ring, so a slow watcher costs nothing and holds up nobody; it
//! gets [`StoreError::Compacted`] when the ring has left it behind. After a restart the ring is
//! empty and reaches back to the revision at which the store was opened.
//!
//! The backends of this process fill it as they commit, the etcd backend from its one watch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use tokio::sync::watch;

use crate::contract::{Batch, Event, StoreRevision, Watch};
use crate::{StoreError, limits};

/// How much history is kept.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// Revisions.
    pub batches: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { batches: limits::HISTORY_BATCHES, bytes: limits::HISTORY_BYTES }
    }
}

/// The ring of batches.
#[derive(Debug)]
pub(crate) struct History {
    ring: Mutex<Ring>,
    /// Counts changes of the ring; closed with the store.
    wake: watch::Sender<Wake>,
}

#[derive(Clone, Debug)]
struct Wake {
    /// Everything up to it is in the ring, or was.
    tip: StoreRevision,
    end: Option<End>,
}

/// Why nothing more will happen.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The store is shut down, or cannot write any more.
    Closed,
    /// What answers now is not the store that was opened.
    Replaced(String),
}

impl End {
    pub(crate) fn error(&self) -> StoreError {
        match self {
            Self::Closed => StoreError::Closed,
            Self::Replaced(detail) => StoreError::Replaced { detail: detail.clone() },
        }
    }
}

#[derive(Debug)]
struct Ring {
    /// In order, the first after `compacted`. Revisions that are no batch changed nothing here.
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Newest revision that is forgotten.
    compacted: StoreRevision,
    limits: HistoryLimits,
}

impl History {
    pub(crate) fn new(current: StoreRevision, limits: HistoryLimits) -> Arc<Self> {
        let ring = Ring { batches: VecDeque::new(), bytes: 0, compacted: current, limits };
        let wake = watch::Sender::new(Wake { tip: current, end: None });
        Arc::new(Self { ring: Mutex::new(ring), wake })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panic cannot leave the ring half changed in a way that later code relies on.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a batch and wakes the watches.
    pub(crate) fn push(&self, batch: Batch) {
        let tip = batch.revision;
        self.ring().push(batch);
        self.wake.send_modify(|wake| wake.tip = tip);
    }

    /// Forgets everything up to `revision`, or up to the newest batch when that is earlier.
    pub(crate) fn compact(&self, revision: StoreRevision) {
        let mut ring = self.ring();
        while ring.batches.front().is_some_and(|batch| batch.revision <= revision) {
            ring.drop_oldest();
        }
        drop(ring);
        self.wake.send_modify(|_| ());
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.end(End::Closed);
    }

    /// Ends all watches, and says why; only the first reason counts.
    pub(crate) fn end(&self, end: End) {
        self.wake.send_modify(|wake| {
            wake.end.get_or_insert(end);
        });
    }

    /// Goes on from `revision`, where what happened before could not be had: watches that have
    /// not seen it end with [`StoreError::Compacted`].
    pub(crate) fn restart(&self, revision: StoreRevision) {
        let mut ring = self.ring();
        ring.batches.clear();
        ring.bytes = 0;
        ring.compacted = revision;
        drop(ring);
        self.wake.send_modify(|wake| wake.tip = revision);
    }

    /// How far it is.
    pub(crate) fn tip(&self) -> StoreRevision {
        self.wake.borrow().tip
    }

    /// Waits until it has reached `revision`.
    ///
    /// # Errors
    /// Nothing more will happen.
    pub(crate) async fn reached(&self, revision: StoreRevision) -> Result<(), StoreError> {
        let mut wake = self.wake.subscribe();
        let there = |wake: &Wake| wake.tip >= revision || wake.end.is_some();
        let now = wake.wait_for(there).await.map_err(|_| StoreError::Closed)?;
        match &now.end {
            Some(end) if now.tip < revision => Err(end.error()),
            _ => Ok(()),
        }
    }

    /// A watch of keys with `prefix`, from after revision `after`.
    pub(crate) fn watch(self: &Arc<Self>, prefix: &str, after: StoreRevision) -> Watch {
        let cursor = Cursor {
            history: self.clone(),
            wake: self.wake.subscribe(),
            prefix: prefix.into(),
            after,
        };
        Box::pin(stream::unfold(Some(cursor), |cursor| async {
            let mut cursor = cursor?;
            match cursor.next().await {
                Ok(batch) => Some((Ok(batch), Some(cursor))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

impl Ring {
    fn push(&mut self, batch: Batch) {
        self.bytes += bytes(&batch);
        self.batches.push_back(batch);
        while self.batches.len() > self.limits.batches || self.bytes > self.limits.bytes {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.bytes -= bytes(&batch);
            self.compacted = batch.revision;
        }
    }

    /// The next batch for a watch: the first one after `after` with a matching key, else an
    /// empty one at the newest revision, else nothing when the watch has seen all.
    fn read(&self, after: StoreRevision, prefix: &str) -> Result<Option<Batch>, StoreError> {
        let compacted = self.compacted;
        if after < compacted {
            return Err(StoreError::Compacted { after, compacted });
        }
        let seen = self.batches.partition_point(|batch| batch.revision <= after);
        let mut last = None;
        for batch in self.batches.range(seen..) {
            let matching = filtered(batch, prefix);
            if !matching.events.is_empty() {
                return Ok(Some(matching));
            }
            last = Some(matching);
        }
        Ok(last)
    }
}

fn filtered(batch: &Batch, prefix: &str) -> Batch {
    let matches = |event: &&Event| event.key().starts_with(prefix);
    let events = if batch.events.iter().all(|event| matches(&event)) {
        batch.events.clone()
    } else {
        batch.events.iter().filter(matches).cloned().collect()
    };
    Batch { revision: batch.revision, events }
}

fn bytes(batch: &Batch) -> usize {
    let value = |event: &Event| match event {
        Event::Put(kv) => kv.value.len(),
        Event::Delete { .. } => 0,
    };
    batch.events.iter().map(|event| event.key().len() + value(event)).sum()
}

struct Cursor {
    history: Arc<History>,
    wake: watch::Receiver<Wake>,
    prefix: String,
    after: StoreRevision,
}

impl Cursor {
    async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            let end = self.wake.borrow_and_update().end.clone();
            if let Some(batch) = self.history.ring().read(self.after, &self.prefix)? {
                self.after = batch.revision;
                return Ok(batch);
            }
            if let Some(end) = end {
                return Err(end.error());
            }
            self.wake.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }
}
