//! Container instances, by cluster and id.

use longshore_domain::ids::{ClusterName, InstanceId, Scope, TaskId};
use longshore_domain::journal;
use longshore_domain::record::ContainerInstance;

use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a container instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInstanceKey {
    /// Account and region.
    pub scope: Scope,
    /// Cluster.
    pub cluster: ClusterName,
    /// Id.
    pub id: InstanceId,
}

impl ContainerInstanceKey {
    /// All container instances of a cluster.
    pub fn in_cluster(scope: &Scope, cluster: &ClusterName) -> KeyPrefix<ContainerInstance> {
        KeyPath::new(scope, Kind::ContainerInstance).part(cluster).prefix()
    }
}

impl RecordKey for ContainerInstanceKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::ContainerInstance).part(&self.cluster).part(self.id).key()
    }
}

/// What container instances can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerInstanceIndex {
    /// Id, in any account, region and cluster: ids are unique.
    Id(InstanceId),
    /// EC2 instance id.
    Ec2Instance(Scope, String),
    /// Client token of the registration.
    RegistrationToken(Scope, ClusterName, String),
    /// A task that it has to end before anything else is started.
    Fence(TaskId),
}

impl Record for ContainerInstance {
    const KIND: Kind = Kind::ContainerInstance;
    const VERSION: u32 = 1;
    type Key = ContainerInstanceKey;
    type Index = ContainerInstanceIndex;

    fn key(&self) -> ContainerInstanceKey {
        ContainerInstanceKey {
            scope: self.scope.clone(),
            cluster: self.cluster.clone(),
            id: self.id,
        }
    }

    fn indexes(&self) -> Vec<ContainerInstanceIndex> {
        let ec2 = self.ec2_instance_id.clone();
        let mut indexes = vec![
            ContainerInstanceIndex::Id(self.id),
            ContainerInstanceIndex::Ec2Instance(self.scope.clone(), ec2),
        ];
        if let Some(token) = self.registration_token.clone() {
            let (scope, cluster) = (self.scope.clone(), self.cluster.clone());
            indexes.push(ContainerInstanceIndex::RegistrationToken(scope, cluster, token));
        }
        indexes.extend(self.fence.iter().map(|task| ContainerInstanceIndex::Fence(*task)));
        indexes
    }

    fn is_told(&self, old: Option<&Self>) -> bool {
        journal::tells_instance(old, self)
    }

    fn tells_removal(old: Option<&Self>) -> bool {
        !old.is_some_and(journal::instance_is_over)
    }
}
