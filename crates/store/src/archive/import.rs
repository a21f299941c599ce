//! Bringing an archive into an empty store.
//!
//! Keys are written in the order in which they were created, entries of logs one by one. Each
//! transaction also says how far the import is, so that one that was interrupted goes on where it
//! was; until the end no server opens the store.

use bytes::Bytes;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::export::digest;
use super::file::Brought;
use super::{Archive, ArchiveError, End, UNFINISHED, place};
use crate::contract::{Range, Store, StoreRevision, Txn, TxnOutcome, Write};
use crate::journal::LOG;
use crate::limits;

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Keys and entries that are imported.
    pub done: usize,
    /// All of them.
    pub of: usize,
}

/// The value of the key that says how far it is.
#[derive(Serialize, Deserialize)]
struct Mark {
    digest: String,
    done: usize,
}

/// Brings `archive` into `store`, or goes on with that, and compares what the store holds then with
/// what the archive holds.
///
/// # Errors
/// See [`ArchiveError`]. After all but [`ArchiveError::NotEmpty`], [`ArchiveError::Other`] and
/// [`ArchiveError::Differs`] it can be tried again.
pub async fn import(
    archive: &mut Archive,
    store: &dyn Store,
    mut progress: impl FnMut(Progress),
) -> Result<End, ArchiveError> {
    let (mut done, mut marked) = begin(archive, store).await?;
    let of = archive.len();
    progress(Progress { done, of });
    while done < of {
        let brought = archive.read(done, limits::IMPORT_PUTS)?;
        let mut brought = brought.into_iter().peekable();
        while brought.peek().is_some() {
            let mut txn = Txn::default();
            while let Some(next) = brought.next_if(|next| has_room(&txn, next)) {
                txn = with(txn, next);
                done += 1;
            }
            marked = commit(store, txn, marked, &mark(archive, done)).await?;
        }
        progress(Progress { done, of });
    }
    for line in archive.places() {
        let created = entry(store, line.entries).await?;
        let Some(value) = place::told(line, created) else { continue };
        let txn = Txn::default().put(&line.key, value);
        marked = commit(store, txn, marked, &mark(archive, done)).await?;
    }
    let found = digest(store).await?;
    let wanted = archive.end().digest.clone();
    if found.digest != wanted {
        return Err(ArchiveError::Differs { found: found.digest, wanted });
    }
    let last = Txn::default().expect(UNFINISHED, marked).delete(UNFINISHED);
    match store.txn(last).await? {
        TxnOutcome::Committed { .. } => Ok(found),
        TxnOutcome::Conflict { .. } => Err(ArchiveError::Other { digest: "unknown".into() }),
    }
}

/// Where to go on, and the revision of the mark.
async fn begin(
    archive: &Archive,
    store: &dyn Store,
) -> Result<(usize, StoreRevision), ArchiveError> {
    if let Some(kv) = store.get(UNFINISHED).await? {
        let mark: Option<Mark> = serde_json::from_slice(&kv.value).ok();
        let digest = mark.as_ref().map_or("unknown", |mark| mark.digest.as_str()).to_owned();
        return match mark {
            Some(mark) if mark.digest == archive.end().digest && mark.done <= archive.len() => {
                Ok((mark.done, kv.mod_revision))
            }
            _ => Err(ArchiveError::Other { digest }),
        };
    }
    let page = store.range(Range::prefix("/").limit(1)).await?;
    if let Some(kv) = page.kvs.first() {
        return Err(ArchiveError::NotEmpty { found: kv.key.to_string() });
    }
    let marked = commit(store, Txn::default(), StoreRevision::ZERO, &mark(archive, 0)).await?;
    Ok((0, marked))
}

fn mark(archive: &Archive, done: usize) -> Bytes {
    let mark = Mark { digest: archive.end().digest.clone(), done };
    serde_json::to_vec(&mark).expect("a mark is a structure with text keys").into()
}

/// Commits with a new mark, which must be where it was left.
async fn commit(
    store: &dyn Store,
    txn: Txn,
    marked: StoreRevision,
    mark: &Bytes,
) -> Result<StoreRevision, ArchiveError> {
    match store.txn(txn.expect(UNFINISHED, marked).put(UNFINISHED, mark.clone())).await? {
        TxnOutcome::Committed { revision } => Ok(revision),
        TxnOutcome::Conflict { .. } => Err(ArchiveError::Other { digest: "unknown".into() }),
    }
}

/// Whether a transaction can also bring `next`. A log is appended to once, and an entry is the last
/// of its transaction, so that nothing that was created later is there before it.
fn has_room(txn: &Txn, next: &Brought) -> bool {
    let bytes = match next {
        Brought::Key { key, value } | Brought::Entry { log: key, value } => key.len() + value.len(),
    };
    let ended = txn.writes.iter().any(|write| matches!(write, Write::Append { .. }));
    let full =
        txn.writes.len() >= limits::IMPORT_PUTS || txn.bytes() + bytes > limits::IMPORT_BYTES;
    txn.writes.is_empty() || !(ended || full)
}

fn with(txn: Txn, brought: Brought) -> Txn {
    match brought {
        Brought::Key { key, value } => txn.put(&key, value),
        Brought::Entry { log, value } => txn.append(&log, value),
    }
}

/// Revision of the `number`th entry of the journal, counted from one; zero for none.
async fn entry(store: &dyn Store, number: u64) -> Result<StoreRevision, ArchiveError> {
    let mut left = number;
    if left == 0 {
        return Ok(StoreRevision::ZERO);
    }
    let mut pages = store.snapshot();
    let prefix = format!("{LOG}/");
    while let Some(page) = pages.try_next().await? {
        for kv in page.kvs.iter().filter(|kv| kv.key.starts_with(&prefix)) {
            left -= 1;
            if left == 0 {
                return Ok(kv.create_revision);
            }
        }
    }
    Ok(StoreRevision::ZERO)
}
