//! Taking a task up again after the agent was restarted.

use alloc::vec::Vec;

use super::spec::TaskSpec;
use super::state::{ContainerState, Exit, Status, TaskState};
use super::step::{Effect, Event, apply, settle};
use crate::record::HealthStatus;
use crate::time::Timestamp;

/// What the container runtime says about a container when the agent comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is no such container.
    Nothing,
    /// It was made and never started.
    Created,
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
        /// What its health check says.
        health: HealthStatus,
    },
    /// It ran and has exited.
    Exited {
        /// Since when it ran.
        since: Timestamp,
        /// How it ended.
        exit: Exit,
    },
}

/// Brings a persisted state in line with what was found, as if the missed events had come one by
/// one, and carries on from there. Calls that were under way are forgotten: either their outcome
/// was found or they are made again.
pub fn restore(
    spec: &TaskSpec,
    mut state: TaskState,
    found: &[Found],
    now: Timestamp,
) -> (TaskState, Vec<Effect>) {
    let mut effects = Vec::new();
    for container in &mut state.containers {
        container.doing = None;
        container.early_exit = None;
        container.retry_stop_at = None;
        container.failed_stops = 0;
    }
    for (index, found) in found.iter().enumerate().take(state.containers.len()) {
        if state.containers[index].is_stopped() {
            continue;
        }
        let event = match found {
            Found::Nothing if state.containers[index].status >= Status::Created => {
                Event::Vanished(index)
            }
            Found::Nothing => continue,
            Found::Created => {
                made(&mut state.containers[index], now);
                continue;
            }
            Found::Running { since, health } => {
                running(&mut state.containers[index], index, *since, &mut effects);
                Event::Health(index, *health)
            }
            Found::Exited { since, exit } => {
                running(&mut state.containers[index], index, *since, &mut effects);
                Event::Exited(index, exit.clone())
            }
        };
        // Only what the event itself says: the rest of the task has not been looked at yet.
        apply(spec, &mut state, event, now, &mut effects);
    }
    settle(spec, &mut state, now, &mut effects);
    (state, effects)
}

fn made(container: &mut ContainerState, now: Timestamp) {
    if container.status < Status::Created {
        container.status = Status::Created;
        container.created_at = Some(now);
    }
}

fn running(
    container: &mut ContainerState,
    index: usize,
    since: Timestamp,
    effects: &mut Vec<Effect>,
) {
    made(container, since);
    container.last_started_at = container.last_started_at.max(Some(since));
    if container.status < Status::Running {
        container.status = Status::Running;
        container.started_at = Some(since);
        effects.push(Effect::Changed(index));
    }
}
