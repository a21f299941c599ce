//! The words of service events, as AWS sends them, and when to say them.
//!
//! What happens once is told once. What lasts is told when it begins, when it changes, and every
//! six hours while it lasts.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::TargetOf;
use super::buckets::Condition;
use crate::ids::{InstanceId, ServiceName, TaskId};
use crate::limits;
use crate::record::{
    ActionName, ActionType, Cause, Notice, SchedulingStrategy, ServiceAction, Share,
};
use crate::schedule::{Report, unplaced_event};
use crate::time::Timestamp;

/// AWS's stop reason of a task that fails its health check.
pub(crate) const UNHEALTHY: &str = "Task failed container health checks";

/// AWS's stop reason of a task that is not healthy in a target group.
pub(super) fn failing_in(target_group: &str) -> String {
    format!("{FAILING_IN} (target-group {target_group})")
}

/// Whether a stop reason says that a health check failed.
pub(super) fn is_unhealthy(reason: &str) -> bool {
    reason == UNHEALTHY || reason.starts_with(FAILING_IN)
}

const FAILING_IN: &str = "Task failed ELB health checks in";

/// AWS's `rolloutStateReason` of a deployment that the circuit breaker failed.
pub(super) const BREAKER_FAILED: &str = "ECS deployment circuit breaker: tasks failed to start.";

/// What a service event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// As many tasks serve as are wanted.
    SteadyState,
    /// Tasks were started.
    TasksStarted,
    /// Tasks that ran were stopped.
    TasksStopped,
    /// Tasks that did not run yet were stopped.
    PendingTasksStopped,
    /// Tasks that are to stop get nothing new from balancers.
    DrainingBegun,
    /// A target is not healthy.
    TargetUnhealthy,
    /// A deployment is complete.
    DeploymentCompleted,
    /// The circuit breaker failed a deployment.
    DeploymentFailed,
    /// The service goes back to an earlier deployment.
    RollingBack,
    /// Traffic was shifted to a revision.
    TrafficShifted,
    /// A task has no place.
    Unplaced,
    /// Tasks cannot have their role.
    RoleRefused,
    /// Tasks keep failing before they run.
    StartImpaired,
    /// The deployment configuration allows neither a start nor a stop.
    DeploymentBlocked,
    /// Protected tasks are in the way of scaling in.
    ScaleInProtected,
    /// Tasks are moved to level the availability zones.
    ZonesUnbalanced,
    /// The availability zones are level again.
    ZonesBalanced,
    /// Tasks were started to level the availability zones.
    ZoneTasksStarted,
    /// Tasks were stopped to level the availability zones.
    ZoneTasksStopped,
    /// A zone has no place for a task that would level them.
    ZoneUnplaced,
    /// Protected tasks are in the way of levelling them.
    ZoneProtected,
    /// The availability zones are not levelled any further.
    RebalancingStopped,
}

impl EventKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::SteadyState,
        Self::TasksStarted,
        Self::TasksStopped,
        Self::PendingTasksStopped,
        Self::DrainingBegun,
        Self::TargetUnhealthy,
        Self::DeploymentCompleted,
        Self::DeploymentFailed,
        Self::RollingBack,
        Self::TrafficShifted,
        Self::Unplaced,
        Self::RoleRefused,
        Self::StartImpaired,
        Self::DeploymentBlocked,
        Self::ScaleInProtected,
        Self::ZonesUnbalanced,
        Self::ZonesBalanced,
        Self::ZoneTasksStarted,
        Self::ZoneTasksStopped,
        Self::ZoneUnplaced,
        Self::ZoneProtected,
        Self::RebalancingStopped,
    ];
}

/// The text of an event, and what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: EventKind,
    pub(super) text: String,
}

/// Whom events are about: a service, or one of its task sets.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    service: ServiceName,
    task_set: Option<String>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task_set {
            None => write!(f, "(service {})", self.service),
            Some(set) => write!(f, "(service {}, taskSet {set})", self.service),
        }
    }
}

impl Subject {
    pub(super) fn service(service: &ServiceName) -> Self {
        Self { service: service.clone(), task_set: None }
    }

    pub(super) fn task_set(service: &ServiceName, label: String) -> Self {
        Self { service: service.clone(), task_set: Some(label) }
    }

    pub(super) fn is_task_set(&self) -> bool {
        self.task_set.is_some()
    }

    fn says(&self, kind: EventKind, what: impl fmt::Display) -> Message {
        Message { kind, text: format!("{self} {what}") }
    }

    /// The same with the service as the subject.
    fn service_says(&self, kind: EventKind, what: impl fmt::Display) -> Message {
        Message { kind, text: format!("(service {}) {what}", self.service) }
    }

    pub(super) fn steady(&self) -> Message {
        self.says(EventKind::SteadyState, "has reached a steady state.")
    }

    pub(super) fn completed(&self, deployment: &str) -> Message {
        self.says(
            EventKind::DeploymentCompleted,
            format_args!("(deployment {deployment}) deployment completed."),
        )
    }

    pub(super) fn failed(&self, deployment: &str) -> Message {
        self.says(
            EventKind::DeploymentFailed,
            format_args!("(deployment {deployment}) deployment failed: tasks failed to start."),
        )
    }

    pub(super) fn rolling_back(&self, deployment: &str) -> Message {
        self.says(EventKind::RollingBack, format_args!("rolling back to deployment {deployment}."))
    }

    /// AWS does not publish its words for this.
    pub(super) fn shifted(&self, kind: &str, share: Share, deployment: &str) -> Message {
        let (whole, tenths) = (share.tenths() / 10, share.tenths() % 10);
        self.says(
            EventKind::TrafficShifted,
            format_args!(
                "has shifted {whole}.{tenths}% of {kind} traffic to (deployment {deployment})."
            ),
        )
    }

    pub(super) fn impaired(&self) -> Message {
        self.says(EventKind::StartImpaired, "is unable to consistently start tasks successfully.")
    }

    pub(super) fn blocked(&self) -> Message {
        self.says(
            EventKind::DeploymentBlocked,
            "was unable to stop or start tasks during a deployment because of the service \
             deployment configuration. Update the minimumHealthyPercent or maximumPercent value \
             and try again.",
        )
    }

    pub(super) fn unplaced(&self, report: &Report) -> Message {
        Message { kind: EventKind::Unplaced, text: unplaced_event(self, report) }
    }

    pub(super) fn unlaunched(&self, error: &str) -> Message {
        self.says(
            EventKind::RoleRefused,
            format_args!("failed to launch a task with (error {error})."),
        )
    }

    pub(super) fn protected(&self, deployment: &str, count: usize) -> Message {
        self.service_says(
            EventKind::ScaleInProtected,
            format_args!(
                "was unable to reach steady state because (taskSet {deployment}) was unable to \
                 scale in due to (reason {count} tasks under protection)"
            ),
        )
    }

    /// Tasks were started, `unhealthy` of them in place of unhealthy ones.
    pub(super) fn started(&self, tasks: &[(TaskId, InstanceId)], unhealthy: usize) -> Message {
        let list = list(tasks.iter().map(|(id, _)| *id));
        let mut what = format!("has started {} tasks: {list}.", tasks.len());
        if unhealthy > 0 {
            let more =
                format!(" Amazon ECS replaced {unhealthy} tasks due to an unhealthy status.");
            what.push_str(&more);
        }
        self.says(EventKind::TasksStarted, what)
    }

    /// Tasks were started in a zone for balance.
    pub(super) fn started_in(&self, tasks: &[(TaskId, InstanceId)], zone: &str) -> Message {
        let list = list(tasks.iter().map(|(id, _)| *id));
        self.says(
            EventKind::ZoneTasksStarted,
            format_args!("has started {} tasks in {zone} to AZ Rebalance: {list}.", tasks.len()),
        )
    }

    /// Tasks were stopped in a zone for balance.
    pub(super) fn stopped_in(&self, tasks: &[TaskId], zone: &str) -> Message {
        let list = list(tasks.iter().copied());
        self.says(
            EventKind::ZoneTasksStopped,
            format_args!(
                "has stopped {} running tasks in {zone} due to AZ rebalancing: {list}.",
                tasks.len()
            ),
        )
    }

    pub(super) fn draining(&self, count: usize) -> Message {
        self.says(
            EventKind::DrainingBegun,
            format_args!("has begun draining connections on {count} tasks."),
        )
    }

    pub(super) fn target_unhealthy(&self, task: TaskId, target: &TargetOf) -> Message {
        let TargetOf { target_group, port, health, .. } = target;
        let reason = health.description.as_deref().unwrap_or("Health checks failed");
        self.says(
            EventKind::TargetUnhealthy,
            format_args!(
                "(task {task}) (port {port}) is unhealthy in (target-group {target_group}) due to \
                 (reason {reason})."
            ),
        )
    }

    pub(super) fn balanced(&self, zones: &str) -> Message {
        self.says(EventKind::ZonesBalanced, format_args!("is AZ balanced with {zones}."))
    }

    pub(super) fn unbalanced(&self, zones: &str) -> Message {
        self.says(
            EventKind::ZonesUnbalanced,
            format_args!("is not AZ balanced with {zones}. AZ Rebalancing in progress."),
        )
    }

    pub(super) fn unplaced_in(&self, zone: &str) -> Message {
        self.says(
            EventKind::ZoneUnplaced,
            format_args!(
                "is unable to place a task in {zone} because no container instance met all of its \
                 requirements."
            ),
        )
    }

    pub(super) fn zone_protected(&self, deployment: &str, count: usize) -> Message {
        self.service_says(
            EventKind::ZoneProtected,
            format_args!(
                "was unable to AZ Rebalance because (taskSet {deployment}) was unable to scale in \
                 due to (reason {count} tasks under protection)"
            ),
        )
    }

    pub(super) fn rebalancing_stopped(&self) -> Message {
        self.says(EventKind::RebalancingStopped, "stopped AZ Rebalancing.")
    }

    /// Tasks were stopped: those that ran by name, the others by number.
    pub(super) fn stopped(&self, stopped: &[(TaskId, Condition)]) -> Vec<Message> {
        let of = |pending: bool| {
            let those = stopped.iter().filter(move |(_, c)| (*c == Condition::Pending) == pending);
            those.map(|(id, _)| *id)
        };
        let mut messages = Vec::new();
        let pending = of(true).count();
        if pending > 0 {
            messages.push(self.says(
                EventKind::PendingTasksStopped,
                format_args!("stopped {pending} pending tasks."),
            ));
        }
        let running = of(false).count();
        if running > 0 {
            let list = list(of(false));
            messages.push(self.says(
                EventKind::TasksStopped,
                format_args!("has stopped {running} running tasks: {list}."),
            ));
        }
        messages
    }
}

/// AWS's `rolloutStateReason` of a deployment that the service goes back to.
pub(super) fn rolling_back_reason(deployment: &str) -> String {
    format!("ECS deployment circuit breaker: rolling back to deploymentId {deployment}.")
}

fn list(tasks: impl Iterator<Item = TaskId>) -> String {
    let texts: Vec<String> = tasks.map(|id| format!("(task {id})")).collect();
    texts.join(" ")
}

/// What AWS sends as a service action with an event; `detail` as in the notice of a condition.
pub(super) fn action(
    kind: EventKind,
    detail: &str,
    of_task_set: bool,
    strategy: SchedulingStrategy,
    unplaced: Option<&Report>,
) -> Option<ServiceAction> {
    let name = match (kind, strategy) {
        (EventKind::SteadyState, _) if of_task_set => ActionName::TasksetSteadyState,
        (EventKind::SteadyState, _) => ActionName::ServiceSteadyState,
        (EventKind::Unplaced, SchedulingStrategy::Daemon) => {
            ActionName::ServiceDaemonPlacementConstraintViolated
        }
        (EventKind::Unplaced | EventKind::ZoneUnplaced, _) => {
            ActionName::ServiceTaskPlacementFailure
        }
        (EventKind::RoleRefused, _) => ActionName::ServiceTaskConfigurationFailure,
        (EventKind::StartImpaired, _) => ActionName::ServiceTaskStartImpaired,
        (EventKind::ScaleInProtected | EventKind::ZoneProtected, _) => {
            ActionName::TasksetScaleInFailureByTaskProtection
        }
        (EventKind::ZonesBalanced, _) => ActionName::ServiceRebalancingCompleted,
        (EventKind::ZonesUnbalanced, _) => ActionName::ServiceRebalancingStarted,
        (EventKind::RebalancingStopped, _) => ActionName::ServiceRebalancingStopped,
        (EventKind::ZoneTasksStarted, _) => ActionName::TasksStarted,
        (EventKind::ZoneTasksStopped, _) => ActionName::TasksStopped,
        _ => return None,
    };
    let refused = name.kind() == ActionType::Error;
    let instances = unplaced.filter(|_| refused).map(|report| {
        let instances = report.refusals.iter().map(|refusal| refusal.instance);
        instances.take(limits::EVENT_INSTANCES).collect()
    });
    // For a service without instances there is nothing that was in the way.
    let says_why = matches!(kind, EventKind::Unplaced | EventKind::RoleRefused);
    let reason = (says_why && !detail.is_empty()).then(|| detail.into());
    Some(ServiceAction { name, reason, instances: instances.unwrap_or_default() })
}

/// Takes the conditions that hold now into the notices, and gives those whose message is due, with it.
pub(super) fn told(
    notices: &mut Vec<Notice>,
    conditions: Vec<(Cause, String, Message)>,
    now: Timestamp,
) -> Vec<(Message, String)> {
    let mut messages = Vec::new();
    let mut kept = Vec::new();
    for (cause, detail, message) in conditions {
        let known = notices.iter().find(|n| n.cause == cause && n.detail == detail);
        let fresh = known.filter(|notice| now < notice.at + limits::EVENT_REPETITION);
        if let Some(notice) = fresh {
            kept.push(notice.clone());
        } else {
            let notice = Notice { cause, detail, at: now };
            messages.push((message, notice.detail.clone()));
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
