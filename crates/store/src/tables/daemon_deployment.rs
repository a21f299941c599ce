//! Daemon deployments, by daemon and id.

use longshore_domain::ids::{ClusterName, DaemonDeploymentId, DaemonName, Scope};
use longshore_domain::record::DaemonDeployment;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a daemon deployment. Deployments of one daemon are in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonDeploymentKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the daemon.
    pub cluster: ClusterName,
    /// The daemon.
    pub daemon: DaemonName,
    /// Id.
    pub id: DaemonDeploymentId,
}

impl DaemonDeploymentKey {
    /// All daemon deployments of a daemon, oldest first.
    pub fn of_daemon(
        scope: &Scope,
        cluster: &ClusterName,
        daemon: &DaemonName,
    ) -> KeyPrefix<DaemonDeployment> {
        KeyPath::new(scope, Kind::DaemonDeployment).part(cluster).part(daemon).prefix()
    }
}

impl RecordKey for DaemonDeploymentKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::DaemonDeployment);
        path.part(&self.cluster).part(&self.daemon).part(self.id).key()
    }
}

impl Record for DaemonDeployment {
    const KIND: Kind = Kind::DaemonDeployment;
    const VERSION: u32 = 1;
    type Key = DaemonDeploymentKey;
    type Index = NoIndex;

    fn key(&self) -> DaemonDeploymentKey {
        DaemonDeploymentKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            daemon: self.daemon.clone(),
            id: self.id,
        }
    }
}
