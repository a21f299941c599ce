//! Certificates, and the authority that issues them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::Tags;
use crate::ids::{CertificateArn, CertificateId, Scope};
use crate::time::Timestamp;

/// A certificate with its key. What else the API says of it stands in the certificate itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Account and region.
    pub scope: Scope,
    /// Id, the last part of its ARN.
    pub id: CertificateId,
    /// How it was asked for; absent where it was imported.
    pub request: Option<CertificateRequest>,
    /// The first of its names, as the API calls it.
    pub domain: String,
    /// Names that it is for, `domain` among them, in their order.
    pub names: Vec<String>,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Those that vouch for it, PEM, the nearest first.
    pub chain_pem: Option<String>,
    /// Its private key.
    pub key: PrivateKey,
    /// Algorithm of the key, in the words of the API.
    pub key_algorithm: String,
    /// Since when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// When it was made known first.
    pub created_at: Timestamp,
    /// When it was issued or imported, last.
    pub updated_at: Timestamp,
    /// Tags.
    pub tags: Tags,
}

impl Certificate {
    /// Its ARN.
    pub fn arn(&self) -> String {
        CertificateArn { scope: self.scope.clone(), id: self.id }.to_string()
    }

    /// The certificate and those that vouch for it, PEM.
    pub fn full_chain_pem(&self) -> String {
        let mut pem = self.certificate_pem.clone();
        if let Some(chain) = &self.chain_pem {
            if !pem.ends_with('\n') {
                pem.push('\n');
            }
            pem.push_str(chain);
        }
        pem
    }
}

/// What was asked for when a certificate was requested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequest {
    /// `DNS`, `EMAIL` or `HTTP`.
    pub validation: String,
    /// Domains that mail would go to, by name of the certificate.
    pub validation_domains: BTreeMap<String, String>,
    /// Whether it was to be in a public log.
    pub transparency_logging: bool,
    /// Token of the request; with it, the same request gives the same certificate for an hour.
    pub token: Option<String>,
}

/// The authority that certificates are issued by: one for the control plane, so that it has to be
/// trusted once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAuthority {
    /// Its certificate, PEM.
    pub certificate_pem: String,
    /// Its private key.
    pub key: PrivateKey,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A private key, PEM. It is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(pub String);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
