//! The words of service events, as AWS sends them, and when to say them.
//!
//! What happens once is told once. What lasts is told when it begins, when it changes, and every
//! six hours while it lasts.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::buckets::Condition;
use crate::ids::{InstanceId, ServiceName, TaskId};
use crate::limits;
use crate::record::{ActionName, ActionType, Cause, Notice, SchedulingStrategy, ServiceAction};
use crate::schedule::Report;
use crate::time::Timestamp;

/// AWS's stop reason of a task that fails its health check.
pub(super) const UNHEALTHY: &str = "Task failed container health checks";

/// AWS's `rolloutStateReason` of a deployment that the circuit breaker failed.
pub(super) const BREAKER_FAILED: &str = "ECS deployment circuit breaker: tasks failed to start.";

pub(super) fn steady(service: &ServiceName) -> String {
    format!("(service {service}) has reached a steady state.")
}

pub(super) fn completed(service: &ServiceName, deployment: &str) -> String {
    format!("(service {service}) (deployment {deployment}) deployment completed.")
}

pub(super) fn failed(service: &ServiceName, deployment: &str) -> String {
    format!(
        "(service {service}) (deployment {deployment}) deployment failed: tasks failed to start."
    )
}

pub(super) fn rolling_back(service: &ServiceName, deployment: &str) -> String {
    format!("(service {service}) rolling back to deployment {deployment}.")
}

/// AWS's `rolloutStateReason` of a deployment that the service goes back to.
pub(super) fn rolling_back_reason(deployment: &str) -> String {
    format!("ECS deployment circuit breaker: rolling back to deploymentId {deployment}.")
}

pub(super) fn impaired(service: &ServiceName) -> String {
    format!("(service {service}) is unable to consistently start tasks successfully.")
}

pub(super) fn blocked(service: &ServiceName) -> String {
    format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the \
         service deployment configuration. Update the minimumHealthyPercent or maximumPercent \
         value and try again."
    )
}

pub(super) fn protected(service: &ServiceName, deployment: &str, count: usize) -> String {
    format!(
        "(service {service}) was unable to reach steady state because (taskSet {deployment}) was \
         unable to scale in due to (reason {count} tasks under protection)"
    )
}

/// Tasks were started, `unhealthy` of them in place of unhealthy ones.
pub(super) fn started(
    service: &ServiceName,
    tasks: &[(TaskId, InstanceId)],
    unhealthy: usize,
) -> String {
    let list = list(tasks.iter().map(|(id, _)| *id));
    let text = format!("(service {service}) has started {} tasks: {list}.", tasks.len());
    if unhealthy == 0 {
        return text;
    }
    format!("{text} Amazon ECS replaced {unhealthy} tasks due to an unhealthy status.")
}

/// Tasks were started in a zone for balance.
pub(super) fn started_in(
    service: &ServiceName,
    tasks: &[(TaskId, InstanceId)],
    zone: &str,
) -> String {
    let list = list(tasks.iter().map(|(id, _)| *id));
    format!(
        "(service {service}) has started {} tasks in {zone} to AZ Rebalance: {list}.",
        tasks.len()
    )
}

pub(super) fn balanced(service: &ServiceName, zones: &str) -> String {
    format!("(service {service}) is AZ balanced with {zones}.")
}

pub(super) fn unbalanced(service: &ServiceName, zones: &str) -> String {
    format!("(service {service}) is not AZ balanced with {zones}. AZ Rebalancing in progress.")
}

pub(super) fn unplaced_in(service: &ServiceName, zone: &str) -> String {
    format!(
        "(service {service}) is unable to place a task in {zone} because no container instance met \
         all of its requirements."
    )
}

/// Tasks were stopped: those that ran by name, the others by number.
pub(super) fn of_stops(service: &ServiceName, stopped: &[(TaskId, Condition)]) -> Vec<String> {
    let of = |pending: bool| {
        let those = stopped.iter().filter(move |(_, c)| (*c == Condition::Pending) == pending);
        those.map(|(id, _)| *id)
    };
    let mut texts = Vec::new();
    let pending = of(true).count();
    if pending > 0 {
        texts.push(format!("(service {service}) stopped {pending} pending tasks."));
    }
    let running = of(false).count();
    if running > 0 {
        let list = list(of(false));
        texts.push(format!("(service {service}) has stopped {running} running tasks: {list}."));
    }
    texts
}

fn list(tasks: impl Iterator<Item = TaskId>) -> String {
    let texts: Vec<String> = tasks.map(|id| format!("(task {id})")).collect();
    texts.join(" ")
}

/// What AWS sends as a service action for a condition; `detail` as in its notice.
pub(super) fn action(
    cause: Cause,
    detail: &str,
    strategy: SchedulingStrategy,
    unplaced: Option<&Report>,
) -> Option<ServiceAction> {
    let name = match (cause, strategy) {
        (Cause::SteadyState, _) => ActionName::ServiceSteadyState,
        (Cause::Unplaced, SchedulingStrategy::Daemon) => {
            ActionName::ServiceDaemonPlacementConstraintViolated
        }
        (Cause::Unplaced | Cause::ZoneUnplaced, _) => ActionName::ServiceTaskPlacementFailure,
        (Cause::StartImpaired, _) => ActionName::ServiceTaskStartImpaired,
        (Cause::ScaleInProtected, _) => ActionName::TasksetScaleInFailureByTaskProtection,
        (Cause::ZonesBalanced, _) => ActionName::ServiceRebalancingCompleted,
        (Cause::ZonesUnbalanced, _) => ActionName::ServiceRebalancingStarted,
        (Cause::DeploymentBlocked, _) => return None,
    };
    let refused = name.kind() == ActionType::Error;
    let instances = unplaced.filter(|_| refused).map(|report| {
        let instances = report.refusals.iter().map(|refusal| refusal.instance);
        instances.take(limits::EVENT_INSTANCES).collect()
    });
    // For a service without instances there is nothing that was in the way.
    let reason = (cause == Cause::Unplaced && !detail.is_empty()).then(|| detail.into());
    Some(ServiceAction { name, reason, instances: instances.unwrap_or_default() })
}

/// Takes the conditions that hold now into the notices, and gives those whose message is due, with it.
pub(super) fn told(
    notices: &mut Vec<Notice>,
    conditions: Vec<(Cause, String, String)>,
    now: Timestamp,
) -> Vec<(Notice, String)> {
    let mut messages = Vec::new();
    let mut kept = Vec::new();
    for (cause, detail, message) in conditions {
        let known = notices.iter().find(|n| n.cause == cause && n.detail == detail);
        let fresh = known.filter(|notice| now < notice.at + limits::EVENT_REPETITION);
        if let Some(notice) = fresh {
            kept.push(notice.clone());
        } else {
            let notice = Notice { cause, detail, at: now };
            messages.push((notice.clone(), message));
            kept.push(notice);
        }
    }
    *notices = kept;
    messages
}

/// When the first of the notices is told again.
pub(super) fn next_repetition(notices: &[Notice]) -> Option<Timestamp> {
    notices.iter().map(|notice| notice.at + limits::EVENT_REPETITION).min()
}
