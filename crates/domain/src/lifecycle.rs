//! The life of a task as the control plane sees it: what a report of the agent, a lost instance
//! or a stop order makes of the record.
//!
//! The rule it keeps: observed state moves forward only, so a report may come twice, late or out
//! of order. What it leaves out: how the agent gets there (`domain::task`).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::limits;
use crate::record::{
    ContainerState, ContainerStatus, DesiredStatus, HealthStatus, NetworkBinding, StopCode, Task,
    TaskSpec, TaskStatus,
};
use crate::time::Timestamp;

/// What an agent says of a task (SubmitTaskStateChange).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskReport {
    /// Status of the task, if the report has one.
    pub status: Option<ContainerStatus>,
    /// Why, for a task that could not run.
    pub reason: Option<String>,
    /// Its containers, in the order in which their states came about.
    pub containers: Vec<ContainerReport>,
    /// AWS's `pullStartedAt`.
    pub pull_started_at: Option<Timestamp>,
    /// AWS's `pullStoppedAt`.
    pub pull_stopped_at: Option<Timestamp>,
    /// AWS's `executionStoppedAt`.
    pub execution_stopped_at: Option<Timestamp>,
}

/// What an agent says of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerReport {
    /// Name in the task definition.
    pub name: String,
    /// Status, if the report has one.
    pub status: Option<ContainerStatus>,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Reason, e.g. `CannotPullContainerError: …`.
    pub reason: Option<String>,
    /// Docker container id.
    pub runtime_id: Option<String>,
    /// Image digest.
    pub image_digest: Option<String>,
    /// Ports as bound on the host.
    pub bindings: Vec<NetworkBinding>,
}

/// AWS's reason for a task whose essential container ended.
pub const ESSENTIAL_EXITED: &str = "Essential container in task exited";
/// AWS's reason for a task that could not start, when the agent gives none.
pub const FAILED_TO_START: &str = "Task failed to start";

/// The task after `report`, or `None` when the report says nothing new.
pub fn reported(task: &Task, spec: &TaskSpec, report: &TaskReport, now: Timestamp) -> Option<Task> {
    if task.is_stopped() {
        return None;
    }
    let mut next = task.clone();
    let observed = &mut next.observed;
    observed.connectivity_at.get_or_insert(now);
    for container in &report.containers {
        if let Some(state) = observed.containers.iter_mut().find(|s| s.name == container.name) {
            merge(state, container);
        }
    }
    observed.pull_started_at = observed.pull_started_at.or(report.pull_started_at);
    observed.pull_stopped_at = observed.pull_stopped_at.or(report.pull_stopped_at);
    match report.status {
        Some(ContainerStatus::Running) if observed.status < TaskStatus::Running => {
            observed.status = TaskStatus::Running;
            observed.started_at = Some(now);
        }
        Some(ContainerStatus::Stopped) => {
            let ended = ending(&observed.containers, spec, report);
            stop(&mut next, report.execution_stopped_at.unwrap_or(now), now);
            if next.stop.is_none() {
                next.observed.ended = Some(ended);
            }
        }
        Some(ContainerStatus::Pending | ContainerStatus::Running) | None => {}
    }
    if next == *task {
        return None;
    }
    next.version += 1;
    Some(next)
}

/// The task whose instance is gone for good: stopped, for `reason`.
pub fn lost(task: &Task, reason: &str, now: Timestamp) -> Option<Task> {
    given_up(task, StopCode::TerminationNotice, reason, now)
}

/// The task whose instance has not been heard of for `silence`: given up.
pub fn unreachable(task: &Task, silence: Duration, now: Timestamp) -> Option<Task> {
    let seconds = silence.as_secs();
    let reason =
        format!("The agent of the container instance has been disconnected for {seconds} seconds.");
    given_up(task, StopCode::InfrastructureHealth, &reason, now)
}

fn given_up(task: &Task, code: StopCode, reason: &str, now: Timestamp) -> Option<Task> {
    if task.is_stopped() {
        return None;
    }
    let mut next = task.clone();
    stop(&mut next, now, now);
    if next.stop.is_none() {
        next.observed.ended = Some((code, reason.to_string()));
    }
    next.version += 1;
    Some(next)
}

/// The task with the health that the agent measured, or `None` when it is known already.
pub fn measured(task: &Task, health: &[(String, HealthStatus)]) -> Option<Task> {
    if task.is_stopped() {
        return None;
    }
    let mut next = task.clone();
    for (name, status) in health {
        if let Some(state) = next.observed.containers.iter_mut().find(|s| s.name == *name) {
            state.health = *status;
        }
    }
    if next == *task {
        return None;
    }
    next.version += 1;
    Some(next)
}

/// Health of a task: of its essential containers that have a check, the worst; UNKNOWN without any.
pub fn health(task: &Task, spec: &TaskSpec) -> HealthStatus {
    let checked = |state: &&ContainerState| {
        spec.containers.iter().any(|c| c.name == state.name && c.essential && c.has_health_check)
    };
    let states = || task.observed.containers.iter().filter(checked).map(|state| state.health);
    if states().any(|health| health == HealthStatus::Unhealthy) {
        HealthStatus::Unhealthy
    } else if states().count() == 0 || states().any(|health| health == HealthStatus::Unknown) {
        HealthStatus::Unknown
    } else {
        HealthStatus::Healthy
    }
}

/// Whether an essential container of the task definition has a health check.
pub fn has_health_check(spec: &TaskSpec) -> bool {
    spec.containers.iter().any(|c| c.essential && c.has_health_check)
}

fn stop(task: &mut Task, execution_stopped_at: Timestamp, now: Timestamp) {
    task.desired = DesiredStatus::Stopped;
    let observed = &mut task.observed;
    observed.status = TaskStatus::Stopped;
    observed.stopped_at = Some(now);
    observed.execution_stopped_at.get_or_insert(execution_stopped_at);
    for container in &mut observed.containers {
        container.status = ContainerStatus::Stopped;
    }
}

fn merge(state: &mut ContainerState, report: &ContainerReport) {
    if let Some(status) = report.status {
        state.status = state.status.max(status);
    }
    let cut = |text: &String| -> String { text.chars().take(limits::REASON_LEN).collect() };
    state.exit_code = state.exit_code.or(report.exit_code);
    if let Some(reason) = report.reason.as_ref().filter(|reason| !reason.is_empty()) {
        state.reason.get_or_insert(cut(reason));
    }
    if let Some(id) = report.runtime_id.as_ref().filter(|id| !id.is_empty()) {
        state.runtime_id = Some(id.clone());
    }
    if let Some(digest) = report.image_digest.as_ref().filter(|digest| !digest.is_empty()) {
        state.image_digest = Some(digest.clone());
    }
    if !report.bindings.is_empty() {
        state.bindings.clone_from(&report.bindings);
    }
}

/// AWS's stop code and reason of a task that ended by itself.
fn ending(
    containers: &[ContainerState],
    spec: &TaskSpec,
    report: &TaskReport,
) -> (StopCode, String) {
    let essential = |state: &&ContainerState| {
        spec.containers.iter().any(|c| c.name == state.name && c.essential)
    };
    let given = report.reason.clone().filter(|reason| !reason.is_empty());
    if containers.iter().filter(essential).any(|state| state.exit_code.is_some()) {
        return (StopCode::EssentialContainerExited, given.unwrap_or(ESSENTIAL_EXITED.into()));
    }
    let first = containers.iter().find_map(|state| state.reason.clone());
    let reason = given.or(first).unwrap_or(FAILED_TO_START.into());
    (StopCode::TaskFailedToStart, reason)
}

#[cfg(test)]
mod tests;
