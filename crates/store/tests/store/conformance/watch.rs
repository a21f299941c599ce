//! Watches.

use futures_util::StreamExt;
use longshore_store::{Batch, Event, Retry, StoreError, StoreRevision, Txn};

use crate::backend::{Backend, SHORT, batch, commit, next, soon};

/// A batch as text: `+key=value` and `-key`.
fn show(batch: &Batch) -> Vec<String> {
    let show = |event: &Event| match event {
        Event::Put(kv) => format!("+{}={}", kv.key, String::from_utf8_lossy(&kv.value)),
        Event::Delete { key, .. } => format!("-{key}"),
    };
    for event in batch.events.iter() {
        assert_eq!(event.revision(), batch.revision);
    }
    batch.events.iter().map(show).collect()
}

pub(super) async fn gives_batches_in_order(b: Backend) {
    let mut watch = b.store.watch("/", b.start);
    let first = commit(&*b.store, Txn::default().put("/a", "1").put("/b", "2")).await;
    let second = commit(&*b.store, Txn::default().delete("/a").put("/b", "3")).await;
    let one = batch(&mut watch).await;
    assert_eq!((one.revision, show(&one)), (first, vec!["+/a=1".into(), "+/b=2".into()]));
    let two = batch(&mut watch).await;
    assert_eq!((two.revision, show(&two)), (second, vec!["-/a".into(), "+/b=3".into()]));
}

pub(super) async fn starts_in_the_past(b: Backend) {
    commit(&*b.store, Txn::default().put("/a", "1")).await;
    let read = commit(&*b.store, Txn::default().put("/a", "2")).await;
    commit(&*b.store, Txn::default().put("/a", "3")).await;
    let mut watch = b.store.watch("/", read);
    assert_eq!(show(&batch(&mut watch).await), ["+/a=3"]);
}

pub(super) async fn starts_in_the_future(b: Backend) {
    let now = commit(&*b.store, Txn::default().put("/a", "1")).await;
    let mut watch = b.store.watch("/", now.next());
    commit(&*b.store, Txn::default().put("/a", "2")).await;
    commit(&*b.store, Txn::default().put("/a", "3")).await;
    assert_eq!(show(&batch(&mut watch).await), ["+/a=3"]);
}

pub(super) async fn shows_only_its_prefix_and_how_far_it_is(b: Backend) {
    let mut watch = b.store.watch("/a/", b.start);
    commit(&*b.store, Txn::default().put("/a/1", "x").put("/b/1", "y")).await;
    assert_eq!(show(&batch(&mut watch).await), ["+/a/1=x"]);
    let other = commit(&*b.store, Txn::default().put("/b/1", "z")).await;
    let progress = next(&mut watch).await.expect("the watch goes on");
    assert_eq!((progress.revision, progress.events.len()), (other, 0));
    commit(&*b.store, Txn::default().put("/a", "no slash")).await;
    commit(&*b.store, Txn::default().delete("/a/1")).await;
    assert_eq!(show(&batch(&mut watch).await), ["-/a/1"]);
}

pub(super) async fn compaction_ends_it(b: Backend) {
    let read = commit(&*b.store, Txn::default().put("/a", "1")).await;
    commit(&*b.store, Txn::default().put("/a", "2")).await;
    let compacted = commit(&*b.store, Txn::default().put("/a", "2")).await;
    let last = commit(&*b.store, Txn::default().put("/a", "3")).await;
    soon(b.store.compact(compacted)).await.expect("compacts");
    let mut late = b.store.watch("/", read);
    let error = next(&mut late).await.expect_err("its history is gone");
    assert!(matches!(error, StoreError::Compacted { after, .. } if after == read), "{error}");
    assert_eq!(error.retry(), Retry::AfterReading);
    assert!(soon(late.next()).await.is_none(), "a watch ends after its error");
    let mut in_time = b.store.watch("/", compacted);
    assert_eq!(batch(&mut in_time).await.revision, last);
}

pub(super) async fn a_slow_watcher_is_told(b: Backend) {
    let mut watch = b.store.watch("/", b.start);
    commit(&*b.store, Txn::default().put("/a", "0")).await;
    assert_eq!(show(&batch(&mut watch).await), ["+/a=0"]);
    // Nobody reads the watch while more happens than the history keeps.
    let mut before = b.start;
    let mut last = before;
    for n in 0..=SHORT.batches {
        (before, last) = (last, commit(&*b.store, Txn::default().put("/a", n.to_string())).await);
    }
    // All of it has happened for other watches, too.
    assert_eq!(batch(&mut b.store.watch("/", before)).await.revision, last);
    let error = next(&mut watch).await.expect_err("it was left behind");
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
    // Few but large changes leave it behind as well.
    let read = commit(&*b.store, Txn::default().put("/a", "small")).await;
    commit(&*b.store, Txn::default().put("/b", vec![b'x'; SHORT.bytes + 1])).await;
    let error = next(&mut b.store.watch("/", read)).await.expect_err("it was left behind");
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
}

pub(super) async fn a_dropped_store_ends_it(b: Backend) {
    let mut watch = b.store.watch("/", b.start);
    commit(&*b.store, Txn::default().put("/a", "1")).await;
    drop(b);
    assert_eq!(show(&batch(&mut watch).await), ["+/a=1"], "what happened is still shown");
    let error = next(&mut watch).await.expect_err("nothing more can happen");
    assert!(matches!(error, StoreError::Closed), "{error}");
}

pub(super) async fn concurrent_commits_are_all_shown_once(b: Backend) {
    const WRITERS: u64 = 4;
    const COMMITS: u64 = 20;
    let (store, start) = (b.store.clone(), b.start);
    let reader = tokio::spawn(async move {
        let mut shown = Vec::new();
        let mut after = start;
        let mut watch = store.watch("/", after);
        while after.0 < start.0 + WRITERS * COMMITS {
            // The short history may leave the reader behind; then it goes on from the list.
            match next(&mut watch).await {
                Ok(batch) => {
                    assert_eq!(batch.revision, after.next(), "no revision is left out");
                    shown.push(batch.revision);
                    after = batch.revision;
                }
                Err(StoreError::Compacted { compacted, .. }) => {
                    after = compacted;
                    watch = store.watch("/", after);
                }
                Err(error) => panic!("{error}"),
            }
        }
        shown
    });
    let writers = (0..WRITERS).map(|writer| {
        let store = b.store.clone();
        tokio::spawn(async move {
            let mut revisions = Vec::new();
            for n in 0..COMMITS {
                let txn = Txn::default().put(&format!("/{writer}/{n}"), "v");
                revisions.push(commit(&*store, txn).await);
            }
            revisions
        })
    });
    let mut committed = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        let revisions = soon(writer).await.expect("a writer ends well");
        assert!(revisions.is_sorted(), "a writer's commits are in its order");
        committed.extend(revisions);
    }
    committed.sort_unstable();
    let all: Vec<_> = (1..=WRITERS * COMMITS).map(|n| StoreRevision(start.0 + n)).collect();
    assert_eq!(committed, all, "each commit has a revision of its own");
    let shown = soon(reader).await.expect("the reader ends well");
    assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "nothing is shown twice");
}
