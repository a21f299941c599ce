//! Opens a fresh store of each backend, and waits for events instead of for time.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use longshore_store::{
    Batch, EmbeddedOptions, EmbeddedStore, EtcdOptions, EtcdStore, HistoryLimits, MemoryStore,
    Range, Store, StoreError, StoreId, StoreRevision, Txn, TxnOutcome, Watch,
};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// The id that all stores of these tests get.
pub(crate) const ID: StoreId = StoreId(0x10_5e);

/// A small history, so that a test can leave it behind.
pub(crate) const SHORT: HistoryLimits = HistoryLimits { batches: 8, bytes: 4096 };

/// A store under test.
pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Store>,
    /// Its revision before the test.
    pub(crate) start: StoreRevision,
    _dir: Option<TempDir>,
    _turn: Option<MutexGuard<'static, ()>>,
}

pub(crate) async fn memory() -> Option<Backend> {
    let store = Arc::new(MemoryStore::new(ID, SHORT));
    Some(Backend { store, start: StoreRevision::ZERO, _dir: None, _turn: None })
}

pub(crate) async fn embedded() -> Option<Backend> {
    let (dir, path) = place();
    let options = EmbeddedOptions { history: SHORT, ..EmbeddedOptions::new(ID) };
    let store = Arc::new(EmbeddedStore::open(&path, options).expect("opens"));
    Some(Backend { store, start: StoreRevision::ZERO, _dir: Some(dir), _turn: None })
}

/// Tests share one etcd, and some count its revisions, so they take turns.
static ETCD: Mutex<()> = Mutex::const_new(());

/// A namespace of its own in the etcd that `make test` starts; nothing where none was started.
pub(crate) async fn etcd() -> Option<Backend> {
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);
    let endpoints = etcd_endpoints()?;
    let turn = ETCD.lock().await;
    let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
    // As long as a namespace may be, so that limits are met with it.
    let name = format!("{:-<23}", format!("test-{}-{number}", std::process::id()));
    let address = format!("etcd://{endpoints}/{name}");
    let store = Arc::new(EtcdStore::open(etcd_options(&address)).await.expect("opens"));
    let page = soon(store.range(Range::prefix("/"))).await.expect("the store works");
    Some(Backend { store, start: page.revision, _dir: None, _turn: Some(turn) })
}

pub(crate) fn etcd_options(address: &str) -> EtcdOptions {
    let mut options = EtcdOptions::parse(address, ID).expect("an address");
    options.history = SHORT;
    options
}

/// Where an etcd for tests is, if one was started; in CI one must be.
pub(crate) fn etcd_endpoints() -> Option<String> {
    let endpoints = std::env::var("LONGSHORE_TEST_ETCD").ok();
    let ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    assert!(endpoints.is_some() || !ci, "no etcd for tests; run them by scripts/etcd run");
    endpoints
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
