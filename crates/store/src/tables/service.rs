//! Services, by cluster and name.

use longshore_domain::idle;
use longshore_domain::ids::{ClusterName, Family, Revision, Scope, ServiceName};
use longshore_domain::journal;
use longshore_domain::record::Service;

use crate::contract::Key;
use crate::journal::Change;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Name.
    pub name: ServiceName,
}

impl ServiceKey {
    /// All services of a cluster.
    pub fn in_cluster(scope: &Scope, cluster: &ClusterName) -> KeyPrefix<Service> {
        KeyPath::new(scope, Kind::Service).part(cluster).prefix()
    }
}

impl RecordKey for ServiceKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::Service).part(&self.cluster).part(&self.name).key()
    }
}

/// What services can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceIndex {
    /// Task definition revision of any of its deployments or task sets, or of the deployment that
    /// it may go back to.
    TaskDefinition(Scope, Family, Revision),
    /// Tasks of a deployment or a task set of it are to be targets.
    Balanced,
    /// It scales to zero, or has done so.
    ScalesToZero,
}

impl Record for Service {
    const KIND: Kind = Kind::Service;
    const VERSION: u32 = 1;
    type Key = ServiceKey;
    type Index = ServiceIndex;

    fn key(&self) -> ServiceKey {
        ServiceKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            name: self.name.clone(),
        }
    }

    fn indexes(&self) -> Vec<ServiceIndex> {
        let definition = |family: &Family, revision| {
            ServiceIndex::TaskDefinition(self.scope.clone(), family.clone(), revision)
        };
        let completed = self.completed.iter().map(|completed| &completed.deployment);
        let mut indexes: Vec<ServiceIndex> = self
            .deployments
            .iter()
            .chain(completed)
            .chain(self.task_sets.iter().map(|set| &set.deployment))
            .map(|d| definition(&d.family, d.revision))
            .collect();
        let of_sets = self.task_sets.iter().map(|set| &set.deployment);
        let mut deployments = self.deployments.iter().chain(of_sets);
        if deployments.any(|deployment| !deployment.balancers.is_empty()) {
            indexes.push(ServiceIndex::Balanced);
        }
        if self.idle.is_some() || self.tags.contains_key(idle::TAG) {
            indexes.push(ServiceIndex::ScalesToZero);
        }
        indexes.sort();
        indexes.dedup();
        indexes
    }

    fn is_told(&self, old: Option<&Self>) -> bool {
        journal::tells_service(old, self)
    }

    fn told_besides(&self, old: Option<&Self>) -> Vec<Change> {
        journal::deployment_steps(old, self).into_iter().map(Change::DeploymentStep).collect()
    }

    fn tells_removal(old: Option<&Self>) -> bool {
        !old.is_some_and(journal::service_is_over)
    }
}
