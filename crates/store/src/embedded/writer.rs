//! The writer of the embedded store: the only thread that changes the file.

use std::error::Error;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex};

use redb::{Database, ReadableTable, Table};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::file::{
    CELLS, LEASED, META, META_REVISION, decode_header, encode_cell, fault, panic_text,
};
use super::{Durability, Shared, lock};
use crate::apply::{Applied, Cell, Cells, apply, removal};
use crate::contract::{Batch, Key, LeaseId, StoreRevision, Txn, TxnOutcome};
use crate::history::History;
use crate::leases::Leases;
use crate::{StoreError, limits};

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// All that the writer is asked to do.
pub(super) enum Command {
    /// Commit a transaction.
    Txn {
        txn: Txn,
        reply: Reply<TxnOutcome>,
        /// Place in the queue, given back with the answer.
        permit: OwnedSemaphorePermit,
    },
    /// End a lease if its time is over.
    ExpireLease { id: LeaseId },
    /// End a lease.
    RevokeLease { id: LeaseId, reply: Reply<()> },
    /// Finish what came before, then end.
    Shutdown,
}

/// Why the writer gave up; told to everybody who asks afterwards.
enum Failure {
    DiskFull,
    Other(String),
}

pub(super) struct Writer {
    path: PathBuf,
    db: Arc<Database>,
    history: Arc<History>,
    leases: Arc<Mutex<Leases>>,
    revision: StoreRevision,
    durability: Durability,
    /// Whether commits wait for their way to disk.
    unsynced: bool,
    failure: Option<Failure>,
    /// Released when the writer ends.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        shared: &Arc<Shared>,
        revision: StoreRevision,
        durability: Durability,
        lock: File,
    ) -> Self {
        Self {
            path: shared.path.clone(),
            db: shared.db.clone(),
            history: shared.history.clone(),
            leases: shared.leases.clone(),
            revision,
            durability,
            unsynced: false,
            failure: None,
            _lock: lock,
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Command>) {
        let mut open = true;
        while open {
            let first = match self.next(queue) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => {
                    self.sync();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut next = Ok(first);
            loop {
                match next {
                    Ok(Command::Shutdown) | Err(TryRecvError::Disconnected) => open = false,
                    Ok(command) => {
                        bytes +=
                            if let Command::Txn { txn, .. } = &command { txn.bytes() } else { 0 };
                        group.push(command);
                    }
                    Err(TryRecvError::Empty) => break,
                }
                if !open || group.len() >= limits::GROUP_TXNS || bytes >= limits::GROUP_BYTES {
                    break;
                }
                next = queue.try_recv();
            }
            self.commit(group);
        }
        self.sync();
    }

    /// The next command; times out when commits wait for their way to disk.
    fn next(&self, queue: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        if self.unsynced {
            queue.recv_timeout(limits::RELAXED_SYNC)
        } else {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        }
    }

    /// Commits a group, then answers its callers and wakes the watches.
    fn commit(&mut self, group: Vec<Command>) {
        if group.is_empty() {
            return;
        }
        if let Some(failure) = &self.failure {
            refuse(group, failure, &self.path);
            return;
        }
        let written = catch_unwind(AssertUnwindSafe(|| self.write(&group)));
        let failure = match written {
            Ok(Ok(written)) => {
                for batch in written.batches {
                    self.revision = batch.revision;
                    self.unsynced = self.durability == Durability::Relaxed;
                    self.history.push(batch);
                }
                answer(group, written.outcomes);
                return;
            }
            Ok(Err(StoreError::DiskFull { .. })) => Failure::DiskFull,
            Ok(Err(error)) => Failure::Other(error_chain(&error)),
            Err(panic) => Failure::Other(panic_text(&*panic)),
        };
        let error = failure.error(&self.path);
        tracing::error!(%error, "the store cannot write any more");
        refuse(group, &failure, &self.path);
        self.failure = Some(failure);
        self.history.close();
    }

    /// Writes a group as one transaction of redb. A later transaction of the group sees what
    /// an earlier one wrote.
    fn write(&self, group: &[Command]) -> Result<Written, StoreError> {
        let fault = |error: redb::Error| fault("write to", &self.path, error);
        let mut tx = self.db.begin_write().map_err(|e| fault(e.into()))?;
        let durability = match self.durability {
            Durability::Immediate => redb::Durability::Immediate,
            Durability::Relaxed => redb::Durability::None,
        };
        tx.set_durability(durability).map_err(|e| fault(e.into()))?;
        let mut written = Written::default();
        {
            let table = tx.open_table(CELLS).map_err(|e| fault(e.into()))?;
            let on_lease = tx.open_table(LEASED).map_err(|e| fault(e.into()))?;
            let mut cells = RedbCells { table, on_lease, path: &self.path };
            let mut leases = lock(&self.leases);
            let mut revision = self.revision;
            for command in group {
                let outcome =
                    one(command, &mut cells, &mut leases, revision, &mut written.batches)?;
                if let Ok(TxnOutcome::Committed { revision: reached }) = &outcome {
                    revision = *reached;
                }
                written.outcomes.push(outcome);
            }
        }
        if let Some(last) = written.batches.last() {
            let revision = last.revision.0;
            let mut meta = tx.open_table(META).map_err(|e| fault(e.into()))?;
            meta.insert(META_REVISION, revision).map_err(|e| fault(e.into()))?;
            drop(meta);
            tx.commit().map_err(|e| fault(e.into()))?;
        } else {
            tx.abort().map_err(|e| fault(e.into()))?;
        }
        Ok(written)
    }

    /// Brings relaxed commits to disk.
    fn sync(&mut self) {
        if !self.unsynced || self.failure.is_some() {
            return;
        }
        self.unsynced = false;
        // A transaction is durable, empty or not, with all before it.
        let synced = self.db.begin_write().map_err(redb::Error::from);
        if let Err(error) = synced.and_then(|tx| Ok(tx.commit()?)) {
            let error = fault("write to", &self.path, error);
            tracing::error!(%error, "the store cannot write any more");
            self.failure = Some(Failure::Other(error_chain(&error)));
            self.history.close();
        }
    }
}

/// What a group came to.
#[derive(Default)]
struct Written {
    /// One for each command.
    outcomes: Vec<Result<TxnOutcome, StoreError>>,
    /// One for each revision.
    batches: Vec<Batch>,
}

/// Applies one command at `revision`; a change goes to `batches`.
///
/// The outer error is the file's and ends the group, the inner one is the command's own.
fn one(
    command: &Command,
    cells: &mut RedbCells<'_>,
    leases: &mut Leases,
    revision: StoreRevision,
    batches: &mut Vec<Batch>,
) -> Result<Result<TxnOutcome, StoreError>, StoreError> {
    let applied = match command {
        Command::Txn { txn, .. } => apply(cells, leases, revision, txn)?,
        Command::ExpireLease { id } => {
            let keys = leases.end_if_due(*id, Instant::now()).unwrap_or_default();
            apply(cells, leases, revision, &removal(keys))?
        }
        Command::RevokeLease { id, .. } => match leases.end(*id) {
            Some(keys) => apply(cells, leases, revision, &removal(keys))?,
            None => Applied::NoLease(*id),
        },
        Command::Shutdown => Applied::Unchanged,
    };
    Ok(match applied {
        Applied::Changed(batch) => {
            let revision = batch.revision;
            batches.push(batch);
            Ok(TxnOutcome::Committed { revision })
        }
        Applied::Unchanged => Ok(TxnOutcome::Committed { revision }),
        Applied::Conflict(key) => Ok(TxnOutcome::Conflict { key, revision }),
        Applied::NoLease(id) => Err(StoreError::LeaseNotFound(id)),
    })
}

fn answer(group: Vec<Command>, outcomes: Vec<Result<TxnOutcome, StoreError>>) {
    for (command, outcome) in group.into_iter().zip(outcomes) {
        // A caller that has gone away does not want the answer.
        match command {
            Command::Txn { reply, permit, .. } => {
                let _ = reply.send(outcome);
                drop(permit);
            }
            Command::RevokeLease { reply, .. } => {
                let _ = reply.send(outcome.map(|_| ()));
            }
            Command::ExpireLease { .. } | Command::Shutdown => {}
        }
    }
}

fn refuse(group: Vec<Command>, failure: &Failure, path: &Path) {
    let outcomes = group.iter().map(|_| Err(failure.error(path))).collect();
    answer(group, outcomes);
}

impl Failure {
    fn error(&self, path: &Path) -> StoreError {
        match self {
            Self::DiskFull => StoreError::DiskFull { path: path.into() },
            Self::Other(why) => StoreError::Stopped(why.clone()),
        }
    }
}

/// An error with its causes, in one line.
fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The cells inside a transaction of redb.
struct RedbCells<'a> {
    table: Table<'a, &'static str, &'static [u8]>,
    on_lease: Table<'a, &'static str, ()>,
    path: &'a Path,
}

impl RedbCells<'_> {
    fn fault(&self, error: impl Into<redb::Error>) -> StoreError {
        fault("write to", self.path, error.into())
    }
}

impl Cells for RedbCells<'_> {
    fn revisions(&self, key: &str) -> Result<Option<(StoreRevision, StoreRevision)>, StoreError> {
        let Some(found) = self.table.get(key).map_err(|e| self.fault(e))? else {
            return Ok(None);
        };
        let (created, last, _) = decode_header(found.value()).map_err(|e| self.fault(e))?;
        Ok(Some((created, last)))
    }

    fn put(&mut self, key: &Key, cell: &Cell) -> Result<(), StoreError> {
        let value = encode_cell(cell);
        let mut inserted = self.table.insert(&**key, value.as_slice()).map(|_| ());
        if inserted.is_ok() && cell.lease.is_some() {
            inserted = self.on_lease.insert(&**key, ()).map(|_| ());
        }
        inserted.map_err(|error| self.fault(error))
    }

    fn delete(&mut self, key: &str) -> Result<bool, StoreError> {
        let removed = self.table.remove(key).map(|old| old.is_some());
        removed.map_err(|error| self.fault(error))
    }
}
