//! Task definitions: the registered document, and the typed view that decisions read.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Document, PlacementConstraint, Tags};
use crate::ids::{Family, Revision, Scope};
use crate::time::Timestamp;

/// One revision of a task definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Account and region.
    pub scope: Scope,
    /// Family.
    pub family: Family,
    /// Revision within the family.
    pub revision: Revision,
    /// Where it is in its life.
    pub status: TaskDefinitionStatus,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// ARN of the principal that registered it.
    pub registered_by: String,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
    /// When its deletion was asked for.
    pub delete_requested_at: Option<Timestamp>,
    /// The registered members of AWS's `TaskDefinition`, with ECS's defaults filled in.
    pub document: Document,
    /// What decisions read of the document.
    pub spec: TaskSpec,
    /// Tags.
    pub tags: Tags,
}

/// Status of a task definition revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskDefinitionStatus {
    /// May be run.
    Active,
    /// Deregistered: existing services go on with it, nothing new starts from it.
    Inactive,
    /// Deletion asked for; goes when nothing uses it any more.
    DeleteInProgress,
    /// Gone for everybody; kept only as the highest revision, so that its number is not given
    /// out again.
    Deleted,
}

impl TaskDefinitionStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
            Self::Deleted => "DELETED",
        }
    }
}

/// The typed view of a task definition: what placement and lifecycle decisions read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// Task-level CPU units (1024 per core).
    pub cpu_units: Option<u32>,
    /// Task-level memory in MiB.
    pub memory_mib: Option<u32>,
    /// Network mode; `bridge` when the document names none.
    pub network_mode: NetworkMode,
    /// Containers in the document's order.
    pub containers: Vec<ContainerSpec>,
    /// Constraints that every task of this definition keeps.
    pub placement_constraints: Vec<PlacementConstraint>,
    /// Attributes that an instance must have (AWS's `requiresAttributes`), sorted by name.
    pub requires_attributes: Vec<(String, Option<String>)>,
}

/// Network mode of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// Docker's bridge with mapped ports.
    #[default]
    Bridge,
    /// The instance's own network.
    Host,
    /// An interface of its own per task.
    Awsvpc,
    /// No network.
    None,
}

/// What decisions read of a container definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name, unique within the task.
    pub name: String,
    /// Image reference as written.
    pub image: String,
    /// CPU units (0 when unset).
    pub cpu_units: u32,
    /// Hard memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// Soft memory limit in MiB.
    pub memory_reservation_mib: Option<u32>,
    /// Whether its exit ends the task.
    pub essential: bool,
    /// Port mappings.
    pub ports: Vec<PortMapping>,
    /// Number of GPUs.
    pub gpus: u32,
    /// Whether it has a health check.
    pub has_health_check: bool,
    /// Containers that it waits for, with the condition.
    pub depends_on: Vec<(String, DependencyCondition)>,
}

/// A port of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Port inside the container.
    pub container_port: u16,
    /// Fixed port on the host; `None` lets the agent choose.
    pub host_port: Option<u16>,
    /// Transport.
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What a dependency must have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DependencyCondition {
    /// Started.
    Start,
    /// Exited, with any code.
    Complete,
    /// Exited with code 0.
    Success,
    /// Passed its health check.
    Healthy,
}
