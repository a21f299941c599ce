//! Daemons, their deployments and revisions, and daemon task definitions.

use std::collections::{BTreeMap, BTreeSet};

use longshore_domain::daemons;
use longshore_domain::ids::{Arn, DaemonDeploymentId, InstanceId, Resource};
use longshore_domain::record::{self, DesiredStatus, TaskStatus};
use longshore_store::View;
use longshore_store::tables::{DaemonKey, DaemonRevisionKey, DaemonTaskDefinitionKey, TaskIndex};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    DaemonDeploymentRollbackMonitorsStatus as Monitor, DaemonDeploymentStatus, DaemonPropagateTags,
    DaemonStatus, DaemonTaskDefinitionStatus,
};
use longshore_wire::ecs::{
    DaemonAlarmConfiguration, DaemonCapacityProvider, DaemonCircuitBreaker, DaemonContainerImage,
    DaemonDeployment, DaemonDeploymentAlarms, DaemonDeploymentCapacityProvider,
    DaemonDeploymentConfiguration, DaemonDeploymentRevisionDetail, DaemonDeploymentSummary,
    DaemonDetail, DaemonRevision, DaemonRevisionDetail, DaemonRollback, DaemonSummary,
    DaemonTaskDefinition, DaemonTaskDefinitionSummary,
};

use super::{document, int, time};
use crate::ecs::daemons::instances_of;

fn own_arn(daemon: &record::Daemon) -> String {
    let resource = Resource::Daemon(daemon.cluster.clone(), daemon.name.clone());
    Arn::new(&daemon.scope, resource).to_string()
}

/// The ARN of a daemon deployment.
pub(crate) fn daemon_deployment_arn(daemon: &record::Daemon, id: DaemonDeploymentId) -> String {
    let resource = Resource::DaemonDeployment(daemon.cluster.clone(), daemon.name.clone(), id);
    Arn::new(&daemon.scope, resource).to_string()
}

/// The ARN of a daemon task definition.
pub(crate) fn daemon_task_definition_arn(record: &record::DaemonTaskDefinition) -> String {
    let resource = Resource::DaemonTaskDefinition(record.family.clone(), record.revision);
    Arn::new(&record.scope, resource).to_string()
}

/// A daemon task definition: the registered document and what happened to it since.
pub(crate) fn daemon_task_definition(
    record: &record::DaemonTaskDefinition,
) -> Result<DaemonTaskDefinition, ServiceError> {
    let summary = daemon_task_definition_summary(record);
    Ok(DaemonTaskDefinition {
        daemon_task_definition_arn: summary.arn,
        revision: i32::try_from(record.revision.0).ok(),
        status: summary.status,
        registered_at: summary.registered_at,
        registered_by: summary.registered_by,
        delete_requested_at: summary.delete_requested_at,
        ..document::<DaemonTaskDefinition>(&record.document)?
    })
}

/// What ListDaemonTaskDefinitions says of a daemon task definition.
pub(crate) fn daemon_task_definition_summary(
    record: &record::DaemonTaskDefinition,
) -> DaemonTaskDefinitionSummary {
    use record::DaemonTaskDefinitionStatus as Status;
    DaemonTaskDefinitionSummary {
        arn: Some(daemon_task_definition_arn(record)),
        registered_at: Some(time(record.registered_at)),
        registered_by: Some(record.registered_by.clone()),
        delete_requested_at: record.delete_requested_at.map(time),
        status: Some(match record.status {
            Status::Active => DaemonTaskDefinitionStatus::Active,
            Status::DeleteInProgress => DaemonTaskDefinitionStatus::DeleteInProgress,
            Status::Deleted => DaemonTaskDefinitionStatus::Deleted,
        }),
    }
}

/// What ListDaemons says of a daemon.
pub(crate) fn daemon_summary(daemon: &record::Daemon) -> DaemonSummary {
    DaemonSummary {
        daemon_arn: Some(own_arn(daemon)),
        status: Some(match daemon.status {
            record::DaemonStatus::Active => DaemonStatus::Active,
            record::DaemonStatus::DeleteInProgress => DaemonStatus::DeleteInProgress,
        }),
        created_at: Some(time(daemon.created_at)),
        updated_at: Some(time(daemon.updated_at)),
    }
}

/// A daemon with the revisions that it has, and those that it should have.
pub(crate) fn daemon(view: &View, daemon: &record::Daemon) -> DaemonDetail {
    let deployment = crate::ecs::daemons::deployment_of(view, daemon);
    let wanted = deployment.and_then(|deployment| daemons::wanted(daemon, deployment));
    let running = tasks(view, &key(daemon)).filter(|task| is_running(task));
    let mut ids: BTreeSet<u64> = running.filter_map(record::Task::daemon_revision).collect();
    ids.extend(wanted);
    let revisions = ids.into_iter().filter_map(|id| {
        let revision = crate::ecs::daemons::revision_of(view, daemon, id)?;
        Some(revision_detail(view, revision, wanted == Some(id)))
    });
    let summary = daemon_summary(daemon);
    DaemonDetail {
        daemon_arn: summary.daemon_arn,
        cluster_arn: Some(cluster_arn(&daemon.scope, &daemon.cluster)),
        status: summary.status,
        current_revisions: Some(revisions.collect()),
        deployment_arn: Some(daemon_deployment_arn(daemon, daemon.deployment)),
        created_at: summary.created_at,
        updated_at: summary.updated_at,
    }
}

fn cluster_arn(
    scope: &longshore_domain::ids::Scope,
    cluster: &longshore_domain::ids::ClusterName,
) -> String {
    Arn::new(scope, Resource::Cluster(cluster.clone())).to_string()
}

fn key(daemon: &record::Daemon) -> DaemonKey {
    let (scope, cluster) = (daemon.scope.clone(), daemon.cluster.clone());
    DaemonKey { scope, cluster, name: daemon.name.clone() }
}

fn key_of(revision: &record::DaemonRevision) -> DaemonKey {
    let (scope, cluster) = (revision.scope.clone(), revision.cluster.clone());
    DaemonKey { scope, cluster, name: revision.daemon.clone() }
}

fn tasks<'v>(
    view: &'v View,
    daemon: &DaemonKey,
) -> impl Iterator<Item = &'v record::Task> + use<'v> {
    let group = format!("{}{}", record::DAEMON_GROUP, daemon.name);
    let index = TaskIndex::Group(daemon.scope.clone(), daemon.cluster.clone(), group);
    view.tasks.by(&index).map(|row| &row.record)
}

fn is_running(task: &record::Task) -> bool {
    task.desired == DesiredStatus::Running && task.observed.status == TaskStatus::Running
}

/// Instances of one capacity provider, by what they have of a revision.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    running: u32,
    without: u32,
    draining: u32,
}

/// Instances by capacity provider, in the order of the revision. `wanted` says whether instances
/// should have this one: only then are they without it.
fn counts(view: &View, revision: &record::DaemonRevision, wanted: bool) -> Vec<(String, Counts)> {
    let mut running = BTreeSet::new();
    let mut draining = BTreeSet::new();
    let mut with_any: BTreeSet<InstanceId> = BTreeSet::new();
    for task in tasks(view, &key_of(revision)).filter(|task| !task.is_stopped()) {
        let own = task.daemon_revision() == Some(revision.id);
        if is_running(task) {
            with_any.insert(task.instance);
            if own {
                running.insert(task.instance);
            }
        } else if own && task.desired == DesiredStatus::Stopped {
            draining.insert(task.instance);
        }
    }
    let mut by_provider: BTreeMap<&str, Counts> = BTreeMap::new();
    for instance in instances_of(view, &revision.scope, &revision.cluster) {
        let counts = by_provider.entry(daemons::provider_of(revision, instance)).or_default();
        let without = wanted && daemons::belongs(revision, instance);
        counts.running += u32::from(running.contains(&instance.id));
        counts.draining += u32::from(draining.contains(&instance.id));
        counts.without += u32::from(without && !with_any.contains(&instance.id));
    }
    let of = |name: &String| by_provider.get(name.as_str()).copied().unwrap_or_default();
    revision.capacity_providers.iter().map(|name| (name.clone(), of(name))).collect()
}

fn provider_arn(revision: &record::DaemonRevision, name: &str) -> String {
    let resource = Resource::Other("capacity-provider".to_owned(), name.to_owned());
    Arn::new(&revision.scope, resource).to_string()
}

fn revision_arn(key: &DaemonKey, id: u64) -> String {
    let resource = Resource::DaemonRevision(key.cluster.clone(), key.name.clone(), id);
    Arn::new(&key.scope, resource).to_string()
}

fn revision_detail(
    view: &View,
    revision: &record::DaemonRevision,
    wanted: bool,
) -> DaemonRevisionDetail {
    let counts = counts(view, revision, wanted);
    let total = |count: fn(&Counts) -> u32| counts.iter().map(|(_, c)| count(c)).sum::<u32>();
    DaemonRevisionDetail {
        arn: Some(revision_arn(&key_of(revision), revision.id)),
        total_running_count: Some(int(total(|counts| counts.running))),
        total_without_daemon_count: Some(int(total(|counts| counts.without))),
        capacity_providers: Some(
            counts
                .iter()
                .map(|(name, counts)| DaemonCapacityProvider {
                    arn: Some(provider_arn(revision, name)),
                    running_count: Some(int(counts.running)),
                    without_daemon_count: Some(int(counts.without)),
                })
                .collect(),
        ),
    }
}

/// A daemon revision, with the digests of its images as its tasks reported them.
pub(crate) fn daemon_revision(view: &View, record: &record::DaemonRevision) -> DaemonRevision {
    let arn = |resource| Some(Arn::new(&record.scope, resource).to_string());
    let definition = Resource::DaemonTaskDefinition(record.family.clone(), record.revision);
    DaemonRevision {
        daemon_revision_arn: Some(revision_arn(&key_of(record), record.id)),
        cluster_arn: arn(Resource::Cluster(record.cluster.clone())),
        daemon_arn: arn(Resource::Daemon(record.cluster.clone(), record.daemon.clone())),
        daemon_task_definition_arn: arn(definition),
        created_at: Some(time(record.created_at)),
        container_images: Some(images(view, record)),
        propagate_tags: Some(if record.propagate_tags {
            DaemonPropagateTags::Daemon
        } else {
            DaemonPropagateTags::None
        }),
        enable_ecs_managed_tags: Some(record.enable_ecs_managed_tags),
        enable_execute_command: Some(record.enable_execute_command),
        critical: Some(record.critical),
    }
}

fn images(view: &View, record: &record::DaemonRevision) -> Vec<DaemonContainerImage> {
    let definition = view.daemon_task_definitions.get(&DaemonTaskDefinitionKey {
        scope: record.scope.clone(),
        family: record.family.clone(),
        revision: record.revision,
    });
    let own = tasks(view, &key_of(record));
    let own = own.filter(|task| task.daemon_revision() == Some(record.id));
    let states: Vec<_> = own.flat_map(|task| &task.observed.containers).collect();
    let image = |container: &record::ContainerSpec| DaemonContainerImage {
        container_name: Some(container.name.clone()),
        image: Some(container.image.clone()),
        image_digest: states
            .iter()
            .filter(|state| state.name == container.name)
            .find_map(|state| state.image_digest.clone()),
    };
    definition.iter().flat_map(|row| &row.task.spec.containers).map(image).collect()
}

/// What ListDaemonDeployments says of a daemon deployment.
pub(crate) fn daemon_deployment_summary(
    record: &record::DaemonDeployment,
) -> DaemonDeploymentSummary {
    let key = key_of_deployment(record);
    let arn = |resource| Some(Arn::new(&record.scope, resource).to_string());
    let (cluster, daemon) = (record.cluster.clone(), record.daemon.clone());
    DaemonDeploymentSummary {
        daemon_deployment_arn: arn(Resource::DaemonDeployment(
            cluster.clone(),
            daemon.clone(),
            record.id,
        )),
        daemon_arn: arn(Resource::Daemon(cluster.clone(), daemon)),
        cluster_arn: arn(Resource::Cluster(cluster)),
        status: status(record.status),
        status_reason: record.status_reason.clone(),
        target_daemon_revision_arn: record.target.map(|id| revision_arn(&key, id)),
        created_at: Some(time(record.created_at)),
        started_at: record.started_at.map(time),
        stopped_at: record.stopped_at.map(time),
        finished_at: record.finished_at.map(time),
    }
}

fn key_of_deployment(record: &record::DaemonDeployment) -> DaemonKey {
    let (scope, cluster) = (record.scope.clone(), record.cluster.clone());
    DaemonKey { scope, cluster, name: record.daemon.clone() }
}

fn status(status: record::DaemonDeploymentStatus) -> Option<DaemonDeploymentStatus> {
    DaemonDeploymentStatus::ALL.iter().find(|known| known.as_str() == status.as_str()).copied()
}

/// A daemon deployment with the instances of its revisions.
pub(crate) fn daemon_deployment(
    view: &View,
    record: &record::DaemonDeployment,
) -> DaemonDeployment {
    let key = key_of_deployment(record);
    let summary = daemon_deployment_summary(record);
    let daemon = view.daemons.get(&key).filter(|daemon| daemon.deployment == record.id);
    let wanted = daemon.and_then(|daemon| daemons::wanted(daemon, record));
    let detail = |id: u64| {
        let revision = view.daemon_revisions.get(&DaemonRevisionKey {
            scope: key.scope.clone(),
            cluster: key.cluster.clone(),
            daemon: key.name.clone(),
            id,
        });
        match revision {
            Some(revision) => deployment_detail(view, revision, wanted == Some(id)),
            None => DaemonDeploymentRevisionDetail {
                arn: Some(revision_arn(&key, id)),
                ..DaemonDeploymentRevisionDetail::default()
            },
        }
    };
    let target = record.target.map(detail);
    let involved = target.iter().flat_map(|target| target.capacity_providers.iter().flatten());
    let involved: Vec<String> = involved.filter_map(|provider| provider.arn.clone()).collect();
    DaemonDeployment {
        daemon_deployment_arn: summary.daemon_deployment_arn,
        cluster_arn: summary.cluster_arn,
        status: summary.status,
        status_reason: summary.status_reason,
        source_daemon_revisions: Some(record.sources.iter().map(|id| detail(*id)).collect()),
        circuit_breaker: Some(breaker(record)),
        alarms: Some(DaemonDeploymentAlarms {
            status: Some(Monitor::Disabled),
            alarm_names: Some(record.configuration.alarm_names.clone()),
            triggered_alarm_names: Some(Vec::new()),
        }),
        rollback: record.rollback.as_ref().map(|back| DaemonRollback {
            reason: Some(back.reason.clone()),
            started_at: Some(time(back.started_at)),
            rollback_target_daemon_revision_arn: Some(revision_arn(&key, back.target)),
            rollback_capacity_providers: Some(involved),
        }),
        target_daemon_revision: target,
        deployment_configuration: Some(configuration(&record.configuration)),
        created_at: summary.created_at,
        started_at: summary.started_at,
        stopped_at: summary.stopped_at,
        finished_at: summary.finished_at,
    }
}

fn deployment_detail(
    view: &View,
    revision: &record::DaemonRevision,
    wanted: bool,
) -> DaemonDeploymentRevisionDetail {
    let counts = counts(view, revision, wanted);
    let total = |count: fn(&Counts) -> u32| counts.iter().map(|(_, c)| count(c)).sum::<u32>();
    DaemonDeploymentRevisionDetail {
        arn: Some(revision_arn(&key_of(revision), revision.id)),
        total_running_instance_count: Some(int(total(|counts| counts.running))),
        total_without_daemon_instance_count: Some(int(total(|counts| counts.without))),
        total_draining_instance_count: Some(int(total(|counts| counts.draining))),
        capacity_providers: Some(
            counts
                .iter()
                .map(|(name, counts)| DaemonDeploymentCapacityProvider {
                    arn: Some(provider_arn(revision, name)),
                    running_instance_count: Some(int(counts.running)),
                    without_daemon_instance_count: Some(int(counts.without)),
                    draining_instance_count: Some(int(counts.draining)),
                })
                .collect(),
        ),
    }
}

fn breaker(record: &record::DaemonDeployment) -> DaemonCircuitBreaker {
    let triggered = record.threshold > 0 && record.failures >= record.threshold;
    let status = match (record.target, triggered, record.status.is_final()) {
        (None, ..) => Monitor::Disabled,
        (Some(_), true, _) => Monitor::Triggered,
        (Some(_), false, true) => Monitor::MonitoringComplete,
        (Some(_), false, false) => Monitor::Monitoring,
    };
    DaemonCircuitBreaker {
        status: Some(status),
        failure_count: Some(int(record.failures)),
        threshold: Some(int(record.threshold)),
    }
}

fn configuration(record: &record::DaemonDeploymentConfiguration) -> DaemonDeploymentConfiguration {
    DaemonDeploymentConfiguration {
        drain_percent: Some(record.drain_percent),
        bake_time_in_minutes: Some(int(record.bake_time_min)),
        alarms: Some(DaemonAlarmConfiguration {
            alarm_names: Some(record.alarm_names.clone()),
            enable: Some(false),
        }),
    }
}
