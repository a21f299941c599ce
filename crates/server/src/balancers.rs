//! Nodes of balancers: what they are to serve, and what they say of targets.
//!
//! A node asks for the routing snapshot and waits until there is a newer one than its own; it reports
//! what it sees of targets. Who the nodes are is known in memory alone, since each reports every few
//! seconds; what they found out of targets is in the targets' records, written when it changes.

mod health;
mod report;
mod snapshot;

pub(crate) use health::{health, is_idle, without_gone};
pub(crate) use report::{report, routing};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_domain::record::LoadBalancer;
use longshore_domain::route::{Report, Snapshot};
use longshore_domain::time::Timestamp;
use longshore_store::{StoreRevision, View};
use longshore_wire::elbv2::LoadBalancerState;
use longshore_wire::elbv2::enums::LoadBalancerStateEnum;

use crate::clock;
use crate::elbv2::listener_arns;

/// A node that says nothing for so long is gone: it reports every ten seconds.
pub(crate) const SILENCE: Duration = Duration::from_secs(35);

/// What is known of balancers beside the store.
#[derive(Debug)]
pub(crate) struct Balancers {
    /// Since when it is listened to nodes.
    began: Timestamp,
    nodes: Mutex<BTreeMap<u64, Node>>,
    newest: Mutex<Newest>,
}

/// The newest snapshot, and of which records it was made.
#[derive(Debug, Default)]
struct Newest {
    stamps: Vec<(usize, StoreRevision)>,
    snapshot: Arc<Snapshot>,
}

/// A node, as it last reported.
#[derive(Debug)]
struct Node {
    seen_at: Timestamp,
    version: u64,
    /// Listeners that it could not open, by ARN.
    failed: BTreeMap<String, String>,
}

impl Balancers {
    /// Nothing was heard before `began`.
    pub(crate) fn new(began: Timestamp) -> Self {
        Self { began, nodes: Mutex::default(), newest: Mutex::default() }
    }

    /// The nodes that are there; `None` as long as it is not known, since they have not had the time to
    /// say so.
    pub(crate) fn present(&self, now: Timestamp) -> Option<BTreeSet<u64>> {
        if !self.knows(now) {
            return None;
        }
        let nodes = self.nodes();
        let alive = nodes.iter().filter(|(_, n)| now.saturating_since(n.seen_at) <= SILENCE);
        Some(alive.map(|(id, _)| *id).collect())
    }

    /// Whether every node that is there has had the time to report.
    fn knows(&self, now: Timestamp) -> bool {
        now.saturating_since(self.began) > SILENCE
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a node says of itself.
    fn heard(&self, report: &Report, now: Timestamp) {
        let mut nodes = self.nodes();
        nodes.retain(|_, node| now.saturating_since(node.seen_at) <= SILENCE);
        let failed = report.failed_listeners.iter().cloned().collect();
        nodes.insert(report.node, Node { seen_at: now, version: report.version, failed });
    }

    /// The snapshot of a view; the one before, where nothing has changed that nodes have to learn.
    fn snapshot(&self, view: &View) -> Arc<Snapshot> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps: Vec<_> = snapshot::READS.iter().map(|kind| view.stamp(*kind)).collect();
        // Every node asks at each change; the first one has it made.
        if stamps != newest.stamps {
            let made = snapshot::of(view);
            if !snapshot::says_the_same(&made, &newest.snapshot) {
                newest.snapshot = Arc::new(made);
            }
            newest.stamps = stamps;
        }
        Arc::clone(&newest.snapshot)
    }

    /// Where a balancer is in its life that was created by a revision; `None` was just now.
    pub(crate) fn state_of(
        &self,
        view: &View,
        balancer: &LoadBalancer,
        created: Option<StoreRevision>,
    ) -> LoadBalancerState {
        let now = clock::now();
        let listeners = listener_arns(view, balancer);
        let nodes = self.nodes();
        let alive = || nodes.values().filter(|n| now.saturating_since(n.seen_at) <= SILENCE);
        let failure =
            alive().find_map(|node| listeners.iter().find_map(|arn| node.failed.get(arn)));
        let (code, reason) = if alive().next().is_none() {
            let reason = "No node of balancers is connected: start one with `longshore lb`";
            (LoadBalancerStateEnum::Provisioning, Some(reason.to_owned()))
        } else if let Some(failure) = failure {
            (LoadBalancerStateEnum::Failed, Some(failure.clone()))
        } else if created.is_some_and(|created| alive().any(|node| node.version >= created.0)) {
            (LoadBalancerStateEnum::Active, None)
        } else {
            (LoadBalancerStateEnum::Provisioning, None)
        };
        LoadBalancerState { code: Some(code), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_node_that_says_nothing_for_long_is_gone() {
        let balancers = Balancers::new(at(0));
        let report = |node| Report { node, ..Report::default() };
        balancers.heard(&report(1), at(5));
        assert_eq!(balancers.present(at(30)), None, "others may not have reported yet");
        balancers.heard(&report(2), at(36));
        assert_eq!(balancers.present(at(37)), Some([1, 2].into()));
        assert_eq!(balancers.present(at(41)), Some([2].into()));
    }
}
