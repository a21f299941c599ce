//! Tasks that failed, and how long the service waits before it tries again.
//!
//! A failure is a task that ended by itself without ever having run, or one that was stopped for
//! its health check; and, where crash loops count, one that exited soon after it had run. Each is counted once, marked in its own record in the same transaction; a
//! task that serves later than the last failure starts the count anew. Only tasks that never ran
//! delay the next attempt: a task that runs and dies is replaced at once, as ECS does.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Situation;
use super::buckets::{Buckets, Condition};
use super::draft::Draft;
use super::events;
use crate::limits;
use crate::record::{Cause, Deployment, RolloutState, StopCode, StopOrder, Task};
use crate::time::Timestamp;

/// Counts new failures into the deployments and sets the throttle.
pub(super) fn count(draft: &mut Draft<'_, '_>, buckets: &Buckets<'_>) {
    let breaker = draft.service.deployment_configuration.circuit_breaker;
    let (acting, loops) = (draft.acting(), draft.situation.fidelity.count_crash_loops);
    let mut deployments = core::mem::take(&mut draft.service.deployments);
    for (place, deployment) in deployments.iter_mut().enumerate() {
        let label = deployment.label();
        let own = |task: &Task| task.started_by.as_ref() == Some(&label);
        let serving = buckets.live.iter().filter(|l| l.condition == Condition::Serving);
        let serving = serving.filter(|l| own(l.task)).filter_map(|l| l.task.observed.started_at);
        let success = serving.filter(|at| is_proven(&draft.situation, *at)).max();
        let begun = deployment.resumed_at.unwrap_or(deployment.created_at);
        let started = |task: &Task| task.observed.started_at.is_some_and(|at| at >= begun);
        deployment.has_run |= draft.situation.tasks.iter().any(|task| own(task) && started(task));
        if success.is_some() && success >= deployment.failed_at && deployment.failed_tasks > 0 {
            deployment.failed_tasks = 0;
            deployment.failed_starts = 0;
            deployment.failed_at = None;
            if breaker.reset_on_healthy_task {
                deployment.breaker_failures = 0;
            }
            if place == acting {
                draft.service.retry_at = None;
            }
        }
        let new: Vec<&Task> = buckets
            .stopped
            .iter()
            .copied()
            .filter(|task| own(task) && !task.failure_counted && failure(task, loops).is_some())
            .collect();
        for task in new {
            if !draft.count(task.id) {
                break;
            }
            if let Some(failure) = failure(task, loops) {
                add(deployment, task, failure, success, breaker.reset_on_healthy_task);
            }
        }
        let retry_at = retry_at(deployment, draft.service.desired_count);
        if place == acting && retry_at.is_some() {
            draft.service.retry_at = retry_at;
            let rounds = rounds(deployment, draft.service.desired_count);
            if rounds >= limits::IMPAIRED_ROUNDS {
                let message = draft.subject.impaired();
                draft.conditions.push((Cause::StartImpaired, String::new(), message));
            }
        }
    }
    draft.service.deployments = deployments;
}

/// When a deployment may try again to start tasks, if it has failed to and tries on.
pub(super) fn retry_at(deployment: &Deployment, desired: u32) -> Option<Timestamp> {
    let tries_on = deployment.rollout != RolloutState::Failed && deployment.failed_starts > 0;
    let delay = delay(rounds(deployment, desired));
    deployment.failed_at.filter(|_| tries_on).map(|at| at + delay)
}

/// Whether a task that started at this time has run long enough to be a success.
pub(super) fn is_proven(situation: &Situation<'_>, started_at: Timestamp) -> bool {
    !situation.fidelity.count_crash_loops || started_at + limits::CRASH_LOOP <= situation.now
}

fn add(
    deployment: &mut Deployment,
    task: &Task,
    failure: Failure,
    success: Option<Timestamp>,
    resets: bool,
) {
    let at = task.observed.stopped_at;
    let begun = deployment.resumed_at.unwrap_or(deployment.created_at);
    let outdone = resets && success.is_some() && at < success;
    let of_stage = match failure {
        Failure::NeverRan => !deployment.has_run,
        Failure::Unhealthy => deployment.has_run,
        Failure::Crashed => true,
    };
    if of_stage && !outdone && at >= Some(begun) {
        deployment.breaker_failures += 1;
    }
    if success.is_some() && at < success {
        return;
    }
    deployment.failed_tasks += 1;
    deployment.failed_at = deployment.failed_at.max(at);
    if failure != Failure::Unhealthy {
        deployment.failed_starts += 1;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    NeverRan,
    Unhealthy,
    /// It ran, and exited soon after; only where crash loops count.
    Crashed,
}

fn failure(task: &Task, crash_loops: bool) -> Option<Failure> {
    match (&task.stop, &task.observed.ended) {
        // Its agent never heard of it.
        (Some(StopOrder { code: StopCode::TaskFailedToStart, .. }), _) => Some(Failure::NeverRan),
        (Some(stop), _) => events::is_unhealthy(&stop.reason).then_some(Failure::Unhealthy),
        // The instance's end is not the task's fault.
        (
            None,
            Some((
                StopCode::TerminationNotice
                | StopCode::SpotInterruption
                | StopCode::InfrastructureHealth,
                _,
            )),
        ) => None,
        (None, _) => {
            let Some(started_at) = task.observed.started_at else {
                return Some(Failure::NeverRan);
            };
            let soon =
                task.observed.stopped_at.is_some_and(|at| at < started_at + limits::CRASH_LOOP);
            (crash_loops && soon).then_some(Failure::Crashed)
        }
    }
}

/// How often all tasks together failed to run.
fn rounds(deployment: &Deployment, desired: u32) -> u32 {
    deployment.failed_starts.div_ceil(desired.max(1))
}

/// The pause after so many rounds of failures: doubling, up to 15 minutes.
pub(crate) fn delay(rounds: u32) -> Duration {
    let doublings = rounds.saturating_sub(1).min(16);
    (limits::RESTART_DELAY_MIN * 2_u32.pow(doublings)).min(limits::RESTART_DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_grows_to_fifteen_minutes() {
        let seconds: Vec<u64> = (1..=10).map(|n| delay(n).as_secs()).collect();
        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(delay(u32::MAX), limits::RESTART_DELAY_MAX);
    }
}
