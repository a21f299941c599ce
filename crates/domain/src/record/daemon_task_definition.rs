//! Daemon task definitions: the registered document, and the task definition that it runs as.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::{Document, TaskDefinition};
use crate::ids::{Family, Revision, Scope};
use crate::time::Timestamp;

/// One revision of a daemon task definition. Families of daemon task definitions and of task
/// definitions have nothing to do with each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonTaskDefinition {
    /// Account and region.
    pub scope: Scope,
    /// Family.
    pub family: Family,
    /// Revision within the family.
    pub revision: Revision,
    /// Where it is in its life.
    pub status: DaemonTaskDefinitionStatus,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// ARN of the principal that registered it.
    pub registered_by: String,
    /// When its deletion was asked for.
    pub delete_requested_at: Option<Timestamp>,
    /// When it was deleted; it stays describable for a while.
    pub deleted_at: Option<Timestamp>,
    /// The registered members of AWS's `DaemonTaskDefinition`.
    pub document: Document,
    /// What its tasks are made from: the same as a task definition, of the same family and
    /// revision.
    pub task: TaskDefinition,
}

/// Status of a daemon task definition revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DaemonTaskDefinitionStatus {
    /// May be run.
    Active,
    /// Deletion asked for: daemons that have it go on with it.
    DeleteInProgress,
    /// No daemon has it any more.
    Deleted,
}

impl DaemonTaskDefinitionStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
            Self::Deleted => "DELETED",
        }
    }
}
