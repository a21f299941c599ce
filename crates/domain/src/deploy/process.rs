//! Service deployments: from the request to the end, with pauses, the circuit breaker and the way
//! back.
//!
//! A rollback is taken at most once per service deployment. It leads to the last completed
//! deployment, which is under way again and is no such target until it is completed anew; without
//! one, a failed deployment stays where it is and starts nothing more.

use alloc::format;
use alloc::string::String;

use super::bounds;
use super::buckets::{Buckets, Condition};
use super::draft::{Draft, Hold};
use super::events;
use super::hooks::{self, Settled};
use crate::record::{
    Deployment, DeploymentStatus, LifecycleStage, Rollback, RolloutState, SchedulingStrategy,
    ServiceDeployment, ServiceDeploymentStatus as Status, Share, Shift, ShiftStrategy, Shifting,
};
use crate::time::Timestamp;

const TRIPPED_BACK: &str =
    "Service deployment rolled back because the circuit breaker threshold was exceeded.";
const TRIPPED: &str =
    "Service deployment stopped because the circuit breaker threshold was exceeded.";
const TRIPPED_TWICE: &str =
    "Service deployment rollback failed because the circuit breaker threshold was exceeded.";
pub(super) const ASKED_BACK: &str = "Service deployment rolled back because it was requested.";
pub(super) const ASKED: &str = "Service deployment stopped because it was requested.";
const NOWHERE_BACK: &str =
    "Service deployment stopped: there is no completed deployment to roll back to.";
const SUPERSEDED: &str = "Service deployment stopped because a newer one began.";
const DELETED: &str = "Service deployment stopped because the service was deleted.";

/// Whether a service deployment has left traffic somewhere between two revisions.
#[must_use]
pub fn leaves_traffic(deployment: &ServiceDeployment) -> bool {
    let whole = matches!(deployment.status, Status::Successful | Status::RollbackSuccessful);
    deployment.shift.is_some() && !whole
}

/// Whether a service deployment is about to shift traffic, or was stopped when it had shifted a part.
#[must_use]
pub fn splits_traffic(deployment: &ServiceDeployment) -> bool {
    let whole = |share| share == Share::NONE || share == Share::WHOLE;
    let split = deployment.shift.as_ref().is_some_and(|shift| !whole(shift.production));
    leaves_traffic(deployment) && (split || !deployment.status.is_over())
}

/// Tells a service deployment that begins how the one before it has left traffic. One that is to be
/// rolling brings it to its new revision all the same.
pub fn take_over(next: &mut ServiceDeployment, before: &ServiceDeployment) {
    if !leaves_traffic(before) {
        return;
    }
    let at_once = Shifting { strategy: ShiftStrategy::BlueGreen, bake_min: 0 };
    next.stage = LifecycleStage::ReconcileService;
    next.shift.get_or_insert_with(|| Shift::new(at_once)).takes_over = true;
}

/// Ends a service deployment that a newer one replaces.
#[must_use]
pub fn superseded(deployment: &ServiceDeployment, now: Timestamp) -> Option<ServiceDeployment> {
    if deployment.status.is_over() {
        return None;
    }
    let mut deployment = deployment.clone();
    end(&mut deployment, Status::Stopped, SUPERSEDED, now);
    Some(deployment)
}

pub(super) fn end(
    deployment: &mut ServiceDeployment,
    status: Status,
    reason: &str,
    now: Timestamp,
) {
    deployment.status = status;
    deployment.status_reason = Some(reason.into());
    deployment.updated_at = now;
    deployment.finished_at = Some(now);
    if status == Status::Stopped {
        deployment.stopped_at = Some(now);
    }
}

/// What becomes of the service deployment before tasks are looked at.
pub(super) fn advance(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let now = draft.now();
    let Some(status) = draft.deployment.as_ref().map(|d| d.status) else { return };
    match status {
        Status::Pending => draft.change_deployment(|deployment| {
            deployment.status = Status::InProgress;
            deployment.started_at = Some(now);
            deployment.updated_at = now;
        }),
        Status::StopRequested => {
            halt(draft, |label| format!("ECS deployment {label} was stopped."));
            draft.change_deployment(|d| end(d, Status::Stopped, ASKED, now));
        }
        Status::RollbackRequested => {
            halt(draft, |label| format!("ECS deployment {label} was stopped."));
            go_back(draft, ASKED_BACK);
        }
        _ => {}
    }
    trip(draft);
    pauses(draft);
    if draft.service.scheduling_strategy == SchedulingStrategy::Replica {
        scaled_up(draft, buckets);
    }
    draft.hold = hold(draft.deployment.as_ref());
}

/// What a service deployment holds back.
pub(super) fn hold(deployment: Option<&ServiceDeployment>) -> Hold {
    let under_way = |d: &&ServiceDeployment| !d.status.is_over() && d.rollback.is_none();
    let open = |d: &ServiceDeployment| d.pauses.iter().find(|p| p.is_open()).map(|p| p.stage);
    match deployment.filter(under_way).and_then(open) {
        None => Hold::Nothing,
        Some(stage) if stage <= LifecycleStage::ScaleUp => Hold::ScaleUp,
        Some(_) => Hold::CleanUp,
    }
}

/// Fails the PRIMARY deployment: nothing starts for it any more.
pub(super) fn halt(draft: &mut Draft<'_, '_>, reason: impl Fn(&str) -> String) {
    let now = draft.now();
    if let Some(primary) = draft.service.deployments.first_mut() {
        primary.rollout = RolloutState::Failed;
        primary.rollout_reason = reason(&primary.label());
        primary.updated_at = now;
    }
    // Nothing is tried any more.
    draft.conditions.clear();
    draft.service.retry_at = None;
}

/// Looks after the circuit breaker.
pub(super) fn trip(draft: &mut Draft<'_, '_>) {
    let now = draft.now();
    let breaker = draft.service.deployment_configuration.circuit_breaker;
    let threshold = bounds::threshold(breaker.threshold, draft.service.desired_count);
    let Some(primary) = draft.service.deployments.first() else { return };
    // Where traffic was shifted there is no way back once the old tasks stop.
    let is_last = |d: &ServiceDeployment| d.shift.is_some() && d.stage == LifecycleStage::CleanUp;
    let too_late = draft.deployment.as_ref().is_some_and(|d| d.rollback.is_none() && is_last(d));
    if primary.rollout != RolloutState::InProgress || too_late {
        return;
    }
    let (failures, label) = (primary.breaker_failures, primary.label());
    let trips = breaker.enable && failures >= threshold;
    draft.change_deployment(|deployment| {
        // On the way back it tells what led there.
        if deployment.rollback.is_some() && !trips {
            return;
        }
        let state = &mut deployment.breaker;
        state.enabled = breaker.enable;
        state.failure_count = failures;
        state.threshold = threshold;
        state.triggered |= trips;
    });
    if !trips {
        return;
    }
    halt(draft, |_| events::BREAKER_FAILED.into());
    draft.messages.push(draft.subject.failed(&label));
    let returning = draft.deployment.as_ref().is_some_and(|d| d.rollback.is_some());
    if returning {
        draft.change_deployment(|d| end(d, Status::RollbackFailed, TRIPPED_TWICE, now));
    } else if breaker.rollback {
        go_back(draft, TRIPPED_BACK);
    } else {
        draft.change_deployment(|d| end(d, Status::Stopped, TRIPPED, now));
    }
}

/// Makes the last completed deployment PRIMARY again.
pub(super) fn go_back(draft: &mut Draft<'_, '_>, reason: &str) {
    let now = draft.now();
    let Some(completed) = draft.service.completed.take() else {
        draft.change_deployment(|d| end(d, Status::Stopped, NOWHERE_BACK, now));
        return;
    };
    let target = Deployment {
        status: DeploymentStatus::Primary,
        failed_tasks: 0,
        failed_starts: 0,
        failed_at: None,
        breaker_failures: 0,
        has_run: false,
        rollout: RolloutState::InProgress,
        rollout_reason: events::rolling_back_reason(&completed.deployment.label()),
        resumed_at: Some(now),
        updated_at: now,
        ..completed.deployment
    };
    let (to, label) = (target.id, target.label());
    let deployments = &mut draft.service.deployments;
    deployments.retain(|deployment| deployment.id != to);
    for deployment in deployments.iter_mut() {
        deployment.status = DeploymentStatus::Active;
    }
    deployments.insert(0, target);
    draft.service.document = completed.document;
    let of = &draft.service.deployments[0].balancers;
    let same = of.len() == draft.service.balancers.len()
        && of.iter().zip(&draft.service.balancers).all(|(own, as_given)| own.is_of_pair(as_given));
    // Of the two groups of a pair either may be the first.
    if !same {
        draft.service.balancers.clone_from(of);
    }
    draft.service.retry_at = None;
    draft.service.notices.clear();
    draft.turned_back = true;
    draft.messages.push(draft.subject.rolling_back(&label));
    draft.change_deployment(|deployment| {
        deployment.status = Status::RollbackInProgress;
        deployment.status_reason = Some(reason.into());
        deployment.rollback = Some(Rollback { to, reason: reason.into(), started_at: now });
        deployment.updated_at = now;
    });
}

/// Opens the pause before anything starts, and ends pauses that were answered or expired.
fn pauses(draft: &mut Draft<'_, '_>) {
    let Some(deployment) = &draft.deployment else { return };
    if deployment.status != Status::InProgress {
        return;
    }
    if deployment.stage == LifecycleStage::PreScaleUp {
        wait(draft, LifecycleStage::PreScaleUp);
    }
    match hooks::settle(draft) {
        Settled::Waiting => {}
        Settled::Clear => draft.change_deployment(|deployment| {
            deployment.stage = match deployment.stage {
                LifecycleStage::PreScaleUp => LifecycleStage::ScaleUp,
                LifecycleStage::PostScaleUp => LifecycleStage::CleanUp,
                other => other,
            };
        }),
        Settled::Back(why) => {
            halt(draft, |label| format!("ECS deployment {label} was stopped."));
            go_back(draft, &why);
        }
    }
}

/// Opens the hooks of a stage, once.
fn wait(draft: &mut Draft<'_, '_>, stage: LifecycleStage) {
    let waited = |d: &ServiceDeployment| d.pauses.iter().any(|pause| pause.stage == stage);
    if draft.deployment.as_ref().is_none_or(waited) {
        return;
    }
    hooks::open(draft, stage);
}

/// Notices that all tasks of the new revision serve.
pub(super) fn scaled_up(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let Some(deployment) = &draft.deployment else { return };
    let under_way = deployment.status == Status::InProgress;
    if !under_way || deployment.stage != LifecycleStage::ScaleUp || draft.acting() != 0 {
        return;
    }
    let label = draft.service.deployments.first().map(Deployment::label);
    let serving = buckets
        .good()
        .filter(|live| live.condition == Condition::Serving && live.task.started_by == label);
    if u32::try_from(serving.count()).is_ok_and(|count| count >= draft.service.desired_count) {
        draft.change_deployment(|deployment| deployment.stage = LifecycleStage::PostScaleUp);
        wait(draft, LifecycleStage::PostScaleUp);
        pauses(draft);
        draft.hold = hold(draft.deployment.as_ref());
    }
}

/// The PRIMARY deployment is complete, and with it the service deployment.
pub(super) fn complete(draft: &mut Draft<'_, '_>) {
    let now = draft.now();
    draft.change_deployment(|deployment| {
        let status = match deployment.status {
            Status::RollbackInProgress => Status::RollbackSuccessful,
            status if status.is_over() => return,
            _ => Status::Successful,
        };
        deployment.status = status;
        deployment.updated_at = now;
        deployment.finished_at = Some(now);
    });
}

/// The service is deleted.
pub(super) fn abandon(draft: &mut Draft<'_, '_>) {
    let now = draft.now();
    draft.change_deployment(|deployment| {
        if !deployment.status.is_over() {
            end(deployment, Status::Stopped, DELETED, now);
        }
    });
}
