//! Rules for one container definition, and for the order among them.

use std::collections::BTreeMap;

use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{ContainerCondition, NetworkMode};
use longshore_wire::ecs::{ContainerDefinition, PortMapping};

use crate::ecs::client_error;

/// Least memory of a container in MiB (ECS API, Docker 20 and later).
const CONTAINER_MEMORY_MIB: i32 = 6;
/// Most ranges and ports of one container (ECS API: 100 ranges).
const PORT_MAPPINGS: usize = 100;

/// Checks one container by itself.
pub(super) fn check_container(
    container: &ContainerDefinition,
    mode: Option<NetworkMode>,
    task_memory: Option<u32>,
) -> Result<(), ServiceError> {
    let name = container.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(client_error("Container.name should not be null or empty."));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 255 || !name.chars().all(allowed) {
        return Err(client_error(format!(
            "Invalid container name '{}'. Up to 255 letters, numbers, hyphens and underscores \
             are allowed.",
            name.chars().take(255).collect::<String>()
        )));
    }
    if container.image.as_deref().unwrap_or_default().trim().is_empty() {
        return Err(client_error("Container.image should not be null or empty."));
    }
    check_size(container, name, task_memory)?;
    let ports = container.port_mappings.as_deref().unwrap_or_default();
    if ports.len() > PORT_MAPPINGS {
        return Err(invalid(name, "portMappings", "at most 100 are allowed"));
    }
    ports.iter().try_for_each(|port| check_port(port, mode, name))?;
    if container.links.as_ref().is_some_and(|links| !links.is_empty())
        && !matches!(mode, None | Some(NetworkMode::Bridge))
    {
        return Err(client_error(format!(
            "Links are not supported when networkMode={}. Container: {name}",
            mode.map_or("bridge", NetworkMode::as_str)
        )));
    }
    check_lifecycle(container, name)?;
    check_environment(container, name)?;
    for ulimit in container.ulimits.iter().flatten() {
        if ulimit.hard_limit >= 0 && ulimit.soft_limit > ulimit.hard_limit {
            return Err(invalid(name, "ulimits", "the soft limit exceeds the hard limit"));
        }
    }
    Ok(())
}

fn invalid(container: &str, setting: &str, why: &str) -> ServiceError {
    client_error(format!("Invalid setting for container '{container}': {setting}: {why}."))
}

fn check_size(
    container: &ContainerDefinition,
    name: &str,
    task_memory: Option<u32>,
) -> Result<(), ServiceError> {
    if container.cpu.is_some_and(|cpu| cpu < 0) {
        return Err(invalid(name, "cpu", "it cannot be negative"));
    }
    for (setting, value) in
        [("memory", container.memory), ("memoryReservation", container.memory_reservation)]
    {
        if value.is_some_and(|mib| mib < CONTAINER_MEMORY_MIB) {
            return Err(invalid(name, setting, "the minimum is 6 MiB"));
        }
    }
    match (container.memory, container.memory_reservation) {
        (None, None) if task_memory.is_none() => Err(client_error(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or \
             'memoryReservation' must be specified."
        ))),
        (Some(hard), Some(soft)) if soft > hard => Err(client_error(format!(
            "Invalid setting for container '{name}'. The 'memory' value must be greater than or \
             equal to the 'memoryReservation' value."
        ))),
        (Some(hard), _) if task_memory.is_some_and(|task| i64::from(hard) > i64::from(task)) => {
            Err(client_error(format!(
                "Invalid setting for container '{name}'. The 'memory' value ({hard}) must not be \
                 greater than the task memory ({}).",
                task_memory.unwrap_or_default()
            )))
        }
        _ => Ok(()),
    }
}

fn check_port(
    port: &PortMapping,
    mode: Option<NetworkMode>,
    container: &str,
) -> Result<(), ServiceError> {
    if let Some(range) = &port.container_port_range {
        if port.container_port.is_some() || port.host_port.is_some_and(|p| p != 0) {
            return Err(invalid(
                container,
                "portMappings",
                "containerPortRange excludes containerPort and hostPort",
            ));
        }
        if mode == Some(NetworkMode::Host) {
            return Err(invalid(
                container,
                "portMappings",
                "containerPortRange needs networkMode bridge or awsvpc",
            ));
        }
        return match parse_range(range) {
            Some(_) => Ok(()),
            None => {
                Err(invalid(container, "containerPortRange", "expected FIRST-LAST, 1 to 65535"))
            }
        };
    }
    match port.container_port {
        Some(1..=65535) => {}
        _ => return Err(invalid(container, "containerPort", "expected a port from 1 to 65535")),
    }
    if !matches!(port.host_port, None | Some(0..=65535)) {
        return Err(invalid(container, "hostPort", "expected a port from 0 to 65535"));
    }
    Ok(())
}

/// `FIRST-LAST` as two ports.
fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some((first, last))
}

fn check_lifecycle(container: &ContainerDefinition, name: &str) -> Result<(), ServiceError> {
    if let Some(check) = &container.health_check {
        let within =
            |value: Option<i32>, range: std::ops::RangeInclusive<i32>, setting: &str| match value {
                Some(n) if !range.contains(&n) => Err(invalid(
                    name,
                    &format!("healthCheck.{setting}"),
                    &format!("expected {} to {}", range.start(), range.end()),
                )),
                _ => Ok(()),
            };
        match check.command.first().map(String::as_str) {
            Some("CMD" | "CMD-SHELL") if check.command.len() > 1 => {}
            Some("NONE") if check.command.len() == 1 => {}
            _ => {
                return Err(invalid(
                    name,
                    "healthCheck.command",
                    "it must begin with CMD or CMD-SHELL and name a command",
                ));
            }
        }
        within(check.interval, 5..=300, "interval")?;
        within(check.timeout, 2..=60, "timeout")?;
        within(check.retries, 1..=10, "retries")?;
        within(check.start_period, 0..=300, "startPeriod")?;
    }
    if let Some(policy) = &container.restart_policy {
        if policy.restart_attempt_period.is_some_and(|s| !(60..=1800).contains(&s)) {
            return Err(invalid(name, "restartAttemptPeriod", "expected 60 to 1800 seconds"));
        }
        if policy.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > 50) {
            return Err(invalid(name, "ignoredExitCodes", "at most 50 are allowed"));
        }
    }
    for (setting, value) in
        [("startTimeout", container.start_timeout), ("stopTimeout", container.stop_timeout)]
    {
        if value.is_some_and(|s| s < 0) {
            return Err(invalid(name, setting, "it cannot be negative"));
        }
    }
    Ok(())
}

fn check_environment(container: &ContainerDefinition, name: &str) -> Result<(), ServiceError> {
    if container
        .environment
        .iter()
        .flatten()
        .any(|pair| pair.name.as_deref().unwrap_or_default().is_empty())
    {
        return Err(invalid(name, "environment", "a variable has no name"));
    }
    let mut names: Vec<&str> = container.secrets.iter().flatten().map(|s| &*s.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(client_error(format!(
            "The secret name must be unique and not shared with any new or existing environment \
             variables set on the container '{name}'."
        )));
    }
    Ok(())
}

/// dependsOn: known containers, conditions that can come true, no cycle.
pub(super) fn check_dependencies(containers: &[ContainerDefinition]) -> Result<(), ServiceError> {
    let by_name: BTreeMap<&str, &ContainerDefinition> =
        containers.iter().map(|c| (c.name.as_deref().unwrap_or_default(), c)).collect();
    for (name, container) in &by_name {
        for dependency in container.depends_on.iter().flatten() {
            let target = dependency.container_name.as_str();
            let Some(other) = by_name.get(target).filter(|_| target != *name) else {
                return Err(client_error(format!(
                    "Invalid 'dependsOn' setting for container '{name}': unknown container \
                     '{target}'."
                )));
            };
            let why = match dependency.condition {
                ContainerCondition::Complete | ContainerCondition::Success
                    if other.essential == Some(true) =>
                {
                    "is essential, so it cannot be waited for to exit"
                }
                ContainerCondition::Healthy if other.health_check.is_none() => {
                    "has no health check"
                }
                _ => continue,
            };
            return Err(client_error(format!(
                "Invalid 'dependsOn' setting for container '{name}': container '{target}' {why}."
            )));
        }
    }
    // Containers that depend only on already ordered ones are ordered next; a rest is a cycle.
    let mut rest: Vec<&str> = by_name.keys().copied().collect();
    loop {
        let before = rest.len();
        let waiting = rest.clone();
        rest.retain(|name| {
            by_name[name].depends_on.iter().flatten().any(|d| waiting.contains(&&*d.container_name))
        });
        if rest.is_empty() {
            return Ok(());
        }
        if rest.len() == before {
            return Err(client_error(format!(
                "Container dependencies form a cycle among: {}.",
                rest.join(", ")
            )));
        }
    }
}
