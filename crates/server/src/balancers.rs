//! Nodes of balancers: what they are to serve, and what they say of targets.
//!
//! A node asks for the routing snapshot and waits until there is a newer one than its own; it reports
//! what it sees of targets. Who the nodes are is known in memory alone, since each reports every few
//! seconds; what they found out of targets is in the targets' records, written when it changes.

mod health;
mod report;
mod snapshot;

pub(crate) use health::{health, is_idle};
pub(crate) use report::{report, routing};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_domain::record::LoadBalancer;
use longshore_domain::route::{Report, Snapshot};
use longshore_domain::time::Timestamp;
use longshore_store::View;
use longshore_store::tables::LoadBalancerKey;
use longshore_wire::elbv2::LoadBalancerState;
use longshore_wire::elbv2::enums::LoadBalancerStateEnum;

use crate::clock;
use crate::elbv2::listener_arns;

/// A node that says nothing for so long is gone: it reports every ten seconds.
const SILENCE: Duration = Duration::from_secs(35);

/// What is known of balancers beside the store.
#[derive(Debug, Default)]
pub(crate) struct Balancers {
    nodes: Mutex<BTreeMap<u64, Node>>,
    newest: Mutex<Arc<Snapshot>>,
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
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a node says of itself.
    fn heard(&self, report: &Report) {
        let now = clock::now();
        let mut nodes = self.nodes();
        nodes.retain(|_, node| now.saturating_since(node.seen_at) <= SILENCE);
        let failed = report.failed_listeners.iter().cloned().collect();
        nodes.insert(report.node, Node { seen_at: now, version: report.version, failed });
    }

    /// The snapshot of a view; the one before, where nothing has changed that nodes have to learn.
    fn snapshot(&self, view: &View) -> Arc<Snapshot> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let made = snapshot::of(view);
        if !snapshot::says_the_same(&made, &newest) {
            *newest = Arc::new(made);
        }
        Arc::clone(&newest)
    }

    /// Where a balancer is in its life.
    pub(crate) fn state_of(&self, view: &View, balancer: &LoadBalancer) -> LoadBalancerState {
        let now = clock::now();
        let key = LoadBalancerKey { scope: balancer.scope.clone(), name: balancer.name.clone() };
        let created = view.load_balancers.get(&key).map_or(u64::MAX, |row| row.create_revision.0);
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
        } else if alive().any(|node| node.version >= created) {
            (LoadBalancerStateEnum::Active, None)
        } else {
            (LoadBalancerStateEnum::Provisioning, None)
        };
        LoadBalancerState { code: Some(code), reason }
    }
}
