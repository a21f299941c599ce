//! The authority of the control plane: there is one.

use longshore_domain::record::ControlAuthority;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlAuthorityKey;

impl RecordKey for ControlAuthorityKey {
    fn encode(&self) -> Key {
        KeyPath::shared(Kind::ControlAuthority).part("local").key()
    }
}

impl Record for ControlAuthority {
    const KIND: Kind = Kind::ControlAuthority;
    const VERSION: u32 = 1;
    type Key = ControlAuthorityKey;
    type Index = NoIndex;

    fn key(&self) -> ControlAuthorityKey {
        ControlAuthorityKey
    }
}
