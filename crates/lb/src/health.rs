//! Whether targets are well: probes, and what follows from them.

mod machine;
mod matcher;
mod probe;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use longshore_domain::route::{HealthCheck, HealthState, Probe, ProtocolVersion};
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub(crate) use machine::Machine;
use machine::{Thresholds, healthy, unasked};

use crate::clock;
use crate::node::Node;
use crate::table::Table;
use crate::target::{Target, TargetKey};

/// The probers: one per target that is registered and asked.
pub(crate) struct Probers {
    node: Arc<Node>,
    running: BTreeMap<TargetKey, (HealthCheck, JoinHandle<()>)>,
}

impl Probers {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, running: BTreeMap::new() }
    }

    /// Starts and ends probers as the table says.
    pub(crate) fn apply(&mut self, table: &Table) {
        let mut wanted = BTreeMap::new();
        for group in table.groups.values() {
            let mut changed = false;
            for target in group.targets.iter().filter(|target| target.takes()) {
                match &group.record.health_check {
                    Some(check) => {
                        wanted.insert(&target.key, (check, target, group.record.version));
                    }
                    None if target.state() != HealthState::Unavailable => {
                        target.found(Machine::new(unasked(clock::now())), None);
                        changed = true;
                    }
                    None => {}
                }
            }
            if changed {
                group.look_again();
            }
        }
        self.running.retain(|key, (check, task)| {
            let same = wanted.get(key).is_some_and(|(now, ..)| *now == check);
            if !same {
                task.abort();
            }
            same
        });
        for (key, (check, target, version)) in wanted {
            if !self.running.contains_key(key) {
                let node = Arc::clone(&self.node);
                let task = run(node, Arc::clone(target), check.clone(), version);
                self.running.insert(key.clone(), (check.clone(), tokio::spawn(task)));
            }
        }
    }
}

/// Asks a target again and again.
async fn run(node: Arc<Node>, target: Arc<Target>, check: HealthCheck, version: ProtocolVersion) {
    let interval = Duration::from_secs(check.interval_s.max(1).into());
    let thresholds = Thresholds {
        healthy: check.healthy_threshold.max(1),
        unhealthy: check.unhealthy_threshold.max(1),
    };
    let asker = probe::Asker::new(&target, &check, version);
    let mut machine = {
        let found = target.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0.clone()
    };
    if machine.health.state == HealthState::Unavailable {
        // Asked from now on: well until it is found otherwise.
        machine = Machine::new(healthy(clock::now()));
    }
    // Not all at once, but a new target soon: it waits to be used.
    let first = (interval / 10).min(Duration::from_millis(500));
    sleep(share(first)).await;
    loop {
        let at = clock::now();
        let began = tokio::time::Instant::now();
        let outcome = asker.ask().await;
        let took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        let before = machine.health.state;
        let changed = machine.probed(&outcome, thresholds, clock::now());
        target.found(machine.clone(), Some(Probe { at, took_ms, outcome }));
        if changed {
            let (id, to) = (&target.key.id, machine.health.state.as_str());
            tracing::info!(group = &*target.key.group, id, from = before.as_str(), to, "target");
            if let Some(group) = node.table.load().groups.get(&*target.key.group) {
                group.look_again();
            }
            node.news.notify_one();
        }
        // A tenth more or less, so that nodes do not ask together.
        sleep(interval.mul_f64(0.9) + share(interval.mul_f64(0.2))).await;
    }
}

/// A random share of a time.
fn share(of: Duration) -> Duration {
    let part = u32::try_from(clock::random() % 1000).unwrap_or(0);
    of * part / 1000
}
