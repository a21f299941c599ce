//! Several processes on one etcd, and strangers beside them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use longshore_domain::record::Cluster as ClusterRecord;
use longshore_store::{EtcdStore, Record, RecordTxn, State, Store, StoreRevision, Txn, TxnOutcome};

use super::cluster::{Cluster, Recipe, open};
use crate::backend::{batch, commit, conflict, soon};
use crate::sample;

async fn one_member() -> Option<Cluster> {
    Cluster::start(Recipe { members: 1, ..Recipe::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_see_each_others_writes() {
    let Some(etcd) = one_member().await else { return };
    let (one, two) = (etcd.open().await, etcd.open().await);
    assert_eq!(one.id(), two.id(), "there is one store");
    let (one, two) = (Arc::new(one), Arc::new(two));
    let first = soon(State::open(one.clone())).await.expect("opens");
    let second = soon(State::open(two.clone())).await.expect("opens");
    let mut txn = RecordTxn::new();
    txn.insert(&sample::cluster());
    let outcome = soon(first.commit(txn.clone())).await.expect("works");
    let TxnOutcome::Committed { revision } = outcome else { panic!("{outcome:?}") };
    let key = sample::cluster().key();
    assert!(first.view().clusters.get(&key).is_some(), "read your writes");
    let view = soon(second.reached(revision)).await.expect("follows");
    let row = view.clusters.get(&key).expect("it is there").clone();
    // What one changes, the other cannot overwrite by mistake.
    let changed = ClusterRecord { capacity_providers: vec!["two".into()], ..row.record.clone() };
    let mut txn = RecordTxn::new();
    txn.update(&row, &changed);
    assert!(matches!(soon(second.commit(txn)).await, Ok(TxnOutcome::Committed { .. })));
    let mut late = RecordTxn::new();
    late.update(&row, &row.record);
    let outcome = soon(first.commit(late)).await.expect("works");
    assert!(matches!(outcome, TxnOutcome::Conflict { .. }), "{outcome:?}");
    assert_eq!(first.view().clusters.get(&key).expect("it is there").record, changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_append_to_one_log() {
    const APPENDS: usize = 700;
    let Some(etcd) = one_member().await else { return };
    let stores = [Arc::new(etcd.open().await), Arc::new(etcd.open().await)];
    let writers = (0..8).map(|writer| {
        let store = Arc::clone(&stores[writer % 2]);
        tokio::spawn(async move {
            let mut appended = Vec::new();
            for n in 0..APPENDS / 2 {
                let txn = Txn::default().append("/log", format!("{writer}-{n}"));
                appended.push((commit(&*store, txn).await, format!("{writer}-{n}")));
            }
            appended
        })
    });
    let mut expected = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        expected.extend(soon(writer).await.expect("a writer ends well"));
    }
    expected.sort_unstable();
    for store in &stores {
        let page = soon(store.range(longshore_store::Range::prefix("/log/"))).await;
        let page = page.expect("works");
        let found = page.kvs.iter().map(|kv| (kv.mod_revision, kv.value.to_vec()));
        let found = found.map(|(at, value)| (at, String::from_utf8(value).expect("text")));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}

/// Revisions that strangers make are named by answers and never come to a watch by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_revisions_are_reached_at_once() {
    let Some(etcd) = one_member().await else { return };
    let (ours, theirs) = (etcd.open().await, stranger(&etcd).await);
    let first = commit(&ours, Txn::default().put("/a", "1")).await;
    let mut watch = ours.watch("/", first);
    let other = commit(&theirs, Txn::default().put("/a", "theirs")).await;
    assert!(other > first);
    let refused = Txn::default().put("/a", "2").expect_absent("/a");
    let outcome = soon(ours.txn(refused)).await.expect("works");
    let TxnOutcome::Conflict { revision, .. } = outcome else { panic!("{outcome:?}") };
    assert!(revision >= other);
    let reached = async {
        loop {
            let shown = watch.next().await.expect("goes on").expect("works");
            assert!(shown.events.is_empty(), "{shown:?}");
            if shown.revision >= revision {
                break;
            }
        }
    };
    // Far below any notification that etcd sends by itself.
    tokio::time::timeout(Duration::from_secs(5), reached).await.expect("it is reached");
    assert_eq!(conflict(&ours, Txn::default().put("/a", "2").expect_absent("/a")).await, "/a");
    let last = commit(&ours, Txn::default().put("/a", "3")).await;
    assert_eq!(batch(&mut watch).await.revision, last);
}

async fn stranger(etcd: &Cluster) -> EtcdStore {
    open(&format!("{}/longshore2", etcd.address())).await.expect("opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_do_not_meet() {
    let Some(etcd) = one_member().await else { return };
    let (ours, theirs) = (etcd.open().await, stranger(&etcd).await);
    commit(&ours, Txn::default().put("/a", "1").append("/log", "1")).await;
    let all = longshore_store::Range::prefix("/");
    assert!(soon(theirs.range(all)).await.expect("works").kvs.is_empty());
    let mut watch = theirs.watch("/", StoreRevision(u64::MAX >> 1));
    assert!(futures_util::FutureExt::now_or_never(watch.next()).is_none());
    commit(&theirs, Txn::default().put("/a", "2").expect_absent("/a")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_compacts_the_history_of_etcd() {
    let Some(etcd) = one_member().await else { return };
    let store = open(&format!("{}?compaction=50ms", etcd.address())).await.expect("opens");
    let first = commit(&store, Txn::default().put("/a", "1")).await;
    let mut last = commit(&store, Txn::default().put("/a", "2")).await;
    let past = format!("--rev={first}");
    while etcd.succeeds(&["get", "/longshore/kv/a", &past]).await {
        last = commit(&store, Txn::default().put("/a", "3")).await;
    }
    let mut watch = store.watch("/", last);
    let next = commit(&store, Txn::default().put("/a", "4")).await;
    assert_eq!(batch(&mut watch).await.revision, next, "what is new is still shown");
}
