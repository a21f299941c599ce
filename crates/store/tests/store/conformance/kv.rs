//! Get, range and transactions.

use std::sync::Arc;

use longshore_store::{
    Range, Retry, Store, StoreError, StoreRevision, Txn, TxnOutcome, Write, limits,
};

use crate::backend::{Backend, ID, commit, conflict, soon, text};

fn put(key: &str, value: &str) -> Txn {
    Txn::default().put(key, value.to_owned())
}

async fn keys(store: &dyn Store, range: Range) -> Vec<String> {
    let page = soon(store.range(range)).await.expect("the store works");
    page.kvs.iter().map(|kv| kv.key.to_string()).collect()
}

pub(super) async fn get_shows_value_and_revisions(b: Backend) {
    assert_eq!(b.store.id(), ID);
    assert_eq!(text(&*b.store, "/a").await, None);
    let created = commit(&*b.store, put("/a", "1")).await;
    let changed = commit(&*b.store, put("/a", "2")).await;
    assert!(changed > created);
    let kv = soon(b.store.get("/a")).await.expect("the store works").expect("it is there");
    assert_eq!((&*kv.key, &*kv.value), ("/a", b"2".as_slice()));
    assert_eq!((kv.create_revision, kv.mod_revision, kv.lease), (created, changed, None));
}

pub(super) async fn range_is_ordered_and_bounded(b: Backend) {
    for key in ["/b/2", "/b/10", "/a", "/b", "/c", "/b/é"] {
        commit(&*b.store, put(key, "")).await;
    }
    let last = commit(&*b.store, put("/b/1", "")).await;
    assert_eq!(keys(&*b.store, Range::prefix("/b/")).await, ["/b/1", "/b/10", "/b/2", "/b/é"]);
    assert_eq!(keys(&*b.store, Range::between("/b", "/b/10")).await, ["/b", "/b/1"]);
    assert_eq!(keys(&*b.store, Range::between("/b", "/a")).await, [""; 0]);
    assert_eq!(keys(&*b.store, Range::prefix("/x")).await, [""; 0]);
    let page = soon(b.store.range(Range::prefix("/"))).await.expect("the store works");
    assert_eq!((page.kvs.len(), page.revision, page.more), (7, last, false));
}

pub(super) async fn range_gives_pages(b: Backend) {
    for n in 0..7 {
        commit(&*b.store, put(&format!("/p/{n}"), "")).await;
    }
    let mut range = Range::prefix("/p/").limit(3);
    let mut seen = Vec::new();
    loop {
        let page = soon(b.store.range(range.clone())).await.expect("the store works");
        assert!(page.kvs.len() <= 3);
        seen.extend(page.kvs.iter().map(|kv| kv.key.to_string()));
        if !page.more {
            break;
        }
        range = range.after(seen.last().expect("a page with more is not empty"));
    }
    assert_eq!(seen, ["/p/0", "/p/1", "/p/2", "/p/3", "/p/4", "/p/5", "/p/6"]);
    let exact = soon(b.store.range(Range::prefix("/p/").limit(7))).await.expect("works");
    assert!(!exact.more, "a page that holds all says so");
}

pub(super) async fn compares_decide(b: Backend) {
    let s = &*b.store;
    let first = commit(s, put("/a", "1").expect_absent("/a")).await;
    assert_eq!(conflict(s, put("/a", "x").expect_absent("/a")).await, "/a");
    let second = commit(s, put("/a", "2").expect("/a", first)).await;
    assert_eq!(conflict(s, put("/a", "x").expect("/a", first)).await, "/a");
    assert_eq!(conflict(s, put("/a", "x").expect("/b", second)).await, "/b");
    commit(s, put("/b", "1").expect_exists("/a").expect("/a", second)).await;
    assert_eq!(conflict(s, put("/b", "x").expect_exists("/c")).await, "/c");
    // A delete makes it absent again.
    commit(s, Txn::default().delete("/a").expect("/a", second)).await;
    assert_eq!(conflict(s, put("/a", "x").expect_exists("/a")).await, "/a");
    commit(s, put("/a", "3").expect_absent("/a")).await;
    assert_eq!(text(s, "/a").await.as_deref(), Some("3"));
    assert_eq!(text(s, "/b").await.as_deref(), Some("1"));
}

pub(super) async fn first_failing_compare_is_named(b: Backend) {
    let s = &*b.store;
    let at = commit(s, put("/a", "1")).await;
    let txn = Txn::default().expect("/a", at).expect_exists("/z").expect_exists("/b");
    let outcome = soon(s.txn(txn)).await.expect("the store works");
    assert_eq!(outcome, TxnOutcome::Conflict { key: "/z".into(), revision: at });
}

pub(super) async fn a_conflict_writes_nothing(b: Backend) {
    let s = &*b.store;
    let before = commit(s, put("/a", "1").put("/b", "1".to_owned())).await;
    let txn = put("/a", "2").delete("/b").put("/c", "2".to_owned()).expect_absent("/b");
    assert_eq!(conflict(s, txn).await, "/b");
    let page = soon(s.range(Range::prefix("/"))).await.expect("the store works");
    assert_eq!(page.revision, before);
    let values: Vec<_> = page.kvs.iter().map(|kv| (&*kv.key, &*kv.value)).collect();
    assert_eq!(values, [("/a", b"1".as_slice()), ("/b", b"1".as_slice())]);
}

pub(super) async fn several_keys_change_at_one_revision(b: Backend) {
    let s = &*b.store;
    commit(s, put("/gone", "1")).await;
    let at = commit(s, put("/a", "1").put("/b", "1".to_owned()).delete("/gone")).await;
    let page = soon(s.range(Range::prefix("/"))).await.expect("the store works");
    let revisions: Vec<_> = page.kvs.iter().map(|kv| (&*kv.key, kv.mod_revision)).collect();
    assert_eq!(revisions, [("/a", at), ("/b", at)]);
}

pub(super) async fn a_transaction_without_change_has_no_revision_of_its_own(b: Backend) {
    let s = &*b.store;
    let at = commit(s, put("/a", "1")).await;
    assert_eq!(commit(s, Txn::default().delete("/absent")).await, at);
    assert_eq!(commit(s, Txn::default().expect("/a", at)).await, at);
    assert_eq!(commit(s, Txn::default()).await, at);
    assert_eq!(commit(s, put("/a", "1")).await, at.next(), "a put of the same is a change");
}

pub(super) async fn a_deleted_key_starts_anew(b: Backend) {
    let s = &*b.store;
    commit(s, put("/a", "1")).await;
    commit(s, Txn::default().delete("/a")).await;
    let anew = commit(s, put("/a", "2")).await;
    let kv = soon(s.get("/a")).await.expect("the store works").expect("it is there");
    assert_eq!((kv.create_revision, kv.mod_revision), (anew, anew));
}

/// Many writers add to one number by compare-and-commit; each addition counts.
pub(super) async fn no_update_is_lost(b: Backend) {
    const WRITERS: usize = 8;
    const ADDITIONS: usize = 25;
    commit(&*b.store, put("/n", "0")).await;
    let writers = (0..WRITERS).map(|_| tokio::spawn(add(b.store.clone(), ADDITIONS)));
    for writer in writers.collect::<Vec<_>>() {
        soon(writer).await.expect("a writer ends well");
    }
    let total = WRITERS * ADDITIONS;
    assert_eq!(text(&*b.store, "/n").await, Some(total.to_string()));
    let page = soon(b.store.range(Range::prefix("/"))).await.expect("the store works");
    let commits = u64::try_from(total).expect("small") + 1;
    assert_eq!(page.revision.0, b.start.0 + commits, "each commit has one revision");
}

async fn add(store: Arc<dyn Store>, times: usize) {
    for _ in 0..times {
        loop {
            let kv = store.get("/n").await.expect("works").expect("it is there");
            let n: usize = std::str::from_utf8(&kv.value).expect("text").parse().expect("number");
            let txn = put("/n", &(n + 1).to_string()).expect("/n", kv.mod_revision);
            if let TxnOutcome::Committed { .. } = store.txn(txn).await.expect("works") {
                break;
            }
        }
    }
}

pub(super) async fn limits_are_refused(b: Backend) {
    let s = &*b.store;
    let mut many = Txn::default();
    let mut many_compares = Txn::default();
    for n in 0..=limits::TXN_OPS {
        many = many.put(&format!("/k/{n}"), "");
        many_compares = many_compares.expect_absent(&format!("/k/{n}"));
    }
    let long = format!("/{}", "k".repeat(limits::KEY_BYTES));
    let refused = [
        many,
        many_compares,
        put("/a", &"v".repeat(limits::TXN_BYTES)),
        put(&long, ""),
        put("no-slash", ""),
        put("/zero\0byte", ""),
        put("/a", "").delete("/a"),
    ];
    for txn in refused {
        let error = soon(s.txn(txn)).await.expect_err("it is beyond a limit");
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
    let error = soon(s.get(&long)).await.expect_err("it is beyond a limit");
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    let page = soon(s.range(Range::prefix("/"))).await.expect("the store works");
    assert_eq!((page.kvs.len(), page.revision), (0, b.start));
}

pub(super) async fn the_largest_transaction_fits(b: Backend) {
    let s = &*b.store;
    let mut txn = Txn::default();
    for n in 0..limits::TXN_OPS {
        txn = txn.put(&format!("/k/{n:03}"), vec![7; 1024]).expect_absent(&format!("/k/{n:03}"));
    }
    commit(s, txn).await;
    // As many operations and as many bytes as there may be, one of them an append.
    let mut txn = Txn::default().append("/log", "");
    for n in 0..limits::TXN_OPS - 2 {
        txn = txn.expect_exists(&format!("/k/{n:03}")).put(&format!("/k/{n:03}"), "");
    }
    txn = txn.expect_absent("/w");
    let rest = limits::TXN_BYTES - txn.bytes();
    if let Some(Write::Append { value, .. }) = txn.writes.first_mut() {
        *value = vec![8; rest].into();
    }
    commit(s, txn).await;
    let value = vec![9; limits::TXN_BYTES - limits::OP_OVERHEAD_BYTES - "/v".len()];
    commit(s, Txn::default().put("/v", value.clone())).await;
    let kv = soon(s.get("/v")).await.expect("the store works").expect("it is there");
    assert_eq!(kv.value, value);
    assert_eq!(keys(s, Range::prefix("/k/")).await.len(), limits::TXN_OPS);
}

pub(super) async fn an_append_is_named_by_its_revision(b: Backend) {
    commit(&*b.store, put("/a", "1")).await;
    let first = commit(&*b.store, put("/a", "2").append("/log", "one")).await;
    let second = commit(&*b.store, Txn::default().append("/log", "two")).await;
    assert_eq!(second, first.next(), "an append alone is a change");
    let lost = put("/a", "3").append("/log", "lost").expect("/a", StoreRevision(1));
    assert_eq!(conflict(&*b.store, lost).await, "/a");
    let page = soon(b.store.range(Range::prefix("/log"))).await.expect("the store works");
    let found: Vec<_> = page.kvs.iter().map(|kv| (kv.key.to_string(), &*kv.value)).collect();
    let key = |revision: StoreRevision| format!("/log/{:016x}", revision.0);
    assert_eq!(found, [(key(first), b"one".as_slice()), (key(second), b"two".as_slice())]);
    assert!(page.kvs.iter().all(|kv| kv.create_revision == kv.mod_revision));
    let twice = Txn::default().append("/log", "a").append("/log", "b");
    let error = soon(b.store.txn(twice)).await.expect_err("a log is appended to once");
    assert!(error.to_string().contains("/log is twice"), "{error}");
}

/// Many append at once; the log reads the same in pieces of any size, from any place, and what is
/// deleted is gone.
pub(super) async fn a_log_of_many_writers_is_in_order(b: Backend) {
    const WRITERS: usize = 32;
    const APPENDS: usize = 50;
    let writers = (0..WRITERS).map(|writer| {
        let store = b.store.clone();
        tokio::spawn(async move {
            let mut appended = Vec::new();
            for n in 0..APPENDS {
                let value = format!("{writer}-{n}");
                // Not every transaction appends.
                commit(&*store, put(&format!("/k/{writer}"), "")).await;
                let at = commit(&*store, Txn::default().append("/a/log", value.clone())).await;
                appended.push((at, value));
            }
            appended
        })
    });
    let mut expected = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        expected.extend(soon(writer).await.expect("a writer ends well"));
    }
    expected.sort_unstable();
    let s = &*b.store;
    for page in [7, 1000, 10_000] {
        assert_eq!(log_pages(s, Range::prefix("/a/log/"), page).await, expected);
    }
    let name = |at: StoreRevision| format!("/a/log/{:016x}", at.0);
    for from in [0, 1, 500, 1030, expected.len() - 1] {
        let (at, value) = &expected[from];
        let rest = Range::between(&name(*at), "/a/log/g");
        assert_eq!(log_pages(s, rest.clone().limit(3), 3).await, expected[from..]);
        let kv = soon(s.get(&name(*at))).await.expect("works").expect("it is there");
        assert_eq!((kv.mod_revision, &*kv.value), (*at, value.as_bytes()));
        let after = log_pages(s, rest.after(&name(*at)), 10_000).await;
        assert_eq!(after, expected[from + 1..]);
    }
    let mut txn = Txn::default().expect(&name(expected[5].0), expected[5].0);
    for (at, _) in &expected[..100] {
        txn = txn.delete(&name(*at));
    }
    commit(s, txn.clone()).await;
    assert_eq!(log_pages(s, Range::prefix("/a/log/"), 1000).await, expected[100..]);
    assert_eq!(conflict(s, txn).await, name(expected[5].0));
}

/// What a range holds, read in pages.
async fn log_pages(store: &dyn Store, range: Range, limit: usize) -> Vec<(StoreRevision, String)> {
    let mut range = range.limit(limit);
    let mut found = Vec::new();
    loop {
        let page = soon(store.range(range.clone())).await.expect("the store works");
        assert!(page.kvs.len() <= limit);
        for kv in &page.kvs {
            assert_eq!(*kv.key, format!("/a/log/{:016x}", kv.create_revision.0));
            let value = String::from_utf8(kv.value.to_vec()).expect("text");
            found.push((kv.mod_revision, value));
        }
        match page.kvs.last().filter(|_| page.more) {
            Some(last) => range = range.after(&last.key),
            None => return found,
        }
    }
}
