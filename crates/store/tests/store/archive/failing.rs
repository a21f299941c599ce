//! The store that fails after some transactions.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_store::{
    KeyValue, Lease, LeaseId, Range, Snapshot, Store, StoreError, StoreFuture, StoreId,
    StoreRevision, Txn, TxnOutcome, Watch,
};

use super::Failing;

impl Store for Failing {
    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>> {
        self.store.get(key)
    }

    fn range(&self, range: Range) -> StoreFuture<'_, longshore_store::Page> {
        self.store.range(range)
    }

    fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        let left = |n: usize| n.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => self.store.txn(txn),
            Err(_) => Box::pin(std::future::ready(Err(StoreError::Closed))),
        }
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        self.store.watch(prefix, after)
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
