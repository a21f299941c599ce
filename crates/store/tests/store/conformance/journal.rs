//! The journal.

use std::cell::Cell;

use longshore_domain::record::{RolloutState, Service, Task, TaskStatus};
use longshore_domain::time::Timestamp;
use longshore_store::{
    Change, Entry, Journal, Record, RecordTxn, Sequence, State, StoreRevision, TxnOutcome,
};

use crate::backend::{Backend, soon};
use crate::sample;

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(1000) };
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW.get())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

async fn open(b: &Backend) -> State {
    NOW.set(1000);
    soon(State::open(b.store.clone())).await.expect("opens").with_journal(now)
}

/// Commits at a time.
async fn commit(state: &State, millis: i64, txn: &RecordTxn) -> StoreRevision {
    NOW.set(millis);
    match soon(state.commit(txn.clone())).await.expect("the store works") {
        TxnOutcome::Committed { revision } => revision,
        TxnOutcome::Conflict { key, .. } => panic!("unexpected conflict at {key}"),
    }
}

async fn entries(journal: &Journal, after: Sequence) -> Vec<Entry> {
    let page = soon(journal.read(after, 100)).await.expect("the store works");
    assert!(!page.more);
    page.entries
}

fn name(change: &Change) -> String {
    match change {
        Change::Task(task) => {
            format!("task {:x} {}", task.id.bits(), task.observed.status.as_str())
        }
        Change::ContainerInstance(instance) => format!("instance {:x}", instance.id.bits()),
        Change::Service(service) => format!("service {}", service.desired_count),
        Change::ServiceDeployment(deployment) => {
            format!("deployment {}", deployment.status.as_str())
        }
        Change::ServiceEvent(event) => format!("event {:x}", event.id.bits()),
        Change::DeploymentStep(step) => {
            format!("step {} {}", step.deployment, step.rollout.as_str())
        }
        Change::HookStep(step) => format!("hook {} {}", step.hook, step.state.as_str()),
        Change::Refused(refused) => format!("refused {}", refused.group),
        Change::Gone { kind, .. } => format!("{} gone", kind.as_str()),
    }
}

fn task(id: u128, status: TaskStatus, version: u64) -> Task {
    let mut task = sample::task(id);
    task.observed.status = status;
    task.version = version;
    task
}

fn service(desired_count: u32, rollout: RolloutState) -> Service {
    let mut service = sample::service();
    service.desired_count = desired_count;
    service.deployments.truncate(1);
    for (number, deployment) in (7..).zip(&mut service.deployments) {
        (deployment.id, deployment.rollout) = (number, rollout);
    }
    service
}

pub(super) async fn tells_what_was_committed_in_order(b: Backend) {
    let state = open(&b).await;
    let journal = state.journal();
    let mut txn = RecordTxn::new();
    txn.insert(&task(1, TaskStatus::Pending, 1));
    txn.insert(&sample::cluster());
    txn.insert(&service(1, RolloutState::InProgress));
    let first = commit(&state, 2000, &txn).await;
    let row = state.view().tasks.iter().next().expect("a task").clone();
    commit(&state, 3000, RecordTxn::new().update(&row, &task(1, TaskStatus::Running, 2))).await;
    // What nobody is told of leaves no trace, even together with what somebody is.
    let row = state.view().tasks.iter().next().expect("a task").clone();
    let counted = Task { failure_counted: !row.failure_counted, ..row.record.clone() };
    let mut txn = RecordTxn::new();
    txn.update(&row, &counted).put(&sample::service_event(1, 9));
    let row = state.view().services.iter().next().expect("a service").clone();
    txn.update(&row, &service(1, RolloutState::Completed));
    commit(&state, 4000, &txn).await;

    let all = entries(&journal, Sequence::ZERO).await;
    let told: Vec<_> = all.iter().map(|e| (e.at.as_millis(), name(&e.change))).collect();
    let told: Vec<_> = told.iter().map(|(at, name)| (*at, name.as_str())).collect();
    assert_eq!(
        told,
        [
            (2000, "task 1 PENDING"),
            (2000, "service 1"),
            (2000, "step 7 IN_PROGRESS"),
            (3000, "task 1 RUNNING"),
            (4000, "event 9"),
            (4000, "service 1"),
            (4000, "step 7 COMPLETED"),
        ]
    );
    assert!(all.is_sorted_by_key(|entry| entry.sequence));
    assert_eq!(all[0].sequence.revision(), first);
    assert_eq!(all[0].change, Change::Task(Box::new(task(1, TaskStatus::Pending, 1))));
    // Every place is one to go on from.
    for (read, entry) in all.iter().enumerate() {
        let rest = entries(&journal, entry.sequence).await;
        assert_eq!(rest, all[read + 1..]);
        let number: Sequence = entry.sequence.to_string().parse().expect("a number");
        assert_eq!(number, entry.sequence);
    }
    let page = soon(journal.read(Sequence::ZERO, 1)).await.expect("works");
    assert!(page.more);
    assert_eq!(page.entries, all[..3]);
    assert_eq!(entries(&journal, page.reached).await, all[3..]);
}

pub(super) async fn a_conflict_tells_nothing(b: Backend) {
    let state = open(&b).await;
    commit(&state, 1000, RecordTxn::new().insert(&task(1, TaskStatus::Pending, 1))).await;
    let mut again = RecordTxn::new();
    again.insert(&task(1, TaskStatus::Pending, 1));
    let outcome = soon(state.commit(again)).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Conflict { .. }));
    assert_eq!(entries(&state.journal(), Sequence::ZERO).await.len(), 1);
}

/// Tasks (with their status) and desired counts at a time.
async fn moment(journal: &Journal, millis: i64) -> Vec<String> {
    let moment = soon(journal.at(at(millis))).await.expect("the store works");
    let tasks = moment.tasks().map(|t| name(&Change::Task(Box::new(t.clone()))));
    let services = moment.services().map(|s| format!("service {}", s.desired_count));
    tasks.chain(services).collect()
}

async fn history(state: &State) {
    commit(state, 1000, RecordTxn::new().insert(&task(1, TaskStatus::Pending, 1))).await;
    commit(state, 2000, RecordTxn::new().insert(&service(3, RolloutState::InProgress))).await;
    commit(state, 3000, RecordTxn::new().put(&task(1, TaskStatus::Running, 2))).await;
    commit(state, 3000, RecordTxn::new().insert(&task(2, TaskStatus::Running, 1))).await;
    commit(state, 4000, RecordTxn::new().put(&task(1, TaskStatus::Stopped, 3))).await;
    commit(state, 5000, RecordTxn::new().delete::<Task>(&task(2, TaskStatus::Running, 1).key()))
        .await;
}

pub(super) async fn knows_the_records_at_a_time(b: Backend) {
    let state = open(&b).await;
    let journal = state.journal();
    assert_eq!(soon(journal.begins()).await.expect("works"), None);
    assert_eq!(moment(&journal, 1000).await, [""; 0]);
    history(&state).await;
    assert_eq!(soon(journal.begins()).await.expect("works"), Some(at(1000)));
    assert_eq!(moment(&journal, 999).await, [""; 0]);
    assert_eq!(moment(&journal, 1000).await, ["task 1 PENDING"]);
    assert_eq!(moment(&journal, 2999).await, ["task 1 PENDING", "service 3"]);
    let third = ["task 1 RUNNING", "task 2 RUNNING", "service 3"];
    assert_eq!(moment(&journal, 3000).await, third);
    assert_eq!(moment(&journal, 4000).await, ["task 2 RUNNING", "service 3"]);
    assert_eq!(moment(&journal, 9000).await, ["service 3"]);
    // The place to read from for what happened since.
    let since = soon(journal.before(at(3000))).await.expect("works");
    let told = entries(&journal, since).await;
    assert_eq!(told.first().map(|e| name(&e.change)).as_deref(), Some("task 1 RUNNING"));
    let end = soon(journal.before(at(60_000))).await.expect("works");
    assert_eq!(entries(&journal, end).await, []);
}

pub(super) async fn forgets_without_losing_what_lives(b: Backend) {
    let state = open(&b).await;
    let journal = state.journal();
    history(&state).await;
    let kept = StoreRevision::ZERO;
    assert!(!soon(journal.forget(at(1000), kept)).await.expect("works"), "nothing is that old");
    assert_eq!(soon(journal.begins()).await.expect("works"), Some(at(1000)));
    assert!(!soon(journal.forget(at(3500), kept)).await.expect("works"));
    assert_eq!(soon(journal.begins()).await.expect("works"), Some(at(3000)));
    let third = ["task 1 RUNNING", "task 2 RUNNING", "service 3"];
    assert_eq!(moment(&journal, 3999).await, third);
    assert_eq!(moment(&journal, 4000).await, ["task 2 RUNNING", "service 3"]);
    // Too many revisions count like too many days.
    let newest = state.view().revision;
    assert!(!soon(journal.forget(at(0), newest.next())).await.expect("works"));
    assert_eq!(soon(journal.begins()).await.expect("works"), Some(at(5000)));
    assert_eq!(entries(&journal, Sequence::ZERO).await, []);
    assert_eq!(moment(&journal, 9000).await, ["service 3"]);
    // Again: nothing is left to do.
    assert!(!soon(journal.forget(at(9000), kept)).await.expect("works"));
    assert_eq!(moment(&journal, 9000).await, ["service 3"]);
}

pub(super) async fn is_no_part_of_the_view(b: Backend) {
    let state = open(&b).await;
    history(&state).await;
    let again = soon(State::open(b.store.clone())).await.expect("opens");
    assert_eq!(again.view().tasks.len(), 1);
    assert_eq!(again.view().services.len(), 1);
    // Without a clock nothing is told.
    let before = entries(&state.journal(), Sequence::ZERO).await.len();
    let txn = RecordTxn::new().insert(&task(5, TaskStatus::Running, 1)).clone();
    let outcome = soon(again.commit(txn)).await.expect("works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }));
    assert_eq!(entries(&state.journal(), Sequence::ZERO).await.len(), before);
}
