//! Rules, by listener and id.

use longshore_domain::ids::{ElbId, Scope};
use longshore_domain::record::{ListenerRule, forwarded_to};

use super::ForwardIndex;
use crate::contract::Key;
use crate::record::{KeyPath, KeyPrefix, Record, RecordKey};
use crate::view::Kind;

/// Names a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerRuleKey {
    /// Account and region.
    pub scope: Scope,
    /// Its listener.
    pub listener: ElbId,
    /// Id.
    pub id: ElbId,
}

impl ListenerRuleKey {
    /// All rules of a listener.
    pub fn of_listener(scope: &Scope, listener: ElbId) -> KeyPrefix<ListenerRule> {
        KeyPath::new(scope, Kind::ListenerRule).part(listener).prefix()
    }
}

impl RecordKey for ListenerRuleKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::ListenerRule).part(self.listener).part(self.id).key()
    }
}

impl Record for ListenerRule {
    const KIND: Kind = Kind::ListenerRule;
    const VERSION: u32 = 1;
    type Key = ListenerRuleKey;
    type Index = ForwardIndex;

    fn key(&self) -> ListenerRuleKey {
        ListenerRuleKey { scope: self.scope.clone(), listener: self.listener, id: self.id }
    }

    fn indexes(&self) -> Vec<ForwardIndex> {
        ForwardIndex::of(forwarded_to(&self.actions))
    }
}
