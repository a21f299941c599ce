//! Service revisions and service deployments: what a service was at a time, and how it went from
//! one to the next.
//!
//! A revision never changes. A deployment takes a service to its target revision, or, when that
//! fails, back to the last one that was reached.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{DeploymentConfiguration, Document, LaunchType, ServiceBalancer, Share, Shift};
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
    /// Where its tasks are to be targets, as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balancers: Vec<ServiceBalancer>,
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
    /// How it shifts traffic; a rolling one does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
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

/// Where a deployment is. A rolling one has only those that scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleStage {
    /// An earlier one that was under way is ended.
    ReconcileService,
    /// Nothing of it is done yet.
    PreScaleUp,
    /// Tasks of the new revision start; in a rolling one they replace the old ones.
    ScaleUp,
    /// All tasks of the new revision serve.
    PostScaleUp,
    /// Test traffic shifts.
    TestTrafficShift,
    /// Test traffic has shifted.
    PostTestTrafficShift,
    /// Production traffic is about to shift by a step.
    PreProductionTrafficShift,
    /// It has shifted by a step.
    ProductionTrafficShift,
    /// It has shifted.
    PostProductionTrafficShift,
    /// Both revisions stay for a while.
    BakeTime,
    /// The last old tasks stop.
    CleanUp,
}

impl LifecycleStage {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }
}

/// A lifecycle hook: the deployment waits until it is told to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseHook {
    /// Where the deployment waits.
    pub stages: Vec<LifecycleStage>,
    /// How long it waits at most.
    pub timeout_min: u32,
    /// What happens then.
    pub action: HookAction,
    /// Who is asked; without it somebody tells by ContinueServiceDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// Who is asked whether a deployment may go on, in place of AWS's Lambda function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// AWS's `hookTargetArn`: a URL.
    pub url: String,
    /// ARN of a role, as given; it changes nothing here.
    pub role: Option<String>,
    /// AWS's `hookDetails`: what it is told besides.
    pub details: Option<Document>,
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
    /// The calls of a webhook, if one decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<HookCall>,
}

/// Where the calls of a webhook stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCall {
    /// Where it is.
    pub url: String,
    /// What it is told besides: as configured, with what it has answered.
    pub details: Option<Document>,
    /// Whether test traffic is what shifts, or production traffic; AWS tells the weights then.
    pub shifts: Option<TrafficKind>,
    /// What the new revision has of it, in AWS's words.
    pub share: Share,
    /// When it is called next.
    pub next_at: Timestamp,
    /// Calls in a row that did not reach it.
    pub unreached: u32,
    /// Why the deployment goes back, if it does.
    pub failure: Option<String>,
}

/// Traffic that rules forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrafficKind {
    /// That of testers.
    Test,
    /// That of everybody else.
    Production,
}

impl Pause {
    /// Whether the deployment still waits.
    pub fn is_open(&self) -> bool {
        self.answer.is_none() && !self.timed_out
    }
}
