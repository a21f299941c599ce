//! From a task record to what the agent is told to run.
//!
//! Overrides are merged here, as in ECS: the agent knows only the override `command`. Whatever is
//! Docker's own goes into the JSON texts of `dockerConfig`, which the agent hands to Docker.

mod docker;

use std::collections::BTreeMap;

use longshore_domain::ids::{Arn, Resource};
use longshore_domain::record::{self, DesiredStatus, NetworkMode, TaskSpec};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::agent::{
    AsmAuthData, AuthorizationConfig, Container, Dependency, DependencyCondition,
    DockerVolumeConfiguration, EcrAuthData, EfsVolumeConfiguration, EnvironmentFile,
    FirelensConfiguration, HostVolume, MountPoint, PortMapping, RegistryAuthentication,
    RestartPolicy, Secret, Task, TransportProtocol, Volume, VolumeFrom,
};
use longshore_wire::ecs::{
    self, ContainerDefinition, ContainerOverride, ErrorCode, KeyValuePair, TaskDefinition,
    TaskOverride,
};

use crate::clock;
use crate::ecs::encode;
use crate::ecs::placement::narrow_mode;

/// The environment variable by which AWS's SDKs know where they run.
const EXECUTION_ENV: (&str, &str) = ("AWS_EXECUTION_ENV", "AWS_ECS_EC2");

/// What the agent is told of `task`, which is to run or to stop. For a stop the identity is enough.
pub(super) fn task(
    view: &View,
    task: &record::Task,
    told: DesiredStatus,
) -> Result<Task, ServiceError> {
    let arn = |resource| Arn::new(&task.scope, resource).to_string();
    let header = Task {
        arn: arn(Resource::Task(task.cluster.clone(), task.id)),
        task_cluster_arn: Some(arn(Resource::Cluster(task.cluster.clone()))),
        desired_status: told.as_str().to_owned(),
        family: task.family.to_string(),
        version: task.revision.to_string(),
        ..Task::default()
    };
    if told == DesiredStatus::Stopped {
        return Ok(header);
    }
    let definition = crate::ecs::definition_of(view, task)
        .ok_or_else(|| ErrorCode::ServerException.error("the task definition is gone"))?;
    let document: TaskDefinition = encode::document(&definition.document)?;
    let overrides: TaskOverride =
        task.overrides.as_ref().map(encode::document).transpose()?.unwrap_or_default();
    let spec = &definition.spec;
    let cpu = overrides.cpu.as_ref().or(document.cpu.as_ref());
    let memory = overrides.memory.as_ref().or(document.memory.as_ref());
    let containers = document.container_definitions.iter().flatten().map(|container| {
        let name = container.name.as_deref();
        let over =
            overrides.container_overrides.iter().flatten().find(|o| o.name.as_deref() == name);
        self::container(task, container, over, &document, spec)
    });
    Ok(Task {
        cpu: cpu.and_then(|text| text.parse::<f64>().ok()).map(|units| units / 1024.0),
        memory: memory.and_then(|text| text.parse().ok()),
        containers: containers.collect(),
        volumes: document.volumes.iter().flatten().map(volume).collect(),
        network_mode: Some(narrow_mode(spec.network_mode).to_owned()),
        pid_mode: document.pid_mode.map(|mode| mode.as_str().to_owned()),
        ipc_mode: document.ipc_mode.map(|mode| mode.as_str().to_owned()),
        launch_type: Some(task.launch_type.as_str().to_owned()),
        service_name: task.service().map(str::to_owned),
        group: Some(task.group.clone()),
        task_definition_account_id: Some(task.scope.account.to_string()),
        enable_fault_injection: document.enable_fault_injection,
        ..header
    })
}

/// The image, by its digest where that is known.
fn image(definition: &ContainerDefinition, digest: Option<&String>) -> String {
    let image = definition.image.clone().unwrap_or_default();
    let Some(digest) = digest.filter(|_| !image.contains('@')) else { return image };
    let path = image.rfind('/').map_or(0, |slash| slash + 1);
    // A colon before the last slash is that of a port.
    let end = image.get(path..).and_then(|name| name.find(':')).map_or(image.len(), |at| path + at);
    format!("{}@{digest}", image.get(..end).unwrap_or(&image))
}

fn unsigned(value: Option<i32>) -> u32 {
    value.and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
}

fn container(
    task: &record::Task,
    definition: &ContainerDefinition,
    over: Option<&ContainerOverride>,
    document: &TaskDefinition,
    spec: &TaskSpec,
) -> Container {
    let name = definition.name.clone().unwrap_or_default();
    let memory = over.and_then(|o| o.memory).or(definition.memory);
    let reservation = over.and_then(|o| o.memory_reservation).or(definition.memory_reservation);
    let cpu = over.and_then(|o| o.cpu).or(definition.cpu);
    let command = over.and_then(|o| o.command.clone()).or(definition.command.clone());
    let overrides = over.and_then(|o| o.command.as_ref()).map_or_else(
        || "{}".to_owned(),
        |command| serde_json::json!({ "command": command }).to_string(),
    );
    Container {
        image: image(definition, task.images.get(&name)),
        cpu: unsigned(cpu),
        memory: unsigned(memory),
        essential: definition.essential.unwrap_or(true),
        command: command.unwrap_or_default(),
        entry_point: definition.entry_point.clone(),
        environment: environment(definition, over),
        environment_files: environment_files(definition, over),
        secrets: secrets(definition),
        port_mappings: ports(definition, spec.network_mode),
        links: definition.links.clone().unwrap_or_default(),
        volumes_from: definition
            .volumes_from
            .iter()
            .flatten()
            .map(|from| VolumeFrom {
                source_container: from.source_container.clone().unwrap_or_default(),
                read_only: from.read_only.unwrap_or(false),
            })
            .collect(),
        mount_points: definition
            .mount_points
            .iter()
            .flatten()
            .map(|mount| MountPoint {
                source_volume: mount.source_volume.clone().unwrap_or_default(),
                container_path: mount.container_path.clone().unwrap_or_default(),
                read_only: mount.read_only.unwrap_or(false),
            })
            .collect(),
        depends_on: definition
            .depends_on
            .iter()
            .flatten()
            .map(|dependency| Dependency {
                container_name: dependency.container_name.clone(),
                condition: DependencyCondition::from(dependency.condition.as_str()),
            })
            .collect(),
        start_timeout: unsigned(definition.start_timeout),
        stop_timeout: unsigned(definition.stop_timeout),
        health_check_type: definition.health_check.as_ref().map(|_| "docker".to_owned()),
        docker_config: docker::config(
            definition,
            document,
            spec.network_mode,
            reservation,
            task.id,
        ),
        registry_authentication: registry(definition, document),
        firelens_configuration: definition.firelens_configuration.as_ref().map(|firelens| {
            FirelensConfiguration {
                kind: firelens.r#type.as_str().to_owned(),
                options: firelens.options.clone().unwrap_or_default(),
            }
        }),
        restart_policy: definition.restart_policy.as_ref().map(|policy| RestartPolicy {
            enabled: policy.enabled,
            ignored_exit_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
            restart_attempt_period: policy
                .restart_attempt_period
                .and_then(|seconds| u32::try_from(seconds).ok()),
        }),
        credential_specs: definition.credential_specs.clone().unwrap_or_default(),
        container_arn: container_arn(task, &name),
        overrides: Some(overrides),
        name,
        ..Container::default()
    }
}

fn container_arn(task: &record::Task, name: &str) -> Option<String> {
    let state = task.observed.containers.iter().find(|state| state.name == name)?;
    let id = u128::from_str_radix(&state.id.to_string(), 16).ok()?;
    let id = clock::format_uuid(id);
    Some(Arn::new(&task.scope, Resource::Container(task.cluster.clone(), task.id, id)).to_string())
}

fn environment(
    definition: &ContainerDefinition,
    over: Option<&ContainerOverride>,
) -> BTreeMap<String, String> {
    let pair =
        |pair: &KeyValuePair| Some((pair.name.clone()?, pair.value.clone().unwrap_or_default()));
    let mut environment: BTreeMap<String, String> =
        definition.environment.iter().flatten().filter_map(pair).collect();
    environment
        .extend(over.and_then(|o| o.environment.as_ref()).into_iter().flatten().filter_map(pair));
    let (name, value) = EXECUTION_ENV;
    environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    environment
}

fn environment_files(
    definition: &ContainerDefinition,
    over: Option<&ContainerOverride>,
) -> Vec<EnvironmentFile> {
    let files =
        over.and_then(|o| o.environment_files.as_ref()).or(definition.environment_files.as_ref());
    files
        .into_iter()
        .flatten()
        .map(|file| EnvironmentFile {
            kind: file.r#type.as_str().to_owned(),
            value: file.value.clone(),
        })
        .collect()
}

fn secrets(definition: &ContainerDefinition) -> Vec<Secret> {
    let secret = |secret: &ecs::Secret, target: &str| Secret {
        name: secret.name.clone(),
        value_from: secret.value_from.clone(),
        provider: if secret.value_from.contains(":secretsmanager:") { "asm" } else { "ssm" }
            .to_owned(),
        kind: Some("ENVIRONMENT_VARIABLE".to_owned()),
        target: Some(target.to_owned()),
        ..Secret::default()
    };
    let own = definition.secrets.iter().flatten().map(|s| secret(s, "CONTAINER"));
    let log = definition.log_configuration.iter();
    let log = log.flat_map(|log| log.secret_options.iter().flatten());
    own.chain(log.map(|s| secret(s, "LOG_DRIVER"))).collect()
}

fn ports(definition: &ContainerDefinition, mode: NetworkMode) -> Vec<PortMapping> {
    if mode == NetworkMode::None {
        return Vec::new();
    }
    let port = |n: Option<i32>| n.and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    definition
        .port_mappings
        .iter()
        .flatten()
        .map(|mapping| PortMapping {
            container_port: port(mapping.container_port),
            host_port: port(mapping.host_port),
            container_port_range: mapping.container_port_range.clone(),
            protocol: TransportProtocol::from(mapping.protocol.map_or("tcp", |p| p.as_str())),
        })
        .collect()
}

/// How the agent logs in to the image's registry.
fn registry(
    definition: &ContainerDefinition,
    document: &TaskDefinition,
) -> Option<RegistryAuthentication> {
    if let Some(credentials) = &definition.repository_credentials {
        let parameter = credentials.credentials_parameter.clone();
        let region = parameter.split(':').nth(3).map(str::to_owned);
        return Some(RegistryAuthentication {
            kind: "asm".to_owned(),
            asm_auth_data: Some(AsmAuthData { credentials_parameter: parameter, region }),
            ecr_auth_data: None,
        });
    }
    let image = definition.image.as_deref()?;
    let host = image.split('/').next()?;
    let mut labels = host.split('.');
    let (account, dkr, ecr, region) =
        (labels.next()?, labels.next()?, labels.next()?, labels.next()?);
    (dkr == "dkr" && ecr == "ecr" && host.contains(".amazonaws.com")).then(|| {
        RegistryAuthentication {
            kind: "ecr".to_owned(),
            ecr_auth_data: Some(EcrAuthData {
                registry_id: Some(account.to_owned()),
                region: Some(region.to_owned()),
                endpoint_override: None,
                use_execution_role: document.execution_role_arn.is_some(),
            }),
            asm_auth_data: None,
        }
    })
}

fn volume(volume: &ecs::Volume) -> Volume {
    let name = volume.name.clone().unwrap_or_default();
    if let Some(docker) = &volume.docker_volume_configuration {
        return Volume {
            name,
            kind: Some("docker".to_owned()),
            docker_volume_configuration: Some(DockerVolumeConfiguration {
                scope: docker.scope.map(|scope| scope.as_str().to_owned()),
                autoprovision: docker.autoprovision.unwrap_or(false),
                driver: docker.driver.clone(),
                driver_opts: docker.driver_opts.clone().unwrap_or_default(),
                labels: docker.labels.clone().unwrap_or_default(),
            }),
            ..Volume::default()
        };
    }
    if let Some(efs) = &volume.efs_volume_configuration {
        return Volume {
            name,
            kind: Some("efs".to_owned()),
            efs_volume_configuration: Some(EfsVolumeConfiguration {
                file_system_id: efs.file_system_id.clone(),
                root_directory: efs.root_directory.clone(),
                transit_encryption: efs.transit_encryption.map(|e| e.as_str().to_owned()),
                transit_encryption_port: efs
                    .transit_encryption_port
                    .and_then(|port| u16::try_from(port).ok()),
                authorization_config: efs.authorization_config.as_ref().map(|config| {
                    AuthorizationConfig {
                        access_point_id: config.access_point_id.clone(),
                        iam: config.iam.map(|iam| iam.as_str().to_owned()),
                    }
                }),
            }),
            ..Volume::default()
        };
    }
    // The agent refuses a volume without `host`, even an empty one.
    let source_path = volume.host.as_ref().and_then(|host| host.source_path.clone());
    Volume {
        name,
        kind: Some("host".to_owned()),
        host: Some(HostVolume { source_path }),
        ..Volume::default()
    }
}

#[cfg(test)]
mod tests;
