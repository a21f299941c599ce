//! Daemon deployments: how a daemon goes from one revision to the next.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterName, DaemonDeploymentId, DaemonName, Scope};
use crate::time::Timestamp;

/// The way of a daemon to a revision, or to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonDeployment {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the daemon.
    pub cluster: ClusterName,
    /// The daemon.
    pub daemon: DaemonName,
    /// Id; ids of later deployments are greater.
    pub id: DaemonDeploymentId,
    /// Revision that it leads to; none when the daemon is being deleted.
    pub target: Option<u64>,
    /// Revisions whose tasks it replaces.
    pub sources: Vec<u64>,
    /// How it stands.
    pub status: DaemonDeploymentStatus,
    /// Why it stands so.
    pub status_reason: Option<String>,
    /// How it goes.
    pub configuration: DaemonDeploymentConfiguration,
    /// Tasks of the target that failed.
    pub failures: u32,
    /// Failures at which it is given up; 0 until it has begun.
    pub threshold: u32,
    /// The way back, once it is taken.
    pub rollback: Option<DaemonRollback>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When something stopped it.
    pub stopped_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// How a daemon deployment goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DaemonDeploymentConfiguration {
    /// Share of the instances, in percent, that are without the daemon at a time; one at least.
    pub drain_percent: f64,
    /// Minutes from the last instance to the end.
    pub bake_time_min: u32,
    /// Names of alarms; kept, but not watched.
    pub alarm_names: Vec<String>,
}

/// How a daemon deployment stands. AWS's STOP_REQUESTED is not among them: what stops a deployment
/// says at once where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DaemonDeploymentStatus {
    /// Asked for.
    Pending,
    /// Under way.
    InProgress,
    /// Goes back.
    RollbackInProgress,
    /// Reached its target.
    Successful,
    /// Ended where it was: another one took its place, or it failed and there is no way back.
    Stopped,
    /// Went back.
    RollbackSuccessful,
    /// Could not go back.
    RollbackFailed,
}

impl DaemonDeploymentStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::InProgress => "IN_PROGRESS",
            Self::RollbackInProgress => "ROLLBACK_IN_PROGRESS",
            Self::Successful => "SUCCESSFUL",
            Self::Stopped => "STOPPED",
            Self::RollbackSuccessful => "ROLLBACK_SUCCESSFUL",
            Self::RollbackFailed => "ROLLBACK_FAILED",
        }
    }

    /// Whether nothing comes after it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress | Self::RollbackInProgress)
    }
}

/// The way back of a daemon deployment that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRollback {
    /// Why it is taken.
    pub reason: String,
    /// When it was taken.
    pub started_at: Timestamp,
    /// Revision that it leads to.
    pub target: u64,
    /// Tasks of that revision that failed since.
    pub failures: u32,
}
