//! Clusters, by name.

use longshore_domain::ids::{ClusterName, Scope};
use longshore_domain::record::Cluster;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterKey {
    /// Account and region.
    pub scope: Scope,
    /// Name.
    pub name: ClusterName,
}

impl RecordKey for ClusterKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::Cluster).part(&self.name).key()
    }
}

impl Record for Cluster {
    const KIND: Kind = Kind::Cluster;
    const VERSION: u32 = 1;
    type Key = ClusterKey;
    type Index = NoIndex;

    fn key(&self) -> ClusterKey {
        ClusterKey { scope: self.scope.clone(), name: self.name.clone() }
    }
}
