//! Deployments: how they begin, and what tells that they are done.

use alloc::format;
use alloc::string::String;

use super::buckets::{Buckets, Condition};
use super::draft::{Draft, Why};
use super::events;
use crate::ids::{Family, IdSource, Revision};
use crate::record::{
    Cause, Deployment, DeploymentStatus, RolloutState, Service, ServiceStatus, Task, TaskStatus,
};
use crate::time::Timestamp;

/// Smallest number of a deployment: AWS's have 19 digits.
const FIRST_NUMBER: u64 = 1_000_000_000_000_000_000;

/// A fresh number of a deployment, of 19 digits.
pub fn deployment_number(ids: &mut dyn IdSource) -> u64 {
    let numbers = u128::from(9 * FIRST_NUMBER);
    u64::try_from(ids.next_id() % numbers).map_or(FIRST_NUMBER, |n| FIRST_NUMBER + n)
}

/// Whether a task counts as running in the numbers that the API gives: it runs and is to go on.
pub fn is_running(task: &Task) -> bool {
    task.observed.status == TaskStatus::Running
        && task.desired == crate::record::DesiredStatus::Running
}

/// Begins a deployment of a task definition: it becomes PRIMARY, the others ACTIVE, and what was
/// held against the service before is forgotten.
pub fn begin(
    service: &mut Service,
    number: u64,
    family: Family,
    revision: Revision,
    now: Timestamp,
) {
    for deployment in &mut service.deployments {
        deployment.status = DeploymentStatus::Active;
    }
    let deployment = Deployment {
        id: number,
        status: DeploymentStatus::Primary,
        family,
        revision,
        desired_count: service.desired_count,
        failed_tasks: 0,
        failed_starts: 0,
        failed_at: None,
        rollout: RolloutState::InProgress,
        rollout_reason: format!("ECS deployment ecs-svc/{number} in progress."),
        created_at: now,
        updated_at: now,
    };
    service.deployments.insert(0, deployment);
    service.retry_at = None;
    service.notices.clear();
}

pub(super) fn label_of(deployment: &Deployment) -> String {
    deployment.label()
}

/// Brings the deployments up to date with what is decided: their desired counts, those that have
/// nothing left, and whether the newest is complete.
pub(super) fn settle(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let left = |draft: &Draft<'_, '_>, label: &String| {
        let own = buckets.live.iter().filter(|l| l.task.started_by.as_ref() == Some(label));
        own.filter(|l| !draft.stops(l.task.id)).count()
    };
    let (now, desired) = (draft.now(), draft.service.desired_count);
    let mut deployments = core::mem::take(&mut draft.service.deployments);
    for (place, deployment) in deployments.iter_mut().enumerate() {
        let remaining = left(draft, &deployment.label());
        let wanted =
            if place == 0 { desired } else { u32::try_from(remaining).unwrap_or(u32::MAX) };
        if deployment.desired_count != wanted {
            deployment.desired_count = wanted;
            deployment.updated_at = now;
        }
    }
    deployments.retain(|d| d.status == DeploymentStatus::Primary || d.desired_count > 0);
    if is_steady(draft, buckets) {
        if let Some(primary) = deployments.first_mut()
            && primary.rollout == RolloutState::InProgress
        {
            primary.rollout = RolloutState::Completed;
            primary.rollout_reason = format!("ECS deployment {} completed.", primary.label());
            primary.updated_at = now;
            draft.messages.push(events::completed(&draft.service.name, &primary.label()));
        }
        let text = events::steady(&draft.service.name);
        draft.conditions.push((Cause::SteadyState, String::new(), text));
    }
    draft.service.deployments = deployments;
}

/// Whether exactly the wanted tasks are there, all of them serving.
fn is_steady(draft: &Draft<'_, '_>, buckets: &Buckets<'_>) -> bool {
    let mut left = buckets.live.iter().filter(|l| !draft.stops(l.task.id));
    let all_serve = left.clone().all(|l| l.is_good() && l.condition == Condition::Serving);
    let count = left.by_ref().count();
    draft.plan.start.is_none()
        && draft.plan.unplaced.is_none()
        && all_serve
        && u32::try_from(count) == Ok(draft.service.desired_count)
}

/// Stops everything of a service that is deleted; without tasks it is INACTIVE.
pub(super) fn wind_down(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    for live in &buckets.live {
        if !draft.stop(live, Why::Scaling) {
            break;
        }
    }
    if buckets.live.is_empty() && buckets.stopping.is_empty() {
        draft.service.status = ServiceStatus::Inactive;
        draft.service.deleted_at = Some(draft.now());
        draft.service.deployments.clear();
        draft.service.retry_at = None;
        draft.service.notices.clear();
    }
}
