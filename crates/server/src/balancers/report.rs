//! What nodes ask and say.

use std::time::Duration;

use http::StatusCode;
use longshore_domain::record::{Seen, Target};
use longshore_domain::route::{Action, Health, Report, Snapshot, TargetReport};
use longshore_store::tables::TargetKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;

use super::{demand, nodes, snapshot};
use crate::call::Call;
use crate::elbv2::group_by_arn;
use crate::front::{Reply, text};
use crate::{Server, clock};

/// How long a node waits for a newer snapshot.
const WAIT: Duration = Duration::from_secs(25);
/// Targets whose records one transaction changes.
const AT_ONCE: usize = 100;

/// The snapshot, as soon as it is newer than `after`; nothing, if it is not for long. Private keys and
/// secrets are everybody's, so they are for the only account that has keys alone: for its root, and
/// for whom policies let have them.
pub(crate) async fn routing(call: &Call, after: u64) -> Reply {
    let server = &call.server;
    let mut changes = server.state.changes();
    let mut shutdown = server.shutdown.subscribe();
    let end = tokio::time::Instant::now() + WAIT;
    loop {
        let snapshot = server.balancers.snapshot(&server.state.view());
        if snapshot.version != after {
            let body = if server.identity.owns_all(&call.principal) {
                serde_json::to_vec(&*snapshot)
            } else {
                serde_json::to_vec(&without_secrets((*snapshot).clone()))
            };
            let body = body.unwrap_or_default();
            return text(StatusCode::OK, "application/json", body);
        }
        tokio::select! {
            biased;
            () = crate::stopped(&mut shutdown) => break,
            changed = changes.changed(snapshot::READS) => if changed.is_err() { break },
            () = tokio::time::sleep_until(end) => break,
        }
    }
    text(StatusCode::NO_CONTENT, "application/json", "")
}

/// What any caller may know: such a node serves no TLS and logs nobody in.
fn without_secrets(mut snapshot: Snapshot) -> Snapshot {
    snapshot.certificates.clear();
    let listeners = snapshot.balancers.iter_mut().flat_map(|balancer| &mut balancer.listeners);
    let rules = listeners.flat_map(|listener| &mut listener.rules);
    for action in rules.flat_map(|rule| &mut rule.actions) {
        if let Action::AuthenticateOidc(oidc) = action {
            oidc.client_secret.clear();
        }
    }
    snapshot
}

/// Takes in what a node says.
///
/// # Errors
/// The store cannot be reached; the node says it again.
pub(crate) async fn report(server: &Server, report: &Report) -> Result<(), ServiceError> {
    let now = clock::now();
    if report.leaves {
        server.balancers.left(report.node);
        let leave = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
            nodes::leave(view, txn, report.node);
            Ok(())
        };
        return server.decide_as_seen(leave).await;
    }
    server.balancers.heard(report, now);
    demand::heard(server, report, now).await?;
    let me = server.members.id();
    let enter = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
        nodes::enter(view, txn, me, report, now);
        Ok(())
    };
    // It says so every few seconds.
    server.decide_as_seen(enter).await?;
    for targets in report.targets.chunks(AT_ONCE) {
        let decide = |view: &View, txn: &mut RecordTxn| -> Result<(), ServiceError> {
            for said in targets {
                note(view, txn, report.node, said);
            }
            Ok(())
        };
        server.decide(decide).await?;
    }
    Ok(())
}

/// Writes down what a node says of a target, if it is news.
fn note(view: &View, txn: &mut RecordTxn, node: u64, said: &TargetReport) {
    let Some(group) = group_by_arn(view, &said.group) else { return };
    let key = TargetKey {
        scope: group.scope.clone(),
        group: group.id,
        id: said.id.clone(),
        port: said.port,
    };
    let Some(row) = view.targets.get(&key) else { return };
    let node = node.to_string();
    let leaves = row.deregistered_at.is_some();
    let seen = Seen {
        health: said.health.clone(),
        // What is under way is of interest only when it keeps a target from leaving.
        in_flight: if leaves { said.in_flight } else { 0 },
        probe: said.probe.clone(),
    };
    let plain = |health: &Health| (health.state, health.reason, health.description.clone());
    let known = row.seen.get(&node);
    let is_news = known.is_none_or(|known| {
        plain(&known.health) != plain(&seen.health) || known.in_flight != seen.in_flight
    });
    if is_news {
        let mut next: Target = row.record.clone();
        next.seen.insert(node, seen);
        txn.update(row, &next);
    }
}
