//! Targets, by group, id and port.

use longshore_domain::ids::{ClusterName, ElbId, Scope, ServiceName};
use longshore_domain::record::Target;

use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TargetKey {
    /// Account and region.
    pub scope: Scope,
    /// Its group.
    pub group: ElbId,
    /// Instance id or address.
    pub id: String,
    /// Port.
    pub port: u16,
}

impl TargetKey {
    /// All targets of a group.
    pub fn of_group(scope: &Scope, group: ElbId) -> KeyPrefix<Target> {
        KeyPath::new(scope, Kind::Target).part(group).prefix()
    }
}

impl RecordKey for TargetKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::Target).part(self.group);
        path.escaped(&self.id).part(self.port).key()
    }
}

/// What targets can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetIndex {
    /// The service whose task it is.
    Service(Scope, ClusterName, ServiceName),
    /// Somebody has registered it, and has taken it away.
    LeavesByHand,
}

impl Record for Target {
    const KIND: Kind = Kind::Target;
    const VERSION: u32 = 1;
    type Key = TargetKey;
    type Index = TargetIndex;

    fn key(&self) -> TargetKey {
        TargetKey {
            scope: self.scope.clone(),
            group: self.group,
            id: self.id.clone(),
            port: self.port,
        }
    }

    fn indexes(&self) -> Vec<TargetIndex> {
        let service = |task: &longshore_domain::record::TaskTarget| {
            TargetIndex::Service(self.scope.clone(), task.cluster.clone(), task.service.clone())
        };
        let by_hand = self.task.is_none() && self.deregistered_at.is_some();
        let by_hand = by_hand.then_some(TargetIndex::LeavesByHand);
        self.task.iter().map(service).chain(by_hand).collect()
    }
}
