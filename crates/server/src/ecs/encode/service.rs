//! Services.

use longshore_domain::deploy;
use longshore_domain::ids::{Arn, Family, Resource, Revision};
use longshore_domain::limits;
use longshore_domain::record::{self, DesiredStatus, TaskStatus};
use longshore_store::View;
use longshore_store::tables::{ServiceEventKey, TaskIndex};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    AvailabilityZoneRebalancing, DeploymentControllerType, DeploymentLifecycleHookAction,
    DeploymentLifecycleHookStage, DeploymentLifecycleHookTargetType, DeploymentRolloutState,
    DeploymentStrategy, LaunchType, PropagateTags, SchedulingStrategy, ServiceField, ThresholdType,
};
use longshore_wire::ecs::{
    CanaryConfiguration, Deployment, DeploymentCircuitBreaker, DeploymentConfiguration,
    DeploymentController, DeploymentLifecycleHook, DeploymentLifecycleHookTimeoutConfiguration,
    LinearConfiguration, Service, ServiceCurrentRevisionSummary, ServiceEvent,
    ThresholdConfiguration,
};

use super::{constraints, document, int, strategies, tags, task_set, time};
use crate::clock;
use crate::ecs::lookup;
use crate::ecs::services::balancers;

/// Tasks of a service or deployment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) running: usize,
    pub(super) pending: usize,
}

impl Counts {
    /// Tasks that a deployment started.
    pub(super) fn of_deployment(label: &str, tasks: &[&record::Task]) -> Self {
        Self::of(tasks.iter().copied().filter(|task| task.started_by.as_deref() == Some(label)))
    }

    fn of<'a>(tasks: impl Iterator<Item = &'a record::Task>) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            let pending = task.desired == DesiredStatus::Running
                && task.observed.status < TaskStatus::Running;
            counts.running += usize::from(deploy::is_running(task));
            counts.pending += usize::from(pending);
        }
        counts
    }
}

/// A service with its deployments, counts and newest events.
pub(crate) fn service(
    view: &View,
    record: &record::Service,
    include: &[ServiceField],
) -> Result<Service, ServiceError> {
    let (scope, cluster) = (&record.scope, &record.cluster);
    let arn = |resource| Arn::new(scope, resource).to_string();
    let index = TaskIndex::service(scope, cluster, &record.name);
    let tasks: Vec<&record::Task> = view.tasks.by(&index).map(|row| &row.record).collect();
    let counts = Counts::of(tasks.iter().copied());
    let kept: Service = document(&record.document)?;
    let deployments = record.deployments.iter().map(|d| deployment(record, d, &tasks, &kept));
    let runs = record.primary_task_set().map(|set| &set.deployment);
    let runs = record.deployments.first().or(runs);
    let with_tags = include.contains(&ServiceField::Tags);
    let task_sets = record.task_sets.iter();
    let task_sets = task_sets.map(|set| task_set::with_tasks(record, set, &tasks, with_tags));
    let external = record.controller == record::DeploymentController::External;
    Ok(Service {
        service_arn: Some(arn(Resource::Service(cluster.clone(), record.name.clone()))),
        service_name: Some(record.name.to_string()),
        cluster_arn: Some(arn(Resource::Cluster(cluster.clone()))),
        status: Some(record.status.as_str().to_owned()),
        scheduling_strategy: Some(match record.scheduling_strategy {
            record::SchedulingStrategy::Replica => SchedulingStrategy::Replica,
            record::SchedulingStrategy::Daemon => SchedulingStrategy::Daemon,
        }),
        desired_count: Some(int(record.desired_count)),
        running_count: Some(int(counts.running)),
        pending_count: Some(int(counts.pending)),
        launch_type: Some(launch_type(record.launch_type)),
        task_definition: runs.map(|d| definition_arn(record, &d.family, d.revision)),
        deployment_configuration: Some(configuration(
            &record.deployment_configuration,
            record.shifting,
            &record.pause_hooks,
        )),
        current_service_deployment: current_deployment(view, record),
        current_service_revisions: Some(current_revisions(record, &tasks)),
        deployment_controller: Some(DeploymentController {
            r#type: if external {
                DeploymentControllerType::External
            } else {
                DeploymentControllerType::Ecs
            },
        }),
        task_sets: external.then(|| task_sets.collect()).transpose()?,
        deployments: Some(deployments.collect()),
        events: Some(events(view, record)),
        load_balancers: Some(balancers::shown(&record.balancers)),
        service_registries: Some(Vec::new()),
        placement_constraints: Some(constraints(&record.placement_constraints)),
        placement_strategy: Some(strategies(&record.placement_strategy)),
        propagate_tags: PropagateTags::ALL
            .iter()
            .find(|word| word.as_str() == record.propagate_tags)
            .copied(),
        enable_ecs_managed_tags: Some(record.enable_ecs_managed_tags),
        enable_execute_command: Some(record.enable_execute_command),
        health_check_grace_period_seconds: record.health_check_grace_period_s.map(int),
        availability_zone_rebalancing: Some(if record.zone_rebalancing {
            AvailabilityZoneRebalancing::Enabled
        } else {
            AvailabilityZoneRebalancing::Disabled
        }),
        created_at: Some(time(record.created_at)),
        created_by: Some(record.created_by.clone()),
        tags: with_tags.then(|| tags(&record.tags)),
        ..kept
    })
}

pub(super) fn definition_arn(
    record: &record::Service,
    family: &Family,
    revision: Revision,
) -> String {
    Arn::new(&record.scope, Resource::TaskDefinition(family.clone(), revision)).to_string()
}

pub(super) fn launch_type(launch: record::LaunchType) -> LaunchType {
    match launch {
        record::LaunchType::Ec2 => LaunchType::Ec2,
        record::LaunchType::External => LaunchType::External,
    }
}

fn deployment(
    service: &record::Service,
    record: &record::Deployment,
    tasks: &[&record::Task],
    kept: &Service,
) -> Deployment {
    let label = record.label();
    let counts = Counts::of_deployment(&label, tasks);
    Deployment {
        status: Some(record.status.as_str().to_owned()),
        task_definition: Some(definition_arn(service, &record.family, record.revision)),
        desired_count: Some(int(record.desired_count)),
        running_count: Some(int(counts.running)),
        pending_count: Some(int(counts.pending)),
        failed_tasks: Some(int(record.failed_tasks)),
        created_at: Some(time(record.created_at)),
        updated_at: Some(time(record.updated_at)),
        launch_type: Some(launch_type(service.launch_type)),
        network_configuration: kept.network_configuration.clone(),
        platform_version: kept.platform_version.clone(),
        rollout_state: Some(match record.rollout {
            record::RolloutState::InProgress => DeploymentRolloutState::InProgress,
            record::RolloutState::Completed => DeploymentRolloutState::Completed,
            record::RolloutState::Failed => DeploymentRolloutState::Failed,
        }),
        rollout_state_reason: Some(record.rollout_reason.clone()),
        id: Some(label),
        ..Deployment::default()
    }
}

/// ARN of the service deployment that is under way.
fn current_deployment(view: &View, record: &record::Service) -> Option<String> {
    let row = lookup::current_deployment(view, record)?;
    let resource = Resource::ServiceDeployment(record.cluster.clone(), record.name.clone(), row.id);
    (!row.status.is_over()).then(|| Arn::new(&record.scope, resource).to_string())
}

fn current_revisions(
    record: &record::Service,
    tasks: &[&record::Task],
) -> Vec<ServiceCurrentRevisionSummary> {
    let summary = |deployment: &record::Deployment| {
        let counts = Counts::of_deployment(&deployment.label(), tasks);
        let (cluster, name) = (record.cluster.clone(), record.name.clone());
        let resource = Resource::ServiceRevision(cluster, name, deployment.id);
        ServiceCurrentRevisionSummary {
            arn: Some(Arn::new(&record.scope, resource).to_string()),
            requested_task_count: Some(int(deployment.desired_count)),
            running_task_count: Some(int(counts.running)),
            pending_task_count: Some(int(counts.pending)),
        }
    };
    record.deployments.iter().map(summary).collect()
}

/// A deployment configuration with the hooks that are part of it.
pub(super) fn configuration(
    record: &record::DeploymentConfiguration,
    shifting: Option<record::Shifting>,
    hooks: &[record::PauseHook],
) -> DeploymentConfiguration {
    let breaker = &record.circuit_breaker;
    let (threshold, value) = match breaker.threshold {
        record::Threshold::Count(value) => (ThresholdType::Count, value),
        record::Threshold::BoundedPercent(value) => (ThresholdType::BoundedPercent, value),
        record::Threshold::UnboundedPercent(value) => (ThresholdType::UnboundedPercent, value),
    };
    let hooks: Vec<_> = hooks.iter().map(hook).collect();
    DeploymentConfiguration {
        minimum_healthy_percent: Some(int(record.minimum_healthy_percent)),
        maximum_percent: Some(int(record.maximum_percent)),
        deployment_circuit_breaker: Some(DeploymentCircuitBreaker {
            enable: breaker.enable,
            rollback: breaker.rollback,
            reset_on_healthy_task: Some(breaker.reset_on_healthy_task),
            threshold_configuration: Some(ThresholdConfiguration {
                r#type: threshold,
                value: int(value),
            }),
        }),
        lifecycle_hooks: (!hooks.is_empty()).then_some(hooks),
        strategy: Some(match shifting.map(|shifting| shifting.strategy) {
            None => DeploymentStrategy::Rolling,
            Some(record::ShiftStrategy::BlueGreen) => DeploymentStrategy::BlueGreen,
            Some(record::ShiftStrategy::Linear { .. }) => DeploymentStrategy::Linear,
            Some(record::ShiftStrategy::Canary { .. }) => DeploymentStrategy::Canary,
        }),
        bake_time_in_minutes: Some(int(shifting.map_or(0, |shifting| shifting.bake_min))),
        linear_configuration: match shifting.map(|shifting| shifting.strategy) {
            Some(record::ShiftStrategy::Linear { step, bake_min }) => Some(LinearConfiguration {
                step_percent: Some(percent(step)),
                step_bake_time_in_minutes: Some(int(bake_min)),
            }),
            _ => None,
        },
        canary_configuration: match shifting.map(|shifting| shifting.strategy) {
            Some(record::ShiftStrategy::Canary { first, bake_min }) => Some(CanaryConfiguration {
                canary_percent: Some(percent(first)),
                canary_bake_time_in_minutes: Some(int(bake_min)),
            }),
            _ => None,
        },
        ..DeploymentConfiguration::default()
    }
}

fn percent(share: record::Share) -> f64 {
    f64::from(share.tenths()) / 10.0
}

fn hook(record: &record::PauseHook) -> DeploymentLifecycleHook {
    let stage = |stage: &record::LifecycleStage| {
        DeploymentLifecycleHookStage::ALL.iter().find(|s| s.as_str() == stage.as_str()).copied()
    };
    DeploymentLifecycleHook {
        target_type: Some(match record.webhook {
            Some(_) => DeploymentLifecycleHookTargetType::AwsLambda,
            None => DeploymentLifecycleHookTargetType::Pause,
        }),
        hook_target_arn: record.webhook.as_ref().map(|webhook| webhook.url.clone()),
        role_arn: record.webhook.as_ref().and_then(|webhook| webhook.role.clone()),
        hook_details: record
            .webhook
            .as_ref()
            .and_then(|webhook| serde_json::from_str(webhook.details.as_ref()?.as_str()).ok()),
        lifecycle_stages: Some(record.stages.iter().filter_map(stage).collect()),
        timeout_configuration: Some(DeploymentLifecycleHookTimeoutConfiguration {
            action: Some(hook_action(record.action)),
            timeout_in_minutes: Some(int(record.timeout_min)),
        }),
    }
}

pub(super) fn hook_action(action: record::HookAction) -> DeploymentLifecycleHookAction {
    match action {
        record::HookAction::Rollback => DeploymentLifecycleHookAction::Rollback,
        record::HookAction::Continue => DeploymentLifecycleHookAction::Continue,
    }
}

/// The newest events first; none of an earlier service of the same name.
fn events(view: &View, record: &record::Service) -> Vec<ServiceEvent> {
    let prefix = ServiceEventKey::of_service(&record.scope, &record.cluster, &record.name);
    let mut rows: Vec<_> = view
        .service_events
        .range(&prefix)
        .filter(|row| row.created_at >= record.created_at)
        .collect();
    rows.reverse();
    rows.truncate(limits::SERVICE_EVENTS);
    let event = |event: &record::ServiceEvent| ServiceEvent {
        id: Some(clock::format_uuid(event.id.bits())),
        created_at: Some(time(event.created_at)),
        message: Some(event.message.clone()),
    };
    rows.into_iter().map(|row| event(row)).collect()
}
