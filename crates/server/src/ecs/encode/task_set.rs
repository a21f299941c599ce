//! Task sets.

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::record;
use longshore_store::View;
use longshore_store::tables::TaskIndex;
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{ScaleUnit, StabilityStatus};
use longshore_wire::ecs::{Scale, Service, TaskSet};

use super::service::{self, Counts};
use super::{document, int, tags, time};
use crate::ecs::services::balancers;

/// A task set with the counts of its tasks; with its tags if asked for.
pub(crate) fn task_set(
    view: &View,
    service: &record::Service,
    record: &record::TaskSet,
    with_tags: bool,
) -> Result<TaskSet, ServiceError> {
    let (scope, cluster) = (&service.scope, &service.cluster);
    let index = TaskIndex::service(scope, cluster, &service.name);
    let tasks: Vec<&record::Task> = view.tasks.by(&index).map(|row| &row.record).collect();
    with_tasks(service, record, &tasks, with_tags)
}

/// The same, for who knows the tasks of the service.
pub(super) fn with_tasks(
    service: &record::Service,
    record: &record::TaskSet,
    tasks: &[&record::Task],
    with_tags: bool,
) -> Result<TaskSet, ServiceError> {
    let (cluster, name) = (service.cluster.clone(), service.name.clone());
    let arn = |resource| Some(Arn::new(&service.scope, resource).to_string());
    let deployment = &record.deployment;
    let counts = Counts::of_deployment(&record.label(), tasks);
    let wanted = record.computed_desired_count(service.desired_count);
    // What was just asked for is not there yet, whatever the scheduler found last.
    let there = usize::try_from(wanted) == Ok(counts.running) && counts.pending == 0;
    let kept: Service = document(&record.document)?;
    Ok(TaskSet {
        id: Some(record.label()),
        task_set_arn: arn(Resource::TaskSet(cluster.clone(), name.clone(), deployment.id)),
        service_arn: arn(Resource::Service(cluster.clone(), name)),
        cluster_arn: arn(Resource::Cluster(cluster)),
        external_id: record.external_id.clone(),
        status: Some(record.status.as_str().to_owned()),
        task_definition: Some(service::definition_arn(
            service,
            &deployment.family,
            deployment.revision,
        )),
        computed_desired_count: Some(int(wanted)),
        pending_count: Some(int(counts.pending)),
        running_count: Some(int(counts.running)),
        created_at: Some(time(deployment.created_at)),
        updated_at: Some(time(deployment.updated_at)),
        launch_type: Some(service::launch_type(record.launch_type)),
        platform_version: kept.platform_version,
        network_configuration: kept.network_configuration,
        load_balancers: Some(balancers::shown(&deployment.balancers)),
        service_registries: Some(Vec::new()),
        scale: Some(Scale {
            unit: Some(ScaleUnit::Percent),
            value: Some(f64::from(record.scale.millionths()) / 1_000_000.0),
        }),
        stability_status: Some(if record.is_steady && there {
            StabilityStatus::SteadyState
        } else {
            StabilityStatus::Stabilizing
        }),
        stability_status_at: Some(time(record.steady_changed_at)),
        tags: with_tags.then(|| tags(&record.tags)),
        ..TaskSet::default()
    })
}
