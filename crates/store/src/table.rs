//! A table in memory: rows by key and by declared index, in persistent maps, so that a copy
//! is cheap and shares what has not changed.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::contract::{Event, Key};
use crate::record::{KeyPrefix, Record, RecordError, RecordKey, Row, decode};

type Rows<R> = OrdMap<Key, Arc<Row<R>>>;

/// All records of one kind, at one revision.
#[derive(Debug)]
pub struct Table<R: Record> {
    rows: Rows<R>,
    index: OrdMap<R::Index, Rows<R>>,
}

impl<R: Record> Clone for Table<R> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone(), index: self.index.clone() }
    }
}

impl<R: Record> Default for Table<R> {
    fn default() -> Self {
        Self { rows: OrdMap::new(), index: OrdMap::new() }
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
    pub fn range<'a>(&'a self, prefix: &KeyPrefix<R>) -> impl Iterator<Item = &'a Arc<Row<R>>> {
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
    ) -> impl Iterator<Item = &'a Arc<Row<R>>> {
        let prefix: Box<str> = prefix.as_str().into();
        let key = key.encode();
        let rows = self.rows.range::<_, str>((Bound::Excluded(&*key), Bound::Unbounded));
        rows.take_while(move |(key, _)| key.starts_with(&*prefix)).map(|(_, row)| row)
    }

    /// The rows with `index`, in order of their store keys.
    pub fn by(&self, index: &R::Index) -> impl Iterator<Item = &Arc<Row<R>>> {
        self.index.get(index).into_iter().flat_map(OrdMap::values)
    }

    /// Number of rows with `index`.
    pub fn count_by(&self, index: &R::Index) -> usize {
        self.index.get(index).map_or(0, OrdMap::len)
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
            Event::Put(kv) => self.put(&Arc::new(decode(kv)?)),
            Event::Delete { key, .. } => return Ok(self.remove(key)),
        }
        Ok(true)
    }

    fn put(&mut self, row: &Arc<Row<R>>) {
        let new = row.record.indexes();
        if let Some(old) = self.rows.insert(row.key.clone(), row.clone()) {
            self.unindex(&old, &new);
        }
        for index in new {
            self.index.entry(index).or_default().insert(row.key.clone(), row.clone());
        }
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(old) = self.rows.remove(key) else { return false };
        self.unindex(&old, &[]);
        true
    }

    /// Forgets the indexes of a row that is gone, except those in `kept`.
    fn unindex(&mut self, old: &Row<R>, kept: &[R::Index]) {
        for index in old.record.indexes() {
            if kept.contains(&index) {
                continue;
            }
            if let Some(rows) = self.index.get_mut(&index) {
                rows.remove(&*old.key);
                if rows.is_empty() {
                    self.index.remove(&index);
                }
            }
        }
    }
}
