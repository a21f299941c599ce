//! Client tokens, by operation and token.

use longshore_domain::ids::Scope;
use longshore_domain::record::ClientToken;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names a remembered call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTokenKey {
    /// Account and region.
    pub scope: Scope,
    /// Operation name.
    pub operation: String,
    /// The token as the client sent it.
    pub token: String,
}

impl RecordKey for ClientTokenKey {
    fn encode(&self) -> Key {
        let path = KeyPath::new(&self.scope, Kind::ClientToken);
        path.escaped(&self.operation).escaped(&self.token).key()
    }
}

impl Record for ClientToken {
    const KIND: Kind = Kind::ClientToken;
    const VERSION: u32 = 1;
    type Key = ClientTokenKey;
    type Index = NoIndex;

    fn key(&self) -> ClientTokenKey {
        ClientTokenKey {
            scope: self.scope.clone(),
            operation: self.operation.clone(),
            token: self.token.clone(),
        }
    }
}
