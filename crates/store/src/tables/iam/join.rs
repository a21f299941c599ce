//! Join tokens, by id: whoever has one names nothing else.

use longshore_domain::record::JoinToken;

use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::tables::NoIndex;
use crate::view::Kind;

/// Names a join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTokenKey {
    /// Id, as somebody sent it.
    pub id: String,
}

impl RecordKey for JoinTokenKey {
    fn encode(&self) -> Key {
        KeyPath::shared(Kind::JoinToken).escaped(&self.id).key()
    }
}

impl Record for JoinToken {
    const KIND: Kind = Kind::JoinToken;
    const VERSION: u32 = 1;
    type Key = JoinTokenKey;
    type Index = NoIndex;

    fn key(&self) -> JoinTokenKey {
        JoinTokenKey { id: self.id.clone() }
    }
}
