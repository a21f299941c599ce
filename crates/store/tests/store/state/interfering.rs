//! A store in memory on which others act while somebody reads it, and which can fail.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use longshore_store::{
    KeyValue, Lease, LeaseId, MemoryStore, Page, Range, RecordTxn, Snapshot, Store, StoreError,
    StoreFuture, StoreId, StoreRevision, Txn, TxnOutcome, Watch,
};
use tokio::sync::broadcast;

/// What a watch meets besides its batches.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The disk fails, for now.
    Passing,
    /// The store is gone.
    Final,
}

#[derive(Debug)]
pub(super) struct Interfering {
    store: Arc<MemoryStore>,
    page: usize,
    pages: AtomicUsize,
    plan: Mutex<Vec<(usize, RecordTxn)>>,
    lost: AtomicUsize,
    hang: Arc<AtomicBool>,
    faults: broadcast::Sender<Fault>,
}

impl Interfering {
    /// An empty store that answers ranges in pages of `page` keys.
    pub(super) fn new(page: usize) -> Self {
        let store = Arc::new(MemoryStore::default());
        let faults = broadcast::Sender::new(8);
        let (pages, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { store, page, pages, plan: Mutex::default(), lost, hang: Arc::default(), faults }
    }

    /// Commits `txn` between page `number`, from 0, and the next.
    pub(super) fn after_page(&self, number: usize, txn: RecordTxn) {
        self.plan.lock().expect("no panic").push((number, txn));
    }

    /// Loses the answers of the next transactions, which happen.
    pub(super) fn lose_answers(&self, count: usize) {
        self.lost.store(count, Ordering::SeqCst);
    }

    /// Ends the watches that there are, with an error that may pass.
    pub(super) fn fail_watches(&self) {
        self.faults.send(Fault::Passing).expect("there are watches");
    }

    /// Lets the watches that there are, and those that come, show nothing more.
    pub(super) fn hang_watches(&self) {
        self.hang.store(true, Ordering::SeqCst);
    }

    /// Ends the watches that there are, for good.
    pub(super) fn close_watches(&self) {
        self.faults.send(Fault::Final).expect("there are watches");
    }

    async fn page(&self, range: Range) -> Result<Page, StoreError> {
        let page = self.store.range(range.limit(self.page)).await?;
        let number = self.pages.fetch_add(1, Ordering::SeqCst);
        let due: Vec<_> =
            self.plan.lock().expect("no panic").extract_if(.., |p| p.0 == number).collect();
        for (_, txn) in due {
            let outcome = self.store.txn(txn.into_txn()).await?;
            assert!(matches!(outcome, TxnOutcome::Committed { .. }));
        }
        Ok(page)
    }
}

impl Store for Interfering {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>> {
        self.store.get(key)
    }

    fn range(&self, range: Range) -> StoreFuture<'_, Page> {
        Box::pin(self.page(range))
    }

    fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        Box::pin(async move {
            let outcome = self.store.txn(txn).await;
            let left =
                self.lost.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            match left {
                Ok(_) => Err(StoreError::Uncertain { detail: "the answer was lost".into() }),
                Err(_) => outcome,
            }
        })
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        let mut faults = self.faults.subscribe();
        let fault = stream::once(async move {
            Err(match faults.recv().await {
                Ok(Fault::Passing) => StoreError::Io {
                    action: "read",
                    path: "/store".into(),
                    source: std::io::Error::other("the disk is away"),
                },
                _ => StoreError::Closed,
            })
        });
        let hang = Arc::clone(&self.hang);
        let batches = self.store.watch(prefix, after);
        let batches = batches.filter(move |_| future::ready(!hang.load(Ordering::SeqCst)));
        Box::pin(stream::select(fault, batches))
    }

    fn compact(&self, revision: StoreRevision) -> StoreFuture<'_, ()> {
        self.store.compact(revision)
    }

    fn grant_lease(&self, ttl: Duration) -> StoreFuture<'_, Lease> {
        self.store.grant_lease(ttl)
    }

    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        self.store.keep_alive(lease)
    }

    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        self.store.revoke_lease(lease)
    }
}
