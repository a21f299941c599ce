//! RequestCertificate: issued at once by the local authority. Nobody has to prove anything, since
//! nobody else trusts it; the API shows the proofs that AWS would ask for, as given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use longshore_auth::Authorized;
use longshore_domain::ids::{CertificateId, Scope};
use longshore_domain::record::{Certificate, CertificateRequest};
use longshore_domain::time::Timestamp;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::acm::enums::{
    CertificateExport, CertificateTransparencyLoggingPreference as Logging, KeyAlgorithm,
    ValidationMethod,
};
use longshore_wire::acm::{
    DomainValidationOption, ErrorCode, RequestCertificateRequest, RequestCertificateResponse,
};

use super::{authority, invalid, lookup, tags, x509};
use crate::call::Call;
use crate::clock::RandomIds;

/// Names of a certificate (the model's limit of SubjectAlternativeNames, and the first one).
const NAMES: usize = 101;
/// For how long a token makes the same request give the same certificate.
const TOKEN_MS: i64 = 3_600_000;

/// Issues a certificate.
pub(super) async fn request(
    call: &Call,
    request: Authorized<RequestCertificateRequest>,
) -> Result<RequestCertificateResponse, ServiceError> {
    let (_, request) = request.into_parts();
    if request.certificate_authority_arn.is_some() {
        return Err(invalid(
            "There is no private certificate authority of AWS here: leave CertificateAuthorityArn \
             out, and the local authority issues the certificate.",
        ));
    }
    let options = request.options.unwrap_or_default();
    if options.export == Some(CertificateExport::Enabled) {
        return Err(invalid("Certificates cannot be exported from here."));
    }
    if request.managed_by.is_some() {
        return Err(invalid("There is no CloudFront here that could manage certificates."));
    }
    let names = names(request.domain_name, request.subject_alternative_names.unwrap_or_default())?;
    let validation_domains =
        validation_domains(&names, request.domain_validation_options.unwrap_or_default())?;
    let asked = CertificateRequest {
        // Without a method, AWS sends mail.
        validation: request.validation_method.unwrap_or(ValidationMethod::Email).to_string(),
        validation_domains,
        transparency_logging: options.certificate_transparency_logging_preference
            != Some(Logging::Disabled),
        token: request.idempotency_token,
    };
    let algorithm = request.key_algorithm.unwrap_or(KeyAlgorithm::EcPrime256v1);
    let tags = tags::checked(request.tags.unwrap_or_default())?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        if let Some(same) = same_request(view, &call.scope, &names, &asked, call.now) {
            return Ok(same);
        }
        lookup::check_room(view, &call.scope)?;
        let issued = authority::issue(view, txn, &names, algorithm, call.now)?;
        let facts = x509::of_record(&issued.certificate_pem).ok_or_else(|| {
            ErrorCode::InternalServerException.error("The certificate cannot be read.")
        })?;
        let record = Certificate {
            scope: call.scope.clone(),
            id: CertificateId::fresh(&mut RandomIds),
            request: Some(asked.clone()),
            domain: names[0].clone(),
            names: names.clone(),
            certificate_pem: issued.certificate_pem,
            chain_pem: Some(issued.chain_pem),
            key: issued.key,
            key_algorithm: algorithm.to_string(),
            not_before: facts.not_before,
            not_after: facts.not_after,
            created_at: call.now,
            updated_at: call.now,
            tags: tags.clone(),
        };
        txn.insert(&record);
        Ok(record.arn())
    };
    let arn = call.server.decide(decide).await?;
    Ok(RequestCertificateResponse { certificate_arn: Some(arn) })
}

/// The certificate that the same request with the same token was given before.
fn same_request(
    view: &View,
    scope: &Scope,
    names: &[String],
    asked: &CertificateRequest,
    now: Timestamp,
) -> Option<String> {
    asked.token.as_ref()?;
    let mut known = lookup::all(view, scope).filter(|row| {
        let age = now.as_millis().saturating_sub(row.created_at.as_millis());
        row.request.as_ref() == Some(asked) && row.names == names && age < TOKEN_MS
    });
    known.next().map(|row| row.arn())
}

/// The names that a certificate is asked for, each once.
fn names(domain: String, others: Vec<String>) -> Result<Vec<String>, ServiceError> {
    let mut names = Vec::new();
    let mut known = BTreeSet::new();
    let members = std::iter::once("domainName").chain(std::iter::repeat("subjectAlternativeNames"));
    for (name, member) in std::iter::once(domain).chain(others).zip(members) {
        if !is_name(&name) {
            return Err(invalid(format!(
                "1 validation error detected: Value '{name}' at '{member}' failed to satisfy \
                 constraint: Member must satisfy regular expression pattern: \
                 (\\*\\.)?(((?!-)[A-Za-z0-9-]{{0,62}}[A-Za-z0-9])\\.)+((?!-)[A-Za-z0-9-]{{1,62}}[A-Za-z0-9])"
            )));
        }
        let name = name.to_ascii_lowercase();
        if known.insert(name.clone()) {
            names.push(name);
        }
    }
    if names.len() > NAMES {
        return Err(ErrorCode::LimitExceededException
            .error(format!("A certificate can have at most {NAMES} domain names.")));
    }
    Ok(names)
}

/// Whether a certificate can be asked for it. Beyond what AWS takes: addresses and `localhost`, since
/// balancers here have addresses for their names.
fn is_name(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() || name == "localhost" {
        return true;
    }
    let name = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // An address that is none would be a name otherwise.
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.')
        && name.split('.').all(is_label)
        && last.len() > 1
        && !last.bytes().all(|b| b.is_ascii_digit())
}

/// Domains that mail would go to: each is that of its name, or above it.
fn validation_domains(
    names: &[String],
    given: Vec<DomainValidationOption>,
) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut domains = BTreeMap::new();
    for DomainValidationOption { domain_name, validation_domain } in given {
        let wrong = |what: &str| {
            ErrorCode::InvalidDomainValidationOptionsException.error(format!(
                "The validation domain {validation_domain} of {domain_name} {what}."
            ))
        };
        let name = domain_name.to_ascii_lowercase();
        if !names.contains(&name) {
            return Err(wrong("is for a domain that the certificate is not for"));
        }
        let above = validation_domain.to_ascii_lowercase();
        let bare = name.strip_prefix("*.").unwrap_or(&name);
        if bare != above && !bare.ends_with(&format!(".{above}")) {
            return Err(wrong("is neither that domain nor one above it"));
        }
        domains.insert(name, above);
    }
    Ok(domains)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_hosts() {
        let long = format!("{}.example.com", "a".repeat(64));
        for (name, is) in [
            ("example.com", true),
            ("*.example.com", true),
            ("xn--bcher-kva.example", true),
            ("127.0.2.1", true),
            ("::1", true),
            ("localhost", true),
            ("example", false),
            ("*", false),
            ("*.*.example.com", false),
            ("www.*.com", false),
            ("-a.example.com", false),
            ("a-.example.com", false),
            ("a_b.example.com", false),
            ("example.com.", false),
            ("a..com", false),
            ("127.0.2.256", false),
            ("example.c", false),
            (long.as_str(), false),
            ("", false),
        ] {
            assert_eq!(is_name(name), is, "{name}");
        }
    }

    #[test]
    fn mail_goes_to_a_domain_above() {
        let names = ["*.www.example.com".to_owned()];
        let option = |validation: &str| {
            let domain_name = "*.www.example.com".to_owned();
            vec![DomainValidationOption { domain_name, validation_domain: validation.to_owned() }]
        };
        assert!(validation_domains(&names, option("example.com")).is_ok());
        assert!(validation_domains(&names, option("www.example.com")).is_ok());
        assert!(validation_domains(&names, option("ample.com")).is_err());
        assert!(validation_domains(&[], option("example.com")).is_err());
    }
}
