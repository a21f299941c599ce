//! Nodes of balancers, which serve all accounts.

use longshore_domain::record::BalancerNode;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names a node of balancers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalancerNodeKey {
    /// Its number.
    pub id: u64,
}

impl RecordKey for BalancerNodeKey {
    fn encode(&self) -> Key {
        KeyPath::shared(Kind::BalancerNode).part(self.id).key()
    }
}

impl Record for BalancerNode {
    const KIND: Kind = Kind::BalancerNode;
    const VERSION: u32 = 1;
    type Key = BalancerNodeKey;
    type Index = NoIndex;

    fn key(&self) -> BalancerNodeKey {
        BalancerNodeKey { id: self.id }
    }
}
