//! Managed daemons: one task on each container instance, and what these tasks are made from.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{DaemonDeploymentConfiguration, Tags};
use crate::ids::{ClusterName, DaemonDeploymentId, DaemonName, Family, Revision, Scope};
use crate::time::Timestamp;

/// A managed daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Name.
    pub name: DaemonName,
    /// Whether it is being deleted.
    pub status: DaemonStatus,
    /// How deployments go, unless an update says otherwise.
    pub configuration: DaemonDeploymentConfiguration,
    /// Revision that a deployment reached last: what instances have while no deployment is under
    /// way, and what a deployment that fails goes back to.
    pub current: Option<u64>,
    /// The most recent deployment.
    pub deployment: DaemonDeploymentId,
    /// Token of the call that made it.
    pub client_token: Option<String>,
    /// ARN of the principal that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When somebody last changed it.
    pub updated_at: Timestamp,
    /// Tags.
    pub tags: Tags,
}

/// Status of a daemon. When all of its tasks have stopped, a deleted daemon is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DaemonStatus {
    /// Runs.
    Active,
    /// Its tasks are being stopped.
    DeleteInProgress,
}

impl DaemonStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }
    }
}

/// What the tasks of a daemon are made from, and where they run. Never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of AWS's shape")]
pub struct DaemonRevision {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the daemon.
    pub cluster: ClusterName,
    /// The daemon.
    pub daemon: DaemonName,
    /// Number, random.
    pub id: u64,
    /// Family of its daemon task definition.
    pub family: Family,
    /// Revision of its daemon task definition.
    pub revision: Revision,
    /// Names of the capacity providers whose instances have it, at least one.
    pub capacity_providers: Vec<String>,
    /// Whether its tasks have the tags of the daemon.
    pub propagate_tags: bool,
    /// Whether its tasks have ECS's own tags.
    pub enable_ecs_managed_tags: bool,
    /// Whether ExecuteCommand may enter its tasks.
    pub enable_execute_command: bool,
    /// Whether an instance without it takes no other tasks.
    pub critical: bool,
    /// When it was made.
    pub created_at: Timestamp,
}
