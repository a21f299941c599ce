//! Load balancers, by name: there is one of each in an account and region.

use longshore_domain::ids::Scope;
use longshore_domain::record::LoadBalancer;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancerKey {
    /// Account and region.
    pub scope: Scope,
    /// Name.
    pub name: String,
}

impl RecordKey for LoadBalancerKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::LoadBalancer).escaped(&self.name).key()
    }
}

impl Record for LoadBalancer {
    const KIND: Kind = Kind::LoadBalancer;
    const VERSION: u32 = 1;
    type Key = LoadBalancerKey;
    type Index = NoIndex;

    fn key(&self) -> LoadBalancerKey {
        LoadBalancerKey { scope: self.scope.clone(), name: self.name.clone() }
    }
}
