//! What the API tells of certificates.

use longshore_auth::Authorized;
use longshore_domain::record::{Certificate, CertificateRequest};
use longshore_domain::time::Timestamp;
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::acm::enums::{
    CertificateExport, CertificateKeyPairOrigin, CertificateStatus,
    CertificateTransparencyLoggingPreference as Logging, CertificateType, DomainStatus,
    KeyAlgorithm, RecordType, RenewalEligibility, SortOrder, ValidationMethod,
};
use longshore_wire::acm::{
    CertificateDetail, CertificateOptions, CertificateSummary, DescribeCertificateRequest,
    DescribeCertificateResponse, DomainValidation, ErrorCode, ExpiryEventsConfiguration,
    ExtendedKeyUsage, Filters, GetAccountConfigurationResponse, GetCertificateRequest,
    GetCertificateResponse, KeyUsage, ListCertificatesRequest, ListCertificatesResponse, Nothing,
    ResourceRecord,
};
use sha2::{Digest, Sha256};

use super::x509::{self, Facts};
use super::{invalid, lookup};
use crate::call::Call;
use crate::ecs::page::PageRequest;

/// Largest page (ACM `MaxItems`), and the usual one.
const PAGE: usize = 1000;
/// AWS's default.
const DAYS_BEFORE_EXPIRY: i32 = 45;
/// Who gets mail about a domain.
const RECIPIENTS: [&str; 5] = ["admin", "administrator", "hostmaster", "postmaster", "webmaster"];

fn time(at: Timestamp) -> longshore_wire::Timestamp {
    longshore_wire::Timestamp(at.as_epoch_seconds())
}

fn status(record: &Certificate, now: Timestamp) -> CertificateStatus {
    if record.not_after < now { CertificateStatus::Expired } else { CertificateStatus::Issued }
}

fn kind(record: &Certificate) -> CertificateType {
    match record.request {
        Some(_) => CertificateType::AmazonIssued,
        None => CertificateType::Imported,
    }
}

fn origin(record: &Certificate) -> CertificateKeyPairOrigin {
    match record.request {
        Some(_) => CertificateKeyPairOrigin::AwsManaged,
        None => CertificateKeyPairOrigin::CustomerProvided,
    }
}

fn key_algorithm(record: &Certificate) -> Option<KeyAlgorithm> {
    KeyAlgorithm::ALL.iter().find(|known| known.as_str() == record.key_algorithm).copied()
}

/// Issued ones are renewed while they are used.
fn eligibility(record: &Certificate, is_used: bool) -> RenewalEligibility {
    if record.request.is_some() && is_used {
        RenewalEligibility::Eligible
    } else {
        RenewalEligibility::Ineligible
    }
}

/// The proof that AWS would ask for of a name.
fn validation(record: &Certificate, request: &CertificateRequest, name: &str) -> DomainValidation {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    let above = request.validation_domains.get(name).map_or(name, String::as_str);
    let method =
        ValidationMethod::ALL.iter().find(|known| known.as_str() == request.validation).copied();
    let mut shown = DomainValidation {
        domain_name: name.to_owned(),
        validation_domain: Some(above.to_owned()),
        validation_method: method,
        validation_status: Some(DomainStatus::Success),
        ..DomainValidation::default()
    };
    if method == Some(ValidationMethod::Dns) {
        // The same for a name and its wildcard, as AWS has it.
        let digest = hex::encode(Sha256::digest(format!("{}/{bare}", record.scope.account)));
        let (owner, target) = digest.split_at(32);
        shown.resource_record = Some(ResourceRecord {
            name: format!("_{owner}.{bare}."),
            r#type: RecordType::Cname,
            value: format!("_{target}.acm-validations.aws."),
        });
    }
    if method == Some(ValidationMethod::Email) {
        let above = above.strip_prefix("*.").unwrap_or(above);
        let mail = RECIPIENTS.map(|who| format!("{who}@{above}"));
        shown.validation_emails = Some(mail.into());
    }
    shown
}

fn usages(facts: &Facts) -> (Vec<KeyUsage>, Vec<ExtendedKeyUsage>) {
    let usage = |name| KeyUsage { name: Some(name) };
    let extended =
        |(name, oid): &(_, String)| ExtendedKeyUsage { name: Some(*name), oid: Some(oid.clone()) };
    let usages = facts.key_usages.iter().copied().map(usage).collect();
    (usages, facts.extended_key_usages.iter().map(extended).collect())
}

fn detail(view: &View, record: &Certificate, now: Timestamp) -> CertificateDetail {
    let arn = record.arn();
    let used_by = lookup::used_by(view, &arn);
    let facts = x509::of_record(&record.certificate_pem);
    let (key_usages, extended) = facts.as_ref().map(usages).unwrap_or_default();
    let request = record.request.as_ref();
    let logging = request.is_some_and(|request| request.transparency_logging);
    let text = |get: fn(&Facts) -> &String| facts.as_ref().map(|facts| get(facts).clone());
    let shown =
        |request| record.names.iter().map(|name| validation(record, request, name)).collect();
    CertificateDetail {
        certificate_arn: Some(arn),
        certificate_key_pair_origin: Some(origin(record)),
        created_at: Some(time(record.created_at)),
        domain_name: (!record.domain.is_empty()).then(|| record.domain.clone()),
        domain_validation_options: request.map(shown),
        extended_key_usages: Some(extended),
        imported_at: request.is_none().then(|| time(record.updated_at)),
        issued_at: request.is_some().then(|| time(record.updated_at)),
        issuer: text(|facts| &facts.issuer),
        key_algorithm: key_algorithm(record),
        key_usages: Some(key_usages),
        not_after: Some(time(record.not_after)),
        not_before: Some(time(record.not_before)),
        options: Some(CertificateOptions {
            certificate_transparency_logging_preference: Some(if logging {
                Logging::Enabled
            } else {
                Logging::Disabled
            }),
            export: request.is_some().then_some(CertificateExport::Disabled),
            ..CertificateOptions::default()
        }),
        renewal_eligibility: Some(eligibility(record, !used_by.is_empty())),
        in_use_by: Some(used_by),
        serial: text(|facts| &facts.serial),
        signature_algorithm: text(|facts| &facts.signature_algorithm),
        status: Some(status(record, now)),
        subject: text(|facts| &facts.subject),
        subject_alternative_names: (!record.names.is_empty()).then(|| record.names.clone()),
        r#type: Some(kind(record)),
        ..CertificateDetail::default()
    }
}

fn summary(view: &View, record: &Certificate, now: Timestamp) -> CertificateSummary {
    let is_used = lookup::is_used(view, &record.arn());
    let facts = x509::of_record(&record.certificate_pem);
    let issued = record.request.is_some();
    // As many as AWS shows in a list.
    let names: Vec<String> = record.names.iter().take(100).cloned().collect();
    CertificateSummary {
        certificate_arn: Some(record.arn()),
        certificate_key_pair_origin: Some(origin(record)),
        created_at: Some(time(record.created_at)),
        domain_name: (!record.domain.is_empty()).then(|| record.domain.clone()),
        export_option: issued.then_some(CertificateExport::Disabled),
        exported: issued.then_some(false),
        extended_key_usages: facts
            .as_ref()
            .map(|facts| facts.extended_key_usages.iter().map(|(name, _)| *name).collect()),
        has_additional_subject_alternative_names: Some(record.names.len() > names.len()),
        imported_at: (!issued).then(|| time(record.updated_at)),
        in_use: Some(is_used),
        issued_at: issued.then(|| time(record.updated_at)),
        key_algorithm: key_algorithm(record),
        key_usages: facts.map(|facts| facts.key_usages),
        not_after: Some(time(record.not_after)),
        not_before: Some(time(record.not_before)),
        renewal_eligibility: Some(eligibility(record, is_used)),
        status: Some(status(record, now)),
        subject_alternative_name_summaries: (!names.is_empty()).then_some(names),
        r#type: Some(kind(record)),
        ..CertificateSummary::default()
    }
}

/// DescribeCertificate.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeCertificateRequest>,
) -> Result<DescribeCertificateResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::certificate(&view, &call.scope, &request.certificate_arn)?;
    Ok(DescribeCertificateResponse { certificate: Some(detail(&view, row, call.now)) })
}

/// GetCertificate: without the key.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetCertificateRequest>,
) -> Result<GetCertificateResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::certificate(&view, &call.scope, &request.certificate_arn)?;
    Ok(GetCertificateResponse {
        certificate: Some(row.certificate_pem.clone()),
        certificate_chain: row.chain_pem.clone(),
    })
}

/// ListCertificates. Without `keyTypes` AWS lists RSA keys of at most 2048 bits; here all are listed,
/// since the local authority issues for elliptic curves.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListCertificatesRequest>,
) -> Result<ListCertificatesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    if request.sort_by.is_some() != request.sort_order.is_some() {
        return Err(ErrorCode::InvalidArgsException
            .error("SortBy and SortOrder must be specified together."));
    }
    let filters = (
        &request.certificate_statuses,
        &request.certificate_key_pair_origins,
        &request.includes,
        request.sort_order,
    );
    let page =
        PageRequest::new(&filters, request.max_items, request.next_token.as_deref(), PAGE, PAGE)
            .map_err(|error| invalid(error.message))?;
    let view = call.server.state.view();
    let statuses = request.certificate_statuses.unwrap_or_default();
    let origins = request.certificate_key_pair_origins.unwrap_or_default();
    let includes = request.includes.unwrap_or_default();
    let mut found: Vec<_> = lookup::all(&view, &call.scope)
        .filter(|row| statuses.is_empty() || statuses.contains(&status(row, call.now)))
        .filter(|row| origins.is_empty() || origins.contains(&origin(row)))
        .filter(|row| is_included(row, &includes))
        .collect();
    let key = |row: &Certificate| format!("{:020}{}", row.created_at.as_millis(), row.id);
    found.sort_by_cached_key(|row| key(row));
    let descending = request.sort_order == Some(SortOrder::Descending);
    if descending {
        found.reverse();
    }
    let (found, next_token) = page.cut_ordered(found, descending, |row| key(row));
    let shown = found.into_iter().map(|row| summary(&view, row, call.now)).collect();
    Ok(ListCertificatesResponse { certificate_summary_list: Some(shown), next_token })
}

fn is_included(record: &Certificate, filters: &Filters) -> bool {
    let types = filters.key_types.as_deref().unwrap_or_default();
    let usages = filters.key_usage.as_deref().unwrap_or_default();
    let extended = filters.extended_key_usage.as_deref().unwrap_or_default();
    // None is exported, and none is managed by another service.
    let exports = filters.export_option != Some(CertificateExport::Enabled);
    if !exports || filters.managed_by.is_some() {
        return false;
    }
    if !types.is_empty() && !key_algorithm(record).is_some_and(|own| types.contains(&own)) {
        return false;
    }
    if usages.is_empty() && extended.is_empty() {
        return true;
    }
    x509::of_record(&record.certificate_pem).is_some_and(|facts| {
        let own = &facts.extended_key_usages;
        usages.iter().all(|usage| facts.key_usages.contains(usage))
            && extended.iter().all(|usage| own.iter().any(|(name, _)| name == usage))
    })
}

/// GetAccountConfiguration: AWS's default, which cannot be changed.
pub(super) async fn account_configuration(
    call: &Call,
    request: Authorized<Nothing>,
) -> Result<GetAccountConfigurationResponse, ServiceError> {
    let _ = (call, request);
    let days_before_expiry = Some(DAYS_BEFORE_EXPIRY);
    Ok(GetAccountConfigurationResponse {
        expiry_events: Some(ExpiryEventsConfiguration { days_before_expiry }),
    })
}
