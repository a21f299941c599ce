//! Members that die, hang, fill up or forget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use longshore_domain::record::Cluster as ClusterRecord;
use longshore_store::{
    EtcdStore, Range, Record, RecordTxn, Retry, State, StateError, Store, StoreError,
    StoreRevision, Txn, TxnOutcome,
};
use rustix::process::Signal;

use super::cluster::{Cluster, Recipe, open};
use crate::backend::{commit, soon, text};
use crate::sample;

async fn start(members: usize) -> Option<Cluster> {
    Cluster::start(Recipe { members, ..Recipe::default() }).await
}

/// What writers were told of each append.
#[derive(Default)]
struct Told {
    committed: BTreeMap<String, StoreRevision>,
    uncertain: Vec<String>,
    refused: Vec<String>,
}

/// Appends without end until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
    writers: Vec<tokio::task::JoinHandle<Told>>,
}

impl Load {
    fn start(store: &Arc<EtcdStore>) -> Self {
        let (stop, commits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let writers = (0..8).map(|writer| {
            let (store, stop, commits) = (store.clone(), stop.clone(), commits.clone());
            tokio::spawn(async move {
                let mut told = Told::default();
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let id = format!("{writer}-{n}");
                    let txn = Txn::default().put(&format!("/{writer}"), id.clone());
                    match store.txn(txn.append("/log", id.clone())).await {
                        Ok(TxnOutcome::Committed { revision }) => {
                            told.committed.insert(id, revision);
                            commits.fetch_add(1, Ordering::SeqCst);
                        }
                        Ok(TxnOutcome::Conflict { key, .. }) => panic!("conflict at {key}"),
                        Err(error) if error.retry() == Retry::AfterReading => {
                            told.uncertain.push(id);
                        }
                        Err(_) => told.refused.push(id),
                    }
                }
                told
            })
        });
        Self { writers: writers.collect(), stop, commits }
    }

    /// Waits until more is committed.
    async fn goes_on(&self) {
        let before = self.commits.load(Ordering::SeqCst);
        soon(async {
            while self.commits.load(Ordering::SeqCst) < before + 50 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Compares what was told with what happened.
    async fn judge(self, store: &EtcdStore) {
        self.stop.store(true, Ordering::SeqCst);
        let mut found = BTreeMap::new();
        let mut range = Range::prefix("/log/");
        let mut told = Vec::new();
        for writer in self.writers {
            told.push(soon(writer).await.expect("a writer ends well"));
        }
        loop {
            let page = soon(store.range(range.clone())).await.expect("works");
            for kv in &page.kvs {
                let id = String::from_utf8(kv.value.to_vec()).expect("text");
                let twice = found.insert(id, kv.mod_revision);
                assert_eq!(twice, None, "nothing happens twice");
            }
            let Some(last) = page.kvs.last().filter(|_| page.more) else { break };
            range = range.after(&last.key);
        }
        for told in told {
            for (id, at) in told.committed {
                assert_eq!(found.remove(&id), Some(at), "{id} was acknowledged");
            }
            for id in told.refused {
                assert_eq!(found.remove(&id), None, "{id} was refused");
            }
            for id in told.uncertain {
                found.remove(&id);
            }
        }
        assert_eq!(found, BTreeMap::new(), "nothing happens untold");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_die_one_after_the_other() {
    let Some(mut etcd) = start(3).await else { return };
    let store = Arc::new(etcd.open().await);
    let state = soon(State::open(store.clone())).await.expect("opens");
    let load = Load::start(&store);
    load.goes_on().await;
    for member in 0..3 {
        etcd.kill(member).await;
        load.goes_on().await;
        etcd.run(member);
        etcd.healthy().await;
        load.goes_on().await;
    }
    let last = commit(&*store, Txn::default().put("/a", "1")).await;
    assert!(soon(state.reached(last)).await.expect("follows").revision >= last);
    load.judge(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_hang_one_after_the_other() {
    let Some(etcd) = start(3).await else { return };
    let store = Arc::new(etcd.open().await);
    let state = soon(State::open(store.clone())).await.expect("opens");
    let load = Load::start(&store);
    load.goes_on().await;
    for member in 0..3 {
        etcd.signal(member, Signal::STOP);
        load.goes_on().await;
        etcd.signal(member, Signal::CONT);
        load.goes_on().await;
    }
    let last = commit(&*store, Txn::default().put("/a", "1")).await;
    assert!(soon(state.reached(last)).await.expect("follows").revision >= last);
    load.judge(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_opens_while_a_member_hangs() {
    let Some(etcd) = start(3).await else { return };
    etcd.signal(1, Signal::STOP);
    // Whichever is tried first.
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        let store = open(&etcd.address_of(&order)).await.expect("opens");
        commit(&store, Txn::default().put("/a", "1")).await;
    }
    etcd.signal(1, Signal::CONT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_calls_fail_and_the_view_stays() {
    let Some(mut etcd) = start(1).await else { return };
    let store =
        Arc::new(open(&format!("{}?request-timeout=500ms", etcd.address())).await.expect("opens"));
    let state = soon(State::open(store.clone())).await.expect("opens");
    let mut txn = RecordTxn::new();
    txn.insert(&sample::cluster());
    assert!(matches!(soon(state.commit(txn)).await, Ok(TxnOutcome::Committed { .. })));
    etcd.kill(0).await;
    let error = soon(store.get("/a")).await.expect_err("it is away");
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("check that its members run"), "{error}");
    assert_eq!(error.retry(), Retry::Later);
    let error = soon(store.txn(Txn::default().put("/a", "1"))).await.expect_err("it is away");
    assert_eq!(error.retry(), Retry::Later, "it was never sent: {error:?}");
    assert_eq!(state.view().clusters.len(), 1, "the view stays");
    etcd.run(0);
    etcd.healthy().await;
    assert_eq!(text(&*store, "/a").await, None);
    let last = commit(&*store, Txn::default().put("/a", "2")).await;
    soon(state.reached(last)).await.expect("it follows again");
    // One that hangs is as good as none.
    etcd.signal(0, Signal::STOP);
    let error = soon(store.get("/a")).await.expect_err("it hangs");
    assert_eq!(error.retry(), Retry::Later, "{error:?}");
    etcd.signal(0, Signal::CONT);
    assert_eq!(text(&*store, "/a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_told_at_start() {
    let error = open("etcd://127.0.0.1:1?request-timeout=200ms").await.expect_err("nobody");
    let said = error.to_string();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(said.contains("127.0.0.1:1") && said.contains("refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_takes_no_writes_until_it_is_mended() {
    let arguments = vec!["--quota-backend-bytes=2000000".into()];
    let recipe = Recipe { members: 1, arguments, tls: false };
    let Some(etcd) = Cluster::start(recipe).await else { return };
    let store = etcd.open().await;
    let mut n = 0;
    let error = loop {
        n += 1;
        assert!(n < 100, "it never fills up");
        let txn = Txn::default().put("/a", vec![b'x'; 200_000]).append("/log", n.to_string());
        if let Err(error) = soon(store.txn(txn)).await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::NoSpace), "{error:?}");
    assert_eq!(error.retry(), Retry::Later);
    assert!(error.to_string().contains("etcdctl alarm disarm"), "{error}");
    // Reads go on.
    let page = soon(store.range(Range::prefix("/log/"))).await.expect("works");
    assert_eq!(page.kvs.len(), n - 1);
    soon(store.compact(page.revision)).await.expect("it may forget");
    etcd.etcdctl(&["defrag"]).await;
    etcd.etcdctl(&["alarm", "disarm"]).await;
    commit(&store, Txn::default().put("/a", "1")).await;
}

/// A server that was away for longer than etcd keeps its history reads everything again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_past_our_revision_makes_the_view_read_again() {
    let Some(etcd) = start(3).await else { return };
    let away = Arc::new(open(&etcd.address_of(&[0])).await.expect("opens"));
    let state = soon(State::open(away.clone())).await.expect("opens");
    let mut changes = state.changes();
    let mut txn = RecordTxn::new();
    txn.insert(&sample::cluster());
    assert!(matches!(soon(state.commit(txn)).await, Ok(TxnOutcome::Committed { .. })));
    let before = state.view().revision;
    etcd.signal(0, Signal::STOP);
    // So that its watch is really lost, and not only late.
    let error = soon(away.get("/a")).await.expect_err("it hangs");
    assert_eq!(error.retry(), Retry::Later, "{error:?}");
    // They may have to choose a leader first.
    let addresses = etcd.address_of(&[1, 2]);
    let others = soon(async {
        loop {
            if let Ok(store) = open(&addresses).await {
                break store;
            }
        }
    })
    .await;
    let other = ClusterRecord { name: sample::name("other"), ..sample::cluster() };
    let mut txn = RecordTxn::new();
    txn.insert(&other).delete::<ClusterRecord>(&sample::cluster().key());
    commit(&others, txn.into_txn()).await;
    let last = commit(&others, Txn::default().put("/a", "1")).await;
    soon(others.compact(last)).await.expect("compacts");
    let last = commit(&others, Txn::default().put("/a", "2")).await;
    etcd.signal(0, Signal::CONT);
    let view = soon(state.reached(last)).await.expect("it recovers");
    let names: Vec<_> = view.clusters.iter().map(|row| row.name.to_string()).collect();
    assert_eq!(names, ["other"]);
    let kinds = &[longshore_store::Kind::Cluster];
    assert!(soon(changes.changed(kinds)).await.expect("it recovers") > before);
}

/// What a process knows that a restored etcd does not must not be served any longer.
async fn restored(advance: bool) {
    let Some(mut etcd) = start(1).await else { return };
    let store = Arc::new(etcd.open().await);
    let state = soon(State::open(store.clone())).await.expect("opens");
    commit(&*store, Txn::default().put("/a", "1")).await;
    let snapshot = etcd.dir.path().join("snapshot");
    etcd.etcdctl(&["snapshot", "save", &snapshot.display().to_string()]).await;
    let last = commit(&*store, Txn::default().put("/a", "2")).await;
    soon(state.reached(last)).await.expect("follows");
    etcd.kill(0).await;
    etcd.restore(&snapshot).await;
    if advance {
        // Others are quicker: when this process meets it, its revision is beyond what was seen.
        let other = soon(open(&etcd.run_hidden(0))).await.expect("opens");
        while commit(&other, Txn::default().put("/b", "1")).await <= last {}
        drop(other);
        etcd.kill(0).await;
    }
    etcd.run(0);
    let error = soon(state.changes().changed(&[])).await.expect_err("it is another store");
    let StateError::Stopped(why) = &error else { panic!("{error:?}") };
    let StateError::Store(why @ StoreError::Replaced { .. }) = &**why else { panic!("{why:?}") };
    assert!(why.to_string().contains("restart every longshore server"), "{why}");
    assert_eq!(why.retry(), Retry::Never);
    let error = soon(store.txn(Txn::default().put("/a", "3"))).await.expect_err("no longer");
    assert!(matches!(error, StoreError::Replaced { .. }), "{error:?}");
    // A new process begins with what there is.
    let fresh = etcd.open().await;
    assert_eq!(text(&fresh, "/a").await.as_deref(), Some("1"));
    assert_eq!(text(&fresh, "/b").await.is_some(), advance);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_backup_is_noticed() {
    Box::pin(restored(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_backup_is_noticed_though_it_has_gone_on() {
    Box::pin(restored(true)).await;
}
