//! The embedded store: one file, kept by redb, for one server process.
//!
//! One thread writes. Transactions queue for it; it commits all that wait as one redb
//! transaction, so that many callers share one `fsync`, and answers them after it. What was
//! acknowledged is on disk ([`Durability::Immediate`]).
//!
//! Leases live in this process: whoever could hold one died with it. So keys with a lease are
//! removed when the file is opened.

mod file;
mod writer;

use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::stream;
use redb::{Database, ReadableDatabase, ReadableTable};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use self::file::{CELLS, META, decode_cell, fault};
use self::writer::{Command, Writer};
use crate::contract::{
    KeyValue, Lease, LeaseId, Page, Range, Snapshot, Store, StoreFuture, StoreId, StoreRevision,
    Txn, TxnOutcome, Watch, check_key, check_ttl,
};
use crate::history::{History, HistoryLimits};
use crate::leases::Leases;
use crate::{StoreError, limits};

/// When an answer means that a transaction is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Always: it survives the death of the process and of the machine.
    #[default]
    Immediate,
    /// Within [`limits::RELAXED_SYNC`]: whoever dies earlier takes the latest transactions with
    /// him, in order, never a part of one. For development and tests.
    Relaxed,
}

/// How to open an embedded store.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedOptions {
    /// The id that the store gets if this call creates it.
    pub new_id: StoreId,
    /// When an answer means that a transaction is on disk.
    pub durability: Durability,
    /// How much watch history is kept.
    pub history: HistoryLimits,
}

impl EmbeddedOptions {
    /// The defaults; `new_id` is for a store that this call creates.
    #[must_use]
    pub fn new(new_id: StoreId) -> Self {
        Self { new_id, durability: Durability::default(), history: HistoryLimits::default() }
    }
}

/// A store in one file.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

struct Shared {
    path: PathBuf,
    id: StoreId,
    db: Arc<Database>,
    history: Arc<History>,
    leases: Arc<Mutex<Leases>>,
    commands: Sender<Command>,
    /// One for each byte that may wait for the writer.
    permits: Arc<Semaphore>,
}

impl EmbeddedStore {
    /// Opens the store at `path`, or creates it. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Corrupt`], [`StoreError::NewerFormat`],
    /// [`StoreError::DiskFull`] or [`StoreError::Io`].
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let file = file::open(path, options.new_id)?;
        let history = History::new(file.revision, options.history);
        let db = Arc::new(file.db);
        let (commands, queue) = std::sync::mpsc::channel();
        let shared = Arc::new(Shared {
            path: path.into(),
            id: file.id,
            db,
            history,
            leases: Arc::default(),
            commands,
            permits: Arc::new(Semaphore::new(limits::WRITE_QUEUE_BYTES)),
        });
        let writer = Writer::new(&shared, file.revision, options.durability, file.lock);
        let spawned = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&queue))
            .map_err(|source| StoreError::io("start the writer of", path, source))?;
        Ok(Self { shared, writer: Some(spawned) })
    }
}

impl Drop for EmbeddedStore {
    /// Lets the writer finish what it has; the file is free for another process afterwards.
    fn drop(&mut self) {
        self.shared.history.close();
        // Fails only when the writer has ended already.
        let _ = self.shared.commands.send(Command::Shutdown);
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
        }
    }
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.leases)
    }

    fn send(&self, command: Command) -> Result<(), StoreError> {
        self.commands.send(command).map_err(|_| StoreError::Closed)
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        txn.check()?;
        // A transaction without content takes a place too.
        let bytes = u32::try_from(txn.bytes() + limits::OP_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        let permits = self.permits.clone().acquire_many_owned(bytes);
        let permit = permits.await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Txn { txn, reply, permit })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `read` where it may block.
    async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    {
        let db = self.db.clone();
        match tokio::task::spawn_blocking(move || read(&db)).await {
            Ok(answer) => answer.map_err(|error| fault("read", &self.path, error)),
            Err(panic) => Err(StoreError::Corrupt {
                path: self.path.clone(),
                detail: format!("reading it panicked: {panic}"),
            }),
        }
    }

    fn grant(self: &Arc<Self>, ttl: Duration) -> Result<Lease, StoreError> {
        check_ttl(ttl)?;
        let id = self.leases().grant(ttl, Instant::now());
        tokio::spawn(expire(Arc::downgrade(self), id));
        Ok(Lease { id, ttl })
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::RevokeLease { id, reply })?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

fn lock(leases: &Mutex<Leases>) -> MutexGuard<'_, Leases> {
    // The table keeps books only; a panic elsewhere leaves it usable.
    leases.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the writer to end a lease when nobody has kept it alive.
async fn expire(shared: Weak<Shared>, id: LeaseId) {
    loop {
        let Some(at) = shared.upgrade().and_then(|shared| shared.leases().deadline(id)) else {
            return;
        };
        if at <= Instant::now() {
            // A lease that is due is not kept alive any more, so asking once is enough. When
            // the store is shut down there is nobody to ask.
            let _ = shared.upgrade().map(|shared| shared.send(Command::ExpireLease { id }));
            return;
        }
        sleep_until(at).await;
    }
}

fn get(db: &Database, key: &str) -> Result<Option<KeyValue>, redb::Error> {
    let cells = db.begin_read()?.open_table(CELLS)?;
    let Some(found) = cells.get(key)? else { return Ok(None) };
    Ok(Some(decode_cell(found.value())?.with_key(key.into())))
}

fn page(db: &Database, range: &Range) -> Result<Page, redb::Error> {
    let tx = db.begin_read()?;
    let cells = tx.open_table(CELLS)?;
    let revision = file::read_revision(&tx.open_table(META)?)?;
    let mut page = Page { kvs: Vec::new(), revision, more: false };
    if range.end.as_deref().is_some_and(|end| range.start.as_str() >= end) {
        return Ok(page);
    }
    let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    for found in cells.range::<&str>((Bound::Included(range.start.as_str()), end))? {
        if page.kvs.len() == range.limit {
            page.more = true;
            break;
        }
        let (key, value) = found?;
        page.kvs.push(decode_cell(value.value())?.with_key(key.value().into()));
    }
    Ok(page)
}

/// Sends all key-values of one moment, until nobody takes them.
fn send_snapshot(
    db: &Database,
    pages: &mpsc::Sender<Result<Page, StoreError>>,
) -> Result<(), redb::Error> {
    let tx = db.begin_read()?;
    let cells = tx.open_table(CELLS)?;
    let revision = file::read_revision(&tx.open_table(META)?)?;
    let mut found = cells.iter()?.peekable();
    loop {
        let mut kvs = Vec::new();
        for cell in found.by_ref().take(limits::SNAPSHOT_PAGE) {
            let (key, value) = cell?;
            kvs.push(decode_cell(value.value())?.with_key(key.value().into()));
        }
        let more = found.peek().is_some();
        if pages.blocking_send(Ok(Page { kvs, revision, more })).is_err() || !more {
            return Ok(());
        }
    }
}

impl Store for EmbeddedStore {
    fn id(&self) -> StoreId {
        self.shared.id
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>> {
        let key = key.to_owned();
        Box::pin(async move {
            check_key(&key)?;
            self.shared.read(move |db| get(db, &key)).await
        })
    }

    fn range(&self, range: Range) -> StoreFuture<'_, Page> {
        Box::pin(self.shared.read(move |db| page(db, &range)))
    }

    fn snapshot(&self) -> Snapshot {
        let (db, path) = (self.shared.db.clone(), self.shared.path.clone());
        let (pages, taken) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = send_snapshot(&db, &pages) {
                // Nobody takes it any more, or it is taken.
                let _ = pages.blocking_send(Err(fault("read", &path, error)));
            }
        });
        Box::pin(stream::unfold(taken, |mut taken| async {
            taken.recv().await.map(|page| (page, taken))
        }))
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        Box::pin(self.shared.txn(txn))
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        self.shared.history.watch(prefix, after)
    }

    fn compact(&self, revision: StoreRevision) -> StoreFuture<'_, ()> {
        self.shared.history.compact(revision);
        Box::pin(std::future::ready(Ok(())))
    }

    fn grant_lease(&self, ttl: Duration) -> StoreFuture<'_, Lease> {
        Box::pin(async move { self.shared.grant(ttl) })
    }

    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.shared.leases().keep_alive(lease, Instant::now()) })
    }

    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(self.shared.revoke(lease))
    }
}
