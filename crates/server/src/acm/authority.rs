//! The local authority: it is made when it is first needed, and issues what is requested.

use std::time::Duration;

use longshore_domain::ids::IdSource;
use longshore_domain::record::{CertificateAuthority, PrivateKey};
use longshore_domain::time::Timestamp;
use longshore_store::tables::CertificateAuthorityKey;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::acm::ErrorCode;
use longshore_wire::acm::enums::KeyAlgorithm;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};

use super::invalid;
use crate::Server;
use crate::clock::{self, RandomIds};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// How long certificates are valid, as those of AWS: 13 months.
const VALID_DAYS: u64 = 395;
/// How long the authority is trusted.
const AUTHORITY_DAYS: u64 = 10 * 365;
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
        valid(&mut params, now, VALID_DAYS);
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
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Longshore");
    // Users of several control planes can tell their authorities apart.
    let number = format!("{:032x}", RandomIds.next_id());
    subject.push(DnType::CommonName, format!("Longshore local CA {}", &number[..8]));
    params.distinguished_name = subject;
    valid(&mut params, now, AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok(CertificateAuthority {
        certificate_pem: certificate.pem(),
        key: PrivateKey(key.serialize_pem()),
        created_at: now,
    })
}

/// Valid since a little before now, since clocks differ.
fn valid(params: &mut CertificateParams, now: Timestamp, days: u64) {
    let now_s = u64::try_from(now.as_millis() / 1000).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now_s.saturating_sub(HOUR));
    params.not_after = epoch + Duration::from_secs(now_s + days * DAY);
    let serial = RandomIds.next_id() >> 1;
    params.serial_number = Some(SerialNumber::from_slice(&serial.to_be_bytes()));
}

fn failed(error: &rcgen::Error) -> ServiceError {
    tracing::error!(%error, "a certificate could not be issued");
    ErrorCode::InternalServerException.error("The certificate could not be issued.")
}
