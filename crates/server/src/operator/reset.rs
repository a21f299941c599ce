//! `POST /_longshore/reset`: a development server forgets everything but its instances, the nodes of
//! balancers, its certificate authority (clients trust it) and the default cluster, and its containers stop.
//!
//! Tasks are ordered to stop first and get a while to do so, so that their ports are free for
//! what comes next; agents stop the others as well, in their own time.

use std::time::Duration;

use http::StatusCode;
use longshore_domain::record::{
    ClusterStatus, ContainerInstance, DesiredStatus, InstanceStatus, StopCode, StopOrder, Task,
};
use longshore_domain::time::Timestamp;
use longshore_store::{Kind, RecordTxn, TxnOutcome, View};
use longshore_wire::ServiceError;
use serde_json::json;

use super::json;
use crate::front::Reply;
use crate::{Server, clock};

/// Records changed by one transaction, which also tells the journal of each; a store takes 1.5 MiB.
const BATCH: usize = 50;
/// How long tasks get to stop before they are forgotten.
const PATIENCE: Duration = Duration::from_secs(10);

/// Empties the state. Refused unless the server is a development one.
pub(super) async fn answer(server: &Server) -> Reply {
    if !server.open {
        let error = "reset is for development servers (identity provider `open`) only";
        return json(StatusCode::FORBIDDEN, &json!({ "error": error }));
    }
    match reset(server).await {
        Ok(()) => json(StatusCode::OK, &json!({ "reset": true })),
        Err(error) => json(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": error.message })),
    }
}

async fn reset(server: &Server) -> Result<(), ServiceError> {
    // Services and daemons go first, so that no controller starts tasks anew.
    repeat(server, |view| {
        let mut txn = RecordTxn::new();
        for row in view.services.iter().take(BATCH) {
            txn.remove(row);
        }
        for row in view.daemons.iter().take(BATCH - txn.len().min(BATCH)) {
            txn.remove(row);
        }
        txn
    })
    .await?;
    let now = clock::now();
    repeat(server, |view| stop_orders(view, now)).await?;
    let mut changes = server.state.changes();
    let stopped = async {
        while server.state.view().tasks.iter().any(|task| !task.is_stopped()) {
            if changes.changed(&[Kind::Task]).await.is_err() {
                break;
            }
        }
    };
    // Those that take longer are stopped all the same; nobody waits for them.
    let _ = tokio::time::timeout(PATIENCE, stopped).await;
    repeat(server, removals).await
}

/// Commits what `batch` makes of the view until nothing is left to do.
async fn repeat(server: &Server, batch: impl Fn(&View) -> RecordTxn) -> Result<(), ServiceError> {
    loop {
        let txn = batch(&server.state.view());
        if txn.is_empty() {
            return Ok(());
        }
        // After a conflict the next view shows what was in the way.
        let (TxnOutcome::Committed { .. } | TxnOutcome::Conflict { .. }) =
            server.commit(txn).await?;
    }
}

fn stop_orders(view: &View, now: Timestamp) -> RecordTxn {
    let mut txn = RecordTxn::new();
    let running = view.tasks.iter().filter(|task| task.desired == DesiredStatus::Running);
    for row in running.take(BATCH) {
        let reason = "The development server was reset".to_owned();
        let task = Task {
            desired: DesiredStatus::Stopped,
            stop: Some(StopOrder { code: StopCode::UserInitiated, reason, at: now }),
            version: row.version + 1,
            ..row.record.clone()
        };
        txn.update(row, &task);
    }
    txn
}

/// The next records to remove.
fn removals(view: &View) -> RecordTxn {
    let mut txn = RecordTxn::new();
    macro_rules! remove {
        ($table:ident) => {
            for row in view.$table.iter() {
                if txn.len() >= BATCH {
                    return txn;
                }
                txn.remove(row);
            }
        };
    }
    remove!(tasks);
    remove!(service_events);
    remove!(service_deployments);
    remove!(service_revisions);
    remove!(client_tokens);
    remove!(account_settings);
    remove!(task_definitions);
    remove!(daemon_deployments);
    remove!(daemon_revisions);
    remove!(daemon_task_definitions);
    remove!(listener_rules);
    remove!(listeners);
    remove!(targets);
    remove!(target_groups);
    remove!(load_balancers);
    remove!(balancer_addresses);
    remove!(certificates);
    remove!(access_keys);
    remove!(instance_profiles);
    remove!(iam_users);
    remove!(iam_groups);
    remove!(iam_roles);
    remove!(iam_policies);
    remove!(oidc_providers);
    remove!(iam_accounts);
    for row in view.container_instances.iter().take(BATCH / 2) {
        match row.status {
            InstanceStatus::Active => {}
            InstanceStatus::Inactive => {
                txn.remove(row);
            }
            InstanceStatus::Draining => {
                let status = InstanceStatus::Active;
                let version = row.version + 1;
                txn.update(row, &ContainerInstance { status, version, ..row.record.clone() });
            }
        }
    }
    for row in view.clusters.iter().take(BATCH / 2) {
        let in_use = view
            .container_instances
            .iter()
            .any(|instance| instance.cluster == row.name && instance.scope == row.scope);
        let kept = row.name.as_str() == "default" && row.status == ClusterStatus::Active;
        if !in_use && !kept {
            txn.remove(row);
        }
    }
    txn
}
