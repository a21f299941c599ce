//! Clusters.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Document, Tags};
use crate::ids::{ClusterName, Scope};
use crate::time::Timestamp;

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Account and region.
    pub scope: Scope,
    /// Name, unique within the scope.
    pub name: ClusterName,
    /// Whether it takes resources.
    pub status: ClusterStatus,
    /// When it was created, or created anew after deletion.
    pub created_at: Timestamp,
    /// When it was deleted; decides when the INACTIVE record goes.
    pub deleted_at: Option<Timestamp>,
    /// Settings as name and value, e.g. `containerInsights` → `disabled`.
    pub settings: Vec<(String, String)>,
    /// `configuration` as given to the API.
    pub configuration: Option<Document>,
    /// `serviceConnectDefaults` as given to the API.
    pub service_connect_defaults: Option<Document>,
    /// Names of the associated capacity providers.
    pub capacity_providers: Vec<String>,
    /// `defaultCapacityProviderStrategy` as given to the API.
    pub default_capacity_provider_strategy: Option<Document>,
    /// Tags.
    pub tags: Tags,
}

/// Status of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterStatus {
    /// In use.
    Active,
    /// Deleted; describable for a while.
    Inactive,
}

impl ClusterStatus {
    /// AWS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
        }
    }
}
