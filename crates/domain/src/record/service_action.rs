//! Service actions: what AWS's EventBridge is told of a service besides its deployments.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::InstanceId;

/// What a `ECS Service Action` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAction {
    /// AWS's `eventName`.
    pub name: ActionName,
    /// AWS's `reason`, e.g. `RESOURCE:CPU`.
    pub reason: Option<String>,
    /// Instances that were considered, for AWS's `containerInstanceArns`.
    pub instances: Vec<InstanceId>,
}

/// AWS's `eventName` of a service action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ActionName {
    /// As many tasks run as are wanted.
    ServiceSteadyState,
    /// As many tasks of a task set run as are wanted.
    TasksetSteadyState,
    /// Tasks keep failing before they run.
    ServiceTaskStartImpaired,
    /// A task has no place.
    ServiceTaskPlacementFailure,
    /// Tasks cannot start as they are configured.
    ServiceTaskConfigurationFailure,
    /// A daemon has no place on an instance that should have one.
    ServiceDaemonPlacementConstraintViolated,
    /// Tasks begin to move between availability zones.
    ServiceRebalancingStarted,
    /// Tasks are spread evenly over availability zones.
    ServiceRebalancingCompleted,
    /// They are not spread any further.
    ServiceRebalancingStopped,
    /// Tasks were started to spread them evenly.
    TasksStarted,
    /// Tasks were stopped to spread them evenly.
    TasksStopped,
    /// Protected tasks are in the way of scaling in.
    TasksetScaleInFailureByTaskProtection,
}

/// AWS's `eventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionType {
    /// As it should be.
    Info,
    /// May need somebody.
    Warn,
    /// Needs somebody.
    Error,
}

impl ActionName {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceSteadyState => "SERVICE_STEADY_STATE",
            Self::TasksetSteadyState => "TASKSET_STEADY_STATE",
            Self::ServiceRebalancingStopped => "SERVICE_REBALANCING_STOPPED",
            Self::TasksStarted => "TASKS_STARTED",
            Self::TasksStopped => "TASKS_STOPPED",
            Self::ServiceTaskStartImpaired => "SERVICE_TASK_START_IMPAIRED",
            Self::ServiceTaskPlacementFailure => "SERVICE_TASK_PLACEMENT_FAILURE",
            Self::ServiceTaskConfigurationFailure => "SERVICE_TASK_CONFIGURATION_FAILURE",
            Self::ServiceDaemonPlacementConstraintViolated => {
                "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED"
            }
            Self::ServiceRebalancingStarted => "SERVICE_REBALANCING_STARTED",
            Self::ServiceRebalancingCompleted => "SERVICE_REBALANCING_COMPLETED",
            Self::TasksetScaleInFailureByTaskProtection => {
                "TASKSET_SCALE_IN_FAILURE_BY_TASK_PROTECTION"
            }
        }
    }

    /// How grave it is.
    pub fn kind(self) -> ActionType {
        match self {
            Self::ServiceSteadyState
            | Self::TasksetSteadyState
            | Self::ServiceRebalancingStopped
            | Self::TasksStarted
            | Self::TasksStopped
            | Self::ServiceRebalancingStarted
            | Self::ServiceRebalancingCompleted => ActionType::Info,
            Self::ServiceTaskStartImpaired | Self::TasksetScaleInFailureByTaskProtection => {
                ActionType::Warn
            }
            Self::ServiceTaskPlacementFailure
            | Self::ServiceTaskConfigurationFailure
            | Self::ServiceDaemonPlacementConstraintViolated => ActionType::Error,
        }
    }
}

impl ActionType {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}
