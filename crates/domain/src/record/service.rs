//! Services, their deployments and their events.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{
    Advanced, DeploymentController, Document, Idle, LaunchType, PauseHook, PlacementConstraint,
    PlacementStrategy, ServiceAction, Shifting, Tags, TaskSet, TaskSetStatus,
};
use crate::ids::{ClusterName, EventId, Family, Revision, Scope, ServiceDeploymentId, ServiceName};
use crate::time::Timestamp;

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Name, unique within the cluster.
    pub name: ServiceName,
    /// Where it is in its life.
    pub status: ServiceStatus,
    /// Replicas or one per instance.
    pub scheduling_strategy: SchedulingStrategy,
    /// Wanted number of tasks; for daemons the number of instances that should have one, kept by
    /// the service scheduler.
    pub desired_count: u32,
    /// Launch type of its tasks.
    pub launch_type: LaunchType,
    /// How far a deployment may go below and above the desired count.
    pub deployment_configuration: DeploymentConfiguration,
    /// Placement constraints besides those of the task definition.
    pub placement_constraints: Vec<PlacementConstraint>,
    /// Placement strategy; empty means the service default.
    pub placement_strategy: Vec<PlacementStrategy>,
    /// Deployments, newest first; the first one is PRIMARY.
    pub deployments: Vec<Deployment>,
    /// The service deployment that its PRIMARY deployment belongs to.
    #[serde(default)]
    pub service_deployment: Option<ServiceDeploymentId>,
    /// What a failed deployment goes back to: the last one that was completed, unless that is
    /// being gone back to already.
    #[serde(default)]
    pub completed: Option<Completed>,
    /// Where its tasks are to be targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balancers: Vec<ServiceBalancer>,
    /// Who decides about new versions.
    #[serde(default)]
    pub controller: DeploymentController,
    /// Task sets of the EXTERNAL deployment controller, oldest first; it has no deployments then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_sets: Vec<TaskSet>,
    /// Where its deployments wait for somebody.
    #[serde(default)]
    pub pause_hooks: Vec<PauseHook>,
    /// How its deployments shift traffic; none for rolling ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifting: Option<Shifting>,
    /// Whether tasks move to level the availability zones.
    #[serde(default)]
    pub zone_rebalancing: bool,
    /// Whether tags are copied to tasks, as in the API (`NONE`, `SERVICE`, `TASK_DEFINITION`).
    pub propagate_tags: String,
    /// Whether tasks get the `aws:ecs:…` tags.
    pub enable_ecs_managed_tags: bool,
    /// Whether ExecuteCommand may enter its tasks.
    pub enable_execute_command: bool,
    /// Seconds during which health checks of balancers are ignored after a task has started.
    pub health_check_grace_period_s: Option<u32>,
    /// All other members as given to the API, for DescribeServices.
    pub document: Document,
    /// Client token of CreateService.
    pub client_token: Option<String>,
    /// ARN of the principal that created it.
    pub created_by: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it became INACTIVE; decides when the record goes.
    pub deleted_at: Option<Timestamp>,
    /// Earliest time of the next attempt to start tasks after failures.
    pub retry_at: Option<Timestamp>,
    /// Conditions that events told of and that still hold.
    pub notices: Vec<Notice>,
    /// What is remembered where it scales to zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// Tags.
    pub tags: Tags,
}

/// Status of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    /// In use.
    Active,
    /// Deleted, tasks still stopping.
    Draining,
    /// Gone; describable for a while.
    Inactive,
}

impl Service {
    /// The task set that serves production traffic.
    #[must_use]
    pub fn primary_task_set(&self) -> Option<&TaskSet> {
        self.task_sets.iter().find(|set| set.status == TaskSetStatus::Primary)
    }
}

impl ServiceStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// How a service places tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SchedulingStrategy {
    /// The desired count, anywhere.
    #[default]
    Replica,
    /// One task per matching active instance.
    Daemon,
}

impl SchedulingStrategy {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "REPLICA",
            Self::Daemon => "DAEMON",
        }
    }
}

/// A target group that the tasks of a service, or of one of its deployments, belong into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceBalancer {
    /// ARN of the target group.
    pub target_group: String,
    /// Name of the container that serves.
    pub container: String,
    /// Its port.
    pub port: u16,
    /// What shifts traffic between this group and another. In the balancers of a deployment the two
    /// groups may have changed places: its tasks are in the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
}

impl ServiceBalancer {
    /// Whether it is behind one of the two groups of `other`, the first or the other one.
    #[must_use]
    pub fn is_of_pair(&self, other: &Self) -> bool {
        let alternate = other.advanced.as_ref().map(|advanced| &advanced.alternate);
        self.target_group == other.target_group || Some(&self.target_group) == alternate
    }

    /// The same with `group`, one of its two, as the first one.
    #[must_use]
    pub fn facing(&self, group: &str) -> Self {
        let mut facing = self.clone();
        if let Some(advanced) = &mut facing.advanced
            && advanced.alternate == group
        {
            core::mem::swap(&mut advanced.alternate, &mut facing.target_group);
        }
        facing
    }
}

/// Bounds and failure detection of deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentConfiguration {
    /// Lower bound in percent of the desired count, rounded up.
    pub minimum_healthy_percent: u32,
    /// Upper bound in percent of the desired count, rounded down.
    pub maximum_percent: u32,
    /// Circuit breaker.
    pub circuit_breaker: CircuitBreaker,
}

/// AWS's `deploymentCircuitBreaker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    /// Whether it may fail a deployment.
    pub enable: bool,
    /// Whether a failed deployment goes back to the last completed one.
    pub rollback: bool,
    /// Failures that fail a deployment.
    #[serde(default)]
    pub threshold: Threshold,
    /// Whether a healthy task starts the count anew.
    #[serde(default = "yes")]
    pub reset_on_healthy_task: bool,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            enable: false,
            rollback: false,
            threshold: Threshold::default(),
            reset_on_healthy_task: true,
        }
    }
}

fn yes() -> bool {
    true
}

/// AWS's `thresholdConfiguration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Threshold {
    /// A number of tasks.
    Count(u32),
    /// A percentage of the desired count, within 3 and 200 tasks.
    BoundedPercent(u32),
    /// A percentage of the desired count.
    UnboundedPercent(u32),
}

impl Default for Threshold {
    fn default() -> Self {
        Self::BoundedPercent(50)
    }
}

/// A completed deployment, and what the service was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The deployment.
    pub deployment: Deployment,
    /// The document of the service.
    pub document: Document,
}

/// One rollout of a task definition revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Number in `ecs-svc/NUMBER`.
    pub id: u64,
    /// Newest or being replaced.
    pub status: DeploymentStatus,
    /// Family of its task definition.
    pub family: Family,
    /// Revision of its task definition.
    pub revision: Revision,
    /// Digests that its first task reported for its images, by container: later tasks get these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Where its tasks are to be targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balancers: Vec<ServiceBalancer>,
    /// Wanted number of tasks of this deployment.
    pub desired_count: u32,
    /// Consecutive failed tasks: those that never ran, and those that failed health checks.
    pub failed_tasks: u32,
    /// Consecutive tasks that never ran; what the restart throttle goes by.
    pub failed_starts: u32,
    /// When the last of these failures happened.
    pub failed_at: Option<Timestamp>,
    /// Failures that count for the circuit breaker.
    #[serde(default)]
    pub breaker_failures: u32,
    /// Whether a task of this rollout has run: then only failed health checks count for the
    /// circuit breaker.
    #[serde(default)]
    pub has_run: bool,
    /// How the rollout stands.
    pub rollout: RolloutState,
    /// AWS's `rolloutStateReason`.
    pub rollout_reason: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When the service last went back to it.
    #[serde(default)]
    pub resumed_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Deployment {
    /// AWS's id of the deployment, which is also `startedBy` of its tasks: `ecs-svc/NUMBER`.
    pub fn label(&self) -> String {
        format!("ecs-svc/{}", self.id)
    }
}

/// Status of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    /// The newest.
    Primary,
    /// Being replaced.
    Active,
}

impl DeploymentStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
        }
    }
}

/// AWS's `rolloutState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutState {
    /// Under way.
    InProgress,
    /// Reached its steady state.
    Completed,
    /// Given up.
    Failed,
}

impl RolloutState {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// A condition that an event told of, kept so that the event does not come again while it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The condition.
    pub cause: Cause,
    /// What distinguishes two conditions of one kind, e.g. `RESOURCE:CPU`.
    pub detail: String,
    /// When the last event told of it.
    pub at: Timestamp,
}

/// Kind of a condition that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Cause {
    /// As many tasks run as are wanted.
    SteadyState,
    /// A task has no place.
    Unplaced,
    /// Tasks keep failing before they run.
    StartImpaired,
    /// The deployment configuration allows neither a start nor a stop.
    DeploymentBlocked,
    /// Protected tasks are in the way of scaling in.
    ScaleInProtected,
    /// Tasks are spread evenly over availability zones.
    ZonesBalanced,
    /// They are not.
    ZonesUnbalanced,
    /// A task is not healthy in a target group.
    TargetUnhealthy,
    /// A zone has no place for a task that would balance them.
    ZoneUnplaced,
    /// Protected tasks are in the way of balancing them.
    ZoneProtected,
    /// Tasks cannot have their role.
    RoleRefused,
}

/// One line of a service's event list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// Service that it belongs to.
    pub service: ServiceName,
    /// Id, printed as a UUID in the API.
    pub id: EventId,
    /// When it happened; events of a service are ordered by it.
    pub created_at: Timestamp,
    /// AWS's text, e.g. `(service web) has reached a steady state.`
    pub message: String,
    /// What AWS sends as a `ECS Service Action`, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ServiceAction>,
}
