//! The store as one server process sees it: slow, contended, and gone with the process.
//!
//! Behind it is one memory store for the whole run, which never loses what it has committed. The
//! steps of a process are before and after each transaction, so that a server can die, or stand
//! still, between any two of them. Of several servers each has its own way to the store, which can be
//! cut; what is on its way then arrives late, or its sender hears nothing of it.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use longshore_store::{
    KeyValue, Lease, LeaseId, MemoryStore, Page, Range, Snapshot, Store, StoreError, StoreFuture,
    StoreId, StoreRevision, Txn, TxnOutcome, Watch,
};

use crate::life::Life;
use crate::network::Net;
use crate::world;

/// How long a transaction takes, in milliseconds, half of it before it happens.
const LATENCY_MS: std::ops::Range<u64> = 0..6;
/// How long a change takes to reach a watch, in milliseconds.
const WATCH_LATENCY_MS: std::ops::Range<u64> = 0..4;

/// After how long a server gives up an answer of the store.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a sign of life may be delayed, in milliseconds: some come too late.
const LATE_MS: std::ops::Range<u64> = 500..4_500;

/// Which process has made which transaction.
pub type Ledger = Arc<Mutex<BTreeMap<StoreRevision, String>>>;

/// Changes transactions on their way to the store, to see whether somebody notices.
pub type Sabotage = fn(&mut Txn);

/// A server's handle on the store.
#[derive(Debug)]
pub struct Handle {
    store: Arc<MemoryStore>,
    net: Net,
    process: Process,
    ledger: Ledger,
    sabotage: Option<Sabotage>,
}

/// A process that has a handle.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name, e.g. `server-2`.
    pub name: String,
    /// The name of this life of it.
    pub called: String,
    /// Its life.
    pub life: Life,
}

/// What the way from a process to the store is called in the network.
pub fn way_of(process: &str) -> String {
    format!("{process}-store")
}

impl Handle {
    /// The handle of one process.
    pub fn new(
        store: &Arc<MemoryStore>,
        net: &Net,
        process: Process,
        ledger: &Ledger,
        sabotage: Option<Sabotage>,
    ) -> Self {
        let (store, ledger) = (Arc::clone(store), Arc::clone(ledger));
        Self { store, net: net.clone(), process, ledger, sabotage }
    }

    /// A step of the process, and its way to the store or back.
    async fn step(&self) {
        self.process.life.step().await;
        self.net.reachable(&way_of(&self.process.name)).await;
    }

    /// Waits for an answer, but not for ever.
    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (mut answer, life) = (pin!(answer), &self.process.life);
        loop {
            match tokio::time::timeout(ANSWER, &mut answer).await {
                Ok(answer) => {
                    life.moves().await;
                    return answer;
                }
                Err(_) if life.is_over() => pending().await,
                // A process that stands still does not see how time goes by.
                Err(_) if life.is_paused() => life.moves().await,
                Err(_) => {
                    let detail = "no answer in time".to_owned();
                    return Err(StoreError::Uncertain { detail });
                }
            }
        }
    }

    async fn commit(&self, mut txn: Txn) -> Result<TxnOutcome, StoreError> {
        tokio::time::sleep(world::millis(LATENCY_MS)).await;
        self.process.life.decides().await;
        self.step().await;
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
        if let Ok(TxnOutcome::Committed { revision }) = &outcome {
            // One that changes nothing has the revision of another.
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.entry(*revision).or_insert_with(|| self.process.called.clone());
        }
        self.step().await;
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
        Box::pin(self.answer(async move {
            self.step().await;
            self.store.get(&key).await
        }))
    }

    fn range(&self, range: Range) -> StoreFuture<'_, Page> {
        Box::pin(self.answer(async move {
            self.step().await;
            self.store.range(range).await
        }))
    }

    fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome> {
        Box::pin(self.answer(self.commit(txn)))
    }

    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch {
        let watch = self.store.watch(prefix, after);
        let (net, life, way) =
            (self.net.clone(), self.process.life.clone(), way_of(&self.process.name));
        let late = watch.then(move |batch| {
            let (net, life, way) = (net.clone(), life.clone(), way.clone());
            async move {
                tokio::time::sleep(world::millis(WATCH_LATENCY_MS)).await;
                net.reachable(&way).await;
                life.moves().await;
                if world::faulty() && world::chance(1, 400) {
                    return Err(StoreError::Compacted { after, compacted: after.next() });
                }
                batch
            }
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

    fn grant_lease(&self, ttl: Duration) -> StoreFuture<'_, Lease> {
        Box::pin(self.answer(async move {
            self.step().await;
            self.store.grant_lease(ttl).await
        }))
    }

    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(self.answer(async move {
            self.step().await;
            if world::faulty() && world::chance(1, 60) {
                tokio::time::sleep(world::millis(LATE_MS)).await;
            }
            self.store.keep_alive(lease).await
        }))
    }

    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        Box::pin(self.answer(async move {
            self.step().await;
            self.store.revoke_lease(lease).await
        }))
    }
}
