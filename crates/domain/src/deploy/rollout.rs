//! Deployments: how they begin, and what tells that they are done.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::buckets::{Buckets, Condition};
use super::draft::{Draft, Hold, Why};
use super::{failures, process};
use crate::ids::{Family, IdSource, Revision, ServiceDeploymentId};
use crate::limits;
use crate::record::{
    BreakerState, Cause, Completed, Deployment, DeploymentStatus, LifecycleStage, RolloutState,
    SchedulingStrategy, Service, ServiceBalancer, ServiceDeployment, ServiceDeploymentStatus,
    ServiceRevision, ServiceStatus, Shift, Task, TaskStatus,
};
use crate::time::Timestamp;

/// Smallest number of a deployment: AWS's have 19 digits.
const FIRST_NUMBER: u64 = 1_000_000_000_000_000_000;

/// A fresh number of a deployment, of 19 digits.
fn deployment_number(ids: &mut dyn IdSource) -> u64 {
    let numbers = u128::from(9 * FIRST_NUMBER);
    u64::try_from(ids.next_id() % numbers).map_or(FIRST_NUMBER, |n| FIRST_NUMBER + n)
}

/// Whether a task counts as running in the numbers that the API gives: it runs and is to go on.
pub fn is_running(task: &Task) -> bool {
    task.observed.status == TaskStatus::Running
        && task.desired == crate::record::DesiredStatus::Running
}

/// New records of a deployment that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// What it leads to.
    pub revision: ServiceRevision,
    /// How it goes.
    pub deployment: ServiceDeployment,
}

/// A deployment that begins now.
pub(super) fn fresh(
    ids: &mut dyn IdSource,
    family: Family,
    revision: Revision,
    desired_count: u32,
    now: Timestamp,
) -> Deployment {
    let number = deployment_number(ids);
    Deployment {
        id: number,
        status: DeploymentStatus::Primary,
        family,
        revision,
        images: BTreeMap::new(),
        balancers: Vec::new(),
        desired_count,
        failed_tasks: 0,
        failed_starts: 0,
        failed_at: None,
        breaker_failures: 0,
        has_run: false,
        rollout: RolloutState::InProgress,
        rollout_reason: format!("ECS deployment ecs-svc/{number} in progress."),
        created_at: now,
        resumed_at: None,
        updated_at: now,
    }
}

/// Begins a deployment of a task definition: it becomes PRIMARY, the others ACTIVE, and what was
/// held against the service before is forgotten.
pub fn begin(
    service: &mut Service,
    ids: &mut dyn IdSource,
    family: Family,
    revision: Revision,
    now: Timestamp,
) -> Begun {
    let mut deployment = fresh(ids, family, revision, service.desired_count, now);
    deployment.balancers = balancers(service);
    // A daemon has one task on an instance, so it cannot keep two revisions.
    let shifts = service.scheduling_strategy == SchedulingStrategy::Replica;
    let shifting = service.shifting.filter(|_| shifts);
    let number = deployment.id;
    let sources = service.deployments.iter().map(|deployment| deployment.id).collect();
    for deployment in &mut service.deployments {
        deployment.status = DeploymentStatus::Active;
    }
    let revision = ServiceRevision {
        scope: service.scope.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id: number,
        family: deployment.family.clone(),
        revision: deployment.revision,
        launch_type: service.launch_type,
        balancers: service.balancers.clone(),
        document: service.document.clone(),
        created_at: now,
    };
    service.deployments.insert(0, deployment);
    service.retry_at = None;
    // Whoever moved tasks between zones stops that, and says so.
    service.notices.retain(|notice| notice.cause == Cause::ZonesUnbalanced);
    let id = ServiceDeploymentId::fresh_at(now, ids);
    service.service_deployment = Some(id);
    let deployment = ServiceDeployment {
        scope: service.scope.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id,
        target: number,
        sources,
        configuration: service.deployment_configuration,
        pause_hooks: service.pause_hooks.clone(),
        status: ServiceDeploymentStatus::Pending,
        status_reason: None,
        breaker: BreakerState::default(),
        rollback: None,
        stage: if shifting.is_some() {
            LifecycleStage::ReconcileService
        } else {
            LifecycleStage::PreScaleUp
        },
        pauses: Vec::new(),
        shift: shifting.map(Shift::new),
        created_at: now,
        started_at: None,
        updated_at: now,
        stopped_at: None,
        finished_at: None,
    };
    Begun { revision, deployment }
}

/// Where tasks of a deployment that begins are to be targets: of a pair of groups the one that serves, as
/// far as that is known; one that shifts traffic finds out for itself.
fn balancers(service: &Service) -> Vec<ServiceBalancer> {
    let completed = service.completed.iter().map(|completed| &completed.deployment);
    let known: Vec<_> = completed.chain(&service.deployments).flat_map(|d| &d.balancers).collect();
    let facing = |given: &ServiceBalancer| match known.iter().find(|own| own.is_of_pair(given)) {
        Some(own) => given.facing(&own.target_group),
        None => given.clone(),
    };
    service.balancers.iter().map(facing).collect()
}

/// Brings the deployments up to date with what is decided: their desired counts, those that have
/// nothing left, and whether the newest is complete.
pub(super) fn settle(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    if draft.service.scheduling_strategy == SchedulingStrategy::Daemon {
        process::scaled_up(draft, buckets);
    }
    let left = |draft: &Draft<'_, '_>, label: &String| {
        let own = buckets.live.iter().filter(|l| l.task.started_by.as_ref() == Some(label));
        own.filter(|l| !draft.stops(l.task.id)).count()
    };
    let (now, desired, acting) = (draft.now(), draft.service.desired_count, draft.acting());
    let mut deployments = core::mem::take(&mut draft.service.deployments);
    for (place, deployment) in deployments.iter_mut().enumerate() {
        let remaining = left(draft, &deployment.label());
        let wanted =
            if place == acting { desired } else { u32::try_from(remaining).unwrap_or(u32::MAX) };
        if deployment.desired_count != wanted {
            deployment.desired_count = wanted;
            deployment.updated_at = now;
        }
    }
    // One that was given up in this plan shows once, so that its end is told.
    let given_up = |d: &Deployment| draft.turned_back && d.rollout == RolloutState::Failed;
    deployments
        .retain(|d| d.status == DeploymentStatus::Primary || d.desired_count > 0 || given_up(d));
    // A way back shows before it ends, however short it is.
    if !draft.turned_back && is_steady(draft, buckets) {
        if let Some(primary) = deployments.first_mut()
            && primary.rollout == RolloutState::InProgress
            && draft.hold == Hold::Nothing
        {
            primary.rollout = RolloutState::Completed;
            primary.rollout_reason = format!("ECS deployment {} completed.", primary.label());
            primary.updated_at = now;
            if !draft.subject.is_task_set() {
                draft.messages.push(draft.subject.completed(&primary.label()));
            }
            let document = draft.service.document.clone();
            draft.service.completed = Some(Completed { deployment: primary.clone(), document });
            process::complete(draft);
        }
        let message = draft.subject.steady();
        draft.conditions.push((Cause::SteadyState, String::new(), message));
    }
    draft.service.deployments = deployments;
}

/// Whether exactly the wanted tasks are there, all of them serving.
fn is_steady(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) -> bool {
    let mut left = buckets.live.iter().filter(|l| !draft.stops(l.task.id));
    let all_serve = left.clone().all(|l| l.is_good() && l.condition == Condition::Serving);
    let count = left.by_ref().count();
    let proven = all_proven(draft, buckets);
    proven
        && !draft.starts_any()
        && draft.plan.unplaced.is_none()
        && all_serve
        && u32::try_from(count) == Ok(draft.service.desired_count)
}

/// Whether all tasks have run long enough, where that matters; else looks again when they have.
fn all_proven(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) -> bool {
    let situation = draft.situation;
    let started = buckets.live.iter().filter_map(|live| live.task.observed.started_at);
    let last = started.filter(|at| !failures::is_proven(&situation, *at)).max();
    if let Some(at) = last {
        draft.look_again(at + limits::CRASH_LOOP);
    }
    last.is_none()
}

/// Stops everything of a service that is deleted; without tasks it is INACTIVE.
pub(super) fn wind_down(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    process::abandon(draft);
    for live in &buckets.live {
        if !draft.stop(live, Why::Scaling) {
            break;
        }
    }
    if buckets.live.is_empty() && buckets.stopping.is_empty() {
        draft.service.status = ServiceStatus::Inactive;
        draft.service.deleted_at = Some(draft.now());
        draft.service.deployments.clear();
        draft.service.task_sets.clear();
        draft.service.completed = None;
        draft.service.retry_at = None;
        draft.service.notices.clear();
    }
}
