//! Start order and stop order: pure questions about a state.

use alloc::format;
use alloc::string::String;

use super::spec::{Condition, ContainerIndex, Dependency, TaskSpec};
use super::state::{ContainerState, Status, TaskState};
use crate::record::HealthStatus;
use crate::time::Timestamp;

/// Whether a container may be made, has to wait, or will never be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Everything that it depends on is there.
    Clear,
    /// Something is still missing.
    Wait,
    /// Something will never be there; the text says what.
    Never(String),
}

/// Judges the dependencies of `container` at `now`.
pub(super) fn judge(
    spec: &TaskSpec,
    state: &TaskState,
    container: ContainerIndex,
    now: Timestamp,
) -> Order {
    let mut order = Order::Clear;
    for edge in spec.dependencies(container) {
        match judge_edge(spec, state, *edge, now) {
            Order::Clear => {}
            Order::Wait => order = Order::Wait,
            never @ Order::Never(_) => return never,
        }
    }
    order
}

/// When the first of the dependencies that `container` waits for will have taken too long.
pub(super) fn deadline(
    spec: &TaskSpec,
    state: &TaskState,
    container: ContainerIndex,
) -> Option<Timestamp> {
    if state.containers[container].status != Status::Pulled
        || state.containers[container].doing.is_some()
    {
        return None;
    }
    let edges = spec.dependencies(container).iter();
    edges
        .filter(|edge| !is_met(&state.containers[edge.on], edge.condition))
        .filter_map(|edge| edge_deadline(spec, state, edge.on))
        .min()
}

/// Whether every container that depends on `container` has stopped, so that it may stop too.
pub(super) fn may_stop(spec: &TaskSpec, state: &TaskState, container: ContainerIndex) -> bool {
    spec.dependants(container).iter().all(|index| state.containers[*index].is_stopped())
}

fn judge_edge(spec: &TaskSpec, state: &TaskState, edge: Dependency, now: Timestamp) -> Order {
    let on = &state.containers[edge.on];
    let (name, condition) = (&spec.containers()[edge.on].name, edge.condition.as_str());
    if is_met(on, edge.condition) {
        return Order::Clear;
    }
    if on.is_stopped() {
        let how = match on.exit_code {
            Some(code) => format!("stopped with exit code {code}"),
            None => String::from("stopped without an exit code"),
        };
        return Order::Never(format!("{name} {how}, {condition} can no longer be met"));
    }
    match edge_deadline(spec, state, edge.on) {
        Some(deadline) if deadline <= now => {
            Order::Never(format!("{name} did not meet {condition} within its startTimeout"))
        }
        _ => Order::Wait,
    }
}

fn edge_deadline(spec: &TaskSpec, state: &TaskState, on: ContainerIndex) -> Option<Timestamp> {
    let timeout = spec.containers()[on].start_timeout?;
    Some(state.containers[on].started_at? + timeout)
}

fn is_met(on: &ContainerState, condition: Condition) -> bool {
    match condition {
        Condition::Create => on.created_at.is_some(),
        Condition::Start => on.started_at.is_some(),
        Condition::Complete => on.is_stopped() && on.started_at.is_some(),
        Condition::Success => on.is_stopped() && on.started_at.is_some() && on.exit_code == Some(0),
        Condition::Healthy => on.status == Status::Running && on.health == HealthStatus::Healthy,
    }
}
