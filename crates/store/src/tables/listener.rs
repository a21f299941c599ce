//! Listeners, by balancer and id.

use longshore_domain::ids::{ElbId, Scope};
use longshore_domain::record::{Listener, forwarded_to};

use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerKey {
    /// Account and region.
    pub scope: Scope,
    /// Its balancer.
    pub balancer: ElbId,
    /// Id.
    pub id: ElbId,
}

impl ListenerKey {
    /// All listeners of a balancer.
    pub fn of_balancer(scope: &Scope, balancer: ElbId) -> KeyPrefix<Listener> {
        KeyPath::new(scope, Kind::Listener).part(balancer).prefix()
    }
}

impl RecordKey for ListenerKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::Listener).part(self.balancer).part(self.id).key()
    }
}

/// What listeners and rules can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForwardIndex {
    /// ARN of a target group that they forward to.
    TargetGroup(String),
    /// ARN of a certificate that they show.
    Certificate(String),
}

impl ForwardIndex {
    /// Those of actions, each once.
    pub(super) fn of<'a>(groups: impl Iterator<Item = &'a str>) -> Vec<Self> {
        let mut indexes: Vec<Self> = groups.map(|group| Self::TargetGroup(group.into())).collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes
    }
}

impl Record for Listener {
    const KIND: Kind = Kind::Listener;
    const VERSION: u32 = 1;
    type Key = ListenerKey;
    type Index = ForwardIndex;

    fn key(&self) -> ListenerKey {
        ListenerKey { scope: self.scope.clone(), balancer: self.balancer, id: self.id }
    }

    fn indexes(&self) -> Vec<ForwardIndex> {
        let mut indexes = ForwardIndex::of(forwarded_to(&self.default_actions));
        indexes.extend(self.certificates.iter().cloned().map(ForwardIndex::Certificate));
        indexes
    }
}
