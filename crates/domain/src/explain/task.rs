//! What one task waits for, or why it ended.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{Cause, StopTimeouts, Wait, killed_at};
use crate::fidelity::Fidelity;
use crate::lifecycle;
use crate::record::{
    ContainerInstance, ContainerState, ContainerStatus, DependencyCondition, DesiredStatus,
    HealthStatus, StopCode, Task, TaskSpec, TaskStatus,
};

/// What a task waits for that should run and does not, or that should have stopped and has not;
/// and why it ended. Nothing for a task that is RUNNING as it should, unless its health check or
/// its agent has something to say.
pub fn task(
    task: &Task,
    spec: Option<&TaskSpec>,
    instance: Option<&ContainerInstance>,
    timeouts: &StopTimeouts,
    fidelity: Fidelity,
) -> Vec<Wait> {
    if task.is_stopped() {
        return vec![ended(task)];
    }
    let mut waits: Vec<Wait> = unreachable(instance, fidelity).into_iter().collect();
    if task.desired == DesiredStatus::Stopped || task.observed.status > TaskStatus::Running {
        waits.push(stopping(task, timeouts));
    } else if task.observed.status == TaskStatus::Running {
        waits.extend(unproven(task, spec));
    } else {
        waits.extend(starting(task, spec));
    }
    waits
}

/// The agent cannot be told anything.
pub(super) fn unreachable(
    instance: Option<&ContainerInstance>,
    fidelity: Fidelity,
) -> Option<Wait> {
    let Some(instance) = instance else {
        return Some(Wait::new(
            Cause::AgentDisconnected,
            "its container instance is not registered any more",
            "wait until the task is given up, or stop it with `aws ecs stop-task`",
        ));
    };
    if instance.connection.connected {
        return None;
    }
    let (id, machine) = (instance.id, &instance.ec2_instance_id);
    let since = instance.connection.since;
    let given_up = fidelity.replace_lost_instances.map(|silence| since + silence);
    let fix = format!(
        "start the agent on {machine}; if the machine is gone, \
         `aws ecs deregister-container-instance --force --container-instance {id}`"
    );
    let what = format!("the agent of container instance {id} ({machine}) is not connected");
    Some(Wait::new(Cause::AgentDisconnected, what, fix).since(since).until(given_up))
}

fn stopping(task: &Task, timeouts: &StopTimeouts) -> Wait {
    let observed = &task.observed;
    let (why, since) = match (&task.stop, &observed.ended) {
        (Some(stop), _) => (stop.reason.clone(), Some(stop.at)),
        (None, Some((_, reason))) => (reason.clone(), observed.execution_stopped_at),
        (None, None) => (String::from("a container has exited"), observed.execution_stopped_at),
    };
    if task.draining_until.is_some() {
        let what = format!("requests that are under way to it, before it stops: {why}");
        let fix = "wait, or give its target group a shorter deregistration delay";
        return Wait::new(Cause::Draining, what, fix).since(since).until(task.draining_until);
    }
    let left = observed.containers.iter().filter(|c| c.status != ContainerStatus::Stopped);
    let what = format!("{} containers to stop: {why}", left.count());
    let fix = "let the containers end on SIGTERM, or give them a shorter stopTimeout";
    let until = since.map(|since| killed_at(task, since, timeouts));
    Wait::new(Cause::Stopping, what, fix).since(since).until(until)
}

/// A task that runs, but whose health check has not passed.
fn unproven(task: &Task, spec: Option<&TaskSpec>) -> Option<Wait> {
    let spec = spec.filter(|spec| lifecycle::has_health_check(spec))?;
    let what = match lifecycle::health(task, spec) {
        HealthStatus::Healthy => return None,
        HealthStatus::Unknown => "the first result of its health check",
        HealthStatus::Unhealthy => "its health check to pass again: it is UNHEALTHY",
    };
    let fix = "see what the check says (`docker inspect` on the instance); \
               a shorter interval or startPeriod tells sooner";
    Some(Wait::new(Cause::HealthCheck, what, fix).since(task.observed.started_at))
}

fn starting(task: &Task, spec: Option<&TaskSpec>) -> Vec<Wait> {
    let observed = &task.observed;
    let mut waits = Vec::new();
    match (observed.pull_started_at, observed.pull_stopped_at) {
        (Some(since), None) => {
            let images: Vec<&str> =
                spec.iter().flat_map(|s| &s.containers).map(|c| c.image.as_str()).collect();
            let what = format!("its images to be pulled: {}", images.join(", "));
            let fix = "use a smaller image or a nearer registry, or have instances prefer what \
                       they have cached";
            return vec![Wait::new(Cause::Pulling, what, fix).since(since)];
        }
        (None, _) if observed.connectivity_at.is_none() && !any_known(task) => {
            let what = "its agent to take the task";
            let fix = "look at the agent's log if this takes longer than a few seconds";
            return vec![Wait::new(Cause::Agent, what, fix).since(task.created_at)];
        }
        _ => {}
    }
    let since = observed.pull_stopped_at.or(observed.connectivity_at).unwrap_or(task.created_at);
    waits
        .extend(spec.into_iter().flat_map(|spec| dependencies(task, spec)).map(|w| w.since(since)));
    if waits.is_empty() {
        let what = format!("its containers to be started: {}", pending(task));
        let fix = "look at the agent's log and at `docker ps -a` on the instance";
        waits.push(Wait::new(Cause::Starting, what, fix).since(since));
    }
    waits
}

/// Whether the agent has said anything about a container.
fn any_known(task: &Task) -> bool {
    let known = |c: &ContainerState| c.runtime_id.is_some() || c.status > ContainerStatus::Pending;
    task.observed.containers.iter().any(known)
}

fn pending(task: &Task) -> String {
    let pending = task.observed.containers.iter().filter(|c| c.status == ContainerStatus::Pending);
    let names: Vec<&str> = pending.map(|c| c.name.as_str()).collect();
    if names.is_empty() {
        "all are up, the task is about to run".to_string()
    } else {
        names.join(", ")
    }
}

/// Containers that wait for others.
fn dependencies(task: &Task, spec: &TaskSpec) -> Vec<Wait> {
    let state = |name: &str| task.observed.containers.iter().find(|state| state.name == name);
    let waits = |name: &str| state(name).is_none_or(|s| s.status == ContainerStatus::Pending);
    let mut found = Vec::new();
    for container in spec.containers.iter().filter(|container| waits(&container.name)) {
        for (other, condition) in &container.depends_on {
            let Some(state) = state(other) else { continue };
            let (met, wanted) = match condition {
                DependencyCondition::Start => (state.status > ContainerStatus::Pending, "start"),
                DependencyCondition::Complete => (state.status == ContainerStatus::Stopped, "exit"),
                DependencyCondition::Success => (state.exit_code == Some(0), "exit with code 0"),
                DependencyCondition::Healthy => {
                    (state.health == HealthStatus::Healthy, "pass its health check")
                }
            };
            if !met {
                let what = format!("container {} waits for {other} to {wanted}", container.name);
                let fix =
                    format!("see what {other} does, or give {} a startTimeout", container.name);
                found.push(Wait::new(Cause::Dependency, what, fix));
            }
        }
    }
    found
}

fn ended(task: &Task) -> Wait {
    let (code, reason) = match (&task.stop, &task.observed.ended) {
        (Some(stop), _) => (Some(stop.code), stop.reason.as_str()),
        (None, Some((code, reason))) => (Some(*code), reason.as_str()),
        (None, None) => (None, "it has ended"),
    };
    let mut parts = vec![match code {
        Some(code) => format!("{}: {reason}", code.as_str()),
        None => reason.to_string(),
    }];
    for container in &task.observed.containers {
        let code = container.exit_code.map(|code| format!("exit code {code}"));
        let oom = is_out_of_memory(container).then(|| String::from("out of memory"));
        let known: Vec<String> =
            [code, oom, container.reason.clone()].into_iter().flatten().collect();
        if !known.is_empty() {
            parts.push(format!("container {}: {}", container.name, known.join(", ")));
        }
    }
    let what = parts.join("; ");
    Wait::new(Cause::Stopped, what, remedy(task, code, reason)).since(task.observed.stopped_at)
}

fn is_out_of_memory(container: &ContainerState) -> bool {
    container.reason.as_deref().is_some_and(|reason| reason.starts_with("OutOfMemory"))
}

/// What to do about a task that ended.
fn remedy(task: &Task, code: Option<StopCode>, reason: &str) -> &'static str {
    let containers = &task.observed.containers;
    let said = |text: &str| {
        reason.contains(text)
            || containers.iter().any(|c| c.reason.as_deref().is_some_and(|r| r.contains(text)))
    };
    let exited = |code: i32| containers.iter().any(|c| c.exit_code == Some(code));
    if containers.iter().any(is_out_of_memory) {
        "give the container more memory"
    } else if said("CannotPull") {
        "check the image's name and tag, and that the instance reaches the registry"
    } else if said("CannotStart") || exited(126) || exited(127) {
        "check command and entryPoint against what is in the image"
    } else if said("CannotCreate") {
        "check the container definition against what the instance has: volumes, ports, devices"
    } else {
        match code {
            Some(StopCode::EssentialContainerExited) if exited(137) => {
                "something killed it: check its memory, and who sends SIGKILL"
            }
            Some(StopCode::EssentialContainerExited) => "read its last log lines",
            Some(StopCode::TaskFailedToStart) => "read the reason, and the agent's log",
            Some(StopCode::TerminationNotice | StopCode::InfrastructureHealth) => {
                "look at the container instance that it ran on"
            }
            Some(StopCode::ServiceSchedulerInitiated) if said("health checks") => {
                "see what the health check says"
            }
            _ => "nothing: it was asked for",
        }
    }
}
