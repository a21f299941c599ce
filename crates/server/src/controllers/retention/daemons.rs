//! Daemon deployments and revisions that have had their time, and daemon task definitions whose
//! deletion was asked for.

use std::collections::BTreeSet;

use longshore_domain::ids::Revision;
use longshore_domain::record::{DaemonTaskDefinition, DaemonTaskDefinitionStatus as Status};
use longshore_domain::{daemons, limits};
use longshore_store::View;
use longshore_store::tables::{DaemonDeploymentKey, DaemonKey, DaemonTaskDefinitionKey, TaskIndex};

use super::Bin;
use crate::ecs::daemons::{deployment_of, revision_of};

/// The most recent deployment of a daemon stays; others go when they ended long ago. A revision
/// goes with the last deployment that names it.
pub(super) fn deployments(view: &View, bin: &mut Bin) {
    for row in view.daemon_deployments.iter() {
        let key = DaemonKey {
            scope: row.scope.clone(),
            cluster: row.cluster.clone(),
            name: row.daemon.clone(),
        };
        if view.daemons.get(&key).is_none_or(|daemon| daemon.deployment != row.id) {
            bin.consider(row, row.finished_at, limits::SERVICE_DEPLOYMENT_RETENTION);
        }
    }
    for row in view.daemon_revisions.iter() {
        let deployments = DaemonDeploymentKey::of_daemon(&row.scope, &row.cluster, &row.daemon);
        let key = DaemonKey {
            scope: row.scope.clone(),
            cluster: row.cluster.clone(),
            name: row.daemon.clone(),
        };
        let current = view.daemons.get(&key).is_some_and(|daemon| daemon.current == Some(row.id));
        let named = view.daemon_deployments.range(&deployments).any(|deployment| {
            deployment.target == Some(row.id) || deployment.sources.contains(&row.id)
        });
        if !current && !named {
            bin.change(|txn| {
                txn.remove(row);
            });
        }
    }
}

/// A daemon task definition is DELETED when no daemon and no task has it any more, and forgotten
/// some time later; the highest number of a family stays, so that it is not given out again.
pub(super) fn definitions(view: &View, bin: &mut Bin) {
    let leaving = |row: &DaemonTaskDefinition| row.status != Status::Active;
    if !view.daemon_task_definitions.iter().any(|row| leaving(row)) {
        return;
    }
    let used = in_use(view);
    for row in view.daemon_task_definitions.iter() {
        let (scope, family) = (row.scope.clone(), row.family.clone());
        match row.status {
            Status::Active => {}
            Status::DeleteInProgress => {
                let index =
                    TaskIndex::DaemonTaskDefinition(scope.clone(), family.clone(), row.revision);
                if view.tasks.by(&index).any(|task| !task.is_stopped())
                    || used.contains(&(scope, family, row.revision))
                {
                    continue;
                }
                let deleted = DaemonTaskDefinition {
                    status: Status::Deleted,
                    deleted_at: Some(bin.now),
                    ..row.record.clone()
                };
                bin.change(|txn| {
                    txn.update(row, &deleted);
                });
            }
            Status::Deleted => {
                let prefix = DaemonTaskDefinitionKey::in_family(&scope, &family);
                let last = view.daemon_task_definitions.range(&prefix).last();
                let index = TaskIndex::DaemonTaskDefinition(scope, family, row.revision);
                let described = view.tasks.count_by(&index) > 0;
                if !described && last.is_some_and(|last| last.revision != row.revision) {
                    bin.consider(row, row.deleted_at, limits::INACTIVE_RETENTION);
                }
            }
        }
    }
}

type Name = (longshore_domain::ids::Scope, longshore_domain::ids::Family, Revision);

/// Daemon task definitions that a daemon may still start tasks from.
fn in_use(view: &View) -> BTreeSet<Name> {
    let revisions = view.daemons.iter().flat_map(|daemon| {
        let ids = deployment_of(view, daemon).map(|row| daemons::in_use(daemon, row));
        let ids = ids.unwrap_or_default().into_iter();
        ids.filter_map(|id| revision_of(view, daemon, id)).collect::<Vec<_>>()
    });
    revisions.map(|row| (row.scope.clone(), row.family.clone(), row.revision)).collect()
}
