//! Leadership: at most one process at a time does what only one may do.
//!
//! A leader holds a key that lives by a lease. The lease alone is not enough, since a paused
//! process does not notice that its time is over; so whatever a leader commits also compares
//! its key ([`Leader::fence`]), and what comes too late is a conflict.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use crate::StoreError;
use crate::contract::{Compare, Event, Key, Lease, Range, Store, StoreRevision, Txn, TxnOutcome};

/// An office that one process can hold.
#[derive(Clone, Debug)]
pub struct Leadership {
    store: Arc<dyn Store>,
    key: Key,
    holder: String,
    ttl: Duration,
}

/// The holder of an office. Holds it until it is released, or not renewed for its time to live.
#[derive(Debug)]
pub struct Leader {
    store: Arc<dyn Store>,
    key: Key,
    lease: Lease,
    since: StoreRevision,
    until: Mutex<Instant>,
}

impl Leadership {
    /// The office `name`, for a process that calls itself `holder` and renews within `ttl`.
    pub fn new(store: Arc<dyn Store>, name: &str, holder: &str, ttl: Duration) -> Self {
        let key = format!("/longshore/leadership/{name}").into();
        Self { store, key, holder: holder.into(), ttl }
    }

    /// The key that says who holds the office.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who holds the office.
    ///
    /// # Errors
    /// The store fails.
    pub async fn holder(&self) -> Result<Option<String>, StoreError> {
        let found = self.store.get(&self.key).await?;
        Ok(found.map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
    }

    /// Takes the office if nobody holds it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn try_acquire(&self) -> Result<Option<Leader>, StoreError> {
        if self.store.get(&self.key).await?.is_some() {
            return Ok(None);
        }
        self.take().await
    }

    /// Takes the office unless somebody holds it after all.
    async fn take(&self) -> Result<Option<Leader>, StoreError> {
        let asked = Instant::now();
        let lease = self.store.grant_lease(self.ttl).await?;
        let txn = Txn::default().expect_absent(&self.key);
        let txn = txn.put_leased(&self.key, self.holder.clone(), lease.id);
        match self.store.txn(txn).await? {
            TxnOutcome::Committed { revision: since } => {
                let (store, key) = (self.store.clone(), self.key.clone());
                let until = Mutex::new(asked + lease.ttl);
                Ok(Some(Leader { store, key, lease, since, until }))
            }
            TxnOutcome::Conflict { .. } => {
                self.store.revoke_lease(lease.id).await?;
                Ok(None)
            }
        }
    }

    /// Waits until nobody holds the office, and takes it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn acquire(&self) -> Result<Leader, StoreError> {
        loop {
            self.vacancy().await?;
            if let Some(leader) = self.take().await? {
                return Ok(leader);
            }
        }
    }

    async fn vacancy(&self) -> Result<(), StoreError> {
        let here = Range::between(&self.key, &format!("{}\0", self.key));
        let page = self.store.range(here).await?;
        if page.kvs.is_empty() {
            return Ok(());
        }
        let mut watch = self.store.watch(&self.key, page.revision);
        let vacant = |event: &Event| matches!(event, Event::Delete { key, .. } if *key == self.key);
        while let Some(batch) = watch.next().await {
            match batch {
                Ok(batch) if batch.events.iter().any(vacant) => return Ok(()),
                Ok(_) => {}
                // Whether it became vacant is forgotten; look again.
                Err(StoreError::Compacted { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Closed)
    }
}

impl Leader {
    /// Holds the office for another time to live.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`] when it is lost already.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        self.store.keep_alive(self.lease.id).await?;
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked + self.lease.ttl;
        Ok(())
    }

    /// Until when nobody else can hold the office: its lease ends no earlier, because the store
    /// counts from when it got the last sign of life, and this from when that was sent.
    pub fn until(&self) -> Instant {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision that made it leader: all that leaders before it have committed is in the
    /// store as of then.
    pub fn since(&self) -> StoreRevision {
        self.since
    }

    /// How long it holds the office after each renewal. Renew at a third of it.
    pub fn ttl(&self) -> Duration {
        self.lease.ttl
    }

    /// The condition that it still holds the office, for each transaction that only a leader
    /// may commit.
    pub fn fence(&self) -> Compare {
        Compare::ModRevision(self.key.clone(), self.since)
    }

    /// Gives the office up, for the next to take at once.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`] when it is lost already.
    pub async fn release(&self) -> Result<(), StoreError> {
        self.store.revoke_lease(self.lease.id).await
    }
}
