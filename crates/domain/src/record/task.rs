//! Tasks: what is wanted of them and what was seen of them, kept apart.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Document, Protocol, Tags};
use crate::ids::{ClusterName, Family, InstanceId, Revision, Scope, TaskId};
use crate::time::Timestamp;

/// Beginning of the group of a daemon's tasks. Nobody else can have it.
pub const DAEMON_GROUP: &str = "daemon:";
/// Beginning of `startedBy` of a daemon's tasks; the number of the revision follows.
pub const DAEMON_STARTER: &str = "ecs-daemon/";

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Id, the last part of its ARN.
    pub id: TaskId,
    /// Family of its task definition.
    pub family: Family,
    /// Revision of its task definition.
    pub revision: Revision,
    /// Instance that it was placed on.
    pub instance: InstanceId,
    /// Launch type as asked for.
    pub launch_type: LaunchType,
    /// Task group, `family:F` or `service:S` by default; `daemon:D` for tasks of a daemon.
    pub group: String,
    /// `startedBy`; the deployment id for tasks of a service, the revision for those of a daemon.
    pub started_by: Option<String>,
    /// `overrides` as given to the API.
    pub overrides: Option<Document>,
    /// Whether ExecuteCommand may enter it.
    pub enable_execute_command: bool,
    /// What it takes of its instance while it is not stopped.
    pub demand: Demand,
    /// When the record was made.
    pub created_at: Timestamp,
    /// Whether it should run, written by the API and the controllers alone.
    pub desired: DesiredStatus,
    /// Why and when it was asked to stop.
    pub stop: Option<StopOrder>,
    /// Until when its containers go on although it is to stop, so that what balancers have sent it
    /// can end; taken away as soon as nothing is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_until: Option<Timestamp>,
    /// What agents reported; moves forward only.
    pub observed: Observed,
    /// Scale-in protection.
    pub protection: Option<Protection>,
    /// Digests that images have whatever their tags mean by now, by container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Whether the service scheduler has counted the failure of this (stopped) task.
    pub failure_counted: bool,
    /// Number that grows on every change that emits an event (AWS's `version`).
    pub version: u64,
    /// Tags.
    pub tags: Tags,
}

impl Task {
    /// Whether the task has ended: its resources are free and nothing changes any more.
    pub fn is_stopped(&self) -> bool {
        self.observed.status == TaskStatus::Stopped
    }

    /// Name of the service that owns it, from the fixed group form `service:NAME`.
    pub fn service(&self) -> Option<&str> {
        self.group.strip_prefix("service:")
    }

    /// Name of the managed daemon that owns it, from the fixed group form `daemon:NAME`.
    pub fn daemon(&self) -> Option<&str> {
        self.group.strip_prefix(DAEMON_GROUP)
    }

    /// Number of the daemon revision that it was made from.
    pub fn daemon_revision(&self) -> Option<u64> {
        self.daemon()?;
        self.started_by.as_deref()?.strip_prefix(DAEMON_STARTER)?.parse().ok()
    }

    /// What its agent is to be told at `now`: a task that drains goes on.
    pub fn told(&self, now: Timestamp) -> DesiredStatus {
        match self.draining_until {
            Some(until) if until > now => DesiredStatus::Running,
            _ => self.desired,
        }
    }

    /// AWS's `lastStatus`: what was seen, or that it is being withdrawn from balancers.
    pub fn last_status(&self) -> TaskStatus {
        let withdrawn = self.draining_until.is_some() && self.desired == DesiredStatus::Stopped;
        match self.observed.status {
            TaskStatus::Running if withdrawn => TaskStatus::Deactivating,
            status => status,
        }
    }

    /// Whether scale-in protection holds at `now`.
    pub fn is_protected(&self, now: Timestamp) -> bool {
        self.protection.is_some_and(|p| p.expires_at > now)
    }
}

/// What a task takes of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// CPU units.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Fixed host ports, sorted.
    pub ports: Vec<PortClaim>,
    /// Number of GPUs.
    pub gpus: u32,
}

/// A host port that a task claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortClaim {
    /// Transport.
    pub protocol: Protocol,
    /// Port number.
    pub port: u16,
}

/// Launch type of a task or service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LaunchType {
    /// On registered container instances.
    #[default]
    Ec2,
    /// On instances that registered as external ones.
    External,
}

impl LaunchType {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ec2 => "EC2",
            Self::External => "EXTERNAL",
        }
    }
}

/// Whether a task should run. There is no way back from `Stopped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DesiredStatus {
    /// Should run.
    Running,
    /// Should stop.
    Stopped,
}

impl DesiredStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// An order to stop a task, given once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// AWS's `stopCode`.
    pub code: StopCode,
    /// AWS's `stoppedReason`.
    pub reason: String,
    /// When it was given; AWS's `stoppingAt`.
    pub at: Timestamp,
}

/// AWS's `stopCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    /// It could not start.
    TaskFailedToStart,
    /// An essential container exited.
    EssentialContainerExited,
    /// StopTask.
    UserInitiated,
    /// The service scheduler.
    ServiceSchedulerInitiated,
    /// A spot instance was reclaimed.
    SpotInterruption,
    /// Its instance was terminated or deregistered.
    TerminationNotice,
    /// Its instance does not work.
    InfrastructureHealth,
}

impl StopCode {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::SpotInterruption => "SpotInterruption",
            Self::TerminationNotice => "TerminationNotice",
            Self::InfrastructureHealth => "InfrastructureHealth",
        }
    }
}

/// What was seen of a task. Written from agent reports, or by the controller that declares an
/// instance lost; the status moves forward only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// AWS's `lastStatus`.
    pub status: TaskStatus,
    /// Containers in the task definition's order.
    pub containers: Vec<ContainerState>,
    /// When the agent got the task.
    pub connectivity_at: Option<Timestamp>,
    /// AWS's `pullStartedAt`.
    pub pull_started_at: Option<Timestamp>,
    /// AWS's `pullStoppedAt`.
    pub pull_stopped_at: Option<Timestamp>,
    /// AWS's `startedAt`: first seen RUNNING.
    pub started_at: Option<Timestamp>,
    /// AWS's `executionStoppedAt`.
    pub execution_stopped_at: Option<Timestamp>,
    /// AWS's `stoppedAt`.
    pub stopped_at: Option<Timestamp>,
    /// AWS's `stopCode` and `stoppedReason` when the task ended by itself.
    pub ended: Option<(StopCode, String)>,
}

impl Observed {
    /// Nothing was seen yet: the task waits for its agent.
    pub fn pending(containers: Vec<ContainerState>) -> Self {
        Self {
            status: TaskStatus::Pending,
            containers,
            connectivity_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            ended: None,
        }
    }
}

/// AWS's `lastStatus` of a task, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    /// Resources outside the instance are being prepared.
    Provisioning,
    /// Waits for the agent.
    Pending,
    /// Runs, and is being made known to balancers and discovery.
    Activating,
    /// Runs.
    Running,
    /// Is being withdrawn from balancers and discovery.
    Deactivating,
    /// Containers are being stopped.
    Stopping,
    /// Resources outside the instance are being released.
    Deprovisioning,
    /// Ended.
    Stopped,
}

impl TaskStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What was seen of one container of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Name in the task definition.
    pub name: String,
    /// Id, the last part of its ARN (32 hex digits).
    pub id: TaskId,
    /// AWS's `lastStatus` of a container.
    pub status: ContainerStatus,
    /// Exit code, once it has exited.
    pub exit_code: Option<i32>,
    /// AWS's `reason`, e.g. `OutOfMemoryError: Container killed due to memory usage`.
    pub reason: Option<String>,
    /// Docker container id.
    pub runtime_id: Option<String>,
    /// Digest of the image that runs.
    pub image_digest: Option<String>,
    /// Ports as bound on the host.
    pub bindings: Vec<NetworkBinding>,
    /// Health by the container's own check.
    pub health: HealthStatus,
    /// GPUs that it was given.
    pub gpus: Vec<String>,
}

impl ContainerState {
    /// Nothing was seen yet of the container `name`.
    pub fn pending(name: String, id: TaskId) -> Self {
        Self {
            name,
            id,
            status: ContainerStatus::Pending,
            exit_code: None,
            reason: None,
            runtime_id: None,
            image_digest: None,
            bindings: Vec::new(),
            health: HealthStatus::Unknown,
            gpus: Vec::new(),
        }
    }
}

/// Status of a container, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerStatus {
    /// Not started yet.
    Pending,
    /// Runs.
    Running,
    /// Exited.
    Stopped,
}

impl ContainerStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// AWS's `healthStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HealthStatus {
    /// Passes its check.
    Healthy,
    /// Fails its check.
    Unhealthy,
    /// Has no check, or was not checked yet.
    #[default]
    Unknown,
}

impl HealthStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// AWS's `networkBinding`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    /// Host address.
    pub bind_ip: String,
    /// Port in the container; absent for a range.
    pub container_port: Option<u16>,
    /// Port on the host; absent for a range.
    pub host_port: Option<u16>,
    /// `FIRST-LAST` in the container.
    pub container_port_range: Option<String>,
    /// `FIRST-LAST` on the host.
    pub host_port_range: Option<String>,
    /// Transport.
    pub protocol: Protocol,
}

/// Scale-in protection of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// When it ends.
    pub expires_at: Timestamp,
}
