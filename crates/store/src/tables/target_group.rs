//! Target groups, by name: there is one of each in an account and region.

use longshore_domain::ids::{ElbId, Scope};
use longshore_domain::record::TargetGroup;

use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names a target group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroupKey {
    /// Account and region.
    pub scope: Scope,
    /// Name.
    pub name: String,
}

impl RecordKey for TargetGroupKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::TargetGroup).escaped(&self.name).key()
    }
}

/// What target groups can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetGroupIndex {
    /// Id, by which targets know their group.
    Id(ElbId),
}

impl Record for TargetGroup {
    const KIND: Kind = Kind::TargetGroup;
    const VERSION: u32 = 1;
    type Key = TargetGroupKey;
    type Index = TargetGroupIndex;

    fn key(&self) -> TargetGroupKey {
        TargetGroupKey { scope: self.scope.clone(), name: self.name.clone() }
    }

    fn indexes(&self) -> Vec<TargetGroupIndex> {
        vec![TargetGroupIndex::Id(self.id)]
    }
}
