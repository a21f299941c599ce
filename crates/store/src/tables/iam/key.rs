//! Access keys, by id: whoever signs names nothing else.

use longshore_domain::ids::{AccountId, IamId};
use longshore_domain::record::AccessKey;

use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeyKey {
    /// Id.
    pub id: IamId,
}

impl RecordKey for AccessKeyKey {
    fn encode(&self) -> Key {
        KeyPath::shared(Kind::AccessKey).part(&self.id).key()
    }
}

/// What access keys can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessKeyIndex {
    /// Those of a user, by its unique id.
    User(IamId),
    /// Those of an account's root.
    Root(AccountId),
}

impl Record for AccessKey {
    const KIND: Kind = Kind::AccessKey;
    const VERSION: u32 = 1;
    type Key = AccessKeyKey;
    type Index = AccessKeyIndex;

    fn key(&self) -> AccessKeyKey {
        AccessKeyKey { id: self.id.clone() }
    }

    fn indexes(&self) -> Vec<AccessKeyIndex> {
        vec![match &self.user {
            Some(user) => AccessKeyIndex::User(user.clone()),
            None => AccessKeyIndex::Root(self.account),
        }]
    }
}
