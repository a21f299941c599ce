//! The local authority: it is made when it is first needed, and issues what is requested.

use std::time::Duration;

use longshore_domain::record::{CertificateAuthority, PrivateKey};
use longshore_domain::time::Timestamp;
use longshore_store::tables::CertificateAuthorityKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::acm::ErrorCode;
use longshore_wire::acm::enums::KeyAlgorithm;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::invalid;
use crate::tls::{self_signed, valid};
use crate::{Server, clock};

/// How long certificates are valid, as those of AWS: 13 months.
const LIFE: Duration = Duration::from_secs(395 * 24 * 3600);
/// Longest common name (RFC 5280, `ub-common-name`).
const COMMON_NAME: usize = 64;

/// A certificate that was issued, and its key.
pub(super) struct Issued {
    pub(super) certificate_pem: String,
    pub(super) chain_pem: String,
    pub(super) key: PrivateKey,
}

/// The certificate of the authority, PEM.
///
/// # Errors
/// The store cannot be reached.
pub(crate) async fn certificate(server: &Server) -> Result<String, ServiceError> {
    let now = clock::now();
    let decide = |view: &View, txn: &mut RecordTxn| ensured(view, txn, now);
    server.decide(decide).await.map(|authority| authority.certificate_pem)
}

/// The authority; a new one, if there is none.
fn ensured(
    view: &View,
    txn: &mut RecordTxn,
    now: Timestamp,
) -> Result<CertificateAuthority, ServiceError> {
    if let Some(known) = view.certificate_authorities.get(&CertificateAuthorityKey) {
        return Ok(known.record.clone());
    }
    let new = authority(now).map_err(|error| failed(&error))?;
    txn.insert(&new);
    Ok(new)
}

/// Issues a certificate for these names.
///
/// # Errors
/// `ValidationException` for algorithms that keys are not made for here.
pub(super) fn issue(
    view: &View,
    txn: &mut RecordTxn,
    names: &[String],
    algorithm: KeyAlgorithm,
    now: Timestamp,
) -> Result<Issued, ServiceError> {
    let kind = match algorithm {
        KeyAlgorithm::EcPrime256v1 => &rcgen::PKCS_ECDSA_P256_SHA256,
        KeyAlgorithm::EcSecp384r1 => &rcgen::PKCS_ECDSA_P384_SHA384,
        other => {
            return Err(invalid(format!(
                "The local authority of Longshore issues certificates for keys of the algorithms \
                 EC_prime256v1 and EC_secp384r1, not {other}; import one of that kind instead."
            )));
        }
    };
    let authority = ensured(view, txn, now)?;
    let signed = || -> Result<Issued, rcgen::Error> {
        let key = KeyPair::generate_for(kind)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        let mut subject = DistinguishedName::new();
        if let Some(name) = names.first().filter(|name| name.len() <= COMMON_NAME) {
            subject.push(DnType::CommonName, name.as_str());
        }
        params.distinguished_name = subject;
        valid(&mut params, now, LIFE);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signer = KeyPair::from_pem(&authority.key.0)?;
        let issuer = Issuer::from_ca_cert_pem(&authority.certificate_pem, signer)?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            chain_pem: authority.certificate_pem.clone(),
            key: PrivateKey(key.serialize_pem()),
        })
    };
    signed().map_err(|error| failed(&error))
}

fn authority(now: Timestamp) -> Result<CertificateAuthority, rcgen::Error> {
    let usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let (certificate_pem, key) = self_signed("Longshore local CA", usages, now)?;
    Ok(CertificateAuthority {
        certificate_pem,
        key: PrivateKey(key.serialize_pem()),
        created_at: now,
    })
}

fn failed(error: &rcgen::Error) -> ServiceError {
    tracing::error!(%error, "a certificate could not be issued");
    ErrorCode::InternalServerException.error("The certificate could not be issued.")
}
