//! Managed policies, by name.

use longshore_domain::ids::{AccountId, IamId};
use longshore_domain::record::IamPolicy;

use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names a managed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamPolicyKey {
    account: AccountId,
    name: String,
}

impl IamPolicyKey {
    /// The one with a name, in whatever case.
    pub fn new(account: AccountId, name: &str) -> Self {
        Self { account, name: name.to_ascii_lowercase() }
    }
}

impl RecordKey for IamPolicyKey {
    fn encode(&self) -> Key {
        KeyPath::account(self.account, Kind::IamPolicy).escaped(&self.name).key()
    }
}

/// What managed policies can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IamPolicyIndex {
    /// Unique id.
    Id(IamId),
}

impl Record for IamPolicy {
    const KIND: Kind = Kind::IamPolicy;
    const VERSION: u32 = 1;
    type Key = IamPolicyKey;
    type Index = IamPolicyIndex;

    fn key(&self) -> IamPolicyKey {
        IamPolicyKey::new(self.account, &self.name)
    }

    fn indexes(&self) -> Vec<IamPolicyIndex> {
        vec![IamPolicyIndex::Id(self.id.clone())]
    }
}
