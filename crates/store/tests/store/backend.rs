//! Opens a fresh store of each backend, and waits for events instead of for time.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use longshore_store::{
    Batch, EmbeddedOptions, EmbeddedStore, HistoryLimits, MemoryStore, Store, StoreError, StoreId,
    StoreRevision, Txn, TxnOutcome, Watch,
};
use tempfile::TempDir;

/// The id that all stores of these tests get.
pub(crate) const ID: StoreId = StoreId(0x10_5e);

/// A small history, so that a test can leave it behind.
pub(crate) const SHORT: HistoryLimits = HistoryLimits { batches: 8, bytes: 4096 };

/// A store under test.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    _dir: Option<TempDir>,
}

pub(crate) fn memory() -> Backend {
    Backend { store: Arc::new(MemoryStore::new(ID, SHORT)), _dir: None }
}

pub(crate) fn embedded() -> Backend {
    let (dir, path) = place();
    let options = EmbeddedOptions { history: SHORT, ..EmbeddedOptions::new(ID) };
    let store = EmbeddedStore::open(&path, options).expect("opens");
    Backend { store: Arc::new(store), _dir: Some(dir) }
}

/// A place for a file that does not exist yet.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("longshore.redb");
    (dir, path)
}

/// What `future` gives, or a panic when it takes so long that it never will.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it happens")
}

/// Commits, expecting no conflict.
pub(crate) async fn commit(store: &dyn Store, txn: Txn) -> StoreRevision {
    match soon(store.txn(txn)).await.expect("the store works") {
        TxnOutcome::Committed { revision } => revision,
        TxnOutcome::Conflict { key, .. } => panic!("unexpected conflict at {key}"),
    }
}

/// The key of the conflict that `txn` meets.
pub(crate) async fn conflict(store: &dyn Store, txn: Txn) -> String {
    match soon(store.txn(txn)).await.expect("the store works") {
        TxnOutcome::Conflict { key, .. } => key.to_string(),
        TxnOutcome::Committed { revision } => panic!("unexpected commit at {revision}"),
    }
}

/// The next item of a watch.
pub(crate) async fn next(watch: &mut Watch) -> Result<Batch, StoreError> {
    soon(watch.next()).await.expect("a watch ends only after an error")
}

/// The next batch of a watch that has events.
pub(crate) async fn batch(watch: &mut Watch) -> Batch {
    loop {
        let batch = next(watch).await.expect("the watch goes on");
        if !batch.events.is_empty() {
            return batch;
        }
    }
}

/// The value at `key` as text.
pub(crate) async fn text(store: &dyn Store, key: &str) -> Option<String> {
    let found = soon(store.get(key)).await.expect("the store works");
    found.map(|kv| String::from_utf8(kv.value.to_vec()).expect("text"))
}
