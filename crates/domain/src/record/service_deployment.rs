//! Service revisions and service deployments: what a service was at a time, and how it went from
//! one to the next.
//!
//! A revision never changes. A deployment takes a service to its target revision, or, when that
//! fails, back to the last one that was reached.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{DeploymentConfiguration, Document, LaunchType};
use crate::ids::{ClusterName, Family, Revision, Scope, ServiceDeploymentId, ServiceName};
use crate::time::Timestamp;

/// What the tasks of a service are made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRevision {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// Number: that of the deployment `ecs-svc/NUMBER`.
    pub id: u64,
    /// Family of its task definition.
    pub family: Family,
    /// Revision of its task definition.
    pub revision: Revision,
    /// Launch type of its tasks.
    pub launch_type: LaunchType,
    /// All other members as given to the API.
    pub document: Document,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The way of a service to a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDeployment {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// Id; ids of later deployments are greater.
    pub id: ServiceDeploymentId,
    /// Revision that it leads to.
    pub target: u64,
    /// Revisions whose tasks it replaces.
    pub sources: Vec<u64>,
    /// How far it may go below and above the desired count: what is in force as long as it is
    /// under way, what was in force when it ended.
    pub configuration: DeploymentConfiguration,
    /// Where it waits for somebody, likewise.
    pub pause_hooks: Vec<PauseHook>,
    /// How it stands.
    pub status: ServiceDeploymentStatus,
    /// Why it stands so.
    pub status_reason: Option<String>,
    /// How the circuit breaker stands.
    pub breaker: BreakerState,
    /// The way back, once it is taken.
    pub rollback: Option<Rollback>,
    /// Where it is.
    pub stage: LifecycleStage,
    /// Pauses that it has reached, and how they ended.
    pub pauses: Vec<Pause>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When somebody or something stopped it.
    pub stopped_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// How a service deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceDeploymentStatus {
    /// Asked for.
    Pending,
    /// Under way.
    InProgress,
    /// To be ended where it is.
    StopRequested,
    /// To go back.
    RollbackRequested,
    /// Goes back.
    RollbackInProgress,
    /// Reached its target.
    Successful,
    /// Ended where it was.
    Stopped,
    /// Went back.
    RollbackSuccessful,
    /// Could not go back.
    RollbackFailed,
}

impl ServiceDeploymentStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::StopRequested => "STOP_REQUESTED",
            Self::RollbackRequested => "ROLLBACK_REQUESTED",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::Stopped => "STOPPED",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_over(self) -> bool {
        self >= Self::Successful
    }
}

/// How the circuit breaker of a service deployment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerState {
    /// Whether it may fail the deployment.
    pub enabled: bool,
    /// Failures that count.
    pub failure_count: u32,
    /// Failures that fail the deployment.
    pub threshold: u32,
    /// Whether it did.
    pub triggered: bool,
}

/// The way back of a service deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Revision that it leads to.
    pub to: u64,
    /// Why it is taken.
    pub reason: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// Where a rolling deployment is. Stages that shift traffic belong to other strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleStage {
    /// Nothing of it is done yet.
    PreScaleUp,
    /// Tasks of the new revision start, and replace the old ones.
    ScaleUp,
    /// All tasks of the new revision serve.
    PostScaleUp,
    /// The last old tasks stop.
    CleanUp,
}

impl LifecycleStage {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::CleanUp => "CLEAN_UP",
        }
    }
}

/// A lifecycle hook of type `PAUSE`: the deployment waits until it is told to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseHook {
    /// Where the deployment waits.
    pub stages: Vec<LifecycleStage>,
    /// How long it waits at most.
    pub timeout_min: u32,
    /// What happens then.
    pub action: HookAction,
}

/// How a pause ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookAction {
    /// The deployment goes back.
    Rollback,
    /// The deployment goes on.
    Continue,
}

/// A pause that a deployment has reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// What ContinueServiceDeployment calls it.
    pub id: String,
    /// Where it is.
    pub stage: LifecycleStage,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// How it ends by itself.
    pub timeout_action: HookAction,
    /// How somebody ended it.
    pub answer: Option<HookAction>,
    /// Whether its time ran out.
    pub timed_out: bool,
}

impl Pause {
    /// Whether the deployment still waits.
    pub fn is_open(&self) -> bool {
        self.answer.is_none() && !self.timed_out
    }
}
