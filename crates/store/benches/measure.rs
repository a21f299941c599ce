//! Prints what the store costs: acknowledged transactions per second, and the view with
//! 100,000 tasks. Run with `cargo bench -p longshore-store`; by `scripts/etcd run` it also measures
//! etcd, beside what etcd does through its own client.
#![expect(clippy::print_stdout, reason = "a bench prints its numbers")]
#![expect(clippy::cast_precision_loss, reason = "numbers for people")]

#[path = "../tests/store/sample.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod sample;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_domain::ids::InstanceId;
use longshore_domain::record::{Task, TaskStatus};
use longshore_domain::time::Timestamp;
use longshore_store::tables::TaskIndex;
use longshore_store::{
    Durability, EmbeddedOptions, EmbeddedStore, EtcdOptions, EtcdStore, HistoryLimits, MemoryStore,
    Record, RecordTxn, State, Store, StoreId, TxnOutcome, Write,
};

const TASKS: u128 = 100_000;
const INSTANCES: u128 = 10_000;
const MEASURED: Duration = Duration::from_secs(3);

fn task(id: u128) -> Task {
    Task { instance: InstanceId::new(id % INSTANCES), ..sample::task(id) }
}

fn options(durability: Durability) -> EmbeddedOptions {
    EmbeddedOptions { durability, ..EmbeddedOptions::new(StoreId(1)) }
}

/// Resident memory of this process in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

async fn committed(state: &State, txn: RecordTxn) {
    let outcome = state.commit(txn).await.expect("the store works");
    assert!(matches!(outcome, TxnOutcome::Committed { .. }));
}

/// Commits task changes by `writers` at once for a while.
async fn throughput(directory: &Path, durability: Durability, writers: u128, journal: bool) {
    let path = directory.join(format!("throughput-{durability:?}-{writers}-{journal}"));
    let store = Arc::new(EmbeddedStore::open(&path, options(durability)).expect("creates"));
    commits(&format!("{durability:?}"), store, writers, journal).await;
}

/// Commits into etcd through the store, and puts the same values through etcd's own client.
async fn etcd(endpoints: &str, writers: u128) {
    let address = format!("etcd://{endpoints}/bench-{}", std::process::id());
    let mut rates = Vec::new();
    for journal in [false, true] {
        let options = EtcdOptions::parse(&address, StoreId(1)).expect("an address");
        let store = Arc::new(EtcdStore::open(options).await.expect("opens"));
        rates.push(commits("etcd", store, writers, journal).await);
    }
    let first = endpoints.split(',').next().expect("a member");
    let started = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let endpoint = [first.to_owned()];
        tokio::spawn(async move {
            let mut client = etcd_client::Client::connect(endpoint, None).await.expect("connects");
            let mut times = Vec::new();
            while started.elapsed() < MEASURED {
                let mut txn = RecordTxn::new();
                let number = writer * 1_000_000 + times.len() as u128;
                let Some(Write::Put { value, .. }) =
                    txn.put(&task(number)).clone().into_txn().writes.pop()
                else {
                    panic!("a put is a put");
                };
                let sent = Instant::now();
                client.put(format!("/raw/{number}"), value.to_vec(), None).await.expect("works");
                times.push(sent.elapsed());
            }
            times
        })
    });
    let raw = report(&format!("etcd's client, {writers:>2} connections"), started, tasks).await;
    for (rate, journal) in rates.into_iter().zip(["", ", journal"]) {
        println!("etcd, {writers:>2} writers{journal}: {:.2} of etcd's own client", rate / raw);
    }
}

/// The view of many tasks in etcd, as a server makes it when it starts.
async fn etcd_view(endpoints: &str) {
    let address = format!("etcd://{endpoints}/view-{}", std::process::id());
    let options = EtcdOptions::parse(&address, StoreId(1)).expect("an address");
    let store = Arc::new(EtcdStore::open(options).await.expect("opens"));
    for first in (0..TASKS).step_by(100) {
        let mut txn = RecordTxn::new();
        for id in first..first + 100 {
            txn.put(&task(id));
        }
        let outcome = store.txn(txn.into_txn()).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
    }
    let opened = Instant::now();
    let state = State::open(store).await.expect("opens");
    assert_eq!(state.view().tasks.len() as u128, TASKS);
    println!("etcd: view of {TASKS} tasks ready after {:.2?}", opened.elapsed());
}

/// Commits task changes by `writers` at once for a while; returns how many a second.
async fn commits(name: &str, store: Arc<dyn Store>, writers: u128, journal: bool) -> f64 {
    let started = Instant::now();
    let tasks = (0..writers).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut times = Vec::new();
            while started.elapsed() < MEASURED {
                let mut txn = RecordTxn::new();
                txn.put(&task(writer * 1_000_000 + times.len() as u128));
                let sent = Instant::now();
                let at = Timestamp::from_millis(0);
                let txn = if journal { txn.into_told_txn(at) } else { txn.into_txn() };
                let outcome = store.txn(txn).await.expect("the store works");
                assert!(matches!(outcome, TxnOutcome::Committed { .. }));
                times.push(sent.elapsed());
            }
            times
        })
    });
    let journal = if journal { ", journal" } else { "" };
    report(&format!("{name}, {writers:>2} writers{journal}"), started, tasks).await
}

/// Prints what writers took; returns how many a second they did.
async fn report(
    name: &str,
    started: Instant,
    tasks: impl Iterator<Item = tokio::task::JoinHandle<Vec<Duration>>>,
) -> f64 {
    let mut times = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        times.extend(task.await.expect("a writer ends well"));
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{name}: {rate:>7.0} txn/s, p50 {p50:.1?}, p99 {p99:.1?}");
    rate
}

/// A view with many tasks: what it takes, and what a change of it takes.
async fn view(directory: &Path) {
    let before = resident_mib();
    let history = HistoryLimits { batches: 16, bytes: 1 << 20 };
    let path = directory.join("view");
    let embedded = EmbeddedOptions { history, ..options(Durability::Relaxed) };
    let store = EmbeddedStore::open(&path, embedded).expect("creates");
    let filled = Instant::now();
    for first in (0..TASKS).step_by(100) {
        let mut txn = RecordTxn::new();
        for id in first..first + 100 {
            txn.put(&task(id));
        }
        let outcome = store.txn(txn.into_txn()).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
    }
    println!("filled with {TASKS} tasks in {:.2?}", filled.elapsed());
    // What a crash now would leave.
    let crashed = directory.join("crashed");
    std::fs::copy(&path, &crashed).expect("copies");
    drop(store);
    let size = std::fs::metadata(&path).expect("it is there").len() >> 20;

    let opened = Instant::now();
    drop(EmbeddedStore::open(&crashed, embedded).expect("opens"));
    println!("opened and closed after a crash in {:.2?}", opened.elapsed());
    let opened = Instant::now();
    let store = EmbeddedStore::open(&path, embedded).expect("opens");
    let file = opened.elapsed();
    let store = Arc::new(store);
    let state = State::open(store.clone()).await.expect("opens");
    let ready = opened.elapsed();
    let resident = resident_mib().saturating_sub(before);
    println!("file of {size} MiB opened in {file:.2?}, view ready after {ready:.2?}");
    println!("view, with caches: {resident} MiB resident");
    drop(state);

    // The same content in memory, to see the view's own cost per change.
    let memory = Arc::new(MemoryStore::default());
    let state = State::open(memory).await.expect("opens");
    for first in (0..TASKS).step_by(100) {
        let mut txn = RecordTxn::new();
        for id in first..first + 100 {
            txn.put(&task(id));
        }
        committed(&state, txn).await;
    }
    change(&state).await;
    lookups(&state);
}

/// Changes tasks, first one after the other, then as fast as the view follows.
async fn change(state: &State) {
    const CHANGES: u32 = 10_000;
    let stopped = |n: u32| {
        let mut task = task(u128::from(n) * 7919 % TASKS);
        task.observed.status = TaskStatus::Stopped;
        let mut txn = RecordTxn::new();
        txn.put(&task);
        txn
    };
    let started = Instant::now();
    for n in 0..CHANGES {
        committed(state, stopped(n)).await;
    }
    println!("a task change, committed in memory and awaited: {:.2?}", started.elapsed() / CHANGES);
    let txns: Vec<_> = (0..CHANGES).map(|n| stopped(n).into_txn()).collect();
    let started = Instant::now();
    let mut last = state.view().revision;
    for txn in txns {
        let outcome = state.store().txn(txn).await.expect("the store works");
        let TxnOutcome::Committed { revision } = outcome else { panic!("{outcome:?}") };
        last = revision;
    }
    state.reached(last).await.expect("the view follows");
    println!("a task change, as the view follows: {:.2?}", started.elapsed() / CHANGES);
}

fn lookups(state: &State) {
    let time = |what: &str, run: &mut dyn FnMut(u128)| {
        let started = Instant::now();
        for n in 0..10_000 {
            run(n);
        }
        println!("{what}: {:.2?}", started.elapsed() / 10_000);
    };
    time("taking a view", &mut |_| drop(std::hint::black_box(state.view())));
    let view = state.view();
    time("a task by key", &mut |n| {
        assert!(view.tasks.get(&task(n).key()).is_some());
    });
    time("ten tasks by instance", &mut |n| {
        let index = TaskIndex::Instance(InstanceId::new(n % INSTANCES));
        assert_eq!(view.tasks.by(&index).count(), 10);
    });
    time("what an instance's tasks use", &mut |n| {
        std::hint::black_box(view.used(InstanceId::new(n % INSTANCES)));
    });
}

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    if let Ok(endpoints) = std::env::var("LONGSHORE_TEST_ETCD") {
        for writers in [1, 32] {
            etcd(&endpoints, writers).await;
        }
        etcd_view(&endpoints).await;
    }
    for durability in [Durability::Immediate, Durability::Relaxed] {
        for writers in [1, 32] {
            for journal in [false, true] {
                throughput(directory.path(), durability, writers, journal).await;
            }
        }
    }
    view(directory.path()).await;
}
