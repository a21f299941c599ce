//! Daemon revisions, by daemon and number.

use longshore_domain::ids::{ClusterName, DaemonName, Scope};
use longshore_domain::record::DaemonRevision;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a daemon revision. The number is random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonRevisionKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the daemon.
    pub cluster: ClusterName,
    /// The daemon.
    pub daemon: DaemonName,
    /// Number.
    pub id: u64,
}

impl DaemonRevisionKey {
    /// All daemon revisions of a daemon.
    pub fn of_daemon(
        scope: &Scope,
        cluster: &ClusterName,
        daemon: &DaemonName,
    ) -> KeyPrefix<DaemonRevision> {
        KeyPath::new(scope, Kind::DaemonRevision).part(cluster).part(daemon).prefix()
    }
}

impl RecordKey for DaemonRevisionKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::DaemonRevision);
        path.part(&self.cluster).part(&self.daemon).part(self.id).key()
    }
}

impl Record for DaemonRevision {
    const KIND: Kind = Kind::DaemonRevision;
    const VERSION: u32 = 1;
    type Key = DaemonRevisionKey;
    type Index = NoIndex;

    fn key(&self) -> DaemonRevisionKey {
        DaemonRevisionKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            daemon: self.daemon.clone(),
            id: self.id,
        }
    }
}
