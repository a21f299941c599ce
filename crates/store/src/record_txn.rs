//! Transactions in terms of records: what a decision expects to be unchanged, and what it
//! changes.

use longshore_domain::time::Timestamp;

use crate::contract::{Compare, Key, StoreRevision, Txn, Write};
use crate::journal::{self, Change, Told};
use crate::record::{Record, RecordKey, Row, Unknown, encode};

/// A transaction of records. Commits if all that it expects holds, else changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordTxn {
    txn: Txn,
    /// What the journal tells of it.
    told: Vec<Told>,
}

impl RecordTxn {
    /// A transaction that expects and changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects that the record is still as in `row`.
    pub fn expect_unchanged<R: Record>(&mut self, row: &Row<R>) -> &mut Self {
        self.expect(Compare::ModRevision(row.key.clone(), row.mod_revision))
    }

    /// Expects that no record has `key`.
    pub fn expect_absent<R: Record>(&mut self, key: &R::Key) -> &mut Self {
        self.expect(Compare::ModRevision(key.encode(), StoreRevision::ZERO))
    }

    /// Expects that some record has `key`, in whatever state.
    pub fn expect_exists<R: Record>(&mut self, key: &R::Key) -> &mut Self {
        self.expect(Compare::Exists(key.encode()))
    }

    /// Expects what a store compares; for [`Leader::fence`](crate::Leader::fence).
    pub fn expect(&mut self, compare: Compare) -> &mut Self {
        if !self.txn.compares.contains(&compare) {
            self.txn.compares.push(compare);
        }
        self
    }

    /// Writes a record, whatever is there: also what a newer longshore has written beside it.
    pub fn put<R: Record>(&mut self, record: &R) -> &mut Self {
        self.put_at(record.key().encode(), record, None, &Unknown::default())
    }

    /// Removes the record with `key`, if there is one.
    pub fn delete<R: Record>(&mut self, key: &R::Key) -> &mut Self {
        self.delete_at::<R>(key.encode(), None)
    }

    /// Writes a record that must be new.
    pub fn insert<R: Record>(&mut self, record: &R) -> &mut Self {
        let key = record.key().encode();
        // Nothing else of a transaction looks at what it makes.
        self.txn.compares.push(Compare::ModRevision(key.clone(), StoreRevision::ZERO));
        self.put_at(key, record, None, &Unknown::default())
    }

    /// Writes the new state of a record that must still be as in `row`. What a newer longshore has
    /// written beside it stays.
    pub fn update<R: Record>(&mut self, row: &Row<R>, record: &R) -> &mut Self {
        debug_assert_eq!(record.key().encode(), row.key, "a record keeps its name");
        let (key, old) = (row.key.clone(), Some(&row.record));
        self.expect_unchanged(row).put_at(key, record, old, &row.unknown)
    }

    /// Removes a record that must still be as in `row`.
    pub fn remove<R: Record>(&mut self, row: &Row<R>) -> &mut Self {
        self.expect_unchanged(row).delete_at::<R>(row.key.clone(), Some(&row.record))
    }

    /// Tells the journal of something that is no change of a record.
    pub fn tell(&mut self, change: Change) -> &mut Self {
        self.told.push(Told::Change(change));
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.txn.writes.is_empty()
    }

    /// Number of records that it changes; never more than
    /// [`limits::TXN_OPS`](crate::limits::TXN_OPS).
    pub fn len(&self) -> usize {
        self.txn.writes.len()
    }

    /// The transaction as a store takes it, without the journal.
    pub fn into_txn(self) -> Txn {
        self.txn
    }

    /// The transaction as a store takes it, which also tells the journal what changes `at` this
    /// time.
    pub fn into_told_txn(mut self, at: Timestamp) -> Txn {
        if !self.told.is_empty() {
            let value = journal::encode(at, &self.told);
            self.txn.writes.push(Write::Append { log: journal::LOG.into(), value });
        }
        self.txn
    }

    fn put_at<R: Record>(
        &mut self,
        key: Key,
        record: &R,
        old: Option<&R>,
        unknown: &Unknown,
    ) -> &mut Self {
        let value = encode(record, unknown);
        if record.is_told(old) {
            self.told.push(Told::Record { kind: R::KIND, value: value.clone() });
            self.told.extend(record.told_besides(old).into_iter().map(Told::Change));
        }
        self.txn.writes.push(Write::Put { key, value, lease: None });
        self
    }

    fn delete_at<R: Record>(&mut self, key: Key, old: Option<&R>) -> &mut Self {
        if R::tells_removal(old) {
            self.told.push(Told::Change(Change::Gone { kind: R::KIND, key: key.clone() }));
        }
        self.txn.writes.push(Write::Delete { key });
        self
    }
}
