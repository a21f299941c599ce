//! A table in memory: rows by key and by declared index, in persistent maps, so that a copy
//! is cheap and shares what has not changed.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::contract::{Event, Key, StoreRevision};
use crate::record::{KeyPrefix, Record, RecordError, RecordKey, Row, decode};

/// All records of one kind, at one revision.
#[derive(Debug)]
pub struct Table<R: Record> {
    rows: OrdMap<Key, Arc<Row<R>>>,
    index: OrdMap<R::Index, Found<R>>,
    /// Revision of the last change.
    touched: StoreRevision,
}

/// The rows with one index.
#[derive(Debug)]
struct Found<R: Record> {
    /// With the row where the index [holds rows](Record::holds_rows).
    rows: OrdMap<Key, Option<Arc<Row<R>>>>,
    /// Revision of the last arrival or departure, and where rows are held of the last change of one.
    touched: StoreRevision,
}

impl<R: Record> Clone for Found<R> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), touched: self.touched }
    }
}

impl<R: Record> Default for Found<R> {
    fn default() -> Self {
        Self { rows: OrdMap::new(), touched: StoreRevision::ZERO }
    }
}

impl<R: Record> Clone for Table<R> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), index: self.index.clone(), touched: self.touched }
    }
}

impl<R: Record> Default for Table<R> {
    fn default() -> Self {
        Self { rows: OrdMap::new(), index: OrdMap::new(), touched: StoreRevision::ZERO }
    }
}

impl<R: Record> Table<R> {
    /// The row with `key`.
    pub fn get(&self, key: &R::Key) -> Option<&Arc<Row<R>>> {
        self.get_encoded(&key.encode())
    }

    pub(crate) fn get_encoded(&self, key: &str) -> Option<&Arc<Row<R>>> {
        self.rows.get(key)
    }

    /// All rows in order of their store keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Row<R>>> {
        self.rows.values()
    }

    /// The rows whose keys begin with `prefix`, in order.
    pub fn range<'a>(
        &'a self,
        prefix: &KeyPrefix<R>,
    ) -> impl Iterator<Item = &'a Arc<Row<R>>> + use<'a, R> {
        let prefix: Box<str> = prefix.as_str().into();
        let rows = self.rows.range::<_, str>((Bound::Included(&*prefix), Bound::Unbounded));
        rows.take_while(move |(key, _)| key.starts_with(&*prefix)).map(|(_, row)| row)
    }

    /// The rows of `prefix` after the one with `key`, which need not exist (any more): the
    /// next page of a list.
    pub fn range_after<'a>(
        &'a self,
        prefix: &KeyPrefix<R>,
        key: &R::Key,
    ) -> impl Iterator<Item = &'a Arc<Row<R>>> + use<'a, R> {
        let prefix: Box<str> = prefix.as_str().into();
        let key = key.encode();
        let rows = self.rows.range::<_, str>((Bound::Excluded(&*key), Bound::Unbounded));
        rows.take_while(move |(key, _)| key.starts_with(&*prefix)).map(|(_, row)| row)
    }

    /// The rows with `index`, in order of their store keys.
    pub fn by<'a>(
        &'a self,
        index: &R::Index,
    ) -> impl Iterator<Item = &'a Arc<Row<R>>> + use<'a, R> {
        let found = self.index.get(index).into_iter().flat_map(|found| &found.rows);
        found.filter_map(|(key, row)| row.as_ref().or_else(|| self.rows.get(key)))
    }

    /// Number of rows with `index`, which must [hold rows](Record::holds_rows), and the revision of
    /// the last change of one of them; that is one lookup. Where both are as before, so are the rows.
    pub fn stamp_by(&self, index: &R::Index) -> (usize, StoreRevision) {
        debug_assert!(R::holds_rows(index), "{index:?} is not told of changes");
        self.index.get(index).map_or_else(Default::default, |f| (f.rows.len(), f.touched))
    }

    /// Number of rows with `index`.
    pub fn count_by(&self, index: &R::Index) -> usize {
        self.index.get(index).map_or(0, |found| found.rows.len())
    }

    /// Number of rows, and the revision of the last change. Where both are as before, so is the table.
    pub fn stamp(&self) -> (usize, StoreRevision) {
        (self.rows.len(), self.touched)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes in a change, and says whether it was one. What the table already has, or has a
    /// later state of, is left alone: a list that is read in pages and the watch that
    /// completes it overlap.
    ///
    /// # Errors
    /// The value is no record of this kind; the table is unchanged.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<bool, RecordError> {
        let known = self.rows.get(event.key());
        if known.is_some_and(|row| row.mod_revision >= event.revision()) {
            return Ok(false);
        }
        match event {
            Event::Put(kv) => self.put(decode(kv)?),
            Event::Delete { key, .. } => {
                if !self.remove(key, event.revision()) {
                    return Ok(false);
                }
            }
        }
        self.touched = self.touched.max(event.revision());
        Ok(true)
    }

    fn put(&mut self, row: Row<R>) {
        let (key, revision) = (row.key.clone(), row.mod_revision);
        let row = Arc::new(row);
        let new = row.record.indexes();
        let old = self.rows.insert(key.clone(), Arc::clone(&row));
        let old = old.map(|old| old.record.indexes()).unwrap_or_default();
        for gone in old.iter().filter(|index| !new.contains(index)) {
            self.unindex(gone, &key, revision);
        }
        for index in new {
            let held = R::holds_rows(&index);
            if !held && old.contains(&index) {
                continue;
            }
            let found = self.index.entry(index).or_default();
            found.rows.insert(key.clone(), held.then(|| Arc::clone(&row)));
            found.touched = found.touched.max(revision);
        }
    }

    fn remove(&mut self, key: &str, revision: StoreRevision) -> bool {
        let Some(old) = self.rows.remove(key) else { return false };
        for gone in old.record.indexes() {
            self.unindex(&gone, key, revision);
        }
        true
    }

    fn unindex(&mut self, index: &R::Index, key: &str, revision: StoreRevision) {
        if let Some(found) = self.index.get_mut(index) {
            found.rows.remove(key);
            found.touched = found.touched.max(revision);
            if found.rows.is_empty() {
                self.index.remove(index);
            }
        }
    }
}
