//! Target groups, by name: there is one of each in an account and region.

use longshore_domain::ids::Scope;
use longshore_domain::record::TargetGroup;

use super::NoIndex;
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

impl Record for TargetGroup {
    const KIND: Kind = Kind::TargetGroup;
    const VERSION: u32 = 1;
    type Key = TargetGroupKey;
    type Index = NoIndex;

    fn key(&self) -> TargetGroupKey {
        TargetGroupKey { scope: self.scope.clone(), name: self.name.clone() }
    }
}
