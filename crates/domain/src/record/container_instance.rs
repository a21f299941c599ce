//! Container instances: the machines that agents register.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Tags;
use crate::ids::{ClusterName, InstanceId, Scope, TaskId};
use crate::time::Timestamp;

/// A container instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerInstance {
    /// Account and region.
    pub scope: Scope,
    /// Cluster that it registered into.
    pub cluster: ClusterName,
    /// Id, the last part of its ARN.
    pub id: InstanceId,
    /// EC2 instance id from the identity document; our own agent and external ones send none, then
    /// the server gives an `i-…` or `mi-…` shaped one of its own.
    pub ec2_instance_id: String,
    /// Whether it takes tasks.
    pub status: InstanceStatus,
    /// Why it has the status, when somebody said.
    pub status_reason: Option<String>,
    /// The agent's session, written by the server that holds it.
    pub connection: AgentConnection,
    /// Where the agent's session comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Versions that the agent reported.
    pub version_info: VersionInfo,
    /// What the machine has, as registered.
    pub registered: Resources,
    /// Attributes by name; a name without value is a bare capability.
    pub attributes: BTreeMap<String, Option<String>>,
    /// When it registered first.
    pub registered_at: Timestamp,
    /// Capacity provider that launched it.
    pub capacity_provider: Option<String>,
    /// ARN of the principal that registered it, the only one that may speak for it; instances of
    /// older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_by: Option<String>,
    /// Client token of the registration, so that a repeated call gives the same instance.
    pub registration_token: Option<String>,
    /// Number that grows on every change that emits an event.
    pub version: u64,
    /// Tasks that were given up while the agent was away, and that it has not said to have
    /// stopped since: until then the instance takes no tasks.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fence: BTreeSet<TaskId>,
    /// When it was deregistered; decides when the INACTIVE record goes.
    pub deregistered_at: Option<Timestamp>,
    /// Tags.
    pub tags: Tags,
}

/// Whether the agent of an instance has a session, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentConnection {
    /// AWS's `agentConnected`.
    pub connected: bool,
    /// When that last changed.
    pub since: Timestamp,
    /// Boot id of the server that wrote it: a session of a dead server is no session.
    pub server: u64,
}

/// AWS's `versionInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Agent version, e.g. `1.105.1`.
    pub agent_version: Option<String>,
    /// Agent build hash.
    pub agent_hash: Option<String>,
    /// Docker version, e.g. `DockerVersion: 20.10.24`.
    pub docker_version: Option<String>,
}

/// An amount of machine, as registered by an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU units, 1024 per core.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// TCP host ports that tasks may not have.
    pub reserved_tcp_ports: BTreeSet<u16>,
    /// UDP host ports that tasks may not have.
    pub reserved_udp_ports: BTreeSet<u16>,
    /// GPU ids.
    pub gpus: Vec<DeviceId>,
}

/// Id of a GPU as the agent names it.
pub type DeviceId = String;

/// Status of a container instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceStatus {
    /// Takes tasks.
    Active,
    /// Takes no new tasks; service tasks move away.
    Draining,
    /// Deregistered; describable for a while.
    Inactive,
}

impl InstanceStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}
