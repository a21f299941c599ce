//! What stands in certificates, and whether certificate, key and chain belong together.
//!
//! Refusals have the words of Certificate Manager where AWS publishes them ("Certificate import
//! problems" of its user guide, and its knowledge center).

use std::net::IpAddr;
use std::sync::Arc;

use longshore_domain::time::Timestamp;
use longshore_wire::ServiceError;
use longshore_wire::acm::enums::{ExtendedKeyUsageName, KeyAlgorithm, KeyUsageName};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name, X509Version};
use x509_parser::public_key::PublicKey;

use super::invalid;

/// What a certificate says.
#[derive(Debug, PartialEq)]
pub(super) struct Facts {
    /// Names that it is for, the common name first if it is one of them.
    pub(super) names: Vec<String>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) key_algorithm: KeyAlgorithm,
    pub(super) signature_algorithm: String,
    pub(super) serial: String,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) key_usages: Vec<KeyUsageName>,
    pub(super) extended_key_usages: Vec<(ExtendedKeyUsageName, String)>,
}

/// The facts of a certificate in a record.
pub(super) fn of_record(pem: &str) -> Option<Facts> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    facts(&certificate).ok()
}

/// Checks a certificate, its key, and those that vouch for it.
///
/// # Errors
/// `ValidationException`.
pub(super) fn checked(
    certificate: &[u8],
    key: &[u8],
    chain: Option<&[u8]>,
    now: Timestamp,
) -> Result<Facts, ServiceError> {
    let ders: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable())?;
    let [der] = ders.as_slice() else {
        return Err(if ders.is_empty() {
            unreadable()
        } else {
            invalid(
                "The certificate field contains more than one certificate. You can specify only \
                 one certificate in this field.",
            )
        });
    };
    let (_, parsed) = X509Certificate::from_der(der).map_err(|_| unreadable())?;
    let facts = facts(&parsed)?;
    if facts.not_after < now {
        return Err(invalid("The certificate has expired, is not valid."));
    }
    if facts.not_before > now {
        return Err(invalid("The certificate is not in effect yet, is not valid."));
    }
    check_key(der, key)?;
    match chain {
        Some(chain) => check_chain(der, &parsed, chain)?,
        None if vouches(&parsed, &parsed) => {}
        None => {
            return Err(invalid(
                "Provided certificate is not a valid self signed. Please provide either a valid \
                 self-signed certificate or certificate chain.",
            ));
        }
    }
    Ok(facts)
}

fn unreadable() -> ServiceError {
    invalid("Unable to parse certificate. Please ensure the certificate is in PEM format.")
}

/// The key is that of the certificate, and of a kind that balancers can sign with.
fn check_key(certificate: &CertificateDer<'_>, key: &[u8]) -> Result<(), ServiceError> {
    if key.windows(9).any(|part| part == b"ENCRYPTED") {
        return Err(invalid("The private key is not supported."));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| invalid("The private key is not PEM-encoded or is not valid."))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| invalid("The private key is not supported."))?;
    let pair = CertifiedKey::new(vec![certificate.clone().into_owned()], Arc::clone(&key));
    pair.keys_match().map_err(|_| invalid("The private key does not match the certificate."))
}

/// Each certificate vouches for the one before it.
fn check_chain(
    der: &CertificateDer<'_>,
    certificate: &X509Certificate<'_>,
    chain: &[u8],
) -> Result<(), ServiceError> {
    let wrong = || invalid("The certificate chain provided is not in a valid PEM format.");
    let ders: Vec<_> =
        CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let parsed: Vec<_> = ders
        .iter()
        .map(|der| X509Certificate::from_der(der).map(|(_, parsed)| parsed))
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    if parsed.is_empty() {
        return Err(wrong());
    }
    let out_of_order = |index: usize| {
        invalid(format!(
            "Unable to validate certificate chain. The certificate chain must start with the \
             immediate signing certificate, followed by any intermediaries in order. The index \
             within the chain of the invalid certificate is: {index}"
        ))
    };
    if ders[0] == *der && parsed.len() > 1 {
        return Err(out_of_order(0));
    }
    let mut before = certificate;
    for (index, signer) in parsed.iter().enumerate() {
        if !vouches(signer, before) {
            return Err(if index == 0 {
                invalid("Could not validate the certificate with the certificate chain.")
            } else {
                out_of_order(index)
            });
        }
        before = signer;
    }
    Ok(())
}

/// Whether `signer` has signed `other`. Where the signature is of a kind that is not known here, its
/// name has to do: clients judge for themselves.
fn vouches(signer: &X509Certificate<'_>, other: &X509Certificate<'_>) -> bool {
    if signer.subject().as_raw() != other.issuer().as_raw() {
        return false;
    }
    match other.verify_signature(Some(signer.public_key())) {
        Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm) => true,
        Err(_) => false,
    }
}

fn facts(certificate: &X509Certificate<'_>) -> Result<Facts, ServiceError> {
    if certificate.version() != X509Version::V3 {
        return Err(invalid("The certificate is not an X.509 version 3 certificate."));
    }
    let seconds = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_millis(time.timestamp().saturating_mul(1000))
    };
    Ok(Facts {
        names: names(certificate),
        not_before: seconds(certificate.validity().not_before),
        not_after: seconds(certificate.validity().not_after),
        key_algorithm: key_algorithm(certificate)?,
        signature_algorithm: signature_algorithm(certificate),
        serial: certificate.raw_serial_as_string(),
        subject: certificate.subject().to_string().replace(", ", ","),
        issuer: issuer(certificate.issuer()),
        key_usages: key_usages(certificate),
        extended_key_usages: extended_key_usages(certificate),
    })
}

/// The alternative names, the common name first if it is one; without any, the common name.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.map(|found| found.value.general_names.as_slice());
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
        _ => None,
    };
    let mut names: Vec<String> = alternative.unwrap_or_default().iter().filter_map(name).collect();
    let common = certificate.subject().iter_common_name().next();
    let common = common.and_then(|common| common.as_str().ok()).map(str::to_ascii_lowercase);
    if let Some(common) = common {
        match names.iter().position(|name| *name == common) {
            Some(at) => names[..=at].rotate_right(1),
            None if names.is_empty() => names.push(common),
            None => {}
        }
    }
    let mut known = std::collections::BTreeSet::new();
    names.retain(|name| known.insert(name.clone()));
    names
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn key_algorithm(certificate: &X509Certificate<'_>) -> Result<KeyAlgorithm, ServiceError> {
    let key = certificate.public_key();
    let unsupported = || invalid("The private key is not supported.");
    match key.parsed().map_err(|_| unsupported())? {
        PublicKey::RSA(rsa) => match rsa.key_size() {
            2048 => Ok(KeyAlgorithm::Rsa2048),
            3072 => Ok(KeyAlgorithm::Rsa3072),
            4096 => Ok(KeyAlgorithm::Rsa4096),
            bits => Err(invalid(format!(
                "The private key length {bits} is not supported for key algorithm."
            ))),
        },
        PublicKey::EC(_) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            // P-521 cannot be signed with here.
            match curve.map(|oid| oid.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => Ok(KeyAlgorithm::EcPrime256v1),
                Some("1.3.132.0.34") => Ok(KeyAlgorithm::EcSecp384r1),
                _ => Err(unsupported()),
            }
        }
        _ => Err(unsupported()),
    }
}

fn signature_algorithm(certificate: &X509Certificate<'_>) -> String {
    let id = certificate.signature_algorithm.algorithm.to_id_string();
    let known = match id.as_str() {
        "1.2.840.113549.1.1.5" => "SHA1WITHRSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "SHA256WITHRSA",
        "1.2.840.113549.1.1.12" => "SHA384WITHRSA",
        "1.2.840.113549.1.1.13" => "SHA512WITHRSA",
        "1.2.840.10045.4.3.2" => "SHA256WITHECDSA",
        "1.2.840.10045.4.3.3" => "SHA384WITHECDSA",
        "1.2.840.10045.4.3.4" => "SHA512WITHECDSA",
        _ => return id,
    };
    known.to_owned()
}

/// The organization, as AWS shows its own; where it has none, the common name.
fn issuer(name: &X509Name<'_>) -> String {
    let organization = name.iter_organization().next();
    let found = organization.or_else(|| name.iter_common_name().next());
    let text = found.and_then(|found| found.as_str().ok()).map(str::to_owned);
    text.unwrap_or_else(|| name.to_string())
}

fn key_usages(certificate: &X509Certificate<'_>) -> Vec<KeyUsageName> {
    use KeyUsageName as N;
    let Some(usage) = certificate.key_usage().ok().flatten() else {
        return Vec::new();
    };
    let usage = usage.value;
    [
        (usage.digital_signature(), N::DigitalSignature),
        (usage.non_repudiation(), N::NonRepudiation),
        (usage.key_encipherment(), N::KeyEncipherment),
        (usage.data_encipherment(), N::DataEncipherment),
        (usage.key_agreement(), N::KeyAgreement),
        (usage.key_cert_sign(), N::CertificateSigning),
        (usage.crl_sign(), N::CrlSigning),
        (usage.encipher_only(), N::EncipherOnly),
        (usage.decipher_only(), N::DecipherOnly),
    ]
    .into_iter()
    .filter_map(|(is_set, name)| is_set.then_some(name))
    .collect()
}

fn extended_key_usages(certificate: &X509Certificate<'_>) -> Vec<(ExtendedKeyUsageName, String)> {
    use ExtendedKeyUsageName as N;
    let Some(usage) = certificate.extended_key_usage().ok().flatten() else {
        return Vec::new();
    };
    let usage = usage.value;
    let mut found: Vec<_> = [
        (usage.server_auth, N::TlsWebServerAuthentication, "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, N::TlsWebClientAuthentication, "1.3.6.1.5.5.7.3.2"),
        (usage.code_signing, N::CodeSigning, "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, N::EmailProtection, "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, N::TimeStamping, "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, N::OcspSigning, "1.3.6.1.5.5.7.3.9"),
        (usage.any, N::Any, "2.5.29.37.0"),
    ]
    .into_iter()
    .filter(|(is_set, ..)| *is_set)
    .map(|(_, name, oid)| (name, oid.to_owned()))
    .collect();
    found.extend(usage.other.iter().map(|oid| (N::Custom, oid.to_id_string())));
    found
}
