//! The records of nodes: which of them are there, for every server to know.
//!
//! A node reports to one server, which alone knows when it was last heard of; that server takes the
//! record away when the node is silent. What becomes of the nodes of a server that is gone is the
//! leader's business (`controllers::targets`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::ids::{ElbArn, ElbResource};
use longshore_domain::record::BalancerNode;
use longshore_domain::route::Report;
use longshore_domain::time::Timestamp;
use longshore_store::tables::{BalancerNodeKey, ListenerKey};
use longshore_store::{Kind, RecordTxn, View};

use super::Balancers;
use crate::{Server, clock};

/// Time between two looks at who is silent.
const LOOK: Duration = Duration::from_secs(5);
/// Records that are taken away at once.
const BATCH: usize = 60;
/// Nodes at most: targets keep what each has seen of them (ours).
const NODES: usize = 1000;
/// Characters of the reason why a listener cannot be opened.
const REASON_CHARS: usize = 400;

/// The nodes that are there, as targets call them.
pub(crate) fn present(view: &View) -> BTreeSet<String> {
    view.balancer_nodes.iter().map(|row| row.name()).collect()
}

/// Writes down that a node reports to this server, if that is news. What it says is bounded: of listeners that
/// there are, few words each.
pub(super) fn enter(view: &View, txn: &mut RecordTxn, me: u64, report: &Report, now: Timestamp) {
    let known = report.failed_listeners.iter().filter(|(arn, _)| is_listener(view, arn));
    let short = |why: &String| why.chars().take(REASON_CHARS).collect::<String>();
    let failed_listeners: BTreeMap<_, _> =
        known.map(|(arn, why)| (arn.clone(), short(why))).collect();
    let record = |since| BalancerNode { id: report.node, server: me, since, failed_listeners };
    match view.balancer_nodes.get(&BalancerNodeKey { id: report.node }) {
        None if view.balancer_nodes.len() >= NODES => {
            tracing::warn!(node = report.node, "a node is not taken in: there are {NODES} already");
        }
        None => _ = txn.insert(&record(now)),
        Some(row) => {
            let next = record(if row.server == me { row.since } else { now });
            if next != row.record {
                txn.update(row, &next);
            }
        }
    }
}

fn is_listener(view: &View, arn: &str) -> bool {
    let Ok(ElbArn { scope, resource: ElbResource::Listener(_, _, balancer, id) }) = arn.parse()
    else {
        return false;
    };
    view.listeners.get(&ListenerKey { scope, balancer, id }).is_some()
}

/// Takes away the record of a node that ends.
pub(super) fn leave(view: &View, txn: &mut RecordTxn, node: u64) {
    if let Some(row) = view.balancer_nodes.get(&BalancerNodeKey { id: node }) {
        txn.remove(row);
    }
}

/// Takes away the records of nodes that have reported to this server and are silent.
pub(super) fn forget_silent(
    view: &View,
    balancers: &Balancers,
    me: u64,
    now: Timestamp,
) -> RecordTxn {
    let mut txn = RecordTxn::new();
    let own = view.balancer_nodes.iter().filter(|row| row.server == me);
    for row in own.filter(|row| !balancers.hears(row.id, now)).take(BATCH) {
        txn.remove(row);
    }
    txn
}

/// Looks after the records of this server's nodes until it stops.
pub(crate) fn spawn(server: &Arc<Server>) {
    let server = Arc::clone(server);
    tokio::spawn(async move {
        let mut shutdown = server.shutdown.subscribe();
        tokio::select! {
            biased;
            () = crate::stopped(&mut shutdown) => {}
            () = watch(&server) => {}
        }
    });
}

async fn watch(server: &Server) {
    let mut changes = server.state.changes();
    loop {
        let view = server.state.view();
        if view.balancer_nodes.is_empty() {
            if changes.changed(&[Kind::BalancerNode]).await.is_err() {
                return;
            }
            continue;
        }
        tokio::time::sleep(LOOK).await;
        let view = server.state.view();
        let txn = forget_silent(&view, &server.balancers, server.members.id(), clock::now());
        if !txn.is_empty() {
            // Whoever was faster has said something newer; else it is tried again.
            let _ = server.commit(txn).await;
        }
    }
}
