//! The authority by which the servers of a control plane prove to their clients who they are.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::Sealed;
use crate::time::Timestamp;

/// It vouches for servers of this control plane and for nothing else; certificates that are requested
/// are issued by another one ([`super::CertificateAuthority`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlAuthority {
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM, sealed.
    pub key: Sealed,
    /// When it was made.
    pub created_at: Timestamp,
}
