//! The view and the state that follows a store.

mod interfering;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use longshore_domain::ids::InstanceId;
use longshore_domain::record::{
    Cluster, ContainerInstance, DesiredStatus, PortClaim, Protocol, Task, TaskStatus,
};
use longshore_store::tables::{ClusterKey, ServiceEventKey, TaskDefinitionKey, TaskIndex, TaskKey};
use longshore_store::{
    KeyPrefix, Kind, MemoryStore, Record, RecordTxn, Retry, State, StateError, StoreError, StoreId,
    StoreRevision, Table, Txn, TxnOutcome,
};
use proptest::prelude::*;

use self::interfering::Interfering;
use crate::backend::{SHORT, commit as raw_commit, soon};
use crate::sample;

async fn open() -> State {
    let store = Arc::new(MemoryStore::new(StoreId(1), SHORT));
    soon(State::open(store)).await.expect("opens")
}

async fn commit(state: &State, txn: &RecordTxn) -> StoreRevision {
    match soon(state.commit(txn.clone())).await.expect("the store works") {
        TxnOutcome::Committed { revision } => revision,
        TxnOutcome::Conflict { key, .. } => panic!("unexpected conflict at {key}"),
    }
}

fn puts<R: Record>(records: impl IntoIterator<Item = R>) -> RecordTxn {
    let mut txn = RecordTxn::new();
    for record in records {
        txn.put(&record);
    }
    txn
}

fn ids<'a>(tasks: impl Iterator<Item = &'a Arc<longshore_store::Row<Task>>>) -> Vec<String> {
    tasks.map(|task| task.id.to_string().trim_start_matches('0').to_owned()).collect()
}

#[tokio::test]
async fn a_commit_is_read_at_once() {
    let state = open().await;
    let cluster = sample::cluster();
    let before = state.view();
    let mut txn = RecordTxn::new();
    let revision = commit(&state, txn.insert(&cluster)).await;
    let view = state.view();
    assert_eq!(view.revision, revision);
    let row = view.clusters.get(&cluster.key()).expect("it is there");
    assert_eq!((&row.record, row.mod_revision), (&cluster, revision));
    assert!(before.clusters.is_empty(), "an old view does not change");
}

#[tokio::test]
async fn a_conflict_shows_what_was_in_the_way() {
    let state = open().await;
    let cluster = sample::cluster();
    commit(&state, &puts([cluster.clone()])).await;
    let row = state.view().clusters.get(&cluster.key()).expect("it is there").clone();
    // Somebody else, through another state, is quicker.
    let other = soon(State::open(state.store().clone())).await.expect("opens");
    let quicker = Cluster { capacity_providers: vec!["quicker".into()], ..cluster.clone() };
    commit(&other, RecordTxn::new().update(&row, &quicker)).await;
    let mut txn = RecordTxn::new();
    txn.update(&row, &cluster);
    let outcome = soon(state.commit(txn)).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Conflict { key, .. } if key == row.key));
    let view = state.view();
    assert_eq!(view.clusters.get(&cluster.key()).expect("it is there").record, quicker);
    for refused in [
        RecordTxn::new().insert(&cluster).clone(),
        RecordTxn::new().remove(&row).clone(),
        RecordTxn::new().expect_exists::<Task>(&sample::task(1).key()).put(&cluster).clone(),
        RecordTxn::new().expect_absent::<Cluster>(&cluster.key()).put(&cluster).clone(),
    ] {
        let outcome = soon(state.commit(refused)).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Conflict { .. }), "{outcome:?}");
    }
    commit(&state, RecordTxn::new().delete::<Cluster>(&cluster.key())).await;
    assert!(state.view().clusters.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_many_lose_nothing() {
    let state = open().await;
    commit(&state, &puts([sample::cluster()])).await;
    let writers = (0..4).map(|writer| {
        let state = state.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                let decided = state.decide(|view, txn| {
                    let row = view.clusters.get(&sample::cluster().key()).ok_or("no cluster")?;
                    let mut cluster = row.record.clone();
                    cluster.capacity_providers.push(format!("{writer}-{n}"));
                    txn.update(row, &cluster);
                    Ok::<_, &str>(row.mod_revision)
                });
                decided.await.expect("the store works").expect("the cluster is there");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        soon(writer).await.expect("a writer ends well");
    }
    let view = state.view();
    let row = view.clusters.get(&sample::cluster().key()).expect("it is there");
    let unique: BTreeSet<_> = row.capacity_providers.iter().collect();
    assert_eq!(unique.len(), sample::cluster().capacity_providers.len() + 40);
}

#[tokio::test]
async fn an_instance_is_woken_for_news_of_its_own_alone() {
    let state = open().await;
    let (own, other) = (InstanceId::new(1), InstanceId::new(2));
    let on = |id, instance| Task { instance, ..sample::task(id) };
    let changes = state.changes_for(own);
    let is_woken = || changes.changed().now_or_never().is_some();
    assert!(!is_woken());
    commit(&state, &puts([on(1, other)])).await;
    assert!(!is_woken(), "a task of another instance");
    let mut task = on(2, own);
    commit(&state, &puts([task.clone()])).await;
    assert!(is_woken(), "a new task");
    assert!(!is_woken(), "once");
    task.observed.status = TaskStatus::Running;
    commit(&state, &puts([task.clone()])).await;
    assert!(!is_woken(), "what the agent said itself");
    task.desired = DesiredStatus::Stopped;
    commit(&state, &puts([task.clone()])).await;
    assert!(is_woken(), "an order to stop");
    task.observed.status = TaskStatus::Stopped;
    commit(&state, &puts([task.clone()])).await;
    assert!(is_woken(), "an end");
    commit(&state, RecordTxn::new().delete::<Task>(&task.key())).await;
    assert!(is_woken(), "a record that is gone");
    let instance = sample::container_instance(1);
    commit(&state, &puts([instance.clone()])).await;
    assert!(is_woken(), "the instance");
    commit(&state, RecordTxn::new().delete::<ContainerInstance>(&instance.key())).await;
    assert!(is_woken(), "its end");
    state.wake(own);
    assert!(is_woken(), "somebody else's wish");
    let second = state.changes_for(own);
    drop(changes);
    state.wake(own);
    assert!(second.changed().now_or_never().is_some(), "whoever stays is woken");
}

#[tokio::test]
async fn a_state_counts_what_it_does() {
    let state = open().await;
    commit(&state, &puts([sample::cluster()])).await;
    let refused = RecordTxn::new().insert(&sample::cluster()).clone();
    let _ = soon(state.commit(refused)).await.expect("the store works");
    let figures = state.figures();
    assert_eq!((figures.commits, figures.conflicts, figures.failures), (1, 1, 0));
    assert_eq!((figures.waiting, figures.store_revision), (0, state.view().revision));
    assert!(!figures.commit_time.is_zero());
}

/// The view takes in many transactions before it shows them; none may be lost where it stops.
#[tokio::test]
async fn a_view_that_is_far_behind_loses_no_transaction() {
    let state = soon(State::open(Arc::new(MemoryStore::default()))).await.expect("opens");
    let count = u128::try_from(longshore_store::limits::VIEW_BATCHES).expect("a number") * 3;
    let mut last = StoreRevision::ZERO;
    for id in 0..count {
        // Memory answers at once, so that the view has no turn before the end.
        let txn = state.store().txn(puts([sample::task(id)]).into_txn());
        let outcome = txn.now_or_never().expect("memory is ready").expect("the store works");
        let TxnOutcome::Committed { revision } = outcome else { panic!("{outcome:?}") };
        last = revision;
    }
    let view = soon(state.reached(last)).await.expect("the view follows");
    assert_eq!(u128::try_from(view.tasks.len()).expect("a number"), count);
}

#[tokio::test]
async fn a_decision_may_refuse_or_change_nothing() {
    let state = open().await;
    let refused = soon(state.decide(|_, txn| {
        txn.put(&sample::cluster());
        Err::<(), _>("no")
    }));
    assert_eq!(refused.await.expect("the store works"), Err("no"));
    let nothing = soon(state.decide(|view, _| Ok::<_, &str>(view.revision)));
    assert_eq!(nothing.await.expect("the store works"), Ok(StoreRevision::ZERO));
    assert!(state.view().clusters.is_empty());
    // Where somebody else is always quicker, it ends with a reason.
    let store = state.store().clone();
    let contended = soon(state.decide(|view, txn| {
        let winner = Txn::default().put("/other", "1");
        FutureExt::now_or_never(store.txn(winner)).expect("memory is ready").ok();
        txn.expect(longshore_store::Compare::ModRevision("/other".into(), view.revision));
        txn.put(&sample::cluster());
        Ok::<_, &str>(())
    }));
    let error = contended.await.expect_err("it never wins");
    assert!(matches!(&error, StateError::Contended { key, .. } if &**key == "/other"), "{error}");
}

/// A decision whose answer was lost may have come true; made again, it could come true twice.
#[tokio::test]
async fn a_decision_without_an_answer_is_not_made_again() {
    let store = Arc::new(Interfering::new(100));
    let state = soon(State::open(store.clone())).await.expect("opens");
    store.lose_answers(1);
    let mut decided = 0;
    let decision = soon(state.decide(|_, txn| {
        decided += 1;
        txn.put(&sample::task(decided));
        Ok::<_, &str>(())
    }));
    let error = decision.await.expect_err("nobody knows");
    assert_eq!(decided, 1);
    let StateError::Store(why @ StoreError::Uncertain { .. }) = &error else { panic!("{error}") };
    assert_eq!(why.retry(), Retry::AfterReading);
    assert!(error.may_have_happened());
    let view = soon(state.reached(StoreRevision(1))).await.expect("follows");
    assert_eq!(view.tasks.len(), 1, "it has happened");
}

/// A commit that the view cannot show is an answer that nobody waits for without end.
#[tokio::test(start_paused = true)]
async fn a_view_that_hangs_is_told() {
    let store = Arc::new(Interfering::new(100));
    let state = soon(State::open(store.clone())).await.expect("opens");
    store.hang_watches();
    let error = state.commit(puts([sample::task(1)])).await.expect_err("nothing shows it");
    assert!(matches!(error, StateError::Behind { revision: StoreRevision(1), .. }), "{error}");
    assert!(error.may_have_happened());
}

#[tokio::test]
async fn changes_wake_for_their_tables() {
    let state = open().await;
    let mut changes = state.changes();
    let first = commit(&state, &puts([sample::cluster()])).await;
    let second = commit(&state, &puts([sample::task(1)])).await;
    assert_eq!(soon(changes.changed(&[Kind::Task])).await.expect("follows"), second);
    assert_eq!(changes.last_change(Kind::Cluster), first);
    assert_eq!(changes.last_change(Kind::Service), StoreRevision::ZERO);
    // Not again for what was told, nor for other tables.
    let waiter = tokio::spawn({
        let mut changes = changes.clone();
        async move { changes.changed(&[Kind::Cluster, Kind::Task]).await }
    });
    commit(&state, &puts([sample::service_event(1, 1)])).await;
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    let third = commit(&state, RecordTxn::new().delete::<Task>(&sample::task(1).key())).await;
    assert_eq!(soon(waiter).await.expect("no panic").expect("follows"), third);
}

#[tokio::test]
async fn tables_are_found_by_key_prefix_and_index() {
    let state = open().await;
    let mut stray = sample::task(0xa);
    stray.cluster = sample::name("web2");
    stray.group = "family:front".into();
    stray.started_by = None;
    stray.instance = InstanceId::new(2);
    commit(&state, &puts([sample::task(1), sample::task(2), sample::task(3), stray])).await;
    let view = state.view();
    let (scope, cluster) = (sample::scope(), sample::name("web"));
    let prefix = TaskKey::in_cluster(&scope, &cluster);
    assert_eq!(ids(view.tasks.range(&prefix)), ["1", "2", "3"]);
    assert_eq!(ids(view.tasks.range(&KeyPrefix::scope(&scope))), ["1", "2", "3", "a"]);
    let second = sample::task(2).key();
    assert_eq!(ids(view.tasks.range_after(&prefix, &second)), ["3"]);
    let gone = TaskKey { id: longshore_domain::ids::TaskId::new(0), ..second.clone() };
    assert_eq!(ids(view.tasks.range_after(&prefix, &gone)), ["1", "2", "3"]);
    let by_service = TaskIndex::service(&scope, &cluster, &sample::name("front"));
    assert_eq!(ids(view.tasks.by(&by_service)), ["1", "2", "3"]);
    assert_eq!(view.tasks.count_by(&TaskIndex::Instance(InstanceId::new(2))), 1);
    let started_by = sample::task(1).started_by.expect("it has one");
    let started_by = TaskIndex::StartedBy(scope.clone(), cluster.clone(), started_by);
    assert_eq!(view.tasks.count_by(&started_by), 3);
    let counts = view.task_counts(&scope, &cluster);
    assert_eq!((counts.running_external, counts.pending_external), (3, 0), "{counts:?}");
    // A change moves a row between indexes, a removal takes it out of all.
    let mut moved = Task { instance: InstanceId::new(2), ..sample::task(1) };
    moved.observed.status = TaskStatus::Pending;
    commit(&state, puts([moved]).delete::<Task>(&second)).await;
    let view = state.view();
    assert_eq!(ids(view.tasks.by(&TaskIndex::Instance(InstanceId::new(1)))), ["3"]);
    assert_eq!(ids(view.tasks.by(&TaskIndex::Instance(InstanceId::new(2)))), ["1", "a"]);
    assert_eq!(ids(view.tasks.by(&by_service)), ["1", "3"]);
    let started: Vec<_> = view.tasks.by(&started_by).map(|row| row.observed.status).collect();
    assert_eq!(started, [TaskStatus::Pending, TaskStatus::Running], "rows as they are now");
    let counts = view.task_counts(&scope, &cluster);
    assert_eq!((counts.running_external, counts.pending_external), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn keys_are_in_the_order_that_lists_need() {
    let state = open().await;
    commit(&state, &puts([10, 9, 100].map(sample::task_definition))).await;
    let mut txn = puts([(12, 1), (2, 3), (2, 2)].map(|(at, id)| sample::service_event(at, id)));
    for principal in [None, Some("~"), Some("a/b"), Some("a%2Fb")] {
        txn.put(&sample::account_setting(principal));
    }
    commit(&state, &txn).await;
    let view = state.view();
    let scope = sample::scope();
    let family = TaskDefinitionKey::in_family(&scope, &sample::name("front"));
    let revisions = view.task_definitions.range(&family).map(|row| row.revision.0);
    assert_eq!(revisions.collect::<Vec<_>>(), [9, 10, 100]);
    let service = ServiceEventKey::of_service(&scope, &sample::name("web"), &sample::name("front"));
    let events = view.service_events.range(&service).map(|row| row.id.to_string());
    let events: Vec<_> = events.map(|id| id.chars().last().expect("an id")).collect();
    assert_eq!(events, ['2', '3', '1']);
    assert_eq!(view.account_settings.len(), 4, "no two principals share a key");
}

#[tokio::test]
async fn a_view_left_behind_reads_again() {
    let state = open().await;
    commit(&state, &puts([sample::cluster()])).await;
    let mut changes = state.changes();
    let other = Cluster { name: sample::name("other"), ..sample::cluster() };
    let (mut add, mut remove) = (RecordTxn::new(), RecordTxn::new());
    add.put(&other);
    remove.delete::<Cluster>(&sample::cluster().key());
    raw_commit(&**state.store(), add.into_txn()).await;
    raw_commit(&**state.store(), remove.into_txn()).await;
    // The follower has no turn while a store in memory answers at once.
    let mut last = StoreRevision::ZERO;
    for n in 0..=SHORT.batches {
        last = raw_commit(&**state.store(), Txn::default().put("/other", n.to_string())).await;
    }
    let view = soon(state.reached(last)).await.expect("it recovers");
    assert_eq!(view.clusters.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["other"]);
    assert!(soon(changes.changed(&[Kind::Cluster])).await.expect("it recovers") >= last);
    assert!(changes.last_change(Kind::Service) >= last, "anything may have changed");
}

#[tokio::test]
async fn a_list_in_pages_is_whole() {
    let store = Arc::new(Interfering::new(2));
    for id in 1..=6 {
        let txn = puts([sample::task(id)]).into_txn();
        raw_commit(&*store, txn).await;
    }
    let removed = |id| RecordTxn::new().delete::<Task>(&sample::task(id).key()).clone();
    // After the page with 1 and 2: one that was read goes, one that was not read goes, one that
    // was not read comes and goes, one comes.
    store.after_page(0, removed(1));
    store.after_page(0, removed(4));
    store.after_page(0, puts([sample::task(7)]));
    store.after_page(0, removed(7));
    store.after_page(0, puts([sample::task(0)]));
    let mut changed = sample::task(2);
    changed.instance = InstanceId::new(9);
    store.after_page(1, puts([changed]));
    let state = soon(State::open(store.clone())).await.expect("opens");
    let view = state.view();
    let listed = view.tasks.iter().map(|row| (row.id.to_string(), row.instance.to_string()));
    let last = |(id, instance): (String, String)| {
        (id.chars().last().expect("an id"), instance.chars().last().expect("an id"))
    };
    let listed: Vec<_> = listed.map(last).collect();
    assert_eq!(listed, [('0', '1'), ('2', '9'), ('3', '1'), ('5', '1'), ('6', '1')]);
    assert_eq!(view.used(InstanceId::new(1)).expect("tasks").tasks, 4);
}

#[tokio::test]
async fn a_failing_store_stops_the_view_or_is_asked_again() {
    // A value that is no record stops it, and says so to all who wait.
    let state = open().await;
    let mut changes = state.changes();
    let key = longshore_store::RecordKey::encode(&sample::cluster().key());
    let at = raw_commit(&**state.store(), Txn::default().put(&key, "no record")).await;
    let error = soon(state.reached(at)).await.expect_err("it cannot be read");
    assert!(matches!(&error, StateError::Stopped(why) if why.to_string().contains(&*key)));
    assert!(soon(changes.changed(&[Kind::Task])).await.is_err());
    // A failure that may pass does not.
    let store = Arc::new(Interfering::new(100));
    let state = soon(State::open(store.clone())).await.expect("opens");
    store.fail_watches();
    let at = raw_commit(&*store, puts([sample::task(1)]).into_txn()).await;
    assert_eq!(soon(state.reached(at)).await.expect("it recovers").tasks.len(), 1);
    // A store that is gone stops it.
    store.close_watches();
    let error = soon(state.changes().changed(&[Kind::Task])).await.expect_err("it is closed");
    let StateError::Stopped(why) = error else { panic!("{error}") };
    let StateError::Store(why @ StoreError::Closed) = &*why else { panic!("{why}") };
    assert_eq!(why.retry(), Retry::Never);
}

#[tokio::test]
async fn a_dropped_state_lets_its_store_go() {
    let store = Arc::new(MemoryStore::default());
    let state = soon(State::open(store.clone())).await.expect("opens");
    let clone = state.clone();
    drop(state);
    commit(&clone, &puts([sample::cluster()])).await;
    drop(clone);
    while Arc::strong_count(&store) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_tasks_use_is_kept_per_instance() {
    let state = open().await;
    let (one, two) = (InstanceId::new(1), InstanceId::new(2));
    commit(&state, &puts([sample::task(1), sample::task(2)])).await;
    let used = state.view().used(one).expect("tasks").clone();
    assert_eq!((used.tasks, used.cpu_units, used.memory_mib, used.gpus), (2, 512, 1024, 2));
    assert_eq!(used.ports[&PortClaim { protocol: Protocol::Tcp, port: 8080 }], 2);
    assert!(state.view().used(two).is_none());
    let mut stopped = sample::task(1);
    stopped.observed.status = TaskStatus::Stopped;
    commit(&state, &puts([stopped, Task { instance: two, ..sample::task(2) }])).await;
    let view = state.view();
    assert!(view.used(one).is_none());
    assert_eq!(view.used(two).expect("tasks").tasks, 1);
    let mut gone = RecordTxn::new();
    gone.delete::<Task>(&sample::task(1).key()).delete::<Task>(&sample::task(2).key());
    commit(&state, &gone).await;
    assert!(state.view().used(two).is_none());
}

/// One change of a random history: task, and its instance and status, or `None` to remove it.
type Step = (u128, Option<(u128, bool)>);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = proptest::option::weighted(0.8, (0..3_u128, any::<bool>()));
    proptest::collection::vec((0..6_u128, change), 1..60)
}

/// What index and usage must be, from the rows alone.
fn check_derived(tasks: &Table<Task>, view: &longshore_store::View) {
    for instance in (0..3).map(InstanceId::new) {
        let here = || tasks.iter().filter(move |row| row.instance == instance);
        let indexed = ids(tasks.by(&TaskIndex::Instance(instance)));
        assert_eq!(indexed, ids(here()));
        let running: Vec<_> = here().filter(|row| !row.is_stopped()).collect();
        let used = view.used(instance).map(|used| (used.tasks, used.cpu_units, used.memory_mib));
        let sum = |of: fn(&Task) -> u32| running.iter().map(|row| u64::from(of(row))).sum::<u64>();
        let count = u32::try_from(running.len()).expect("few");
        let expected = (count, sum(|t| t.demand.cpu_units), sum(|t| t.demand.memory_mib));
        assert_eq!(used, (count > 0).then_some(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn index_and_usage_follow_the_rows(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let state = open().await;
            for (id, change) in steps {
                let mut txn = RecordTxn::new();
                if let Some((instance, stopped)) = change {
                    let mut task = sample::task(id);
                    task.instance = InstanceId::new(instance);
                    task.demand.cpu_units = u32::try_from(id).expect("small") * 100;
                    if stopped {
                        task.observed.status = TaskStatus::Stopped;
                    }
                    txn.put(&task);
                } else {
                    txn.delete::<Task>(&sample::task(id).key());
                }
                commit(&state, &txn).await;
                let view = state.view();
                check_derived(&view.tasks, &view);
            }
            let view = state.view();
            let again = soon(State::open(state.store().clone())).await.expect("opens").view();
            assert_eq!(ids(view.tasks.iter()), ids(again.tasks.iter()));
            check_derived(&again.tasks, &again);
        });
    }
}

#[test]
fn keys_name_one_record() {
    let key = ClusterKey { scope: sample::scope(), name: sample::name("web") };
    let text = longshore_store::RecordKey::encode(&key);
    assert_eq!(&*text, "/000000000000/us-east-1/ecs/cluster/web");
}

#[tokio::test]
async fn nothing_is_refused_because_of_what_others_have_changed() {
    let store = Arc::new(MemoryStore::new(StoreId(1), SHORT));
    let state = soon(State::open(store.clone())).await.expect("opens");
    let cluster = sample::cluster();
    let key = cluster.key();
    let decide = |view: &longshore_store::View, _: &mut RecordTxn| {
        view.clusters.get(&key).map(|_| ()).ok_or("there is none")
    };
    assert_eq!(soon(state.decide(decide)).await.expect("works"), Err("there is none"));
    // Another process writes; nobody waits, so this one's view has not heard of it.
    let made = longshore_store::Store::txn(&*store, puts([cluster]).into_txn()).now_or_never();
    assert!(matches!(made, Some(Ok(TxnOutcome::Committed { .. }))));
    assert_eq!(soon(state.decide_as_seen(decide)).await.expect("works"), Err("there is none"));
    assert_eq!(soon(state.decide(decide)).await.expect("works"), Ok(()));
}
