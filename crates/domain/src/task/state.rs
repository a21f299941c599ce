//! What an agent knows of a task, as it is persisted.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::order;
use super::spec::TaskSpec;
use crate::record::{DesiredStatus, HealthStatus};
use crate::time::Timestamp;

/// How far a container has come. It only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Nothing was done yet.
    #[default]
    None,
    /// Its image is there, or was found to be beyond reach.
    Pulled,
    /// It was made.
    Created,
    /// It was started.
    Running,
    /// It will not run any more.
    Stopped,
}

/// A call to the runtime whose outcome is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Doing {
    /// The image is being pulled.
    Pulling,
    /// It is being made.
    Creating,
    /// It is being started, or restarted by its policy.
    Starting,
    /// It is being stopped or killed.
    Stopping,
}

/// Why something did not go as wanted: a name that programs look for, and a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// E.g. `CannotPullContainerError`.
    pub error: String,
    /// E.g. what the container runtime said.
    pub text: String,
}

impl Reason {
    /// A reason.
    pub fn new(error: impl Into<String>, text: impl Into<String>) -> Self {
        Self { error: error.into(), text: text.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.text)
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, if the runtime gave one.
    pub code: Option<i32>,
    /// E.g. `OutOfMemoryError`.
    pub reason: Option<Reason>,
    /// When.
    pub at: Timestamp,
}

/// What is known of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// How far it has come.
    pub status: Status,
    /// What is under way.
    pub doing: Option<Doing>,
    /// Exit code, once it has stopped and had one.
    pub exit_code: Option<i32>,
    /// Why it stopped, if not by itself.
    pub reason: Option<Reason>,
    /// Why its image could not be pulled; told if nothing cached serves either.
    pub pull_error: Option<Reason>,
    /// An exit that was seen before the call that started it returned.
    pub early_exit: Option<Exit>,
    /// What its health check says.
    pub health: HealthStatus,
    /// When health last changed.
    pub health_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// When it was last started.
    pub last_started_at: Option<Timestamp>,
    /// When it stopped.
    pub finished_at: Option<Timestamp>,
    /// Restarts by its policy.
    pub restarts: u32,
    /// Attempts to stop it that failed.
    pub failed_stops: u32,
    /// Not to be stopped again before.
    pub retry_stop_at: Option<Timestamp>,
}

impl ContainerState {
    /// Whether it will not run any more.
    pub fn is_stopped(&self) -> bool {
        self.status == Status::Stopped
    }
}

/// How far a task has come, as the control plane is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// All images are known.
    Pending,
    /// All containers run, or have run.
    Running,
    /// All containers have stopped.
    Stopped,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// What is wanted. There is no way back from stopped.
    pub desired: DesiredStatus,
    /// Its containers, in the specification's order.
    pub containers: Vec<ContainerState>,
    /// How far it was announced to have come.
    pub announced: Option<Phase>,
    /// Why the whole task cannot run.
    pub reason: Option<Reason>,
    /// When the first pull began.
    pub pull_started_at: Option<Timestamp>,
    /// When the last pull ended.
    pub pull_stopped_at: Option<Timestamp>,
    /// When the first essential container stopped.
    pub execution_stopped_at: Option<Timestamp>,
}

impl TaskState {
    /// A task of which nothing was done yet.
    pub fn new(spec: &TaskSpec) -> Self {
        Self {
            desired: DesiredStatus::Running,
            containers: vec![ContainerState::default(); spec.containers().len()],
            announced: None,
            reason: None,
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        }
    }

    /// Whether the task has ended: every container has stopped and no call is under way.
    pub fn is_stopped(&self) -> bool {
        self.containers.iter().all(ContainerState::is_stopped)
    }

    /// When [`super::step`] has to be called with [`super::Event::Tick`] if nothing else happens.
    pub fn next_deadline(&self, spec: &TaskSpec) -> Option<Timestamp> {
        let retries = self
            .containers
            .iter()
            .filter(|container| container.status == Status::Running && container.doing.is_none())
            .filter_map(|container| container.retry_stop_at);
        let waits = (0..self.containers.len())
            .filter(|_| self.desired == DesiredStatus::Running)
            .filter_map(|index| order::deadline(spec, self, index));
        retries.chain(waits).min()
    }
}
