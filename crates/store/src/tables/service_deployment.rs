//! Service deployments, by service and id.

use longshore_domain::ids::{ClusterName, Scope, ServiceDeploymentId, ServiceName};
use longshore_domain::journal;
use longshore_domain::record::ServiceDeployment;

use crate::contract::Key;
use crate::journal::Change;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a service deployment. Deployments of one service are in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDeploymentKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster of the service.
    pub cluster: ClusterName,
    /// The service.
    pub service: ServiceName,
    /// Id.
    pub id: ServiceDeploymentId,
}

impl ServiceDeploymentKey {
    /// All service deployments of a service, oldest first.
    pub fn of_service(
        scope: &Scope,
        cluster: &ClusterName,
        service: &ServiceName,
    ) -> KeyPrefix<ServiceDeployment> {
        KeyPath::new(scope, Kind::ServiceDeployment).part(cluster).part(service).prefix()
    }
}

impl RecordKey for ServiceDeploymentKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::ServiceDeployment);
        path.part(&self.cluster).part(&self.service).part(self.id).key()
    }
}

/// What service deployments can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceDeploymentIndex {
    /// A webhook of it is to be called, or has been called and not decided.
    Calls,
}

impl Record for ServiceDeployment {
    const KIND: Kind = Kind::ServiceDeployment;
    const VERSION: u32 = 1;
    type Key = ServiceDeploymentKey;
    type Index = ServiceDeploymentIndex;

    fn key(&self) -> ServiceDeploymentKey {
        ServiceDeploymentKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            service: self.service.clone(),
            id: self.id,
        }
    }

    fn indexes(&self) -> Vec<ServiceDeploymentIndex> {
        let calls = self.pauses.iter().any(|pause| pause.is_open() && pause.call.is_some());
        if calls && !self.status.is_over() { vec![ServiceDeploymentIndex::Calls] } else { vec![] }
    }

    fn is_told(&self, old: Option<&Self>) -> bool {
        journal::tells_service_deployment(old, self)
    }

    fn told_besides(&self, old: Option<&Self>) -> Vec<Change> {
        journal::hook_steps(old, self).into_iter().map(Change::HookStep).collect()
    }

    fn tells_removal(old: Option<&Self>) -> bool {
        !old.is_some_and(|deployment| deployment.status.is_over())
    }
}
