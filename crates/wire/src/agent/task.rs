//! A task as a payload describes it: everything that an agent needs to run its containers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::acs::{Attachment, RoleCredentials};
use super::eni::ElasticNetworkInterface;
use super::open::{nullable, words};

/// A task to run or to stop. To stop a known one, `arn` and `desired_status` are enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    /// ARN.
    pub arn: String,
    /// ARN of its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_cluster_arn: Option<String>,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
    /// Family of the task definition.
    #[serde(deserialize_with = "nullable")]
    pub family: String,
    /// Revision of the task definition.
    #[serde(deserialize_with = "nullable")]
    pub version: String,
    /// Task-level CPU in vCPUs, not in units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Task-level memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Containers in the task definition's order.
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<Container>,
    /// Volumes.
    #[serde(deserialize_with = "nullable")]
    pub volumes: Vec<Volume>,
    /// `bridge`, `host`, `awsvpc` or `none`; for information, see [`DockerConfig::host_config`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// Interfaces of an `awsvpc` task.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
    /// Credentials of the task role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_credentials: Option<RoleCredentials>,
    /// Credentials of the task execution role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_credentials: Option<RoleCredentials>,
    /// `host` or `task`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<String>,
    /// `host`, `task` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<String>,
    /// App Mesh proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_configuration: Option<ProxyConfiguration>,
    /// GPUs and accelerators.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<Association>,
    /// Service Connect and volumes attached from outside.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// `EC2`, `EXTERNAL` or `FARGATE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// Service that owns the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Task group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Account of the task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition_account_id: Option<String>,
    /// Whether the fault-injection endpoint is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_fault_injection: Option<bool>,
}

/// A container of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name within the task.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// CPU units.
    #[serde(deserialize_with = "nullable")]
    pub cpu: u32,
    /// Hard memory limit in MiB; 0 is none.
    #[serde(deserialize_with = "nullable")]
    pub memory: u32,
    /// Whether the task ends with this container.
    #[serde(deserialize_with = "nullable")]
    pub essential: bool,
    /// Replaces the image's command.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the image's entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// Environment, overrides merged in.
    #[serde(deserialize_with = "nullable")]
    pub environment: BTreeMap<String, String>,
    /// Environment files.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub environment_files: Vec<EnvironmentFile>,
    /// Secrets to fetch.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// Published ports.
    #[serde(deserialize_with = "nullable")]
    pub port_mappings: Vec<PortMapping>,
    /// Links of the form `name:alias`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Containers whose volumes are mounted too.
    #[serde(deserialize_with = "nullable")]
    pub volumes_from: Vec<VolumeFrom>,
    /// Mounts of the task's volumes.
    #[serde(deserialize_with = "nullable")]
    pub mount_points: Vec<MountPoint>,
    /// Start order.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Seconds that the container may take to meet its dependants' condition; 0 is the default.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub start_timeout: u32,
    /// Seconds between SIGTERM and SIGKILL; 0 is the agent's default.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "is_zero")]
    pub stop_timeout: u32,
    /// `docker` when the container has a health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_type: Option<String>,
    /// Docker's own settings.
    pub docker_config: DockerConfig,
    /// How to log in to the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_authentication: Option<RegistryAuthentication>,
    /// `ExecutionRole` when the log driver uses the execution role's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs_auth_strategy: Option<String>,
    /// FireLens router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firelens_configuration: Option<FirelensConfiguration>,
    /// Managed agents, e.g. `ExecuteCommandAgent`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub managed_agents: Vec<ManagedAgent>,
    /// Local restarts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Credential specifications.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub credential_specs: Vec<String>,
    /// ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_arn: Option<String>,
    /// JSON text of [`ContainerOverrides`]; `{}` for none.
    #[serde(deserialize_with = "json_text", skip_serializing_if = "Option::is_none")]
    pub overrides: Option<String>,
    /// Names of the interfaces that it may use.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub network_interface_names: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Reads JSON text; also an object, which some control planes write in its place.
fn json_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    })
}

/// The only overrides that an agent applies; everything else is merged in by the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerOverrides {
    /// Replaces the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// A file of environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentFile {
    /// `s3`.
    #[serde(rename = "type")]
    pub kind: String,
    /// ARN of the object.
    pub value: String,
}

/// A secret to fetch before the container is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Name of the variable or log option.
    pub name: String,
    /// ARN or name of the secret.
    pub value_from: String,
    /// `ssm` or `asm`.
    pub provider: String,
    /// `ENVIRONMENT_VARIABLE`, `MOUNT_POINT` or `BOOTSTRAP`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `CONTAINER` or `LOG_DRIVER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Region of the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Path for `MOUNT_POINT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_path: Option<String>,
}

words! {
    /// Transport of a port mapping.
    TransportProtocol default Tcp {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

/// A published port or range of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortMapping {
    /// Port in the container; 0 with a range.
    #[serde(deserialize_with = "nullable")]
    pub container_port: u16,
    /// Port on the host; 0 lets the agent choose.
    #[serde(deserialize_with = "nullable")]
    pub host_port: u16,
    /// `FIRST-LAST` in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port_range: Option<String>,
    /// Transport.
    #[serde(deserialize_with = "nullable")]
    pub protocol: TransportProtocol,
}

/// Volumes of another container of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeFrom {
    /// The other container.
    pub source_container: String,
    /// Whether they are mounted read-only.
    #[serde(deserialize_with = "nullable")]
    pub read_only: bool,
}

/// A mount of one of the task's volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MountPoint {
    /// Name of the volume.
    pub source_volume: String,
    /// Path in the container.
    pub container_path: String,
    /// Whether it is mounted read-only.
    #[serde(deserialize_with = "nullable")]
    pub read_only: bool,
}

words! {
    /// What a dependency must have reached.
    DependencyCondition default Start {
        /// Started.
        Start = "START",
        /// Exited with any code.
        Complete = "COMPLETE",
        /// Exited with code 0.
        Success = "SUCCESS",
        /// Passed its health check.
        Healthy = "HEALTHY",
    }
}

/// A start-order edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dependency {
    /// The container that must come first.
    pub container_name: String,
    /// What it must have reached.
    pub condition: DependencyCondition,
}

/// Docker's own settings, as JSON texts of the Engine API's objects. They win over what the agent
/// would choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerConfig {
    /// JSON text of a container `Config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// JSON text of a `HostConfig`; its `NetworkMode` is the one that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_config: Option<String>,
    /// Version of the Engine API that the texts are written for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// How to log in to the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegistryAuthentication {
    /// `ecr` or `asm`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For `ecr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecr_auth_data: Option<EcrAuthData>,
    /// For `asm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asm_auth_data: Option<AsmAuthData>,
}

/// An ECR registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EcrAuthData {
    /// Account of the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<String>,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Endpoint to ask instead of the region's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_override: Option<String>,
    /// Whether the execution role's credentials are used.
    #[serde(deserialize_with = "nullable")]
    pub use_execution_role: bool,
}

/// A login kept in Secrets Manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AsmAuthData {
    /// ARN of the secret.
    pub credentials_parameter: String,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// A FireLens router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FirelensConfiguration {
    /// `fluentd` or `fluentbit`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Options.
    #[serde(deserialize_with = "nullable")]
    pub options: BTreeMap<String, String>,
}

/// A managed agent of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedAgent {
    /// `ExecuteCommandAgent`.
    pub name: String,
    /// Properties.
    #[serde(deserialize_with = "nullable")]
    pub properties: BTreeMap<String, String>,
}

/// Restarts of a container by the agent, without the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartPolicy {
    /// Whether it restarts.
    #[serde(deserialize_with = "nullable")]
    pub enabled: bool,
    /// Exit codes after which it stays stopped.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ignored_exit_codes: Vec<i32>,
    /// Seconds that it must have run before it is restarted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_attempt_period: Option<u32>,
}

/// App Mesh proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfiguration {
    /// `APPMESH`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Container of the proxy.
    pub container_name: String,
    /// Properties.
    #[serde(deserialize_with = "nullable")]
    pub properties: BTreeMap<String, String>,
}

/// A device of the instance that containers use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Association {
    /// Name, the id of a GPU.
    pub name: String,
    /// `gpu` or `elastic-inference`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Containers that use it.
    #[serde(deserialize_with = "nullable")]
    pub containers: Vec<String>,
    /// What the metadata endpoint tells about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<AssociationContent>,
}

/// Content of an [`Association`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssociationContent {
    /// `base64`.
    pub encoding: String,
    /// The content.
    pub value: String,
}

/// A volume of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name within the task.
    pub name: String,
    /// `host` (the default), `docker`, `efs`, …
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For `host`; must be there, even if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostVolume>,
    /// For `docker`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_volume_configuration: Option<DockerVolumeConfiguration>,
    /// For `efs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efs_volume_configuration: Option<EfsVolumeConfiguration>,
}

/// A directory of the host; without a path the agent makes an empty one for the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostVolume {
    /// Path on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_path: Option<String>,
}

/// A volume of the container runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DockerVolumeConfiguration {
    /// `task` or `shared`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Whether a shared volume is made when it does not exist.
    #[serde(deserialize_with = "nullable")]
    pub autoprovision: bool,
    /// Volume driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Options of the driver.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// An EFS file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EfsVolumeConfiguration {
    /// File system id.
    pub file_system_id: String,
    /// Directory within it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_directory: Option<String>,
    /// `ENABLED` or `DISABLED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_encryption: Option<String>,
    /// Local port of the encrypted connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_encryption_port: Option<u16>,
    /// Access point and IAM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_config: Option<AuthorizationConfig>,
}

/// How a task may enter a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizationConfig {
    /// Access point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_point_id: Option<String>,
    /// `ENABLED` or `DISABLED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam: Option<String>,
}
