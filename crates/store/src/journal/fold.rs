//! What the journal forgets: old entries go, and the last state of records that are not over stays
//! in the base.
//!
//! A step may happen twice or stop in the middle; the next one carries on.

use std::collections::BTreeMap;

use longshore_domain::time::Timestamp;

use super::moment::is_over;
use super::{Change, Journal, Told, encode, entry, from};
use crate::StateError;
use crate::contract::{Key, StoreRevision, Txn, TxnOutcome};

/// Keys of the base: this and the store key of the record.
pub(super) const BASE: &str = "/longshore/journal-base";

/// Key of the newest time that was forgotten.
pub(super) const BEGINS: &str = "/longshore/journal-begins";

/// Transactions of the journal that one step folds.
const STEP: usize = 100;
/// Records that one transaction brings into the base.
const PUTS: usize = 100;

impl Journal {
    /// Forgets transactions that are from before `time`, or from a revision before `kept`; a
    /// bounded number of them. Says whether there may be more.
    ///
    /// # Errors
    /// Those of [`Journal::read`].
    pub async fn forget(&self, time: Timestamp, kept: StoreRevision) -> Result<bool, StateError> {
        let page = self.store.range(from(StoreRevision::ZERO).limit(STEP)).await?;
        let mut last = BTreeMap::<Key, (Timestamp, Change)>::new();
        let mut old = Vec::new();
        let mut newest = Timestamp::default();
        for kv in page.kvs {
            let (at, changes) = entry::read(&kv)?;
            if at >= time && kv.mod_revision >= kept {
                break;
            }
            for change in changes.into_iter().flatten() {
                if let Some(key) = change.record_key() {
                    last.insert(key, (at, change));
                }
            }
            old.push(kv.key);
            newest = newest.max(at);
        }
        let mut txn = Txn::default();
        for (key, (at, change)) in last {
            let key = format!("{BASE}{key}");
            txn = if is_over(&change) {
                txn.delete(&key)
            } else {
                txn.put(&key, encode(at, &[Told::Change(change)]))
            };
            if txn.writes.len() >= PUTS {
                self.commit(std::mem::take(&mut txn)).await?;
            }
        }
        self.commit(txn).await?;
        if old.is_empty() {
            return Ok(false);
        }
        // Only now that the base has what they tell.
        let txn = Txn::default().put(BEGINS, encode(newest, &[]));
        self.commit(old.iter().fold(txn, |txn, key| txn.delete(key))).await?;
        Ok(old.len() == STEP)
    }

    async fn commit(&self, txn: Txn) -> Result<(), StateError> {
        if !txn.writes.is_empty() {
            // It compares nothing, so it cannot conflict.
            let (TxnOutcome::Committed { .. } | TxnOutcome::Conflict { .. }) =
                self.store.txn(txn).await?;
        }
        Ok(())
    }
}
