//! Service events, by service and time.

use longshore_domain::ids::{ClusterName, EventId, Scope, ServiceName};
use longshore_domain::record::ServiceEvent;
use longshore_domain::time::Timestamp;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a service event. Events of one service are in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEventKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// When it happened.
    pub created_at: Timestamp,
    /// Id.
    pub id: EventId,
}

impl ServiceEventKey {
    /// All events of a service, oldest first.
    pub fn of_service(
        scope: &Scope,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> KeyPrefix<ServiceEvent> {
        KeyPath::new(scope, Kind::ServiceEvent).part(cluster).part(service).prefix()
    }
}

impl RecordKey for ServiceEventKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::ServiceEvent);
        // Fixed width, so that the order of keys is the order of time. Nothing happened
        // before the epoch.
        let millis = u64::try_from(self.created_at.as_millis()).unwrap_or(0);
        path.part(&self.cluster)
            .part(&self.service)
            .part(format_args!("{millis:016x}"))
            .part(self.id)
            .key()
    }
}

impl Record for ServiceEvent {
    const KIND: Kind = Kind::ServiceEvent;
    const VERSION: u32 = 1;
    type Key = ServiceEventKey;
    type Index = NoIndex;

    fn key(&self) -> ServiceEventKey {
        ServiceEventKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            service: self.service.clone(),
            created_at: self.created_at,
            id: self.id,
        }
    }

    fn is_told(&self, _: Option<&Self>) -> bool {
        true
    }
}
