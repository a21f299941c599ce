//! Records of Certificate Manager.

use std::collections::BTreeMap;

use longshore_domain::ids::CertificateId;
use longshore_domain::record::{Certificate, CertificateAuthority, CertificateRequest, PrivateKey};

use super::{at, scope, tags};

pub(crate) fn certificate() -> Certificate {
    let validation_domains = [("www.example.com".to_owned(), "example.com".to_owned())];
    Certificate {
        scope: scope(),
        id: CertificateId::new(1),
        request: Some(CertificateRequest {
            validation: "DNS".into(),
            validation_domains: BTreeMap::from(validation_domains),
            transparency_logging: true,
            token: Some("once".into()),
        }),
        domain: "www.example.com".into(),
        names: vec!["www.example.com".into(), "*.example.com".into()],
        certificate_pem: "-----BEGIN CERTIFICATE-----\n".into(),
        chain_pem: Some("-----BEGIN CERTIFICATE-----\n".into()),
        key: PrivateKey("-----BEGIN PRIVATE KEY-----\n".into()),
        key_algorithm: "EC_prime256v1".into(),
        not_before: at(1),
        not_after: at(9),
        created_at: at(2),
        updated_at: at(3),
        tags: tags(),
    }
}

pub(crate) fn authority() -> CertificateAuthority {
    CertificateAuthority {
        certificate_pem: "-----BEGIN CERTIFICATE-----\n".into(),
        key: PrivateKey("-----BEGIN PRIVATE KEY-----\n".into()),
        created_at: at(1),
    }
}
