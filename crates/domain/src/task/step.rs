//! One event in, the next state and what to do about it out.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::order::{self, Order};
use super::spec::{ContainerIndex, TaskSpec};
use super::state::{ContainerState, Doing, Exit, Phase, Reason, Status, TaskState};
use crate::limits;
use crate::record::{DesiredStatus, HealthStatus};
use crate::time::Timestamp;

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The task was accepted.
    Accepted,
    /// It is to stop.
    StopRequested,
    /// It cannot run at all, e.g. because a volume cannot be made.
    Failed(Reason),
    /// A deadline has passed.
    Tick,
    /// The image is there; `fetched_since` is when a pull began, if there was one.
    Pulled(ContainerIndex, Option<Timestamp>),
    /// The image could not be pulled.
    PullFailed(ContainerIndex, Reason),
    /// The container was made.
    Created(ContainerIndex),
    /// It could not be made.
    CreateFailed(ContainerIndex, Reason),
    /// It was started.
    Started(ContainerIndex),
    /// It could not be started.
    StartFailed(ContainerIndex, Reason),
    /// It exited.
    Exited(ContainerIndex, Exit),
    /// The call to stop it failed, so that it may still run.
    StopFailed(ContainerIndex, Reason),
    /// The runtime does not know it any more.
    Vanished(ContainerIndex),
    /// Its health check says something new.
    Health(ContainerIndex, HealthStatus),
}

/// Something to do for a task. Calls are answered with an [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Get the image.
    Pull(ContainerIndex),
    /// Break off getting the image; not answered.
    CancelPull(ContainerIndex),
    /// Make the container.
    Create(ContainerIndex),
    /// Start it.
    Start(ContainerIndex),
    /// Ask it to stop, and kill it after the timeout; answered by its exit.
    Stop(ContainerIndex, Duration),
    /// Kill it; answered by its exit.
    Kill(ContainerIndex),
    /// Make sure that nothing of it runs, as its start has an unknown outcome; not answered.
    Discard(ContainerIndex),
    /// The task has come this far.
    Announce(Phase),
    /// The container's status changed to running or stopped.
    Changed(ContainerIndex),
}

/// Moves a task on. The only function that changes a [`TaskState`], besides [`restore`](super::restore()).
pub fn step(
    spec: &TaskSpec,
    mut state: TaskState,
    event: Event,
    now: Timestamp,
) -> (TaskState, Vec<Effect>) {
    let mut effects = Vec::new();
    apply(spec, &mut state, event, now, &mut effects);
    settle(spec, &mut state, now, &mut effects);
    (state, effects)
}

pub(super) fn apply(
    spec: &TaskSpec,
    state: &mut TaskState,
    event: Event,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    match event {
        Event::Accepted | Event::Tick => {}
        Event::StopRequested => state.desired = DesiredStatus::Stopped,
        Event::Failed(reason) => {
            state.desired = DesiredStatus::Stopped;
            state.reason.get_or_insert(reason);
        }
        Event::Pulled(index, fetched_since) => pulled(state, index, fetched_since, now),
        Event::PullFailed(index, reason) => pull_failed(spec, state, index, reason, now, effects),
        Event::Created(index) => {
            let container = &mut state.containers[index];
            if answers(container, Doing::Creating) && container.status < Status::Created {
                container.status = Status::Created;
                container.created_at = Some(now);
            }
        }
        Event::CreateFailed(index, reason) => {
            let container = &mut state.containers[index];
            if answers(container, Doing::Creating) && container.status < Status::Created {
                let told = container.pull_error.clone().unwrap_or(reason);
                stopped(container, index, None, Some(told), now, effects);
            }
        }
        Event::Started(index) => started(spec, state, index, now, effects),
        Event::StartFailed(index, reason) => {
            let container = &mut state.containers[index];
            if answers(container, Doing::Starting) && !container.is_stopped() {
                effects.push(Effect::Discard(index));
                let code = container.early_exit.take().and_then(|exit| exit.code);
                stopped(container, index, code, Some(reason), now, effects);
            }
        }
        Event::Exited(index, exit) => exited(spec, state, index, exit, now, effects),
        Event::StopFailed(index, reason) => stop_failed(state, index, reason, now, effects),
        Event::Vanished(index) => {
            let container = &mut state.containers[index];
            if container.status >= Status::Created && !container.is_stopped() {
                let reason = Reason::new("ContainerVanishedError", "No container found on host");
                stopped(container, index, None, Some(reason), now, effects);
            }
        }
        Event::Health(index, health) => {
            let container = &mut state.containers[index];
            if !container.is_stopped() && container.health != health {
                container.health = health;
                container.health_since = Some(now);
            }
        }
    }
}

/// Whether `doing` was awaited; it is not any more.
fn answers(container: &mut ContainerState, doing: Doing) -> bool {
    let awaited = container.doing == Some(doing);
    if awaited {
        container.doing = None;
    }
    awaited
}

fn pulled(
    state: &mut TaskState,
    index: ContainerIndex,
    fetched_since: Option<Timestamp>,
    now: Timestamp,
) {
    let container = &mut state.containers[index];
    if !answers(container, Doing::Pulling) || container.status != Status::None {
        return;
    }
    container.status = Status::Pulled;
    if let Some(since) = fetched_since {
        let first = state.pull_started_at.map_or(since, |earlier| earlier.min(since));
        state.pull_started_at = Some(first);
        state.pull_stopped_at = Some(now);
    }
}

fn pull_failed(
    spec: &TaskSpec,
    state: &mut TaskState,
    index: ContainerIndex,
    reason: Reason,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let container = &mut state.containers[index];
    if !answers(container, Doing::Pulling) || container.status != Status::None {
        return;
    }
    if spec.pull().failure_is_final() {
        stopped(container, index, None, Some(reason), now, effects);
        state.desired = DesiredStatus::Stopped;
    } else {
        container.status = Status::Pulled;
        container.pull_error = Some(reason);
    }
}

fn started(
    spec: &TaskSpec,
    state: &mut TaskState,
    index: ContainerIndex,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let container = &mut state.containers[index];
    if !answers(container, Doing::Starting) || container.is_stopped() {
        return;
    }
    container.last_started_at = Some(now);
    if container.status < Status::Running {
        container.status = Status::Running;
        container.started_at = Some(now);
        effects.push(Effect::Changed(index));
    }
    if let Some(exit) = container.early_exit.take() {
        // What it exited from was this very run, so that it cannot be announced as running alone.
        announce(state, effects);
        exited(spec, state, index, exit, now, effects);
    }
}

fn exited(
    spec: &TaskSpec,
    state: &mut TaskState,
    index: ContainerIndex,
    exit: Exit,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let wanted = state.desired == DesiredStatus::Running;
    let container = &mut state.containers[index];
    if container.doing == Some(Doing::Starting) {
        container.early_exit = Some(exit);
        return;
    }
    if container.status != Status::Running {
        return;
    }
    container.doing = None;
    if wanted && restarts(spec, container, index, &exit) {
        container.restarts = container.restarts.saturating_add(1);
        container.doing = Some(Doing::Starting);
        container.health = HealthStatus::Unknown;
        effects.push(Effect::Start(index));
        return;
    }
    stopped(container, index, exit.code, exit.reason, exit.at.min(now), effects);
    if spec.containers()[index].essential {
        state.execution_stopped_at.get_or_insert(exit.at.min(now));
    }
}

fn restarts(
    spec: &TaskSpec,
    container: &ContainerState,
    index: ContainerIndex,
    exit: &Exit,
) -> bool {
    let Some(policy) = &spec.containers()[index].restart else { return false };
    let ran = container.last_started_at.map(|since| exit.at.saturating_since(since));
    exit.code.is_some_and(|code| !policy.ignored_exit_codes.contains(&code))
        && ran.is_some_and(|ran| ran >= policy.attempt_period)
}

fn stop_failed(
    state: &mut TaskState,
    index: ContainerIndex,
    reason: Reason,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    let container = &mut state.containers[index];
    if !answers(container, Doing::Stopping) || container.is_stopped() {
        return;
    }
    container.failed_stops += 1;
    if container.failed_stops >= limits::STOP_ATTEMPTS {
        stopped(container, index, None, Some(reason), now, effects);
    } else {
        container.retry_stop_at = Some(now + limits::STOP_RETRY * container.failed_stops);
    }
}

fn stopped(
    container: &mut ContainerState,
    index: ContainerIndex,
    exit_code: Option<i32>,
    reason: Option<Reason>,
    at: Timestamp,
    effects: &mut Vec<Effect>,
) {
    container.status = Status::Stopped;
    container.doing = None;
    container.early_exit = None;
    container.exit_code = exit_code;
    container.reason = reason;
    container.finished_at = Some(at);
    effects.push(Effect::Changed(index));
}

/// Does whatever has become possible or necessary, until nothing more is.
pub(super) fn settle(
    spec: &TaskSpec,
    state: &mut TaskState,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    // First what can no longer be: it may decide that the task stops, and then nothing is begun.
    loop {
        let mut moved = false;
        for index in 0..state.containers.len() {
            want(spec, state);
            moved |= match state.desired {
                DesiredStatus::Running => give_up(spec, state, index, now, effects),
                DesiredStatus::Stopped => backward(spec, state, index, now, effects),
            };
        }
        if !moved {
            break;
        }
    }
    want(spec, state);
    if state.desired == DesiredStatus::Running {
        for index in 0..state.containers.len() {
            forward(spec, state, index, now, effects);
        }
    }
    announce(state, effects);
}

/// A task whose essential container has stopped is to stop.
fn want(spec: &TaskSpec, state: &mut TaskState) {
    let mut pairs = spec.containers().iter().zip(&state.containers);
    if pairs.any(|(spec, container)| spec.essential && container.is_stopped()) {
        state.desired = DesiredStatus::Stopped;
    }
}

/// Stops a container whose dependencies can never be met. Whether its status changed.
fn give_up(
    spec: &TaskSpec,
    state: &mut TaskState,
    index: ContainerIndex,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> bool {
    let waits = &state.containers[index];
    if waits.status != Status::Pulled || waits.doing.is_some() {
        return false;
    }
    let Order::Never(why) = order::judge(spec, state, index, now) else { return false };
    let text = format!("dependency graph: failed to resolve container ordering dependency: {why}");
    let reason = Reason::new("CannotStartContainerError", text);
    let code = Some(limits::UNSTARTABLE_EXIT_CODE);
    stopped(&mut state.containers[index], index, code, Some(reason), now, effects);
    true
}

/// Begins the next step of a container that should run.
fn forward(
    spec: &TaskSpec,
    state: &mut TaskState,
    index: ContainerIndex,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) {
    if state.containers[index].doing.is_some() {
        return;
    }
    let (doing, effect) = match state.containers[index].status {
        Status::None => (Doing::Pulling, Effect::Pull(index)),
        Status::Pulled if order::judge(spec, state, index, now) == Order::Clear => {
            (Doing::Creating, Effect::Create(index))
        }
        Status::Created => (Doing::Starting, Effect::Start(index)),
        Status::Pulled | Status::Running | Status::Stopped => return,
    };
    state.containers[index].doing = Some(doing);
    effects.push(effect);
}

/// The next step of a container that should stop. Whether its status changed.
fn backward(
    spec: &TaskSpec,
    state: &mut TaskState,
    index: ContainerIndex,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> bool {
    let may_stop = order::may_stop(spec, state, index);
    let container = &mut state.containers[index];
    match (container.status, container.doing) {
        (Status::None, doing) => {
            if doing == Some(Doing::Pulling) {
                effects.push(Effect::CancelPull(index));
            }
            stopped(container, index, None, None, now, effects);
            true
        }
        (Status::Pulled | Status::Created, None) => {
            stopped(container, index, None, None, now, effects);
            true
        }
        (Status::Running, None)
            if may_stop && container.retry_stop_at.is_none_or(|at| at <= now) =>
        {
            container.doing = Some(Doing::Stopping);
            container.retry_stop_at = None;
            effects.push(if container.failed_stops == 0 {
                Effect::Stop(index, spec.containers()[index].stop_timeout)
            } else {
                Effect::Kill(index)
            });
            false
        }
        _ => false,
    }
}

/// Tells how far the task has come, each phase once and in order.
fn announce(state: &mut TaskState, effects: &mut Vec<Effect>) {
    let all = |least: Status| state.containers.iter().all(|container| container.status >= least);
    let phase = if state.is_stopped() {
        Phase::Stopped
    } else if state.desired == DesiredStatus::Stopped {
        return;
    } else if all(Status::Running) {
        Phase::Running
    } else if all(Status::Pulled) {
        Phase::Pending
    } else {
        return;
    };
    if state.announced < Some(phase) {
        state.announced = Some(phase);
        effects.push(Effect::Announce(phase));
    }
}
