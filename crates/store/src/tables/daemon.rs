//! Daemons, by cluster and name.

use longshore_domain::ids::{ClusterName, DaemonName, Scope};
use longshore_domain::record::Daemon;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Name.
    pub name: DaemonName,
}

impl DaemonKey {
    /// All daemons of a cluster.
    pub fn in_cluster(scope: &Scope, cluster: &ClusterName) -> KeyPrefix<Daemon> {
        KeyPath::new(scope, Kind::Daemon).part(cluster).prefix()
    }
}

impl RecordKey for DaemonKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::Daemon).part(&self.cluster).part(&self.name).key()
    }
}

impl Record for Daemon {
    const KIND: Kind = Kind::Daemon;
    const VERSION: u32 = 1;
    type Key = DaemonKey;
    type Index = NoIndex;

    fn key(&self) -> DaemonKey {
        DaemonKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            name: self.name.clone(),
        }
    }
}
