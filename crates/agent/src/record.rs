//! What an agent keeps on disk.

use longshore_domain::task::{Phase, Status, TaskState};
use longshore_domain::time::Timestamp;
use longshore_wire::agent::{RoleCredentials, Task};
use serde::{Deserialize, Serialize};

use crate::random;
use crate::runtime::Bound;

/// Version of these shapes, written into every file.
pub(crate) const VERSION: u32 = 1;

/// Who this agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceRecord {
    /// Version of the shape.
    pub(crate) version: u32,
    /// Cluster as configured.
    pub(crate) cluster: String,
    /// ARN that registration gave.
    pub(crate) container_instance_arn: String,
    /// Newest number of a payload or manifest.
    pub(crate) latest_seq_num: i64,
}

/// A task, everything but its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskRecord {
    /// Version of the shape.
    pub(crate) version: u32,
    /// As the control plane described it.
    pub(crate) task: Task,
    /// How far it has come.
    pub(crate) state: TaskState,
    /// What is known of its containers beside their state.
    pub(crate) containers: Vec<ContainerFacts>,
    /// What the control plane has acknowledged.
    pub(crate) sent: Sent,
    /// When it was accepted.
    pub(crate) accepted_at: Timestamp,
    /// When it ended.
    pub(crate) stopped_at: Option<Timestamp>,
}

/// What is known of a container beside its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerFacts {
    /// Id in the metadata endpoint's paths; cannot be guessed.
    pub(crate) endpoint_id: String,
    /// Id in the runtime.
    pub(crate) runtime_id: Option<String>,
    /// Digest of the image's manifest.
    pub(crate) image_digest: Option<String>,
    /// Id of the image.
    pub(crate) image_id: Option<String>,
    /// Whether the image sets a region of its own.
    pub(crate) image_sets_region: bool,
    /// Published ports.
    pub(crate) bound: Vec<Binding>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// Port in the container.
    pub(crate) container_port: u16,
    /// Transport.
    pub(crate) protocol: String,
    /// Address on the host.
    pub(crate) host_ip: String,
    /// Port on the host.
    pub(crate) host_port: u16,
}

/// What the control plane has acknowledged of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sent {
    /// How far the task has come.
    pub(crate) phase: Option<Phase>,
    /// How far each container has come.
    pub(crate) containers: Vec<Status>,
}

impl From<Bound> for Binding {
    fn from(bound: Bound) -> Self {
        Self {
            container_port: bound.container_port,
            protocol: bound.protocol,
            host_ip: bound.host_ip,
            host_port: bound.host_port,
        }
    }
}

impl TaskRecord {
    /// A task that has just come.
    pub(crate) fn new(mut task: Task, state: TaskState, now: Timestamp) -> Self {
        strip(&mut task.role_credentials);
        strip(&mut task.execution_role_credentials);
        let facts = || ContainerFacts { endpoint_id: random::uuid(), ..ContainerFacts::default() };
        let containers = task.containers.iter().map(|_| facts()).collect();
        let sent = Sent { phase: None, containers: vec![Status::None; task.containers.len()] };
        Self { version: VERSION, task, state, containers, sent, accepted_at: now, stopped_at: None }
    }
}

/// The last part of an ARN.
pub(crate) fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

fn strip(credentials: &mut Option<RoleCredentials>) {
    if let Some(credentials) = credentials {
        credentials.access_key_id.clear();
        credentials.secret_access_key.clear();
        credentials.session_token.clear();
    }
}
