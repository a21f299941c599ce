//! Archives: the same content in every backend, and nothing half done.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt;
use longshore_domain::record::TaskStatus;
use longshore_domain::time::Timestamp;
use longshore_store::archive::{Archive, ArchiveError, End, export, import, verify};
use longshore_store::{
    MemoryStore, Range, RecordTxn, Sequence, State, StateError, Store, StoreError, StoreId, Txn,
    TxnOutcome,
};

use crate::backend::{self, Backend, commit, soon, text};
use crate::sample;

const WEBHOOK: &str = "/longshore/event-webhook";

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

async fn tell(state: &State, txn: &RecordTxn) {
    let outcome = soon(state.commit(txn.clone())).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }), "{outcome:?}");
}

/// Records, a journal of changes, a place in it, and what lives by a lease.
async fn fill(store: &Arc<dyn Store>) {
    let state = soon(State::open(store.clone())).await.expect("opens").with_journal(now);
    let mut txn = RecordTxn::new();
    tell(&state, txn.insert(&sample::cluster()).insert(&sample::service())).await;
    for id in (1..=30).rev() {
        let mut task = sample::task(id);
        task.observed.status = TaskStatus::Pending;
        tell(&state, RecordTxn::new().insert(&task)).await;
    }
    let page = soon(state.journal().read(Sequence::ZERO, 12)).await.expect("works");
    let place = page.entries.last().expect("entries").sequence;
    let cursor = format!(r#"{{"failures":0,"sequence":{place},"url":"http://h/"}}"#);
    commit(&**store, Txn::default().put(WEBHOOK, cursor)).await;
    commit(&**store, Txn::default().put("/longshore/bytes", vec![0xff, 0x00])).await;
    let lease = soon(store.grant_lease(std::time::Duration::from_secs(600))).await.expect("grants");
    commit(&**store, Txn::default().put_leased("/longshore/leadership/x", "me", lease.id)).await;
}

/// Writes an archive of a store.
async fn save(store: &Arc<dyn Store>, directory: &Path, name: &str) -> PathBuf {
    let pieces: Vec<_> = soon(export(&**store).try_collect()).await.expect("the store works");
    let path = directory.join(name);
    fs::write(&path, pieces.concat()).expect("writes");
    path
}

async fn load(path: &Path, store: &dyn Store) -> Result<End, ArchiveError> {
    import(&mut Archive::open(path)?, store, |_| {}).await
}

/// What the journal tells after the webhook's place.
async fn after_place(store: &Arc<dyn Store>) -> Vec<longshore_store::Change> {
    let cursor = text(&**store, WEBHOOK).await.expect("it is there");
    let cursor: serde_json::Value = serde_json::from_str(&cursor).expect("JSON");
    let place = Sequence::from(cursor["sequence"].as_u64().expect("a number"));
    let state = soon(State::open(store.clone())).await.expect("opens");
    let page = soon(state.journal().read(place, 1000)).await.expect("works");
    page.entries.into_iter().map(|entry| entry.change).collect()
}

async fn round_trip(from: Backend, to: Backend) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Revisions of the other store are others.
    fill(&from.store).await;
    let first = save(&from.store, dir.path(), "first").await;
    let end = soon(load(&first, &*to.store)).await.expect("imports");
    assert_eq!((end.keys, end.entries, end.places, end.leased), (33, 31, 1, 0));
    let contents = soon(verify(&*to.store)).await.expect("it is whole");
    assert_eq!(contents.end.digest, soon(verify(&*from.store)).await.expect("works").end.digest);
    assert_eq!(contents.records["task"], 30);
    let second = save(&to.store, dir.path(), "second").await;
    assert_eq!(Archive::open(&second).expect("whole").end(), &end);
    // Tasks were made from the last to the first, and still are.
    let tasks = Range::prefix("/000000000000/us-east-1/ecs/task/");
    let page = soon(to.store.range(tasks)).await.expect("works");
    let mut created: Vec<_> = page.kvs.iter().map(|kv| kv.create_revision).collect();
    created.reverse();
    assert!(created.is_sorted() && created.len() == 30, "{created:?}");
    // The journal goes on from the same place, in the same order.
    let told = after_place(&from.store).await;
    assert_eq!(told.len(), 19);
    assert_eq!(after_place(&to.store).await, told);
    assert_eq!(text(&*to.store, "/longshore/leadership/x").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_to_redb() {
    let (from, to) = (backend::memory().await, backend::embedded().await);
    round_trip(from.expect("always"), to.expect("always")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redb_to_etcd() {
    let Some(to) = backend::etcd().await else { return };
    round_trip(backend::embedded().await.expect("always"), to).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_to_redb() {
    let Some(from) = backend::etcd().await else { return };
    round_trip(from, backend::embedded().await.expect("always")).await;
}

/// What is written while an archive is made is wholly in it or not at all.
async fn one_moment(b: Backend) {
    for n in 0..2500 {
        commit(&*b.store, Txn::default().put(&format!("/{n:04}/a"), "0")).await;
    }
    let mut pages = b.store.snapshot();
    let first = soon(pages.try_next()).await.expect("works").expect("a page");
    assert!(first.more);
    // Before what was read, after it, and both.
    let pair = |value: &str| {
        Txn::default().put("/0000/a", value.to_owned()).put("/2499/a", value.to_owned())
    };
    commit(&*b.store, pair("1")).await;
    commit(&*b.store, Txn::default().delete("/2400/a").append("/longshore/log", "late")).await;
    let mut kvs = first.kvs;
    while let Some(page) = soon(pages.try_next()).await.expect("works") {
        assert_eq!(page.revision, first.revision);
        kvs.extend(page.kvs);
    }
    assert_eq!(kvs.len(), 2500);
    assert!(kvs.iter().all(|kv| kv.value == "0"));
    assert!(kvs.is_sorted_by_key(|kv| kv.key.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_memory_is_of_one_moment() {
    one_moment(backend::memory().await.expect("always")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_redb_is_of_one_moment() {
    one_moment(backend::embedded().await.expect("always")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_etcd_is_of_one_moment() {
    if let Some(etcd) = backend::etcd().await {
        one_moment(etcd).await;
    }
}

/// A store that fails after some transactions.
#[derive(Debug)]
struct Failing {
    store: Arc<MemoryStore>,
    left: std::sync::atomic::AtomicUsize,
}

mod failing;

#[tokio::test]
async fn an_interrupted_import_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let from: Arc<dyn Store> = Arc::new(MemoryStore::default());
    fill(&from).await;
    let path = save(&from, dir.path(), "archive").await;
    for works in [0, 1, 2, 7, 31, 33] {
        let store = Arc::new(MemoryStore::default());
        let failing = Failing { store: store.clone(), left: works.into() };
        let error = soon(load(&path, &failing)).await.expect_err("it is interrupted");
        assert!(matches!(error, ArchiveError::Store(StoreError::Closed)), "{works}: {error:?}");
        if works > 0 {
            let error = soon(State::open(store.clone())).await.expect_err("it is not whole");
            assert!(matches!(error, StateError::Unfinished), "{works}: {error:?}");
            assert!(error.to_string().contains("longshore ctl store import"), "{error}");
        }
        let end = soon(load(&path, &*store)).await.expect("it goes on");
        let again = soon(verify(&*store)).await.expect("works").end;
        assert_eq!((end.digest, end.keys), (again.digest, 33), "{works}");
        soon(State::open(store)).await.expect("it is whole");
    }
}

#[tokio::test]
async fn an_import_needs_a_store_of_its_own() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let from: Arc<dyn Store> = Arc::new(MemoryStore::default());
    fill(&from).await;
    let path = save(&from, dir.path(), "archive").await;
    let error = soon(load(&path, &*from)).await.expect_err("it is not empty");
    assert!(matches!(error, ArchiveError::NotEmpty { .. }), "{error:?}");
    // Half an import is no place for another one.
    let store = Arc::new(MemoryStore::default());
    let failing = Failing { store: store.clone(), left: 3.into() };
    soon(load(&path, &failing)).await.expect_err("it is interrupted");
    let other: Arc<dyn Store> = Arc::new(MemoryStore::new(StoreId(2), backend::SHORT));
    commit(&*other, Txn::default().put("/a", "1")).await;
    let second = save(&other, dir.path(), "other").await;
    let error = soon(load(&second, &*store)).await.expect_err("it is half of another");
    assert!(matches!(error, ArchiveError::Other { .. }), "{error:?}");
    // Whoever writes meanwhile is noticed.
    commit(&*store, Txn::default().put("/stranger", "1")).await;
    let error = soon(load(&path, &*store)).await.expect_err("somebody else wrote");
    assert!(matches!(error, ArchiveError::Differs { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_archive_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let from: Arc<dyn Store> = Arc::new(MemoryStore::default());
    fill(&from).await;
    let path = save(&from, dir.path(), "archive").await;
    let good = fs::read_to_string(&path).expect("reads");
    let lines = good.lines().count();
    let without = |n: usize| {
        let kept = good.lines().enumerate().filter(|(at, _)| *at != n);
        kept.flat_map(|(_, line)| [line, "\n"]).collect::<String>()
    };
    let damaged = [
        (String::new(), "does not say that it is an archive"),
        (without(0), "does not say that it is an archive"),
        (without(5), "its content is sha256:"),
        (without(lines - 1), "its last line is missing"),
        (good[..good.len() - 10].to_owned(), "it is cut off"),
        (good.replacen("ACTIVE", "PASSIVE", 1), "its content is sha256:"),
        (format!("{good}{good}"), "goes on after its end"),
        (good.replacen("\"key\":{", "\"kez\":{", 1), "unknown variant"),
    ];
    for (content, why) in damaged {
        fs::write(&path, content).expect("writes");
        let store = MemoryStore::default();
        let error = soon(load(&path, &store)).await.expect_err("it is damaged");
        let said = error.to_string();
        assert!(matches!(error, ArchiveError::Damaged { .. }), "{error:?}");
        assert!(said.contains(why) && said.contains("take another backup"), "{said}");
        let page = soon(store.range(Range::prefix("/"))).await.expect("works");
        assert!(page.kvs.is_empty());
    }
    fs::write(&path, good.replacen("\"format\":1", "\"format\":2", 1)).expect("writes");
    let error = Archive::open(&path).expect_err("it is newer");
    assert!(matches!(error, ArchiveError::Newer { found: 2, .. }), "{error:?}");
    let error = Archive::open(&dir.path().join("nowhere")).expect_err("it is not there");
    assert!(matches!(error, ArchiveError::Io { .. }), "{error:?}");
}

/// The digest is of content and not of how it came about; nobody may change what it is of.
#[tokio::test]
async fn the_digest_stays_as_it_is() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    commit(&*store, Txn::default().put("/a", "1").append("/longshore/journal", "x")).await;
    let cursor = r#"{"sequence":1024,"url":"u"}"#;
    commit(&*store, Txn::default().put(WEBHOOK, cursor)).await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = save(&store, dir.path(), "archive").await;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/archive.v1");
    if std::env::var_os("LONGSHORE_WRITE_GOLDENS").is_some() {
        fs::copy(&path, &golden).expect("writes");
    }
    let version = |text: String| text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let written = version(fs::read_to_string(&path).expect("reads"));
    assert_eq!(written, version(fs::read_to_string(&golden).expect("reads")));
    assert_eq!(Archive::open(&golden).expect("it stays readable").end().entries, 1);
}
