//! The store in memory: for tests and the simulator. Its futures are ready at once; only a
//! watch waits, and leases follow tokio's clock.

use std::collections::BTreeMap;
use std::fmt;
use std::future;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use crate::apply::{Applied, Cell, Cells, apply, removal};
use crate::contract::{
    Key, KeyValue, Lease, LeaseId, Page, Range, Snapshot, Store, StoreFuture, StoreId,
    StoreRevision, Txn, TxnOutcome, Watch, check_key, check_ttl,
};
use crate::history::{History, HistoryLimits};
use crate::leases::Leases;
use crate::{StoreError, limits};

/// A store in memory.
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    id: StoreId,
    inner: Mutex<Inner>,
    history: Arc<History>,
}

#[derive(Default)]
struct Inner {
    cells: BTreeMap<Key, Cell>,
    revision: StoreRevision,
    leases: Leases,
}

impl Cells for BTreeMap<Key, Cell> {
    fn revisions(&self, key: &str) -> Result<Option<(StoreRevision, StoreRevision)>, StoreError> {
        Ok(self.get(key).map(|cell| (cell.create_revision, cell.mod_revision)))
    }

    fn put(&mut self, key: &Key, cell: &Cell) -> Result<(), StoreError> {
        self.insert(key.clone(), cell.clone());
        Ok(())
    }

    fn delete(&mut self, key: &str) -> Result<bool, StoreError> {
        Ok(self.remove(key).is_some())
    }
}

impl MemoryStore {
    /// An empty store that keeps `history`.
    #[must_use]
    pub fn new(id: StoreId, history: HistoryLimits) -> Self {
        let history = History::new(StoreRevision::ZERO, history);
        Self { shared: Arc::new(Shared { id, inner: Mutex::default(), history }) }
    }

    /// Ends all leases, as a store that one process owns does when the next one opens it: whoever
    /// could hold one is dead.
    ///
    /// # Panics
    /// Never: removing keys has no condition that could fail.
    pub fn end_leases(&self) {
        let mut inner = self.shared.inner();
        let keys = inner.leases.end_all();
        let removed = self.shared.commit(&mut inner, &removal(keys));
        removed.map(|_| ()).expect("a removal compares nothing and names no lease");
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(StoreId(0), HistoryLimits::default())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = self.shared.inner().revision;
        f.debug_struct("MemoryStore").field("revision", &revision).finish_non_exhaustive()
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.shared.history.close();
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Cells and revision change only in `commit`, which cannot panic halfway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, inner: &mut Inner, txn: &Txn) -> Result<TxnOutcome, StoreError> {
        let Inner { cells, revision, leases } = inner;
        match apply(cells, leases, *revision, txn)? {
            Applied::Changed(batch) => {
                *revision = batch.revision;
                self.history.push(batch);
            }
            Applied::Unchanged => {}
            Applied::Conflict(key) => {
                return Ok(TxnOutcome::Conflict { key, revision: *revision });
            }
            Applied::NoLease(id) => return Err(StoreError::LeaseNotFound(id)),
        }
        Ok(TxnOutcome::Committed { revision: *revision })
    }

    fn page(&self, range: &Range) -> Page {
        let inner = self.inner();
        let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut kvs = Vec::new();
        let mut more = false;
        if range.end.as_deref().is_none_or(|end| range.start.as_str() < end) {
            for (key, cell) in inner.cells.range::<str, _>((Bound::Included(&*range.start), end)) {
                if kvs.len() == range.limit {
                    more = true;
                    break;
                }
                kvs.push(cell.clone().with_key(key.clone()));
            }
        }
        Page { kvs, revision: inner.revision, more }
    }

    fn grant(self: &Arc<Self>, ttl: Duration) -> Result<Lease, StoreError> {
        check_ttl(ttl)?;
        let id = self.inner().leases.grant(ttl, Instant::now());
        tokio::spawn(expire(Arc::downgrade(self), id));
        Ok(Lease { id, ttl })
    }

    fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let keys = inner.leases.end(id).ok_or(StoreError::LeaseNotFound(id))?;
        self.commit(&mut inner, &removal(keys)).map(|_| ())
    }
}

/// Ends a lease when nobody has kept it alive.
async fn expire(shared: Weak<Shared>, id: LeaseId) {
    loop {
        let Some(deadline) = shared.upgrade().and_then(|s| s.inner().leases.deadline(id)) else {
            return;
        };
        sleep_until(deadline).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut inner = shared.inner();
        if let Some(keys) = inner.leases.end_if_due(id, Instant::now())
            && let Err(error) = shared.commit(&mut inner, &removal(keys))
        {
            tracing::error!(%id, %error, "cannot remove the keys of a lease that has ended");
        }
    }
}

fn ready<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(future::ready(answer))
}

impl Store for MemoryStore {
    fn id(&self) -> StoreId {
        self.shared.id
    }

    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>> {
        let found =
            self.shared.inner().cells.get_key_value(key).map(|(k, c)| (k.clone(), c.clone()));
        ready(check_key(key).map(|()| found.map(|(key, cell)| cell.with_key(key))))
    }

    fn range(&self, range: Range) -> StoreFuture<'_, Page> {
        ready(Ok(self.shared.page(&range)))
    }

    fn snapshot(&self) -> Snapshot {
        let inner = self.shared.inner();
        let (cells, revision) = (inner.cells.clone(), inner.revision);
        drop(inner);
        let kvs: Vec<_> = cells.into_iter().map(|(key, cell)| cell.with_key(key)).collect();
        let chunks = kvs.chunks(limits::SNAPSHOT_PAGE).map(<[_]>::to_vec).collect::<Vec<_>>();
        let last = chunks.len().saturating_sub(1);
        let page = move |(n, kvs)| Ok(Page { kvs, revision, more: n < last });
        let empty = chunks.is_empty().then(|| Ok(Page { kvs: Vec::new(), revision, more: false }));
        Box::pin(stream::iter(chunks.into_iter().enumerate().map(page).chain(empty)))
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        // Happens when polled, like in every other backend, not when called.
        Box::pin(async move {
            txn.check()?;
            self.shared.commit(&mut self.shared.inner(), &txn)
        })
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        self.shared.history.watch(prefix, after)
    }

    fn compact(&self, revision: StoreRevision) -> StoreFuture<'_, ()> {
        self.shared.history.compact(revision);
        ready(Ok(()))
    }

    fn grant_lease(&self, ttl: Duration) -> StoreFuture<'_, Lease> {
        Box::pin(async move { self.shared.grant(ttl) })
    }

    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.shared.inner().leases.keep_alive(lease, Instant::now()) })
    }

    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.shared.revoke(lease) })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::Leadership;

    #[test]
    fn answers_are_ready_at_once() {
        let store = MemoryStore::default();
        let txn = store.txn(Txn::default().put("/a", "1")).now_or_never();
        assert!(txn.expect("ready").is_ok());
        let found = store.get("/a").now_or_never().expect("ready").expect("works");
        assert_eq!(found.expect("it is there").value, "1");
        assert!(store.range(Range::prefix("/")).now_or_never().is_some());
    }

    /// On the simulator's clock, an office changes hands when its time is over and not before.
    #[tokio::test(start_paused = true)]
    async fn leases_follow_the_paused_clock() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let ttl = Duration::from_secs(15);
        let office = |holder| Leadership::new(store.clone(), "office", holder, ttl);
        let start = Instant::now();
        let one = office("one").acquire().await.expect("works");
        tokio::time::advance(Duration::from_secs(10)).await;
        one.renew().await.expect("it leads");
        office("two").acquire().await.expect("works");
        assert_eq!(start.elapsed(), Duration::from_secs(25));
        assert!(one.renew().await.is_err());
    }
}
