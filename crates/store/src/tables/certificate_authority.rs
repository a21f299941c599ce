//! The authority that issues certificates: there is one, which all accounts share.

use longshore_domain::record::CertificateAuthority;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateAuthorityKey;

impl RecordKey for CertificateAuthorityKey {
    fn encode(&self) -> Key {
        KeyPath::shared(Kind::CertificateAuthority).part("local").key()
    }
}

impl Record for CertificateAuthority {
    const KIND: Kind = Kind::CertificateAuthority;
    const VERSION: u32 = 1;
    type Key = CertificateAuthorityKey;
    type Index = NoIndex;

    fn key(&self) -> CertificateAuthorityKey {
        CertificateAuthorityKey
    }
}
