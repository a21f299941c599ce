//! How a deployment stands: its beginning, its failures, its way back and its end.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::places::Places;
use super::{Draft, belongs, is_live, wanted};
use crate::deploy::UNHEALTHY;
use crate::limits;
use crate::record::{DaemonDeploymentStatus as Status, DaemonRollback, StopCode, Task};
use crate::schedule::{Reason, Report};
use crate::time::Timestamp;

/// A deployment that was asked for begins; so many failures end it.
pub(super) fn begin(draft: &mut Draft<'_, '_>) {
    if draft.deployment.status != Status::Pending {
        return;
    }
    let nodes = draft.situation.fleet.nodes().iter();
    let instances = draft.wanted().map_or(0, |(_, revision, _)| {
        nodes.filter(|node| belongs(revision, node.instance)).count()
    });
    let half = u32::try_from(instances.div_ceil(2)).unwrap_or(u32::MAX);
    draft.deployment.status = Status::InProgress;
    draft.deployment.started_at = Some(draft.situation.now);
    draft.deployment.threshold =
        half.clamp(limits::DAEMON_BREAKER_THRESHOLD_MIN, limits::BREAKER_THRESHOLD_MAX);
}

/// Counts each failed task once, and turns back when there are too many.
pub(super) fn count_failures(draft: &mut Draft<'_, '_>) {
    // The revision that a rollback leads to may have had failures before.
    let since = match (draft.deployment.status, &draft.deployment.rollback) {
        (Status::InProgress, _) => None,
        (Status::RollbackInProgress, Some(back)) => Some(back.started_at),
        _ => return,
    };
    let wanted = wanted(&draft.daemon, &draft.deployment);
    let of_deployment = |task: &&&Task| {
        task.is_stopped()
            && !task.failure_counted
            && task.daemon_revision() == wanted
            && since.is_none_or(|since| task.created_at >= since)
            && has_failed(task)
    };
    let failed: Vec<_> =
        draft.situation.tasks.iter().filter(of_deployment).map(|task| task.id).collect();
    for id in failed {
        if !draft.take() {
            return;
        }
        draft.plan.counted.push(id);
        match &mut draft.deployment.rollback {
            Some(back) => back.failures += 1,
            None => draft.deployment.failures += 1,
        }
    }
    give_up(draft);
}

fn give_up(draft: &mut Draft<'_, '_>) {
    let now = draft.situation.now;
    let deployment = &mut draft.deployment;
    let threshold = deployment.threshold.max(1);
    if let Some(back) = &deployment.rollback {
        if back.failures >= threshold {
            let reason =
                format!("{} tasks of the earlier daemon revision failed, too.", back.failures);
            end(draft, Status::RollbackFailed, Some(reason));
        }
        return;
    }
    if deployment.failures < threshold {
        return;
    }
    let reason = format!(
        "The daemon deployment circuit breaker was triggered: {} tasks failed.",
        deployment.failures
    );
    deployment.stopped_at = Some(now);
    let earlier = draft.daemon.current.filter(|current| Some(*current) != deployment.target);
    if let Some(target) = earlier {
        deployment.status = Status::RollbackInProgress;
        deployment.status_reason = Some(reason.clone());
        deployment.rollback = Some(DaemonRollback { reason, started_at: now, target, failures: 0 });
    } else {
        let reason = format!("{reason} There is no earlier daemon revision to go back to.");
        end(draft, Status::Stopped, Some(reason));
    }
}

fn end(draft: &mut Draft<'_, '_>, status: Status, reason: Option<String>) {
    draft.deployment.status = status;
    draft.deployment.status_reason = reason;
    draft.deployment.finished_at = Some(draft.situation.now);
}

/// Whether a task ended by itself, which a daemon never should, or for its health.
pub(super) fn has_failed(task: &Task) -> bool {
    match (&task.stop, &task.observed.ended) {
        (Some(stop), _) => stop.reason == UNHEALTHY || stop.code == StopCode::TaskFailedToStart,
        // The instance's end is not the task's fault.
        (None, Some((StopCode::TerminationNotice | StopCode::SpotInterruption, _))) => false,
        (None, _) => true,
    }
}

/// Ends the deployment when every instance is where it should be, and has been for the bake time.
pub(super) fn settle(draft: &mut Draft<'_, '_>, places: &Places) {
    let status = draft.deployment.status;
    if status.is_final() {
        return;
    }
    if !places.all_good {
        let refused = draft.plan.refused_role.as_ref();
        let refused = refused.map(|role| {
            format!("(daemon {}) failed to launch a task with (error {role}).", draft.daemon.name)
        });
        let unplaced = || draft.plan.unplaced.as_ref().map(|report| why_unplaced(draft, report));
        let placing = refused.or_else(unplaced);
        match (status, placing) {
            (_, Some(reason)) => draft.deployment.status_reason = Some(reason),
            (Status::InProgress, None) => draft.deployment.status_reason = None,
            (_, None) => {}
        }
        return;
    }
    if status == Status::RollbackInProgress {
        let reason = draft.deployment.rollback.as_ref().map(|back| back.reason.clone());
        return end(draft, Status::RollbackSuccessful, reason);
    }
    let minutes = u64::from(draft.deployment.configuration.bake_time_min);
    // Instances without the daemon before, and those that were renewed, bake alike.
    let baked = places.newest.map(|at| at + Duration::from_secs(minutes * 60));
    if let Some(at) = baked.filter(|at| *at > draft.situation.now) {
        draft.deployment.status_reason =
            Some("All instances run the daemon revision; the bake time is running.".into());
        draft.look_again(at);
    } else {
        draft.daemon.current = draft.deployment.target;
        end(draft, Status::Successful, None);
    }
}

fn why_unplaced(draft: &Draft<'_, '_>, report: &Report) -> String {
    let (name, count) = (&draft.daemon.name, report.refusals.len());
    let closest = report.closest().map(|refusal| {
        let reasons: Vec<&str> = refusal.reasons.iter().map(Reason::aws_reason).collect();
        format!("{} ({})", refusal.instance, reasons.join(", "))
    });
    format!(
        "(daemon {name}) was unable to place a task on {count} container instances. The closest \
         matching container instance is {}.",
        closest.unwrap_or_default()
    )
}

/// Stops everything; then the deployment ends, and the daemon is gone.
pub(super) fn wind_down(draft: &mut Draft<'_, '_>) {
    let now: Timestamp = draft.situation.now;
    if draft.deployment.status == Status::Pending {
        draft.deployment.status = Status::InProgress;
        draft.deployment.started_at = Some(now);
    }
    let tasks = draft.situation.tasks;
    for task in tasks.iter().filter(|task| is_live(task)) {
        if !draft.stop(task, format!("(daemon {}) is being deleted.", draft.daemon.name)) {
            return;
        }
    }
    if tasks.iter().all(|task| task.is_stopped()) {
        end(draft, Status::Successful, None);
        draft.plan.gone = true;
    }
}
