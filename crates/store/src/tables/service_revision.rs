//! Service revisions, by service and number.

use longshore_domain::ids::{ClusterName, Scope, ServiceName};
use longshore_domain::record::ServiceRevision;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a service revision. The number is random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRevisionKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// Number.
    pub id: u64,
}

impl ServiceRevisionKey {
    /// All service revisions of a service.
    pub fn of_service(
        scope: &Scope,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> KeyPrefix<ServiceRevision> {
        KeyPath::new(scope, Kind::ServiceRevision).part(cluster).part(service).prefix()
    }
}

impl RecordKey for ServiceRevisionKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::ServiceRevision);
        path.part(&self.cluster).part(&self.service).part(self.id).key()
    }
}

impl Record for ServiceRevision {
    const KIND: Kind = Kind::ServiceRevision;
    const VERSION: u32 = 1;
    type Key = ServiceRevisionKey;
    type Index = NoIndex;

    fn key(&self) -> ServiceRevisionKey {
        ServiceRevisionKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            service: self.service.clone(),
            id: self.id,
        }
    }
}
