//! Certificates, by id.

use longshore_domain::ids::{CertificateId, Scope};
use longshore_domain::record::Certificate;

use super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateKey {
    /// Account and region.
    pub scope: Scope,
    /// Id.
    pub id: CertificateId,
}

impl RecordKey for CertificateKey {
    fn encode(&self) -> Key {
        KeyPath::new(&self.scope, Kind::Certificate).part(self.id).key()
    }
}

impl Record for Certificate {
    const KIND: Kind = Kind::Certificate;
    const VERSION: u32 = 1;
    type Key = CertificateKey;
    type Index = NoIndex;

    fn key(&self) -> CertificateKey {
        CertificateKey { scope: self.scope.clone(), id: self.id }
    }
}
