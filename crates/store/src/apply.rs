//! How a transaction changes cells: the one place where backends of this process decide
//! between commit and conflict.

use bytes::Bytes;

use crate::StoreError;
use crate::contract::{
    Batch, Compare, Event, Key, KeyValue, LeaseId, StoreRevision, Txn, Write, appended_key,
};
use crate::leases::Leases;

/// A value as a backend keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) value: Bytes,
    pub(crate) create_revision: StoreRevision,
    pub(crate) mod_revision: StoreRevision,
    pub(crate) lease: Option<LeaseId>,
}

impl Cell {
    pub(crate) fn with_key(self, key: Key) -> KeyValue {
        let Self { value, create_revision, mod_revision, lease } = self;
        KeyValue { key, value, create_revision, mod_revision, lease }
    }
}

/// The key-values of a backend, as its writer sees them.
pub(crate) trait Cells {
    /// Revisions at which the key was created and last put.
    fn revisions(&self, key: &str) -> Result<Option<(StoreRevision, StoreRevision)>, StoreError>;
    fn put(&mut self, key: &Key, cell: &Cell) -> Result<(), StoreError>;
    /// Whether the key was there.
    fn delete(&mut self, key: &str) -> Result<bool, StoreError>;
}

/// What became of one transaction.
#[derive(Debug)]
pub(crate) enum Applied {
    /// It changed cells; the batch has the next revision.
    Changed(Batch),
    /// Its compares held, and there was nothing to change.
    Unchanged,
    /// A compare did not hold.
    Conflict(Key),
    /// A put names a lease that has ended.
    NoLease(LeaseId),
}

/// Applies `txn`, which must have passed [`Txn::check`], to cells at revision `current`.
///
/// # Errors
/// Only those of `cells`, which may then be half changed.
pub(crate) fn apply(
    cells: &mut impl Cells,
    leases: &mut Leases,
    current: StoreRevision,
    txn: &Txn,
) -> Result<Applied, StoreError> {
    if let Some(key) = first_conflict(cells, &txn.compares)? {
        return Ok(Applied::Conflict(key));
    }
    for write in &txn.writes {
        if let Write::Put { lease: Some(id), .. } = write
            && !leases.is_live(*id)
        {
            return Ok(Applied::NoLease(*id));
        }
    }
    let revision = current.next();
    let mut events = Vec::with_capacity(txn.writes.len());
    for write in &txn.writes {
        match write {
            Write::Put { key, value, lease } => {
                let created = cells.revisions(key)?.map_or(revision, |(created, _)| created);
                let cell = Cell {
                    value: value.clone(),
                    create_revision: created,
                    mod_revision: revision,
                    lease: *lease,
                };
                cells.put(key, &cell)?;
                leases.attach(key, *lease);
                events.push(Event::Put(cell.with_key(key.clone())));
            }
            Write::Append { log, value } => {
                let cell = Cell {
                    value: value.clone(),
                    create_revision: revision,
                    mod_revision: revision,
                    lease: None,
                };
                let key = appended_key(log, revision);
                cells.put(&key, &cell)?;
                events.push(Event::Put(cell.with_key(key)));
            }
            Write::Delete { key } => {
                if cells.delete(key)? {
                    leases.attach(key, None);
                    events.push(Event::Delete { key: key.clone(), mod_revision: revision });
                }
            }
        }
    }
    if events.is_empty() {
        return Ok(Applied::Unchanged);
    }
    Ok(Applied::Changed(Batch { revision, events: events.into() }))
}

fn first_conflict(cells: &impl Cells, compares: &[Compare]) -> Result<Option<Key>, StoreError> {
    for compare in compares {
        let found = cells.revisions(compare.key())?.map_or(StoreRevision::ZERO, |(_, last)| last);
        if !compare.holds(found) {
            return Ok(Some(compare.key().clone()));
        }
    }
    Ok(None)
}

/// The transaction that removes `keys`: what the end of a lease does.
pub(crate) fn removal(keys: impl IntoIterator<Item = Key>) -> Txn {
    let writes = keys.into_iter().map(|key| Write::Delete { key }).collect();
    Txn { compares: Vec::new(), writes }
}
