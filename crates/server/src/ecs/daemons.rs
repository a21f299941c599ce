//! Managed daemons: create, update, delete, describe, list; their deployments and revisions.
//!
//! An operation only writes what is wanted; `controllers::daemons` starts and stops the tasks.
//! A name of a capacity provider is taken as it is: there are no capacity providers to compare it
//! with, and instances that none launched belong to every daemon (see `longshore_domain::daemons`).

mod create;
mod deployments;
mod settings;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use create::create;
pub(crate) use deployments::{
    describe as describe_deployments, describe_revisions, list as list_deployments,
};
pub(crate) use update::update;

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_auth::Authorized;
use longshore_domain::daemons;
use longshore_domain::ids::{Arn, ClusterName, InstanceId, Resource, Scope};
use longshore_domain::record::{
    ContainerInstance, Daemon, DaemonDeployment, DaemonRevision, DaemonStatus, Task,
};
use longshore_store::tables::{
    ContainerInstanceKey, DaemonDeploymentKey, DaemonKey, DaemonRevisionKey, TaskIndex,
};
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::{
    DeleteDaemonRequest, DeleteDaemonResponse, DescribeDaemonRequest, DescribeDaemonResponse,
    ErrorCode, ListDaemonsRequest, ListDaemonsResponse,
};

use super::page::PageRequest;
use super::{encode, invalid_parameter, lookup, not_found};
use crate::call::Call;
use crate::clock::RandomIds;

/// The daemon that an ARN names.
///
/// # Errors
/// `InvalidParameterException`, `ClusterNotFoundException` or `DaemonNotFoundException`.
fn existing<'v>(
    view: &'v View,
    scope: &Scope,
    text: &str,
) -> Result<&'v Arc<Row<Daemon>>, ServiceError> {
    let missing = || not_found(ErrorCode::DaemonNotFoundException, "Daemon");
    let key = parse(text)?;
    if key.scope != *scope {
        return Err(missing());
    }
    lookup::cluster(view, scope, Some(key.cluster.as_str()))?;
    view.daemons.get(&key).ok_or_else(missing)
}

fn parse(text: &str) -> Result<DaemonKey, ServiceError> {
    match text.parse::<Arn>() {
        Ok(Arn { scope, resource: Resource::Daemon(cluster, name) }) => {
            Ok(DaemonKey { scope, cluster, name })
        }
        _ => Err(invalid_parameter(format!("Invalid identifier: {text} is no daemon ARN."))),
    }
}

/// The most recent deployment of a daemon.
pub(crate) fn deployment_of<'v>(
    view: &'v View,
    daemon: &Daemon,
) -> Option<&'v Arc<Row<DaemonDeployment>>> {
    view.daemon_deployments.get(&DaemonDeploymentKey {
        scope: daemon.scope.clone(),
        cluster: daemon.cluster.clone(),
        daemon: daemon.name.clone(),
        id: daemon.deployment,
    })
}

/// A revision of a daemon.
pub(crate) fn revision_of<'v>(
    view: &'v View,
    daemon: &Daemon,
    id: u64,
) -> Option<&'v Arc<Row<DaemonRevision>>> {
    view.daemon_revisions.get(&DaemonRevisionKey {
        scope: daemon.scope.clone(),
        cluster: daemon.cluster.clone(),
        daemon: daemon.name.clone(),
        id,
    })
}

/// All tasks of a daemon that there are records of.
pub(crate) fn tasks_of<'v>(
    view: &'v View,
    daemon: &Daemon,
) -> impl Iterator<Item = &'v Arc<Row<Task>>> + use<'v> {
    let group = daemons::group(daemon);
    view.tasks.by(&TaskIndex::Group(daemon.scope.clone(), daemon.cluster.clone(), group))
}

/// The instances of a cluster.
pub(crate) fn instances_of<'v>(
    view: &'v View,
    scope: &Scope,
    cluster: &ClusterName,
) -> impl Iterator<Item = &'v ContainerInstance> + use<'v> {
    let prefix = ContainerInstanceKey::in_cluster(scope, cluster);
    view.container_instances.range(&prefix).map(|row| &row.record)
}

/// Instances that take no tasks of others until a critical daemon runs there, with its name.
pub(crate) fn waiting(
    view: &View,
    scope: &Scope,
    cluster: &ClusterName,
) -> BTreeMap<InstanceId, String> {
    let mut waiting = BTreeMap::new();
    for daemon in view.daemons.range(&DaemonKey::in_cluster(scope, cluster)) {
        let wanted = deployment_of(view, daemon).and_then(|row| daemons::wanted(daemon, row));
        let Some(revision) = wanted.and_then(|id| revision_of(view, daemon, id)) else { continue };
        let tasks = tasks_of(view, daemon).map(|row| &row.record);
        let instances = instances_of(view, scope, cluster);
        for id in daemons::waiting(daemon, revision, instances, tasks) {
            waiting.entry(id).or_insert_with(|| daemon.name.to_string());
        }
    }
    waiting
}

/// DescribeDaemon.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeDaemonRequest>,
) -> Result<DescribeDaemonResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let daemon = existing(&view, &call.scope, &request.daemon_arn)?;
    Ok(DescribeDaemonResponse { daemon: Some(encode::daemon(&view, daemon)) })
}

/// ListDaemons, by name.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListDaemonsRequest>,
) -> Result<ListDaemonsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters = ListDaemonsRequest { next_token: None, max_results: None, ..request.clone() };
    let page = PageRequest::list(
        &("daemons", filters),
        request.max_results,
        request.next_token.as_deref(),
    )?;
    let arns = request.capacity_provider_arns.unwrap_or_default();
    let providers = settings::provider_names(&call.scope, &arns)?;
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster_arn.as_deref())?;
    let wanted = |daemon: &Daemon| {
        let has = |id| {
            let revision = revision_of(&view, daemon, id);
            revision.is_some_and(|revision| {
                revision.capacity_providers.iter().any(|name| providers.contains(name))
            })
        };
        let deployment = deployment_of(&view, daemon);
        let target = deployment.and_then(|row| row.target).or(daemon.current);
        providers.is_empty() || target.is_some_and(has)
    };
    let rows = view.daemons.range(&DaemonKey::in_cluster(&call.scope, &cluster.name));
    let (rows, next_token) = page.cut(rows.filter(|row| wanted(row)), |row| row.name.to_string());
    Ok(ListDaemonsResponse {
        daemon_summaries_list: Some(
            rows.into_iter().map(|row| encode::daemon_summary(row)).collect(),
        ),
        next_token,
    })
}

/// DeleteDaemon: its tasks stop; when the last one has, the daemon is gone.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteDaemonRequest>,
) -> Result<DeleteDaemonResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = existing(view, &call.scope, &request.daemon_arn)?;
        active(row)?;
        let mut daemon = Daemon {
            status: DaemonStatus::DeleteInProgress,
            updated_at: call.now,
            ..row.record.clone()
        };
        start_deployment(call, view, txn, &mut daemon, None);
        txn.update(row, &daemon);
        Ok(daemon)
    };
    let daemon = call.server.decide(decide).await?;
    let summary = encode::daemon_summary(&daemon);
    Ok(DeleteDaemonResponse {
        created_at: summary.created_at,
        daemon_arn: summary.daemon_arn,
        deployment_arn: Some(encode::daemon_deployment_arn(&daemon, daemon.deployment)),
        status: summary.status,
        updated_at: summary.updated_at,
    })
}

/// # Errors
/// `DaemonNotActiveException`.
fn active(daemon: &Daemon) -> Result<(), ServiceError> {
    match daemon.status {
        DaemonStatus::Active => Ok(()),
        DaemonStatus::DeleteInProgress => Err(ErrorCode::DaemonNotActiveException
            .error("The daemon is not ACTIVE: it is being deleted.")),
    }
}

/// Makes a deployment the current one of `daemon`; the one before ends where it is.
fn start_deployment(
    call: &Call,
    view: &View,
    txn: &mut RecordTxn,
    daemon: &mut Daemon,
    target: Option<u64>,
) {
    let mut sources: Vec<u64> = daemon.current.into_iter().collect();
    if let Some(before) = deployment_of(view, daemon) {
        let under_way = daemons::wanted(daemon, before).into_iter();
        sources.extend(under_way.filter(|id| daemon.current != Some(*id)));
        if let Some(stopped) = daemons::superseded(before, call.now) {
            sources.extend(before.target.filter(|id| !sources.contains(id)));
            txn.update(before, &stopped);
        }
    }
    let next = daemons::begin(daemon, target, sources, call.now, &mut RandomIds);
    daemon.deployment = next.id;
    txn.insert(&next);
}
