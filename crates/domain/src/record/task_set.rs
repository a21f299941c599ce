//! Task sets: the parts of a service whose deployments something outside Longshore controls.
//!
//! The controller outside makes one set per version and moves their scales; the service scheduler
//! only keeps as many tasks of each as the scale asks for.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Deployment, Document, LaunchType, Notice, Tags};
use crate::time::Timestamp;

/// AWS's `deploymentController`: who decides about new versions of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentController {
    /// The service scheduler, by rolling deployments.
    #[default]
    Ecs,
    /// Somebody else, by task sets.
    External,
}

/// One version of a service with the EXTERNAL deployment controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSet {
    /// What the service scheduler keeps of it, as of a deployment; its `ecs-svc/NUMBER` is the id
    /// of the set and `startedBy` of its tasks.
    pub deployment: Deployment,
    /// What it is to the service.
    pub status: TaskSetStatus,
    /// What the controller calls it.
    pub external_id: Option<String>,
    /// Its share of the desired count.
    pub scale: Scale,
    /// Launch type of its tasks.
    pub launch_type: LaunchType,
    /// All other members as given to the API.
    pub document: Document,
    /// Client token of CreateTaskSet.
    pub client_token: Option<String>,
    /// AWS's `stabilityStatus`: whether exactly the wanted tasks are there, all of them serving.
    pub is_steady: bool,
    /// When that last changed.
    pub steady_changed_at: Timestamp,
    /// Earliest time of the next attempt to start tasks after failures.
    pub retry_at: Option<Timestamp>,
    /// Conditions that events told of and that still hold.
    pub notices: Vec<Notice>,
    /// Tags.
    pub tags: Tags,
}

/// Status of a task set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskSetStatus {
    /// Serves production traffic, as the controller says.
    Primary,
    /// Does not.
    Active,
    /// Deleted, tasks still stopping.
    Draining,
}

impl TaskSetStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

/// A share of a desired count, in millionths of a percent: at most 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scale(u32);

impl Scale {
    /// Everything: 100 %.
    pub const WHOLE: Self = Self(100_000_000);

    /// A share of so many millionths of a percent; `None` above 100 %.
    #[must_use]
    pub fn from_millionths(millionths: u32) -> Option<Self> {
        (millionths <= Self::WHOLE.0).then_some(Self(millionths))
    }

    /// Millionths of a percent.
    #[must_use]
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// Its share of a number of tasks, rounded up.
    #[must_use]
    pub fn of(self, tasks: u32) -> u32 {
        let share = (u64::from(self.0) * u64::from(tasks)).div_ceil(u64::from(Self::WHOLE.0));
        u32::try_from(share).unwrap_or(tasks)
    }
}

impl TaskSet {
    /// AWS's id of the set: `ecs-svc/NUMBER`.
    #[must_use]
    pub fn label(&self) -> String {
        self.deployment.label()
    }

    /// AWS's `computedDesiredCount`: its share of the service's desired count, rounded up.
    #[must_use]
    pub fn computed_desired_count(&self, desired_count: u32) -> u32 {
        match self.status {
            TaskSetStatus::Draining => 0,
            TaskSetStatus::Primary | TaskSetStatus::Active => self.scale.of(desired_count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        for (millionths, tasks, expected) in [
            (100_000_000, 7, 7),
            (0, 7, 0),
            (30_000_000, 10, 3),
            (30_000_000, 4, 2),
            (12_000_000, 10, 2),
            (1, 5000, 1),
            (33_333_333, 3, 1),
            (33_333_334, 3, 2),
            (100_000_000, 0, 0),
        ] {
            let scale = Scale::from_millionths(millionths).expect("at most all");
            assert_eq!(scale.of(tasks), expected, "{millionths} of {tasks}");
        }
        assert_eq!(Scale::from_millionths(100_000_001), None);
    }
}
