use longshore_domain::record::{Seen, Target};
use longshore_domain::route::{Health, HealthState};
use longshore_store::{RecordTxn, TxnOutcome};

use super::*;
use crate::test_server::server;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

async fn commit(server: &crate::Server, txn: RecordTxn) {
    let outcome = server.commit(txn).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }));
}

async fn enter(server: &crate::Server, me: u64, report: &Report, now: Timestamp) -> bool {
    let mut txn = RecordTxn::new();
    nodes::enter(&server.state.view(), &mut txn, me, report, now);
    let writes = !txn.is_empty();
    if writes {
        commit(server, txn).await;
    }
    writes
}

#[tokio::test]
async fn a_node_is_known_until_its_server_hears_nothing_of_it_for_long() {
    let server = server().await;
    let balancers = Balancers::default();
    let report = Report { node: 7, ..Report::default() };
    balancers.heard(&report, at(0));
    assert!(enter(&server, 1, &report, at(0)).await);
    assert!(!enter(&server, 1, &report, at(10)).await, "a sign of life writes nothing");
    assert_eq!(present(&server.state.view()), ["7".to_owned()].into());
    let view = server.state.view();
    assert!(nodes::forget_silent(&view, &balancers, 1, at(35)).is_empty());
    assert!(nodes::forget_silent(&view, &balancers, 2, at(900)).is_empty(), "another one's");
    let txn = nodes::forget_silent(&view, &balancers, 1, at(36));
    commit(&server, txn).await;
    assert!(present(&server.state.view()).is_empty());
}

#[tokio::test]
async fn a_node_that_goes_to_another_server_is_that_ones() {
    let server = server().await;
    let mut report = Report { node: 7, ..Report::default() };
    enter(&server, 1, &report, at(0)).await;
    assert!(enter(&server, 2, &report, at(5)).await);
    let listener = crate::test_records::listener();
    let arn = listener.arn();
    let mut txn = RecordTxn::new();
    txn.insert(&listener);
    commit(&server, txn).await;
    report.failed_listeners.push((arn.clone(), "the port is taken".repeat(100)));
    assert!(enter(&server, 2, &report, at(9)).await, "what it cannot open is news");
    report.failed_listeners.push(("arn".into(), "there is no such listener".into()));
    assert!(!enter(&server, 2, &report, at(9)).await, "of what there is not nothing is kept");
    let view = server.state.view();
    let row = view.balancer_nodes.iter().next().expect("a node");
    assert_eq!((row.server, row.since, row.failed_listeners.len()), (2, at(5), 1));
    assert_eq!(row.failed_listeners[&arn].len(), 400, "reasons are short");
}

#[tokio::test]
async fn a_snapshot_is_made_once_for_all_who_ask() {
    let server = server().await;
    let first = server.balancers.snapshot(&server.state.view());
    let report = Report { node: 7, ..Report::default() };
    enter(&server, 1, &report, at(0)).await;
    let again = server.balancers.snapshot(&server.state.view());
    assert!(Arc::ptr_eq(&first, &again), "nothing has changed that it is made of");
}

#[test]
fn a_target_is_idle_when_every_node_has_said_so() {
    let seen = |state, in_flight| {
        let health = Health { state, reason: None, description: None, since: at(1) };
        Seen { health, in_flight, probe: None }
    };
    let mut target = Target {
        scope: crate::test_records::scope(),
        group: longshore_domain::ids::ElbId::new(1),
        id: "i-1".into(),
        port: 80,
        zone: None,
        task: None,
        registered_at: at(0),
        deregistered_at: Some(at(1)),
        seen: BTreeMap::from([("1".into(), seen(HealthState::Draining, 0))]),
    };
    let [one, two] = ["1", "2"].map(str::to_owned);
    assert!(is_idle(&target, &[one.clone()].into()));
    let both = [one, two.clone()].into();
    assert!(!is_idle(&target, &both), "one has not said anything of it");
    target.seen.insert(two.clone(), seen(HealthState::Healthy, 0));
    assert!(!is_idle(&target, &both), "one does not know");
    target.seen.insert(two.clone(), seen(HealthState::Draining, 1));
    assert!(!is_idle(&target, &both), "something is under way");
    let left = without_gone(&target, &["1".to_owned()].into()).expect("one is gone");
    assert!(is_idle(&left, &["1".to_owned()].into()), "nobody waits for it");
    assert_eq!(without_gone(&left, &["1".to_owned()].into()), None);
}
