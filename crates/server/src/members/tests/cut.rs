//! A way to a store that can be cut: then nothing arrives, and nobody hears.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use longshore_store::{
    KeyValue, Lease, LeaseId, Page, Range, Snapshot, Store, StoreFuture, StoreId, StoreRevision,
    Txn, TxnOutcome, Watch,
};
use tokio::sync::watch;

/// A store behind a way that can be cut.
#[derive(Debug)]
pub(super) struct Cut {
    store: Arc<dyn Store>,
    is_cut: watch::Sender<bool>,
}

impl Cut {
    pub(super) fn new(store: &Arc<dyn Store>) -> Self {
        Self { store: Arc::clone(store), is_cut: watch::Sender::new(false) }
    }

    /// Cuts the way, or heals it.
    pub(super) fn set(&self, cut: bool) {
        self.is_cut.send_replace(cut);
    }

    async fn open(mut is_cut: watch::Receiver<bool>) {
        // Without its sender nobody asks any more.
        let _ = is_cut.wait_for(|cut| !cut).await;
    }

    fn across<'a, T: Send + 'a>(&'a self, asked: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            Self::open(self.is_cut.subscribe()).await;
            let answer = asked.await;
            Self::open(self.is_cut.subscribe()).await;
            answer
        })
    }
}

impl Store for Cut {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>> {
        self.across(self.store.get(key))
    }

    fn range(&self, range: Range) -> StoreFuture<'_, Page> {
        self.across(self.store.range(range))
    }

    fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        self.across(self.store.txn(txn))
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        let is_cut = self.is_cut.subscribe();
        let watch = self.store.watch(prefix, after).then(move |batch| {
            let is_cut = is_cut.clone();
            async move {
                Self::open(is_cut).await;
                batch
            }
        });
        watch.boxed()
    }

    fn compact(&self, revision: StoreRevision) -> StoreFuture<'_, ()> {
        self.across(self.store.compact(revision))
    }

    fn grant_lease(&self, ttl: Duration) -> StoreFuture<'_, Lease> {
        self.across(self.store.grant_lease(ttl))
    }

    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        self.across(self.store.keep_alive(lease))
    }

    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        self.across(self.store.revoke_lease(lease))
    }
}
