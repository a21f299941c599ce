//! From a registration to the document that ECS keeps: checked, with defaults filled in.

use std::collections::BTreeSet;

use longshore_domain::limits;
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{Compatibility, NetworkMode, TransportProtocol};
use longshore_wire::ecs::{
    ContainerDefinition, PortMapping, RegisterTaskDefinitionRequest, TaskDefinition, Volume,
};

use super::container::{check_container, check_dependencies};
use super::quantity::{cpu_units, memory_mib};
use crate::ecs::client_error;

/// CPU units that a task on EC2 may ask for (ECS API: 0.125 to 192 vCPU).
const TASK_CPU_UNITS: std::ops::RangeInclusive<u32> = 128..=196_608;

/// Checks a registration and fills in what ECS fills in.
///
/// # Errors
/// `ClientException` that names the container and the setting.
pub(crate) fn normalize(
    request: RegisterTaskDefinitionRequest,
) -> Result<TaskDefinition, ServiceError> {
    let mode = request.network_mode;
    let count = request.container_definitions.len();
    if count == 0 {
        return Err(client_error("Container list cannot be empty."));
    }
    if count > limits::CONTAINERS_PER_TASK_DEFINITION {
        return Err(client_error(format!(
            "Too many containers: {count}. A task definition can have at most {}.",
            limits::CONTAINERS_PER_TASK_DEFINITION
        )));
    }
    let cpu = request.cpu.as_deref().map(task_cpu).transpose()?;
    let memory = request.memory.as_deref().map(memory_mib).transpose()?;
    check_volumes(request.volumes.as_deref().unwrap_or_default())?;
    let mut containers = request.container_definitions;
    for container in &mut containers {
        fill_in(container, mode)?;
        check_container(container, mode, memory)?;
    }
    check_together(&containers, request.volumes.as_deref().unwrap_or_default())?;
    check_sums(&containers, cpu, memory)?;
    let required = request.requires_compatibilities.as_deref().unwrap_or_default();
    let compatibilities = compatibilities(mode, cpu, memory);
    for wanted in required {
        if !compatibilities.contains(wanted) {
            return Err(client_error(format!(
                "{wanted} requires networkMode awsvpc and task-level cpu and memory, or does not \
                 support the network mode that was given."
            )));
        }
    }
    Ok(TaskDefinition {
        compatibilities: Some(compatibilities),
        container_definitions: Some(containers),
        cpu: cpu.map(|n| n.to_string()),
        memory: memory.map(|n| n.to_string()),
        enable_fault_injection: request.enable_fault_injection,
        ephemeral_storage: request.ephemeral_storage,
        execution_role_arn: request.execution_role_arn,
        family: Some(request.family),
        inference_accelerators: request.inference_accelerators,
        ipc_mode: request.ipc_mode,
        network_mode: mode,
        pid_mode: request.pid_mode,
        placement_constraints: Some(request.placement_constraints.unwrap_or_default()),
        proxy_configuration: request.proxy_configuration,
        requires_compatibilities: request.requires_compatibilities,
        runtime_platform: request.runtime_platform,
        task_role_arn: request.task_role_arn,
        trusted_execution_configuration: request.trusted_execution_configuration,
        volumes: Some(request.volumes.unwrap_or_default()),
        ..TaskDefinition::default()
    })
}

fn task_cpu(text: &str) -> Result<u32, ServiceError> {
    let units = cpu_units(text)?;
    if !TASK_CPU_UNITS.contains(&units) {
        return Err(client_error(format!(
            "Invalid 'cpu' setting for task: {text}. It must be between {} and {} CPU units.",
            TASK_CPU_UNITS.start(),
            TASK_CPU_UNITS.end()
        )));
    }
    Ok(units)
}

/// Launch types that could run it.
fn compatibilities(
    mode: Option<NetworkMode>,
    cpu: Option<u32>,
    memory: Option<u32>,
) -> Vec<Compatibility> {
    let mut list = Vec::new();
    if mode != Some(NetworkMode::Awsvpc) {
        list.push(Compatibility::External);
    }
    list.push(Compatibility::Ec2);
    if mode == Some(NetworkMode::Awsvpc) && cpu.is_some() && memory.is_some() {
        list.push(Compatibility::Fargate);
    }
    list
}

fn fill_in(
    container: &mut ContainerDefinition,
    mode: Option<NetworkMode>,
) -> Result<(), ServiceError> {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    let name = container.name.clone().unwrap_or_default();
    for port in container.port_mappings.get_or_insert_default() {
        fill_in_port(port, mode, &name)?;
    }
    Ok(())
}

fn fill_in_port(
    port: &mut PortMapping,
    mode: Option<NetworkMode>,
    container: &str,
) -> Result<(), ServiceError> {
    port.protocol.get_or_insert(TransportProtocol::Tcp);
    if port.container_port_range.is_some() {
        return Ok(());
    }
    if matches!(mode, Some(NetworkMode::Host | NetworkMode::Awsvpc)) {
        let same = port.host_port.is_none_or(|host| host == 0 || Some(host) == port.container_port);
        if !same {
            let mode = mode.map_or("bridge", NetworkMode::as_str);
            return Err(client_error(format!(
                "When networkMode={mode}, the host ports and container ports in port mappings \
                 must match. Container: {container}"
            )));
        }
        port.host_port = port.container_port;
    } else {
        port.host_port.get_or_insert(0);
    }
    Ok(())
}

fn check_volumes(volumes: &[Volume]) -> Result<(), ServiceError> {
    let mut names = BTreeSet::new();
    for volume in volumes {
        let name = volume.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(client_error("Volume name should not be null or empty."));
        }
        if !names.insert(name) {
            return Err(client_error(format!("Duplicate volume name '{name}'.")));
        }
        let kinds = [
            volume.host.as_ref().is_some_and(|host| host.source_path.is_some()),
            volume.docker_volume_configuration.is_some(),
            volume.efs_volume_configuration.is_some(),
            volume.fsx_windows_file_server_volume_configuration.is_some(),
            volume.s3files_volume_configuration.is_some(),
            volume.configured_at_launch == Some(true),
        ];
        if kinds.iter().filter(|given| **given).count() > 1 {
            return Err(client_error(format!(
                "Volume '{name}' has more than one configuration; give it exactly one."
            )));
        }
    }
    Ok(())
}

/// What holds among the containers of a task.
fn check_together(
    containers: &[ContainerDefinition],
    volumes: &[Volume],
) -> Result<(), ServiceError> {
    let mut names = BTreeSet::new();
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            return Err(client_error(format!(
                "Container names must be unique: '{name}' is used twice."
            )));
        }
    }
    if !containers.iter().any(|c| c.essential == Some(true)) {
        return Err(client_error("At least one container must be marked as essential."));
    }
    let mut host_ports = BTreeSet::new();
    for container in containers {
        let name = container.name.as_deref().unwrap_or_default();
        for port in container.port_mappings.iter().flatten() {
            let Some(host) = port.host_port.filter(|&host| host != 0) else { continue };
            if !host_ports.insert((host, port.protocol)) {
                return Err(client_error(format!(
                    "Host port {host} is used by more than one port mapping. Container: {name}"
                )));
            }
        }
        for mount in container.mount_points.iter().flatten() {
            let volume = mount.source_volume.as_deref().unwrap_or_default();
            if !volumes.iter().any(|v| v.name.as_deref() == Some(volume)) {
                return Err(client_error(format!(
                    "Unknown volume '{volume}' in mount points of container '{name}'."
                )));
            }
        }
        for from in container.volumes_from.iter().flatten() {
            let source = from.source_container.as_deref().unwrap_or_default();
            if source == name || !names.contains(source) {
                return Err(client_error(format!(
                    "Invalid 'volumesFrom' setting for container '{name}': unknown container \
                     '{source}'."
                )));
            }
        }
        for link in container.links.iter().flatten() {
            let target = link.split(':').next().unwrap_or_default();
            if target == name || !names.contains(target) {
                return Err(client_error(format!(
                    "Invalid 'links' setting for container '{name}': unknown container '{target}'."
                )));
            }
        }
    }
    check_dependencies(containers)
}

/// Containers together must fit into the task-level sizes.
fn check_sums(
    containers: &[ContainerDefinition],
    cpu: Option<u32>,
    memory: Option<u32>,
) -> Result<(), ServiceError> {
    let total = |amount: &dyn Fn(&ContainerDefinition) -> Option<i32>| -> u64 {
        containers.iter().filter_map(amount).filter_map(|n| u64::try_from(n).ok()).sum()
    };
    let wanted = total(&|c| c.cpu);
    if cpu.is_some_and(|cpu| wanted > u64::from(cpu)) {
        return Err(client_error(format!(
            "The sum of all container cpu values ({wanted}) cannot be greater than the value of \
             the task cpu ({}).",
            cpu.unwrap_or_default()
        )));
    }
    let wanted = total(&|c| c.memory_reservation.or(c.memory));
    if memory.is_some_and(|memory| wanted > u64::from(memory)) {
        return Err(client_error(format!(
            "The sum of all container memory reservations ({wanted}) cannot be greater than the \
             value of the task memory ({}).",
            memory.unwrap_or_default()
        )));
    }
    Ok(())
}
