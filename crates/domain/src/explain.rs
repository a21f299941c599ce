//! Why: what a service that is not steady and a task that is not RUNNING wait for, since when,
//! until when, and the nearest fix.
//!
//! The rule it keeps: whatever is not as it should be waits for something that has a name. When no
//! condition explains a service, that is said too ([`Cause::Scheduler`]). What has no place is not
//! remembered but asked anew: the service is planned without carrying the plan out.
//!
//! What it leaves out: logs and outputs of health checks, which stay with the runtime of an
//! instance.

mod service;
mod task;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

pub use service::{is_steady, service};
pub use task::task;

use crate::ids::{Family, Revision};
use crate::record::Task;
use crate::time::Timestamp;

/// How long an agent lets a container stop that says nothing of it (ECS: 30 seconds).
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Its kind.
    pub cause: Cause,
    /// What is waited for, in one line.
    pub what: String,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// When it ends at the latest, or is tried again; `None` when nothing but a change ends it.
    pub until: Option<Timestamp>,
    /// The nearest fix.
    pub fix: String,
}

impl Wait {
    fn new(cause: Cause, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { cause, what: what.into(), since: None, until: None, fix: fix.into() }
    }

    fn since(self, since: impl Into<Option<Timestamp>>) -> Self {
        Self { since: since.into(), ..self }
    }

    fn until(self, until: impl Into<Option<Timestamp>>) -> Self {
        Self { until: until.into(), ..self }
    }
}

/// Kind of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No instance has a place for a task.
    NoPlace,
    /// Tasks cannot have their role.
    Role,
    /// Tasks failed before they ran; the next attempt is delayed.
    Throttled,
    /// Tasks without health check have to run for a while before they count.
    Settling,
    /// A health check has not passed.
    HealthCheck,
    /// Balancers do not find a task healthy, or not yet.
    TargetHealth,
    /// What balancers have sent to a task that is to stop is under way.
    Draining,
    /// Containers are being stopped.
    Stopping,
    /// The deployment configuration allows neither a start nor a stop.
    DeploymentConfiguration,
    /// Protected tasks are in the way.
    Protected,
    /// A lifecycle hook waits for somebody.
    Paused,
    /// Traffic has shifted by a step, or wholly, and time has to pass.
    Baking,
    /// The agent of an instance has no session.
    AgentDisconnected,
    /// The agent has not taken a task yet.
    Agent,
    /// An image is being pulled.
    Pulling,
    /// Containers are being made and started.
    Starting,
    /// A container waits for another one of its task.
    Dependency,
    /// The circuit breaker counts failures.
    CircuitBreaker,
    /// The deployment goes back.
    RollingBack,
    /// The deployment has failed; nothing starts for it.
    Failed,
    /// An instance takes no tasks any more.
    DrainingInstance,
    /// Tasks of earlier deployments are still there.
    Replacing,
    /// More tasks run than are wanted.
    ScalingIn,
    /// The service is scaled to zero until there is a request.
    Asleep,
    /// The service is being deleted.
    Deleting,
    /// A task has ended.
    Stopped,
    /// The service scheduler looks at the service next.
    Scheduler,
}

impl Cause {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asleep => "ASLEEP",
            Self::NoPlace => "NO_PLACE",
            Self::Role => "ROLE",
            Self::Throttled => "THROTTLED",
            Self::Settling => "SETTLING",
            Self::HealthCheck => "HEALTH_CHECK",
            Self::TargetHealth => "TARGET_HEALTH",
            Self::Draining => "DRAINING",
            Self::Stopping => "STOPPING",
            Self::DeploymentConfiguration => "DEPLOYMENT_CONFIGURATION",
            Self::Protected => "PROTECTED",
            Self::Paused => "PAUSED",
            Self::Baking => "BAKING",
            Self::AgentDisconnected => "AGENT_DISCONNECTED",
            Self::Agent => "AGENT",
            Self::Pulling => "PULLING",
            Self::Starting => "STARTING",
            Self::Dependency => "DEPENDENCY",
            Self::CircuitBreaker => "CIRCUIT_BREAKER",
            Self::RollingBack => "ROLLING_BACK",
            Self::Failed => "FAILED",
            Self::DrainingInstance => "DRAINING_INSTANCE",
            Self::Replacing => "REPLACING",
            Self::ScalingIn => "SCALING_IN",
            Self::Deleting => "DELETING",
            Self::Stopped => "STOPPED",
            Self::Scheduler => "SCHEDULER",
        }
    }
}

/// How long the containers of a task definition may take to stop, where it says so.
pub type StopTimeouts = BTreeMap<(Family, Revision), Duration>;

/// When the containers of a task that is being stopped are killed.
fn killed_at(task: &Task, ordered_at: Timestamp, timeouts: &StopTimeouts) -> Timestamp {
    let timeout = timeouts.get(&(task.family.clone(), task.revision)).copied();
    ordered_at + timeout.unwrap_or(STOP_TIMEOUT)
}
