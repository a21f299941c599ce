//! Nodes of balancers: what they are to serve, and what they say of targets.
//!
//! A node asks for the routing snapshot and waits until there is a newer one than its own; it reports
//! what it sees of targets. That is written into the targets' records when it changes; each node has a
//! record too, so that every server knows who is there. When a node was last heard of only the server
//! knows to which it reports, since it does so every few seconds.

mod demand;
mod health;
mod nodes;
mod report;
mod snapshot;

pub(crate) use health::{health, is_idle, without_gone};
pub(crate) use nodes::{present, spawn};
pub(crate) use report::{report, routing};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_domain::record::LoadBalancer;
use longshore_domain::route::{Report, Snapshot};
use longshore_domain::time::Timestamp;
use longshore_store::{StoreRevision, View};
use longshore_wire::elbv2::LoadBalancerState;
use longshore_wire::elbv2::enums::LoadBalancerStateEnum;

use crate::elbv2::listener_arns;

/// A node that says nothing for so long is gone: it reports every ten seconds.
pub(crate) const SILENCE: Duration = Duration::from_secs(35);

/// What is known of balancers beside the store.
#[derive(Debug, Default)]
pub(crate) struct Balancers {
    nodes: Mutex<BTreeMap<u64, Node>>,
    newest: Mutex<Newest>,
}

/// The newest snapshot, and of which records it was made.
#[derive(Debug, Default)]
struct Newest {
    stamps: Vec<(usize, StoreRevision)>,
    snapshot: Arc<Snapshot>,
}

/// A node that reports here, as it last did.
#[derive(Clone, Copy, Debug)]
struct Node {
    seen_at: Timestamp,
    version: u64,
}

impl Balancers {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u64, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a node says of itself.
    fn heard(&self, report: &Report, now: Timestamp) {
        let mut nodes = self.nodes();
        nodes.retain(|_, node| now.saturating_since(node.seen_at) <= SILENCE);
        nodes.insert(report.node, Node { seen_at: now, version: report.version });
    }

    /// Forgets a node that has ended.
    fn left(&self, node: u64) {
        self.nodes().remove(&node);
    }

    /// Whether a node has reported here that long ago at most.
    fn hears(&self, node: u64, now: Timestamp) -> bool {
        let nodes = self.nodes();
        nodes.get(&node).is_some_and(|node| now.saturating_since(node.seen_at) <= SILENCE)
    }

    /// The snapshot of a view; the one before, where nothing has changed that nodes have to learn.
    fn snapshot(&self, view: &View) -> Arc<Snapshot> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = snapshot::stamps(view);
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
        let listeners = listener_arns(view, balancer);
        let mut rows = view.balancer_nodes.iter();
        let failure = rows.find_map(|row| {
            listeners.iter().find_map(|arn| row.failed_listeners.get(arn).cloned())
        });
        let serves = |created: StoreRevision| {
            let nodes = self.nodes();
            // What nodes serve that report elsewhere is not known here: they have it in a moment.
            view.balancer_nodes
                .iter()
                .any(|row| nodes.get(&row.id).is_none_or(|node| node.version >= created.0))
        };
        let (code, reason) = if view.balancer_nodes.is_empty() {
            let reason = "No node of balancers is connected: start one with `longshore lb`";
            (LoadBalancerStateEnum::Provisioning, Some(reason.to_owned()))
        } else if let Some(failure) = failure {
            (LoadBalancerStateEnum::Failed, Some(failure))
        } else if created.is_some_and(serves) {
            (LoadBalancerStateEnum::Active, None)
        } else {
            (LoadBalancerStateEnum::Provisioning, None)
        };
        LoadBalancerState { code: Some(code), reason }
    }
}

#[cfg(test)]
mod tests;
