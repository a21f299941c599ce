//! The checks that a task passes before it is accepted, and its specification for the state
//! machine.

use std::time::Duration;

use longshore_domain::task::{Condition, ContainerSpec, Reason, RestartPolicy, TaskSpec};
use longshore_wire::agent::{Container, ContainerOverrides, DependencyCondition, Task};

use super::volume;
use crate::Config;

/// Restart attempts need this much running time, unless the policy says otherwise (ECS default).
const ATTEMPT_PERIOD: Duration = Duration::from_secs(300);

/// Checks a task and gives its specification.
///
/// # Errors
/// With the reason that the task is reported with.
pub(crate) fn spec(task: &Task, config: &Config) -> Result<TaskSpec, Reason> {
    let invalid = |text: String| Reason::new("UnrecogniedTaskError", text);
    if !matches!(task.desired_status.as_str(), "RUNNING" | "STOPPED" | "NONE" | "CREATED") {
        let text = format!("Error loading task - unrecognized status '{}'", task.desired_status);
        return Err(invalid(text));
    }
    if task.network_mode.as_deref() == Some("awsvpc") {
        let text = "network mode awsvpc needs an elastic network interface, which this machine \
                    does not have; use bridge or host";
        return Err(Reason::new("ResourceInitializationError", text));
    }
    for (what, mode) in [("pidMode", &task.pid_mode), ("ipcMode", &task.ipc_mode)] {
        if mode.as_deref() == Some("task") {
            let text = format!("{what} task is not supported by this agent; use host");
            return Err(Reason::new("ResourceInitializationError", text));
        }
    }
    volume::check(task)?;
    let mut containers = Vec::with_capacity(task.containers.len());
    for container in &task.containers {
        if container.name.is_empty() || container.image.is_empty() {
            let text = "Error loading task - a container has no name or no image";
            return Err(invalid(text.to_owned()));
        }
        overrides(container).map_err(invalid)?;
        volume::check_mounts(task, container)?;
        containers.push(container_spec(container, config));
    }
    TaskSpec::new(containers, config.pull)
        .map_err(|error| Reason::new("TaskDependencyError", error.to_string()))
}

/// The overrides of a container.
pub(super) fn overrides(container: &Container) -> Result<ContainerOverrides, String> {
    let text = container.overrides.as_deref().unwrap_or_default().trim();
    if matches!(text, "" | "{}" | "null") {
        return Ok(ContainerOverrides::default());
    }
    serde_json::from_str(text)
        .map_err(|error| format!("Error loading task - overrides of {}: {error}", container.name))
}

fn container_spec(container: &Container, config: &Config) -> ContainerSpec {
    let condition = |condition: &DependencyCondition| match condition {
        DependencyCondition::Complete => Condition::Complete,
        DependencyCondition::Success => Condition::Success,
        DependencyCondition::Healthy => Condition::Healthy,
        DependencyCondition::Other(word) if word == "CREATE" => Condition::Create,
        DependencyCondition::Start | DependencyCondition::Other(_) => Condition::Start,
    };
    let explicit =
        container.depends_on.iter().map(|d| (d.container_name.clone(), condition(&d.condition)));
    let links = container.links.iter().map(|link| {
        let name = link.split_once(':').map_or(link.as_str(), |(name, _)| name);
        (name.to_owned(), Condition::Start)
    });
    let volumes =
        container.volumes_from.iter().map(|v| (v.source_container.clone(), Condition::Create));
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let policy = container.restart_policy.as_ref().filter(|policy| policy.enabled);
    ContainerSpec {
        name: container.name.clone(),
        essential: container.essential,
        depends_on: explicit.chain(links).chain(volumes).collect(),
        start_timeout: (container.start_timeout > 0).then(|| seconds(container.start_timeout)),
        stop_timeout: match container.stop_timeout {
            0 => config.timeouts.stop,
            given => seconds(given),
        },
        restart: policy.map(|policy| RestartPolicy {
            ignored_exit_codes: policy.ignored_exit_codes.clone(),
            attempt_period: policy.restart_attempt_period.map_or(ATTEMPT_PERIOD, seconds),
        }),
    }
}
