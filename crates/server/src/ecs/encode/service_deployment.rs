//! Service deployments and revisions.

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::journal::HookState;
use longshore_domain::record;
use longshore_store::View;
use longshore_store::tables::{ServiceDeploymentKey, TaskDefinitionKey, TaskIndex};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    DeploymentLifecycleHookStatus, DeploymentLifecycleHookTargetType,
    ServiceDeploymentLifecycleStage, ServiceDeploymentRollbackMonitorsStatus,
    ServiceDeploymentStatus,
};
use longshore_wire::ecs::{
    ContainerImage, DeploymentLifecycleHookDetail, ResolvedConfiguration, Rollback, Service,
    ServiceDeployment, ServiceDeploymentBrief, ServiceDeploymentCircuitBreaker, ServiceRevision,
    ServiceRevisionLoadBalancer, ServiceRevisionSummary,
};

use super::service::{self, Counts};
use super::{document, int, time};
use crate::ecs::lookup;
use crate::ecs::services::balancers;

fn arn(record: &record::ServiceDeployment, resource: Resource) -> String {
    Arn::new(&record.scope, resource).to_string()
}

fn own_arn(record: &record::ServiceDeployment) -> String {
    let (cluster, service) = (record.cluster.clone(), record.service.clone());
    arn(record, Resource::ServiceDeployment(cluster, service, record.id))
}

fn service_arn(record: &record::ServiceDeployment) -> String {
    arn(record, Resource::Service(record.cluster.clone(), record.service.clone()))
}

fn revision_arn(record: &record::ServiceDeployment, id: u64) -> String {
    arn(record, Resource::ServiceRevision(record.cluster.clone(), record.service.clone(), id))
}

fn status(record: &record::ServiceDeployment) -> Option<ServiceDeploymentStatus> {
    let word = record.status.as_str();
    ServiceDeploymentStatus::ALL.iter().find(|status| status.as_str() == word).copied()
}

/// What ListServiceDeployments says of a service deployment.
pub(crate) fn service_deployment_brief(
    record: &record::ServiceDeployment,
) -> ServiceDeploymentBrief {
    ServiceDeploymentBrief {
        service_deployment_arn: Some(own_arn(record)),
        service_arn: Some(service_arn(record)),
        cluster_arn: Some(arn(record, Resource::Cluster(record.cluster.clone()))),
        status: status(record),
        status_reason: record.status_reason.clone(),
        target_service_revision_arn: Some(revision_arn(record, record.target)),
        created_at: Some(time(record.created_at)),
        started_at: record.started_at.map(time),
        finished_at: record.finished_at.map(time),
    }
}

/// A service deployment with the task counts of its revisions.
pub(crate) fn service_deployment(
    view: &View,
    record: &record::ServiceDeployment,
) -> ServiceDeployment {
    let summary = |id: &u64| summary(view, record, *id);
    let shifting = record.shift.as_ref().map(|shift| shift.config);
    let configuration =
        service::configuration(&record.configuration, shifting, &record.pause_hooks);
    // AWS has hooks at this stage, but no word for it in this enumeration.
    let stage = match record.stage {
        record::LifecycleStage::PreProductionTrafficShift => {
            record::LifecycleStage::ProductionTrafficShift
        }
        stage => stage,
    };
    let stage = stage.as_str();
    let stage = ServiceDeploymentLifecycleStage::ALL.iter().find(|s| s.as_str() == stage).copied();
    let hooks: Vec<_> = record.pauses.iter().map(hook).collect();
    ServiceDeployment {
        service_deployment_arn: Some(own_arn(record)),
        service_arn: Some(service_arn(record)),
        cluster_arn: Some(arn(record, Resource::Cluster(record.cluster.clone()))),
        status: status(record),
        status_reason: record.status_reason.clone(),
        target_service_revision: Some(summary(&record.target)),
        source_service_revisions: Some(record.sources.iter().map(summary).collect()),
        deployment_configuration: Some(configuration),
        deployment_circuit_breaker: Some(breaker(record)),
        rollback: record.rollback.as_ref().map(|rollback| Rollback {
            reason: Some(rollback.reason.clone()),
            service_revision_arn: Some(revision_arn(record, rollback.to)),
            started_at: Some(time(rollback.started_at)),
        }),
        lifecycle_stage: if record.status.is_over() { None } else { stage },
        lifecycle_hook_details: (!hooks.is_empty()).then_some(hooks),
        created_at: Some(time(record.created_at)),
        started_at: record.started_at.map(time),
        updated_at: Some(time(record.updated_at)),
        stopped_at: record.stopped_at.map(time),
        finished_at: record.finished_at.map(time),
        alarms: None,
    }
}

fn summary(view: &View, record: &record::ServiceDeployment, id: u64) -> ServiceRevisionSummary {
    let service = lookup::service(view, &record.scope, &record.cluster, &record.service);
    let tasks = tasks(view, record);
    let counts = Counts::of_deployment(&format!("ecs-svc/{id}"), &tasks);
    let deployment = service
        .and_then(|service| service.deployments.iter().find(|deployment| deployment.id == id));
    ServiceRevisionSummary {
        arn: Some(revision_arn(record, id)),
        requested_task_count: Some(int(deployment.map_or(0, |d| d.desired_count))),
        running_task_count: Some(int(counts.running)),
        pending_task_count: Some(int(counts.pending)),
        requested_production_traffic_weight: weight(record, id, |shift| shift.production),
        requested_test_traffic_weight: weight(record, id, |shift| shift.test),
    }
}

/// What a revision is to have of traffic, in percent: the target its share, the one that served before the
/// rest.
fn weight(
    record: &record::ServiceDeployment,
    id: u64,
    of: impl Fn(&record::Shift) -> record::Share,
) -> Option<f64> {
    let shift = record.shift.as_ref().filter(|shift| !shift.balancers.is_empty())?;
    let share = match (id == record.target, shift.blue == Some(id)) {
        (true, _) => of(shift),
        (false, true) => of(shift).rest(),
        (false, false) => record::Share::NONE,
    };
    Some(f64::from(share.tenths()) / 10.0)
}

fn tasks<'v>(view: &'v View, record: &record::ServiceDeployment) -> Vec<&'v record::Task> {
    let index = TaskIndex::service(&record.scope, &record.cluster, &record.service);
    view.tasks.by(&index).map(|row| &row.record).collect()
}

fn breaker(record: &record::ServiceDeployment) -> ServiceDeploymentCircuitBreaker {
    use ServiceDeploymentRollbackMonitorsStatus as Monitor;
    let state = record.breaker;
    let status = match (state.enabled, state.triggered, record.status.is_over()) {
        (false, ..) => Monitor::Disabled,
        (true, true, _) => Monitor::Triggered,
        (true, false, true) => Monitor::MonitoringComplete,
        (true, false, false) => Monitor::Monitoring,
    };
    ServiceDeploymentCircuitBreaker {
        status: Some(status),
        failure_count: Some(int(state.failure_count)),
        threshold: Some(int(state.threshold)),
    }
}

fn hook(record: &record::Pause) -> DeploymentLifecycleHookDetail {
    let word = HookState::of(record).as_str();
    let status = DeploymentLifecycleHookStatus::ALL.iter().find(|s| s.as_str() == word).copied();
    DeploymentLifecycleHookDetail {
        hook_id: Some(record.id.clone()),
        target_type: Some(match record.call {
            Some(_) => DeploymentLifecycleHookTargetType::AwsLambda,
            None => DeploymentLifecycleHookTargetType::Pause,
        }),
        target_arn: record.call.as_ref().map(|call| call.url.clone()),
        status,
        expires_at: Some(time(record.expires_at)),
        timeout_action: Some(service::hook_action(record.timeout_action)),
    }
}

/// A service revision, with the digests of its images as its tasks reported them.
pub(crate) fn service_revision(
    view: &View,
    record: &record::ServiceRevision,
) -> Result<ServiceRevision, ServiceError> {
    let kept: Service = document(&record.document)?;
    let arn = |resource| Some(Arn::new(&record.scope, resource).to_string());
    let (cluster, name) = (record.cluster.clone(), record.service.clone());
    let definition = Resource::TaskDefinition(record.family.clone(), record.revision);
    Ok(ServiceRevision {
        service_revision_arn: arn(Resource::ServiceRevision(
            cluster.clone(),
            name.clone(),
            record.id,
        )),
        service_arn: arn(Resource::Service(cluster.clone(), name)),
        cluster_arn: arn(Resource::Cluster(cluster)),
        task_definition: arn(definition),
        launch_type: Some(service::launch_type(record.launch_type)),
        network_configuration: kept.network_configuration,
        platform_version: kept.platform_version,
        container_images: Some(images(view, record)),
        load_balancers: (!record.balancers.is_empty()).then(|| balancers::shown(&record.balancers)),
        resolved_configuration: resolved(view, record),
        guard_duty_enabled: Some(false),
        created_at: Some(time(record.created_at)),
        ..ServiceRevision::default()
    })
}

/// The target groups that its tasks are in.
fn resolved(view: &View, record: &record::ServiceRevision) -> Option<ResolvedConfiguration> {
    let prefix = ServiceDeploymentKey::of_service(&record.scope, &record.cluster, &record.service);
    let mut deployments = view.service_deployments.range(&prefix);
    let shift = deployments.find(|row| row.target == record.id)?.shift.as_ref()?;
    let shown = |balancer: &record::ServiceBalancer| ServiceRevisionLoadBalancer {
        target_group_arn: Some(balancer.target_group.clone()),
        production_listener_rule: balancer
            .advanced
            .as_ref()
            .map(|advanced| advanced.production_rule.clone()),
    };
    let load_balancers: Vec<_> = shift.balancers.iter().map(shown).collect();
    (!load_balancers.is_empty()).then(|| ResolvedConfiguration {
        load_balancers: Some(load_balancers),
        ..ResolvedConfiguration::default()
    })
}

fn images(view: &View, record: &record::ServiceRevision) -> Vec<ContainerImage> {
    let key = TaskDefinitionKey {
        scope: record.scope.clone(),
        family: record.family.clone(),
        revision: record.revision,
    };
    let Some(definition) = view.task_definitions.get(&key) else { return Vec::new() };
    let label = format!("ecs-svc/{}", record.id);
    let index = TaskIndex::service(&record.scope, &record.cluster, &record.service);
    let own = view.tasks.by(&index).filter(|task| task.started_by.as_ref() == Some(&label));
    let states: Vec<_> = own.flat_map(|task| &task.observed.containers).collect();
    let service = lookup::service(view, &record.scope, &record.cluster, &record.service);
    let completed = service.and_then(|service| service.completed.as_ref());
    let known = completed.into_iter().map(|completed| &completed.deployment);
    let mut known = service.iter().flat_map(|service| &service.deployments).chain(known);
    let resolved = known.find(|deployment| deployment.id == record.id).map(|d| &d.images);
    let image = |container: &record::ContainerSpec| ContainerImage {
        container_name: Some(container.name.clone()),
        image: Some(container.image.clone()),
        image_digest: resolved.and_then(|images| images.get(&container.name)).cloned().or_else(
            || {
                let mut own = states.iter().filter(|state| state.name == container.name);
                own.find_map(|state| state.image_digest.clone())
            },
        ),
    };
    definition.spec.containers.iter().map(image).collect()
}
