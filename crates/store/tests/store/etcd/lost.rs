//! Answers and requests that are lost on the way. Whoever asked learns the truth, or that nobody
//! knows; never that nothing happened when it did.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use longshore_store::{
    EtcdStore, Leadership, Range, Retry, Store, StoreError, StoreRevision, Txn, TxnOutcome,
};

use super::cluster::{Cluster, Recipe, open};
use super::proxy::{Proxy, Weather};
use crate::backend::{commit, soon, text};

/// So large that its bytes can be told from those of anything else.
const LARGE: usize = 50_000;

struct Bed {
    _etcd: Cluster,
    proxy: Proxy,
    /// Behind the proxy.
    store: Arc<EtcdStore>,
    /// Not behind it.
    witness: EtcdStore,
}

async fn bed() -> Option<Bed> {
    let etcd = Cluster::start(Recipe { members: 1, ..Recipe::default() }).await?;
    let proxy = Proxy::start(etcd.port(0)).await;
    let store = Arc::new(open(&proxy.address).await.expect("opens"));
    let witness = etcd.open().await;
    Some(Bed { _etcd: etcd, proxy, store, witness })
}

type Outcome = Result<TxnOutcome, StoreError>;

impl Bed {
    fn send(&self, txn: Txn) -> BoxFuture<'static, Outcome> {
        let store = Arc::clone(&self.store);
        let sent = tokio::spawn(async move { store.txn(txn).await });
        Box::pin(async move { soon(sent).await.expect("no panic") })
    }

    /// The outcome of a transaction whose first answer is lost. It puts `/large`.
    async fn without_answer(&self, txn: Txn) -> Outcome {
        self.proxy.turn(Weather::LosesAnswers);
        let mut watch = self.witness.watch("/large", self.now().await);
        let outcome = self.send(txn.put("/large", vec![b'x'; LARGE]));
        crate::backend::batch(&mut watch).await;
        self.proxy.turn(Weather::Fair);
        outcome.await
    }

    /// The outcome of a transaction whose first request is lost.
    async fn without_request(&self, txn: Txn) -> Outcome {
        // On a connection that stands: of one that is only being made other bytes would be lost.
        soon(async { while self.store.get("/a").await.is_err() {} }).await;
        self.proxy.turn(Weather::LosesRequests);
        let outcome = self.send(txn.put("/large", vec![b'x'; LARGE]));
        soon(self.proxy.has_lost(LARGE)).await;
        self.proxy.turn(Weather::Fair);
        outcome.await
    }

    async fn now(&self) -> StoreRevision {
        let page = soon(self.witness.range(Range::prefix("/").limit(1))).await;
        page.expect("the store works").revision
    }

    /// Revisions of all that was appended.
    async fn log(&self) -> Vec<StoreRevision> {
        let page = soon(self.witness.range(Range::prefix("/log/"))).await.expect("works");
        page.kvs.iter().map(|kv| kv.mod_revision).collect()
    }
}

fn uncertain(outcome: Outcome) {
    let error = outcome.expect_err("nobody knows");
    assert!(matches!(error, StoreError::Uncertain { .. }), "{error:?}");
    assert_eq!(error.retry(), Retry::AfterReading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_is_known_to_have_happened_once() {
    let Some(bed) = bed().await else { return };
    let mut expected = Vec::new();
    for loss in 0..4 {
        let txn = Txn::default().put("/a", loss.to_string()).append("/log", loss.to_string());
        let outcome = match loss % 2 {
            0 => bed.without_answer(txn).await,
            _ => bed.without_request(txn).await,
        };
        let Ok(TxnOutcome::Committed { revision }) = outcome else { panic!("{outcome:?}") };
        expected.push(revision);
        assert_eq!(bed.log().await, expected);
    }
    // A conflict is a conflict, however often it was sent.
    let txn = Txn::default().append("/log", "x").expect_absent("/a");
    let outcome = bed.without_request(txn).await;
    assert!(matches!(outcome, Ok(TxnOutcome::Conflict { .. })), "{outcome:?}");
    assert_eq!(bed.log().await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_plain_write_nobody_knows() {
    let Some(bed) = bed().await else { return };
    uncertain(bed.without_answer(Txn::default().put("/a", "1")).await);
    assert_eq!(text(&bed.witness, "/a").await.as_deref(), Some("1"), "it happened");
    uncertain(bed.without_request(Txn::default().put("/a", "2")).await);
    assert_eq!(text(&bed.witness, "/a").await.as_deref(), Some("1"), "it did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_happen_twice_is_sent_again() {
    let Some(bed) = bed().await else { return };
    let at = commit(&bed.witness, Txn::default().put("/a", "1")).await;
    let change = |value: &str, at| Txn::default().put("/a", value.to_owned()).expect("/a", at);
    let outcome = bed.without_request(change("2", at)).await;
    let Ok(TxnOutcome::Committed { revision }) = outcome else { panic!("{outcome:?}") };
    // It meets itself, and cannot tell itself from another.
    uncertain(bed.without_answer(change("3", revision)).await);
    assert_eq!(text(&bed.witness, "/a").await.as_deref(), Some("3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_is_known_by_its_lease() {
    let Some(bed) = bed().await else { return };
    let office = Leadership::new(bed.store.clone(), "o", "one", Duration::from_secs(60));
    let mut watch = bed.witness.watch("/longshore/leadership/", bed.now().await);
    let lease = soon(bed.store.grant_lease(Duration::from_secs(60))).await.expect("grants");
    let key = "/longshore/leadership/o";
    let take = Txn::default().expect_absent(key).put_leased(key, "one", lease.id);
    bed.proxy.turn(Weather::LosesAnswers);
    let outcome = bed.send(take);
    let shown = crate::backend::batch(&mut watch).await;
    bed.proxy.turn(Weather::Fair);
    let outcome = outcome.await;
    let Ok(TxnOutcome::Committed { revision }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(revision, shown.revision);
    assert!(soon(office.try_acquire()).await.expect("works").is_none(), "it is taken");
}
