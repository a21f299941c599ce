//! The embedded store's file: what is acknowledged outlives a kill, and a file that cannot be
//! used says why.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore_store::{
    Durability, EmbeddedOptions, EmbeddedStore, Range, Retry, Store, StoreError, StoreId,
    StoreRevision, Txn, TxnOutcome,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::backend::{ID, batch, commit, next, place, soon, text};

const CHILD: &str = "LONGSHORE_TEST_COMMIT_INTO";
const WRITERS: usize = 8;

fn open(path: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, EmbeddedOptions::new(ID))
}

fn refusal(path: &Path) -> StoreError {
    open(path).expect_err("it cannot be opened")
}

/// Runs this test again in a process of its own, which commits and prints what was
/// acknowledged until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_survives_sigkill() {
    if let Some(path) = std::env::var_os(CHILD) {
        commit_for_ever(Path::new(&path)).await;
    }
    let (_dir, path) = place();
    let mut acknowledged = BTreeMap::new();
    for lines in [1, 40, 400, 1500] {
        kill_after(lines, &path, &mut acknowledged).await;
        let store = open(&path).expect("it opens after a kill");
        let page = soon(store.range(Range::prefix("/"))).await.expect("it can be read");
        assert!(!page.more);
        let found: BTreeMap<_, _> =
            page.kvs.iter().map(|kv| (kv.key.to_string(), kv.mod_revision.0)).collect();
        for (key, revision) in &acknowledged {
            assert_eq!(found.get(key), Some(revision), "{key} was acknowledged");
        }
        // Each transaction wrote a pair; none is there by half.
        let halves = found.keys().filter(|key| key.ends_with("/left")).count();
        assert_eq!(halves * 2, found.len());
        acknowledged = found;
    }
}

/// Lets a child commit until it has acknowledged `lines` transactions, and kills it.
async fn kill_after(lines: usize, path: &Path, acknowledged: &mut BTreeMap<String, u64>) {
    let mut child = Command::new(std::env::current_exe().expect("a test binary"))
        .args(["--exact", "durability::what_is_acknowledged_survives_sigkill", "--nocapture"])
        .env(CHILD, path)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the child starts");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    let mut seen = 0;
    while seen < lines {
        line.clear();
        assert!(soon(output.read_line(&mut line)).await.expect("text") > 0, "the child ended");
        seen += usize::from(note(&line, acknowledged));
    }
    child.start_kill().expect("it can be killed");
    let mut rest = String::new();
    soon(output.read_to_string(&mut rest)).await.expect("text");
    // The last line may be cut; then nobody has read the acknowledgement.
    for whole in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        note(whole, acknowledged);
    }
    assert!(!soon(child.wait()).await.expect("it ends").success(), "it was killed");
}

/// Notes an acknowledgement, if `line` is one.
fn note(line: &str, acknowledged: &mut BTreeMap<String, u64>) -> bool {
    let mut words = line.split_whitespace();
    let (Some("acknowledged"), Some(key), Some(revision)) =
        (words.next(), words.next(), words.next())
    else {
        return false;
    };
    let revision = revision.parse().expect("a revision");
    acknowledged.insert(format!("{key}/left"), revision);
    acknowledged.insert(format!("{key}/right"), revision);
    true
}

fn acknowledge(key: &str, revision: StoreRevision) {
    let line = format!("acknowledged {key} {revision}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
}

async fn commit_for_ever(path: &Path) -> ! {
    let store = Arc::new(open(path).expect("it opens"));
    let start = soon(store.range(Range::prefix("/").limit(1))).await.expect("works").revision;
    for writer in 0..WRITERS {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let key = format!("/{start}/{writer}/{n}");
                let txn = Txn::default()
                    .expect_absent(&format!("{key}/left"))
                    .put(&format!("{key}/left"), "l")
                    .put(&format!("{key}/right"), vec![b'r'; n % 3000]);
                let revision = commit(&*store, txn).await;
                acknowledge(&key, revision);
            }
        });
    }
    std::future::pending().await
}

/// Runs this test again in a process that may not write large files, which commits until it
/// fails and prints what happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_store_and_loses_nothing() {
    if let Some(path) = std::env::var_os(CHILD) {
        commit_until_full(Path::new(&path)).await;
        return;
    }
    let (_dir, path) = place();
    // Ignoring the signal makes the write fail instead of the process.
    let script = "trap '' XFSZ; ulimit -f 20000; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("a test binary"))
        .args(["--exact", "durability::a_full_disk_stops_the_store_and_loses_nothing"])
        .arg("--nocapture")
        .env(CHILD, &path)
        .output();
    let output = soon(output).await.expect("the child starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let mut acknowledged = BTreeMap::new();
    let noted = said.lines().filter(|line| note(line, &mut acknowledged)).count();
    assert!(noted > 3, "{said}");
    let store = open(&path).expect("it opens where there is space");
    for (key, revision) in acknowledged.iter().filter(|(key, _)| key.ends_with("/left")) {
        let kv = soon(store.get(key)).await.expect("works").expect("it was acknowledged");
        assert_eq!(kv.mod_revision.0, *revision);
    }
    commit(&store, Txn::default().put("/a", "1")).await;
}

async fn commit_until_full(path: &Path) {
    let store = open(path).expect("it opens");
    let mut watch = store.watch("/", StoreRevision::ZERO);
    let mut n = 0;
    let error = loop {
        n += 1;
        let key = format!("/{n}");
        let txn = Txn::default().put(&format!("{key}/left"), vec![b'x'; 500_000]);
        match soon(store.txn(txn)).await {
            Ok(TxnOutcome::Committed { revision }) => {
                acknowledge(&key, revision);
                batch(&mut watch).await;
            }
            Ok(TxnOutcome::Conflict { key, .. }) => panic!("unexpected conflict at {key}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::AfterReading);
    assert!(error.to_string().contains("free space and restart longshore"), "{error}");
    let again = soon(store.txn(Txn::default().put("/a", "1"))).await.expect_err("it stopped");
    assert!(matches!(again, StoreError::DiskFull { .. }), "{again:?}");
    let closed = next(&mut watch).await.expect_err("nothing more happens");
    assert!(matches!(closed, StoreError::Closed), "{closed:?}");
}

#[tokio::test]
async fn a_reopened_store_goes_on() {
    let (_dir, path) = place();
    let store = open(&path).expect("creates");
    let read = commit(&store, Txn::default().put("/a", "1")).await;
    let last = commit(&store, Txn::default().put("/a", "2")).await;
    drop(store);
    let options = EmbeddedOptions::new(StoreId(ID.0 + 1));
    let store = EmbeddedStore::open(&path, options).expect("opens");
    assert_eq!(store.id(), ID, "only a new store gets the new id");
    assert_eq!(text(&store, "/a").await.as_deref(), Some("2"));
    let error = next(&mut store.watch("/", read)).await.expect_err("the history is gone");
    assert!(matches!(error, StoreError::Compacted { compacted, .. } if compacted == last));
    let mut watch = store.watch("/", last);
    let after = commit(&store, Txn::default().put("/a", "3").expect("/a", last)).await;
    assert_eq!((after, batch(&mut watch).await.revision), (last.next(), after));
}

#[tokio::test]
async fn leases_die_with_their_process() {
    let (_dir, path) = place();
    let store = open(&path).expect("creates");
    let lease = soon(store.grant_lease(Duration::from_secs(600))).await.expect("grants");
    let txn = Txn::default().put_leased("/leader", "dead", lease.id).put("/kept", "1");
    let last = commit(&store, txn).await;
    drop(store);
    let store = open(&path).expect("opens");
    let page = soon(store.range(Range::prefix("/"))).await.expect("works");
    let keys: Vec<_> = page.kvs.iter().map(|kv| &*kv.key).collect();
    assert_eq!((keys, page.revision), (vec!["/kept"], last.next()));
}

#[tokio::test]
async fn a_relaxed_store_is_whole_after_shutdown() {
    let (_dir, path) = place();
    let options = EmbeddedOptions { durability: Durability::Relaxed, ..EmbeddedOptions::new(ID) };
    let store = EmbeddedStore::open(&path, options).expect("creates");
    for n in 0..20 {
        commit(&store, Txn::default().put(&format!("/{n}"), "v")).await;
    }
    drop(store);
    let store = open(&path).expect("opens");
    let page = soon(store.range(Range::prefix("/"))).await.expect("works");
    assert_eq!((page.kvs.len(), page.revision.0), (20, 20));
}

#[test]
fn a_file_in_use_is_refused() {
    let (_dir, path) = place();
    let first = open(&path).expect("creates");
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Later);
    assert!(error.to_string().contains("stop the other longshore server"), "{error}");
    drop(first);
    open(&path).expect("it is free again");
}

/// Writes a store of some size, and returns its bytes.
async fn written(path: &Path) -> Vec<u8> {
    let store = open(path).expect("creates");
    for n in 0..200 {
        commit(&store, Txn::default().put(&format!("/{n}"), vec![b'v'; 4000])).await;
    }
    drop(store);
    fs::read(path).expect("reads")
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let (_dir, path) = place();
    let bytes = written(&path).await;
    for part in [0, 1, 100, 512, 4096, bytes.len() / 4, bytes.len() / 2, bytes.len() - 4096] {
        fs::write(&path, &bytes[..part]).expect("writes");
        let error = refusal(&path);
        assert!(matches!(error, StoreError::Corrupt { .. }), "{part} bytes: {error:?}");
        assert!(error.to_string().contains("restore it from a backup"), "{error}");
        assert_eq!(fs::metadata(&path).expect("it is there").len(), part as u64, "untouched");
    }
    fs::write(&path, &bytes).expect("writes");
    let store = open(&path).expect("the whole file is good");
    let page = soon(store.range(Range::prefix("/"))).await.expect("works");
    assert_eq!(page.kvs.len(), 200);
}

#[tokio::test]
async fn another_file_is_refused() {
    let (_dir, path) = place();
    fs::write(&path, "{\"not\": \"a store\"}".repeat(1000)).expect("writes");
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    fs::remove_file(&path).expect("removes");
    // A database, but none of ours.
    drop(redb::Database::create(&path).expect("creates"));
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    let nowhere = path.join("below/a/file");
    assert!(matches!(refusal(&nowhere), StoreError::Io { .. }));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let (_dir, path) = place();
    drop(open(&path).expect("creates"));
    let db = redb::Database::open(&path).expect("opens");
    let tx = db.begin_write().expect("begins");
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    tx.open_table(meta).expect("opens").insert("format", 2).expect("inserts");
    tx.commit().expect("commits");
    drop(db);
    let error = refusal(&path);
    assert!(matches!(error, StoreError::NewerFormat { found: 2, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("start the newer longshore"), "{error}");
}

#[tokio::test]
async fn a_creation_that_was_killed_starts_anew() {
    let (dir, path) = place();
    fs::write(dir.path().join("longshore.redb.new"), "half a file").expect("writes");
    let store = open(&path).expect("creates");
    commit(&store, Txn::default().put("/a", "1")).await;
    assert!(!dir.path().join("longshore.redb.new").exists());
}

#[tokio::test]
async fn a_dropped_caller_stops_nobody() {
    let (_dir, path) = place();
    let store = open(&path).expect("creates");
    let mut abandoned = store.txn(Txn::default().put("/a", "1"));
    // Polled once, it is in the queue.
    assert!(futures_util::FutureExt::now_or_never(&mut abandoned).is_none());
    drop(abandoned);
    let outcome = soon(store.txn(Txn::default().expect_exists("/a"))).await.expect("works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }), "{outcome:?}");
}
