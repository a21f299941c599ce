//! The contract of every backend: the part of etcd v3 that Longshore needs.
//!
//! One number, the revision, orders all changes of the whole store. A transaction compares
//! revisions of keys and writes several keys at once; a watch gives back the transactions in
//! order. Nothing here is beyond etcd 3.4: no reads of the past but a snapshot of now, no scan
//! within a transaction.
//!
//! What it leaves out: the meaning of keys and values (`record`, `tables`) and of leadership
//! (`leadership`, which needs only leases and transactions).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::StoreError;
use crate::limits;

/// A key: `/{account}/{region}/ecs/{kind}/…`, or `/longshore/…` for the control plane's own.
pub type Key = Arc<str>;

/// An answer of the store.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Batches in order of revision. Ends after its first error.
pub type Watch = BoxStream<'static, Result<Batch, StoreError>>;

/// Pages of one moment. Ends after its first error.
pub type Snapshot = BoxStream<'static, Result<Page, StoreError>>;

/// A point in the history of the store. Grows with each transaction that changes something, by
/// one unless others use the same etcd (etcd's `revision`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreRevision(pub u64);

impl StoreRevision {
    /// Before everything. As the `mod_revision` of a key: the key is absent.
    pub const ZERO: Self = Self(0);

    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for StoreRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which store this is: revisions of stores with different ids cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u64);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A lease: keys put with it vanish when nobody keeps it alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A key with its value and history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// Revision that created the key, since it was last absent.
    pub create_revision: StoreRevision,
    /// Revision that last put the key.
    pub mod_revision: StoreRevision,
    /// Lease that the key lives by.
    pub lease: Option<LeaseId>,
}

/// Bytes that an append adds to the name of its log.
const REVISION_BYTES: usize = 17;

/// The key of what was appended to `log` at `revision`.
pub(crate) fn appended_key(log: &str, revision: StoreRevision) -> Key {
    format!("{log}/{:016x}", revision.0).into()
}

/// A page of keys to read, in byte order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// First key.
    pub start: String,
    /// First key that is no longer meant; `None` reads to the end of the store.
    pub end: Option<String>,
    /// Most key-values to return; never more than [`limits::RANGE_PAGE`].
    pub(crate) limit: usize,
}

impl Range {
    /// All keys that start with `prefix`.
    pub fn prefix(prefix: &str) -> Self {
        Self { start: prefix.into(), end: prefix_end(prefix), limit: limits::RANGE_PAGE }
    }

    /// Keys from `start` up to but without `end`.
    pub fn between(start: &str, end: &str) -> Self {
        Self { start: start.into(), end: Some(end.into()), limit: limits::RANGE_PAGE }
    }

    /// At most `limit` key-values per page, and at least one.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit: limit.clamp(1, limits::RANGE_PAGE), ..self }
    }

    /// The same range after `key`: the next page when `key` was the last of this one.
    #[must_use]
    pub fn after(self, key: &str) -> Self {
        Self { start: format!("{key}\0"), ..self }
    }
}

/// The first key after all keys that start with `prefix`; `None` when there is none.
fn prefix_end(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Skips the surrogates, which are no characters and so in no key.
        let next =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// A page of a range.
///
/// Pages of one range are read at different revisions: what changed between them must come
/// from a watch after the revision of the first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Key-values in byte order of their keys.
    pub kvs: Vec<KeyValue>,
    /// Revision that this page was read at.
    pub revision: StoreRevision,
    /// Whether the range has more key-values after these.
    pub more: bool,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key was last put at this revision; [`StoreRevision::ZERO`] says that it is absent.
    ModRevision(Key, StoreRevision),
    /// The key exists, whatever its revision.
    Exists(Key),
}

impl Compare {
    /// The key that it looks at.
    pub fn key(&self) -> &Key {
        match self {
            Self::ModRevision(key, _) | Self::Exists(key) => key,
        }
    }

    /// Whether it holds for a key last put at `found` (zero when absent).
    pub(crate) fn holds(&self, found: StoreRevision) -> bool {
        match self {
            Self::ModRevision(_, wanted) => *wanted == found,
            Self::Exists(_) => found != StoreRevision::ZERO,
        }
    }
}

/// A change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the value of a key.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
        /// Lease that it lives by from now on; `None` detaches it from any.
        lease: Option<LeaseId>,
    },
    /// Removes a key; nothing happens when it is absent.
    Delete {
        /// The key.
        key: Key,
    },
    /// Puts a value under `{log}/{revision}`, with the revision of this transaction in 16
    /// hexadecimal digits, so that the order of a log's keys is the order of its transactions.
    ///
    /// etcd names no key after a revision. A backend on it puts the value under a key of its
    /// own and gives it back in the order of `create_revision`, under this name.
    Append {
        /// Beginning of the keys.
        log: Key,
        /// The value.
        value: Bytes,
    },
}

impl Write {
    /// The key that it changes; of an append the beginning of it.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Append { log: key, .. } => key,
        }
    }
}

/// All writes happen if all compares hold, else none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// Conditions, looked at in this order.
    pub compares: Vec<Compare>,
    /// Changes; each key at most once, and each log appended to at most once.
    pub writes: Vec<Write>,
}

impl Txn {
    /// Adds the condition that `key` was last put at `revision`.
    #[must_use]
    pub fn expect(mut self, key: &str, revision: StoreRevision) -> Self {
        self.compares.push(Compare::ModRevision(key.into(), revision));
        self
    }

    /// Adds the condition that `key` is absent.
    #[must_use]
    pub fn expect_absent(self, key: &str) -> Self {
        self.expect(key, StoreRevision::ZERO)
    }

    /// Adds the condition that `key` exists.
    #[must_use]
    pub fn expect_exists(mut self, key: &str) -> Self {
        self.compares.push(Compare::Exists(key.into()));
        self
    }

    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: &str, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put { key: key.into(), value: value.into(), lease: None });
        self
    }

    /// Adds a put of a key that lives by `lease`.
    #[must_use]
    pub fn put_leased(mut self, key: &str, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        let lease = Some(lease);
        self.writes.push(Write::Put { key: key.into(), value: value.into(), lease });
        self
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(mut self, key: &str) -> Self {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }

    /// Adds an append to a log.
    #[must_use]
    pub fn append(mut self, log: &str, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Append { log: log.into(), value: value.into() });
        self
    }

    /// Bytes that it counts for under [`limits::TXN_BYTES`].
    pub fn bytes(&self) -> usize {
        // A compared key counts twice: etcd is also asked to return it when a compare fails.
        let compares =
            self.compares.iter().map(|c| 2 * (c.key().len() + limits::OP_OVERHEAD_BYTES));
        let writes = self.writes.iter().map(|w| {
            let value = match w {
                Write::Put { value, .. } => value.len(),
                // etcd also compares, gives back and puts what says where the log is.
                Write::Append { log, value } => {
                    value.len() + REVISION_BYTES + 3 * (log.len() + limits::OP_OVERHEAD_BYTES)
                }
                Write::Delete { .. } => 0,
            };
            w.key().len() + value + limits::OP_OVERHEAD_BYTES
        });
        compares.sum::<usize>() + writes.sum::<usize>()
    }

    /// Refuses what is beyond the limits, before any backend sees it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with the limit and how far it was exceeded.
    pub fn check(&self) -> Result<(), StoreError> {
        // An append is a compare and two writes in etcd.
        let appends = self.writes.iter().filter(|w| matches!(w, Write::Append { .. })).count();
        let (compares, writes) = (self.compares.len() + appends, self.writes.len() + appends);
        for (what, count) in [("compares", compares), ("writes", writes)] {
            if count > limits::TXN_OPS {
                return refuse(format!(
                    "a transaction may have {} {what}, this one has {count}; split it",
                    limits::TXN_OPS
                ));
            }
        }
        let mut written: Vec<&Key> = self.writes.iter().map(Write::key).collect();
        for key in self.compares.iter().map(Compare::key).chain(written.iter().copied()) {
            check_key(key)?;
        }
        written.sort_unstable();
        if let Some([twice, _]) = written.windows(2).find(|pair| pair.first() == pair.last()) {
            return refuse(format!("a transaction may write a key once; {twice} is twice"));
        }
        let bytes = self.bytes();
        if bytes > limits::TXN_BYTES {
            let max = limits::TXN_BYTES;
            return refuse(format!(
                "a transaction may have {max} bytes of keys and values, this one has {bytes}; \
                 split it, or store less in a record"
            ));
        }
        Ok(())
    }
}

/// Refuses a key that some backend would not take.
pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    if key.len() > limits::KEY_BYTES {
        let max = limits::KEY_BYTES;
        return refuse(format!("a key may have {max} bytes, this one has {}", key.len()));
    }
    if !key.starts_with('/') || key.contains('\0') {
        return refuse(format!("a key starts with / and has no zero byte, unlike {key:?}"));
    }
    Ok(())
}

/// Refuses a time to live that some backend would not take.
pub(crate) fn check_ttl(ttl: Duration) -> Result<(), StoreError> {
    if ttl < limits::LEASE_TTL_MIN || ttl > limits::LEASE_TTL_MAX {
        let (min, max) = (limits::LEASE_TTL_MIN, limits::LEASE_TTL_MAX);
        return refuse(format!("a lease may live between {min:?} and {max:?}, not {ttl:?}"));
    }
    Ok(())
}

fn refuse(why: String) -> Result<(), StoreError> {
    Err(StoreError::Refused(why))
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum TxnOutcome {
    /// All compares held and all writes are durable.
    Committed {
        /// Revision of the writes; when they changed nothing, the revision of the store.
        revision: StoreRevision,
    },
    /// A compare did not hold; nothing was written.
    Conflict {
        /// Key of the first compare that did not hold.
        key: Key,
        /// Revision of the store when that was found: a retry reads at this one or later.
        revision: StoreRevision,
    },
}

/// A change as a watch shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key got a value.
    Put(KeyValue),
    /// A key was removed, or its lease ended.
    Delete {
        /// The key.
        key: Key,
        /// Revision of the removal.
        mod_revision: StoreRevision,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(kv) => &kv.key,
            Self::Delete { key, .. } => key,
        }
    }

    /// Revision of the change.
    pub fn revision(&self) -> StoreRevision {
        match self {
            Self::Put(kv) => kv.mod_revision,
            Self::Delete { mod_revision, .. } => *mod_revision,
        }
    }
}

/// All that one transaction changed under the watched prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its revision. Everything up to it has been delivered.
    pub revision: StoreRevision,
    /// The changes in the transaction's order. Empty when the batch only says how far the
    /// watch is.
    pub events: Arc<[Event]>,
}

/// A lease as granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// How long it lives after each sign of life; at least what was asked for.
    pub ttl: Duration,
}

/// A store. Used as `Arc<dyn Store>`.
///
/// Dropping a future of `txn` does not undo the transaction: it may still happen.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Which store this is.
    fn id(&self) -> StoreId;

    /// Whether no other process can have it open, so that all that was ever acknowledged was
    /// acknowledged here. Its leases end with the process that had it open.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// The current value of `key`.
    fn get(&self, key: &str) -> StoreFuture<'_, Option<KeyValue>>;

    /// A page of key-values, all read at one revision.
    fn range(&self, range: Range) -> StoreFuture<'_, Page>;

    /// All key-values in order of their keys, as they were at one revision. It may be slow: nothing
    /// waits for it, and what changes meanwhile is not in it.
    fn snapshot(&self) -> Snapshot;

    /// Commits `txn` if all its compares hold. The answer comes when the writes are durable.
    fn txn(&self, txn: Txn) -> StoreFuture<'_, TxnOutcome>;

    /// The transactions after revision `after` that touch keys with `prefix`.
    ///
    /// While it has nothing to deliver, the watch says by batches without events how far it
    /// is; it does so at least up to every revision that an answer of this store has named.
    /// When the history no longer reaches back to `after`, the first item is
    /// [`StoreError::Compacted`]. That something appended was removed need not be shown.
    fn watch(&self, prefix: &str, after: StoreRevision) -> Watch;

    /// Forgets the history before `revision`. A watch from after `revision` still sees
    /// everything; one that needs what is forgotten ends with [`StoreError::Compacted`].
    fn compact(&self, revision: StoreRevision) -> StoreFuture<'_, ()>;

    /// Grants a lease that ends `ttl` after its last sign of life.
    fn grant_lease(&self, ttl: Duration) -> StoreFuture<'_, Lease>;

    /// A sign of life; [`StoreError::LeaseNotFound`] when it comes too late.
    fn keep_alive(&self, lease: LeaseId) -> StoreFuture<'_, ()>;

    /// Ends a lease and removes its keys, in one revision.
    fn revoke_lease(&self, lease: LeaseId) -> StoreFuture<'_, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_after_its_keys() {
        assert_eq!(prefix_end("/a/").as_deref(), Some("/a0"));
        assert_eq!(prefix_end("/a\u{d7ff}").as_deref(), Some("/a\u{e000}"));
        assert_eq!(prefix_end("/a\u{10ffff}").as_deref(), Some("/b"));
        assert_eq!(prefix_end("\u{10ffff}"), None);
        assert_eq!(prefix_end(""), None);
    }

    fn refusal(txn: &Txn) -> String {
        match txn.check() {
            Err(StoreError::Refused(why)) => why,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn limits_are_refused_with_their_numbers() {
        let mut many = Txn::default();
        for n in 0..129 {
            many = many.put(&format!("/k/{n}"), "");
        }
        assert!(refusal(&many).contains("128 writes, this one has 129"));
        assert!(refusal(&Txn::default().put("/a", "").delete("/a")).contains("/a is twice"));
        assert!(refusal(&Txn::default().put("a", "")).contains("starts with /"));
        let long = format!("/{}", "k".repeat(limits::KEY_BYTES));
        assert!(refusal(&Txn::default().put(&long, "")).contains("2048 bytes"));
        let big = vec![0; limits::TXN_BYTES];
        assert!(refusal(&Txn::default().put("/a", big)).contains("1572864 bytes"));
        let most = vec![0; limits::TXN_BYTES - limits::OP_OVERHEAD_BYTES - 2];
        assert!(Txn::default().put("/a", most).check().is_ok());
    }
}
