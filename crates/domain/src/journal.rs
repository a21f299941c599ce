//! What the journal tells: which changes of records matter, and which of them AWS would send an
//! event for.
//!
//! The rule it keeps: a decision looks at a record as it was and as it becomes, and at nothing else,
//! so that the entry can be written in the transaction that makes the change. What it leaves out:
//! where entries are kept (the store), and the form of events (the server).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterName, InstanceId, Scope, ServiceDeploymentId, ServiceName};
use crate::record::{
    ContainerInstance, Deployment, HookAction, InstanceStatus, LifecycleStage, Pause, RolloutState,
    Service, ServiceDeployment, ServiceStatus, Task,
};
use crate::time::Timestamp;

/// A step of a deployment that AWS sends a `ECS Deployment State Change` for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStep {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// Number in `ecs-svc/NUMBER`.
    pub deployment: u64,
    /// How it stands now.
    pub rollout: RolloutState,
    /// AWS's `rolloutStateReason`.
    pub reason: String,
    /// When it came to stand so.
    pub at: Timestamp,
}

/// A step of a lifecycle hook that AWS sends a `ECS Hook State Change` for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookStep {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// Its service deployment.
    pub deployment: ServiceDeploymentId,
    /// The hook.
    pub hook: String,
    /// Whether a webhook decides.
    pub calls: bool,
    /// Where it is.
    pub stage: LifecycleStage,
    /// How it stands now.
    pub state: HookState,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it came to stand so.
    pub at: Timestamp,
}

/// How a lifecycle hook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookState {
    /// A webhook is asked.
    InProgress,
    /// It waits for somebody.
    AwaitingAction,
    /// The deployment may go on.
    Succeeded,
    /// It goes back.
    Failed,
    /// Its time ran out.
    TimedOut,
}

impl HookState {
    /// How a hook stands.
    #[must_use]
    pub fn of(pause: &Pause) -> Self {
        match (pause.answer, pause.timed_out) {
            (Some(HookAction::Continue), _) => Self::Succeeded,
            (Some(HookAction::Rollback), _) => Self::Failed,
            (None, true) => Self::TimedOut,
            (None, false) if pause.call.is_some() => Self::InProgress,
            (None, false) => Self::AwaitingAction,
        }
    }

    /// AWS's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::AwaitingAction => "AWAITING_ACTION",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

/// Tasks that found no place, with what was in the way on the closest instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Task group.
    pub group: String,
    /// Instances, the closest first.
    pub instances: Vec<(InstanceId, Vec<String>)>,
    /// What would help most.
    pub nearest_fix: Option<String>,
}

/// Whether a change of a task matters: AWS's `version` grows with every one that does.
pub fn tells_task(old: Option<&Task>, new: &Task) -> bool {
    old.is_none_or(|old| {
        old.version != new.version
            || old.observed.status != new.observed.status
            || old.desired != new.desired
    })
}

/// Whether nothing more will be told of a task.
pub fn task_is_over(task: &Task) -> bool {
    task.is_stopped()
}

/// Whether a change of a container instance matters.
pub fn tells_instance(old: Option<&ContainerInstance>, new: &ContainerInstance) -> bool {
    old.is_none_or(|old| {
        old.version != new.version
            || old.status != new.status
            || old.connection.connected != new.connection.connected
    })
}

/// Whether nothing more will be told of a container instance.
pub fn instance_is_over(instance: &ContainerInstance) -> bool {
    instance.status == InstanceStatus::Inactive
}

/// Whether a change of a service matters to its history: not the memory of the scheduler.
pub fn tells_service(old: Option<&Service>, new: &Service) -> bool {
    let shown = |service: &Service| {
        let deployments = service.deployments.iter();
        deployments.map(|d| (d.id, d.status, d.desired_count, d.rollout)).collect::<Vec<_>>()
    };
    old.is_none_or(|old| {
        old.status != new.status
            || old.desired_count != new.desired_count
            || old.scheduling_strategy != new.scheduling_strategy
            || old.deployment_configuration != new.deployment_configuration
            || shown(old) != shown(new)
    })
}

/// Whether nothing more will be told of a service.
pub fn service_is_over(service: &Service) -> bool {
    service.status == ServiceStatus::Inactive
}

/// Whether a change of a service deployment matters.
pub fn tells_service_deployment(old: Option<&ServiceDeployment>, new: &ServiceDeployment) -> bool {
    old.is_none_or(|old| {
        old.status != new.status
            || old.stage != new.stage
            || old.rollback != new.rollback
            || old.pauses != new.pauses
            || old.shift != new.shift
            || old.breaker.triggered != new.breaker.triggered
    })
}

/// Steps of deployments that a change of a service takes, the oldest deployment first.
///
/// A deployment that is new, or goes on again after it had ended, is in progress; one that
/// reached its steady state is completed; one that was given up has failed. Deployments that are
/// replaced before they end tell nothing.
pub fn deployment_steps(old: Option<&Service>, new: &Service) -> Vec<DeploymentStep> {
    let before = |id: u64| -> Option<&Deployment> {
        old.and_then(|old| old.deployments.iter().find(|known| known.id == id))
    };
    let taken = |now: &&Deployment| before(now.id).is_none_or(|known| known.rollout != now.rollout);
    let step = |deployment: &Deployment| DeploymentStep {
        scope: new.scope.clone(),
        cluster: new.cluster.clone(),
        service: new.name.clone(),
        deployment: deployment.id,
        rollout: deployment.rollout,
        reason: deployment.rollout_reason.clone(),
        at: deployment.updated_at,
    };
    new.deployments.iter().rev().filter(taken).map(step).collect()
}

/// Steps of lifecycle hooks that a change of a service deployment takes.
pub fn hook_steps(old: Option<&ServiceDeployment>, new: &ServiceDeployment) -> Vec<HookStep> {
    let before = |id: &String| {
        let known = old.and_then(|old| old.pauses.iter().find(|known| known.id == *id));
        known.map(HookState::of)
    };
    let step = |pause: &Pause| HookStep {
        scope: new.scope.clone(),
        cluster: new.cluster.clone(),
        service: new.service.clone(),
        deployment: new.id,
        hook: pause.id.clone(),
        calls: pause.call.is_some(),
        stage: pause.stage,
        state: HookState::of(pause),
        expires_at: pause.expires_at,
        at: new.updated_at,
    };
    let taken = |pause: &&Pause| before(&pause.id) != Some(HookState::of(pause));
    new.pauses.iter().filter(taken).map(step).collect()
}

#[cfg(test)]
mod tests;
