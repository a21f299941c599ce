//! The store as one server process sees it: slow, contended, and gone with the process.
//!
//! Behind it is one memory store for the whole run, which never loses what it has committed. The
//! steps of a process are before and after each transaction, so that a server can die between any
//! two of them.

use std::sync::Arc;

use futures_util::StreamExt;
use longshore_store::{
    KeyValue, Lease, LeaseId, MemoryStore, Page, Range, Snapshot, Store, StoreError, StoreFuture,
    StoreId, StoreRevision, Txn, TxnOutcome, Watch,
};

use crate::life::Life;
use crate::world;

/// How long a transaction takes, in milliseconds, half of it before it happens.
const LATENCY_MS: std::ops::Range<u64> = 0..6;
/// How long a change takes to reach a watch, in milliseconds.
const WATCH_LATENCY_MS: std::ops::Range<u64> = 0..4;

/// Changes transactions on their way to the store, to see whether somebody notices.
pub type Sabotage = fn(&mut Txn);

/// A server's handle on the store.
#[derive(Debug)]
pub struct Handle {
    store: Arc<MemoryStore>,
    life: Life,
    sabotage: Option<Sabotage>,
}

impl Handle {
    /// The handle of one process.
    pub fn new(store: Arc<MemoryStore>, life: Life, sabotage: Option<Sabotage>) -> Self {
        Self { store, life, sabotage }
    }

    async fn commit(&self, mut txn: Txn) -> Result<TxnOutcome, StoreError> {
        tokio::time::sleep(world::millis(LATENCY_MS)).await;
        self.life.step().await;
        if let Some(compare) = txn.compares.first()
            && world::faulty()
            && world::chance(1, 50)
        {
            let key = Arc::clone(compare.key());
            let revision = self.store.range(Range::prefix("/").limit(1)).await?.revision;
            return Ok(TxnOutcome::Conflict { key, revision });
        }
        if let Some(sabotage) = self.sabotage {
            sabotage(&mut txn);
        }
        let outcome = self.store.txn(txn).await;
        self.life.step().await;
        tokio::time::sleep(world::millis(LATENCY_MS)).await;
        outcome
    }
}

impl Store for Handle {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.life.step().await;
            self.store.get(&key).await
        })
    }

    fn range(&self, range: Range) -> StoreFuture<'_, Page> {
        Box::pin(async move {
            self.life.step().await;
            self.store.range(range).await
        })
    }

    fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        Box::pin(self.commit(txn))
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        let watch = self.store.watch(prefix, after);
        let late = watch.then(move |batch| async move {
            tokio::time::sleep(world::millis(WATCH_LATENCY_MS)).await;
            if world::faulty() && world::chance(1, 400) {
                return Err(StoreError::Compacted { after, compacted: after.next() });
            }
            batch
        });
        // A watch ends after its first error.
        let ended = late.scan(false, |over, batch| {
            let item = (!*over).then(|| {
                *over = batch.is_err();
                batch
            });
            std::future::ready(item)
        });
        ended.boxed()
    }

    fn compact(&self, revision: StoreRevision) -> StoreFuture<'_, ()> {
        self.store.compact(revision)
    }

    fn grant_lease(&self, ttl: std::time::Duration) -> StoreFuture<'_, Lease> {
        Box::pin(async move {
            self.life.step().await;
            self.store.grant_lease(ttl).await
        })
    }

    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.life.step().await;
            self.store.keep_alive(lease).await
        })
    }

    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.life.step().await;
            self.store.revoke_lease(lease).await
        })
    }
}
