//! The file of the embedded store: its tables, how it is created, opened and judged.
//!
//! A new file is written under another name and renamed when it is whole, so a file that is
//! there is a store, or it is damaged; it is never taken for an empty one. A lock file beside
//! it, locked for as long as the store is open, keeps a second process out from the first step.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Database, ReadableTable, TableDefinition};

use crate::apply::Cell;
use crate::contract::{LeaseId, StoreId, StoreRevision};
use crate::{StoreError, limits};

/// Key to header and value, see [`encode_cell`].
pub(super) const CELLS: TableDefinition<&str, &[u8]> = TableDefinition::new("cells");
/// Keys that got a lease since the file was opened. One may have lost it again.
pub(super) const LEASED: TableDefinition<&str, ()> = TableDefinition::new("leased");
/// The numbers of the store, by the names below.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Version of the layout of the two tables.
const META_FORMAT: &str = "format";
/// Revision of the newest transaction.
pub(super) const META_REVISION: &str = "revision";
/// Id of the store.
const META_ID: &str = "id";

/// The format that this code writes, and the newest that it reads.
const FORMAT: u64 = 1;
/// Three little-endian numbers before each value: created, last put, lease (0 is none).
const HEADER: usize = 24;

/// An opened file.
pub(super) struct OpenFile {
    pub(super) db: Database,
    pub(super) id: StoreId,
    pub(super) revision: StoreRevision,
    /// Locked while it is open.
    pub(super) lock: File,
}

/// Opens the file at `path`, or creates it with `new_id`.
pub(super) fn open(path: &Path, new_id: StoreId) -> Result<OpenFile, StoreError> {
    let lock = lock(path)?;
    let exists = path.try_exists().map_err(|source| StoreError::io("look for", path, source))?;
    if !exists {
        create(path, new_id)?;
    }
    let db = without_panic(path, || {
        Database::builder()
            .set_cache_size(limits::CACHE_BYTES)
            .open(path)
            .map_err(redb::Error::from)
    })?;
    let (id, revision) = without_panic(path, || Ok(prepare(&db, path)))??;
    Ok(OpenFile { db, id, revision, lock })
}

/// The path with `suffix` after its last character.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|source| StoreError::io("create", &lock_path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.into() }),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &lock_path, source)),
    }
}

fn create(path: &Path, id: StoreId) -> Result<(), StoreError> {
    let unfinished = beside(path, ".new");
    let io = |action, source| StoreError::io(action, path, source);
    if unfinished.try_exists().map_err(|source| io("look beside", source))? {
        std::fs::remove_file(&unfinished).map_err(|source| io("clear the way for", source))?;
    }
    let write = || -> Result<(), redb::Error> {
        let db = Database::create(&unfinished)?;
        let tx = db.begin_write()?;
        {
            tx.open_table(CELLS)?;
            tx.open_table(LEASED)?;
            let mut meta = tx.open_table(META)?;
            meta.insert(META_FORMAT, FORMAT)?;
            meta.insert(META_REVISION, 0)?;
            meta.insert(META_ID, id.0)?;
        }
        tx.commit()?;
        Ok(db.close()?)
    };
    write().map_err(|error| fault("create", path, error))?;
    std::fs::rename(&unfinished, path).map_err(|source| io("create", source))?;
    // Without this the new name may be lost with the power.
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|d| d.sync_all()).map_err(|source| io("create", source))
}

/// Checks the format and removes the keys whose leases died with the last process.
fn prepare(db: &Database, path: &Path) -> Result<(StoreId, StoreRevision), StoreError> {
    let fault = |error| fault("read", path, error);
    let tx = db.begin_write().map_err(|e| fault(e.into()))?;
    let (id, mut revision, leased) = {
        let meta = tx.open_table(META).map_err(|e| fault(e.into()))?;
        let number = |name| match meta.get(name) {
            Ok(Some(value)) => Ok(value.value()),
            Ok(None) => {
                Err(StoreError::Corrupt { path: path.into(), detail: format!("it has no {name}") })
            }
            Err(error) => Err(fault(error.into())),
        };
        let found = number(META_FORMAT)?;
        if found > FORMAT {
            return Err(StoreError::NewerFormat { path: path.into(), found, supported: FORMAT });
        }
        let leased = leased_keys(&tx).map_err(fault)?;
        (StoreId(number(META_ID)?), StoreRevision(number(META_REVISION)?), leased)
    };
    if leased.is_empty() {
        tx.abort().map_err(|e| fault(e.into()))?;
        return Ok((id, revision));
    }
    revision = revision.next();
    let remove = || -> Result<(), redb::Error> {
        {
            let mut cells = tx.open_table(CELLS)?;
            for key in &leased {
                cells.remove(key.as_str())?;
            }
            tx.open_table(LEASED)?.retain(|_, ()| false)?;
            tx.open_table(META)?.insert(META_REVISION, revision.0)?;
        }
        Ok(tx.commit()?)
    };
    remove().map_err(fault)?;
    Ok((id, revision))
}

fn leased_keys(tx: &redb::WriteTransaction) -> Result<Vec<String>, redb::Error> {
    let cells = tx.open_table(CELLS)?;
    let mut leased = Vec::new();
    for entry in tx.open_table(LEASED)?.iter()? {
        let key = entry?.0.value().to_owned();
        let Some(cell) = cells.get(key.as_str())? else { continue };
        if decode_header(cell.value())?.2.is_some() {
            leased.push(key);
        }
    }
    Ok(leased)
}

pub(super) fn read_revision(
    meta: &impl ReadableTable<&'static str, u64>,
) -> Result<StoreRevision, redb::Error> {
    let found = meta.get(META_REVISION)?;
    found
        .map(|value| StoreRevision(value.value()))
        .ok_or_else(|| redb::Error::Corrupted("it has no revision".into()))
}

/// A cell as its table keeps it.
pub(super) fn encode_cell(cell: &Cell) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + cell.value.len());
    bytes.extend(cell.create_revision.0.to_le_bytes());
    bytes.extend(cell.mod_revision.0.to_le_bytes());
    bytes.extend(cell.lease.map_or(0, |lease| lease.0).to_le_bytes());
    bytes.extend(&cell.value);
    bytes
}

type Header = (StoreRevision, StoreRevision, Option<LeaseId>);

pub(super) fn decode_header(bytes: &[u8]) -> Result<Header, redb::Error> {
    let number = |at: usize| {
        let eight = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok());
        eight
            .map(u64::from_le_bytes)
            .ok_or_else(|| redb::Error::Corrupted("a value is shorter than its header".into()))
    };
    let lease = number(16)?;
    let lease = (lease != 0).then_some(LeaseId(lease));
    Ok((StoreRevision(number(0)?), StoreRevision(number(8)?), lease))
}

pub(super) fn decode_cell(bytes: &[u8]) -> Result<Cell, redb::Error> {
    let (create_revision, mod_revision, lease) = decode_header(bytes)?;
    let value = Bytes::copy_from_slice(bytes.get(HEADER..).unwrap_or_default());
    Ok(Cell { value, create_revision, mod_revision, lease })
}

/// Runs `read` on a file that may be damaged: redb asserts what its checksums do not cover.
fn without_panic<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(answer) => answer.map_err(|error| fault("open", path, error)),
        Err(panic) => Err(StoreError::Corrupt { path: path.into(), detail: panic_text(&*panic) }),
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("its reader panicked").to_owned()
}

/// What an error of redb means for this store.
pub(super) fn fault(action: &'static str, path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(source)
            if matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            StoreError::Corrupt { path: path.into(), detail: source.to_string() }
        }
        redb::Error::Io(source) => StoreError::io(action, path, source),
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked { path: path.into() },
        redb::Error::PreviousIo => StoreError::Stopped("an earlier write failed".into()),
        redb::Error::DatabaseClosed => StoreError::Closed,
        other => StoreError::Corrupt { path: path.into(), detail: other.to_string() },
    }
}
