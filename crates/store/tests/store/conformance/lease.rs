//! Leases and leadership.

use std::time::Duration;

use longshore_store::{Event, Leadership, Retry, StoreError, Txn, TxnOutcome, limits};

use crate::backend::{Backend, batch, commit, soon, text};

/// So short that it ends while a test waits for its end.
const BRIEF: Duration = Duration::from_millis(50);
/// So long that no test sees its end.
const LONG: Duration = Duration::from_secs(600);

fn deleted(batch: &longshore_store::Batch) -> Vec<&str> {
    let key = |event: &Event| matches!(event, Event::Delete { .. });
    batch.events.iter().filter(|event| key(event)).map(|event| &**event.key()).collect()
}

pub(super) async fn an_expired_lease_removes_its_keys(b: Backend) {
    let s = &*b.store;
    let lease = soon(s.grant_lease(BRIEF)).await.expect("grants");
    assert!(lease.ttl >= BRIEF);
    let txn = Txn::default().put_leased("/a", "1", lease.id).put_leased("/b", "1", lease.id);
    let at = commit(s, txn.put("/c", "1")).await;
    let mut watch = s.watch("/", at);
    assert_eq!(deleted(&batch(&mut watch).await), ["/a", "/b"]);
    assert_eq!(text(s, "/a").await, None);
    assert_eq!(text(s, "/c").await.as_deref(), Some("1"));
    let late = soon(s.keep_alive(lease.id)).await.expect_err("it has ended");
    assert!(matches!(late, StoreError::LeaseNotFound(id) if id == lease.id), "{late}");
    assert_eq!(late.retry(), Retry::Never);
}

pub(super) async fn a_revoked_lease_removes_its_keys_at_once(b: Backend) {
    let s = &*b.store;
    let lease = soon(s.grant_lease(LONG)).await.expect("grants");
    soon(s.keep_alive(lease.id)).await.expect("it lives");
    let at = commit(s, Txn::default().put_leased("/a", "1", lease.id)).await;
    let kv = soon(s.get("/a")).await.expect("the store works").expect("it is there");
    assert_eq!(kv.lease, Some(lease.id));
    soon(s.revoke_lease(lease.id)).await.expect("revokes");
    assert_eq!(text(s, "/a").await, None);
    let shown = batch(&mut s.watch("/", at)).await;
    assert_eq!((shown.revision, deleted(&shown)), (at.next(), vec!["/a"]));
    let again = soon(s.revoke_lease(lease.id)).await.expect_err("it has ended");
    assert!(matches!(again, StoreError::LeaseNotFound(_)), "{again}");
}

pub(super) async fn a_put_without_lease_detaches(b: Backend) {
    let s = &*b.store;
    let one = soon(s.grant_lease(LONG)).await.expect("grants");
    let two = soon(s.grant_lease(LONG)).await.expect("grants");
    let txn = Txn::default().put_leased("/kept", "1", one.id).put_leased("/moved", "1", one.id);
    commit(s, txn).await;
    commit(s, Txn::default().put("/kept", "2").put_leased("/moved", "2", two.id)).await;
    soon(s.revoke_lease(one.id)).await.expect("revokes");
    assert_eq!(text(s, "/kept").await.as_deref(), Some("2"));
    assert_eq!(text(s, "/moved").await.as_deref(), Some("2"));
    soon(s.revoke_lease(two.id)).await.expect("revokes");
    assert_eq!(text(s, "/moved").await, None);
}

pub(super) async fn an_unknown_lease_is_refused(b: Backend) {
    let s = &*b.store;
    let lease = soon(s.grant_lease(LONG)).await.expect("grants");
    soon(s.revoke_lease(lease.id)).await.expect("revokes");
    let txn = Txn::default().put("/a", "1").put_leased("/b", "1", lease.id);
    let error = soon(s.txn(txn)).await.expect_err("the lease has ended");
    assert!(matches!(error, StoreError::LeaseNotFound(_)), "{error}");
    assert_eq!(text(s, "/a").await, None, "nothing of the transaction happened");
}

pub(super) async fn times_to_live_have_limits(b: Backend) {
    for ttl in [Duration::ZERO, limits::LEASE_TTL_MAX + Duration::from_secs(1)] {
        let error = soon(b.store.grant_lease(ttl)).await.expect_err("it is beyond a limit");
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
    }
}

fn office(b: &Backend, holder: &str, ttl: Duration) -> Leadership {
    Leadership::new(b.store.clone(), "controllers", holder, ttl)
}

pub(super) async fn one_process_leads(b: Backend) {
    let (one, two) = (office(&b, "one", LONG), office(&b, "two", LONG));
    assert_eq!(soon(one.holder()).await.expect("works"), None);
    let leader = soon(one.try_acquire()).await.expect("works").expect("nobody held it");
    assert!(soon(two.try_acquire()).await.expect("works").is_none());
    assert_eq!(soon(two.holder()).await.expect("works").as_deref(), Some("one"));
    soon(leader.renew()).await.expect("it still leads");
    let next = tokio::spawn(async move { two.acquire().await });
    soon(leader.release()).await.expect("it still led");
    let next = soon(next).await.expect("no panic").expect("works");
    assert_eq!(soon(one.holder()).await.expect("works").as_deref(), Some("two"));
    soon(next.renew()).await.expect("it leads");
}

pub(super) async fn a_late_leader_is_fenced(b: Backend) {
    let one = soon(office(&b, "one", LONG).acquire()).await.expect("works");
    let guarded = |fence| {
        let mut txn = Txn::default().put("/decision", "made");
        txn.compares.push(fence);
        txn
    };
    let late = one.fence();
    commit(&*b.store, guarded(one.fence())).await;
    soon(one.release()).await.expect("it led");
    let _two = soon(office(&b, "two", LONG).acquire()).await.expect("works");
    // The first one does not know yet that it leads no more.
    let outcome = soon(b.store.txn(guarded(late))).await.expect("works");
    let TxnOutcome::Conflict { key, .. } = outcome else { panic!("the fence did not hold") };
    assert_eq!(&*key, "/longshore/leadership/controllers");
}

pub(super) async fn leadership_passes_on_expiry(b: Backend) {
    let dead = soon(office(&b, "dead", BRIEF).acquire()).await.expect("works");
    let next = soon(office(&b, "next", LONG).acquire()).await.expect("works");
    let error = soon(dead.renew()).await.expect_err("it leads no more");
    assert!(matches!(error, StoreError::LeaseNotFound(_)), "{error}");
    assert_ne!(dead.fence(), next.fence());
}
