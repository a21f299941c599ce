//! From a daemon task definition to the task definition that its tasks run as.
//!
//! Daemon containers are containers without ports; the network is Docker's bridge. A log driver
//! volume is the directory where Docker keeps the logs of all containers, read only.

use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{DaemonIpcMode, DaemonPidMode, IpcMode, LogDriver, PidMode};
use longshore_wire::ecs::{
    ContainerDefinition, DaemonContainerDefinition, DaemonLinuxParameters, DaemonTaskDefinition,
    DaemonVolume, HostVolumeProperties, LinuxParameters, RegisterDaemonTaskDefinitionRequest,
    RegisterTaskDefinitionRequest, Volume,
};

use crate::ecs::client_error;

/// Where Docker keeps what `json-file` writes, one directory for each container.
const DOCKER_LOGS: &str = "/var/lib/docker/containers";

/// The members that DescribeDaemonTaskDefinition gives back.
///
/// # Errors
/// `ClientException` for a container without name.
pub(super) fn kept(
    request: &RegisterDaemonTaskDefinitionRequest,
) -> Result<DaemonTaskDefinition, ServiceError> {
    let named = |container: &DaemonContainerDefinition| {
        container.name.as_ref().is_some_and(|name| !name.is_empty())
    };
    if !request.container_definitions.iter().all(named) {
        return Err(client_error("Container.name should not be null or empty."));
    }
    let mut containers = request.container_definitions.clone();
    for container in &mut containers {
        container.cpu.get_or_insert(0);
        container.essential.get_or_insert(true);
    }
    Ok(DaemonTaskDefinition {
        container_definitions: Some(containers),
        cpu: request.cpu.clone(),
        execution_role_arn: request.execution_role_arn.clone(),
        family: Some(request.family.clone()),
        ipc_mode: request.ipc_mode,
        memory: request.memory.clone(),
        pid_mode: request.pid_mode,
        task_role_arn: request.task_role_arn.clone(),
        volumes: Some(request.volumes.clone().unwrap_or_default()),
        ..DaemonTaskDefinition::default()
    })
}

/// The registration of the task definition that daemon tasks run as.
///
/// # Errors
/// `ClientException` for a volume that makes no sense.
pub(super) fn task_definition(
    request: RegisterDaemonTaskDefinitionRequest,
) -> Result<RegisterTaskDefinitionRequest, ServiceError> {
    let volumes = request.volumes.unwrap_or_default();
    let read_only: Vec<String> = volumes
        .iter()
        .filter(|volume| volume.log_driver_volume_configuration.is_some())
        .filter_map(|volume| volume.name.clone())
        .collect();
    let containers = request.container_definitions.into_iter();
    Ok(RegisterTaskDefinitionRequest {
        container_definitions: containers.map(|c| container(c, &read_only)).collect(),
        cpu: request.cpu,
        execution_role_arn: request.execution_role_arn,
        family: request.family,
        ipc_mode: match request.ipc_mode {
            Some(DaemonIpcMode::Shared) => Some(IpcMode::Host),
            Some(DaemonIpcMode::None) | None => None,
        },
        memory: request.memory,
        pid_mode: match request.pid_mode {
            Some(DaemonPidMode::Shared) => Some(PidMode::Host),
            Some(DaemonPidMode::None) | None => None,
        },
        task_role_arn: request.task_role_arn,
        volumes: Some(volumes.into_iter().map(volume).collect::<Result<_, _>>()?),
        ..RegisterTaskDefinitionRequest::default()
    })
}

fn container(given: DaemonContainerDefinition, read_only: &[String]) -> ContainerDefinition {
    let mut mounts = given.mount_points;
    for mount in mounts.iter_mut().flatten() {
        if mount.source_volume.as_ref().is_some_and(|volume| read_only.contains(volume)) {
            mount.read_only = Some(true);
        }
    }
    ContainerDefinition {
        command: given.command,
        cpu: given.cpu,
        depends_on: given.depends_on,
        entry_point: given.entry_point,
        environment: given.environment,
        environment_files: given.environment_files,
        essential: given.essential,
        firelens_configuration: given.firelens_configuration,
        health_check: given.health_check,
        image: Some(given.image),
        interactive: given.interactive,
        linux_parameters: given.linux_parameters.map(linux_parameters),
        log_configuration: given.log_configuration,
        memory: given.memory,
        memory_reservation: given.memory_reservation,
        mount_points: mounts,
        name: given.name,
        privileged: given.privileged,
        pseudo_terminal: given.pseudo_terminal,
        readonly_root_filesystem: given.readonly_root_filesystem,
        repository_credentials: given.repository_credentials,
        restart_policy: given.restart_policy,
        secrets: given.secrets,
        start_timeout: given.start_timeout,
        stop_timeout: given.stop_timeout,
        system_controls: given.system_controls,
        ulimits: given.ulimits,
        user: given.user,
        working_directory: given.working_directory,
        ..ContainerDefinition::default()
    }
}

fn linux_parameters(given: DaemonLinuxParameters) -> LinuxParameters {
    LinuxParameters {
        capabilities: given.capabilities,
        devices: given.devices,
        init_process_enabled: given.init_process_enabled,
        tmpfs: given.tmpfs,
        ..LinuxParameters::default()
    }
}

fn volume(given: DaemonVolume) -> Result<Volume, ServiceError> {
    let name = given.name.clone().unwrap_or_default();
    let host = match given.log_driver_volume_configuration {
        None => given.host,
        Some(_) if given.host.is_some() => {
            return Err(client_error(format!(
                "Volume '{name}' has both host and logDriverVolumeConfiguration; give it one."
            )));
        }
        Some(logs) if logs.driver != LogDriver::JsonFile => {
            return Err(client_error(format!(
                "Volume '{name}': the only log driver of a log driver volume is json-file, not {}.",
                logs.driver
            )));
        }
        Some(_) => Some(HostVolumeProperties { source_path: Some(DOCKER_LOGS.to_owned()) }),
    };
    Ok(Volume { host, name: given.name, ..Volume::default() })
}
