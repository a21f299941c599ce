//! Finds what a request names, or the error of AWS; and what uses a certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_domain::ids::{ArnError, CertificateArn, Scope};
use longshore_domain::record::Certificate;
use longshore_store::tables::{CertificateKey, ForwardIndex};
use longshore_store::{KeyPrefix, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::acm::ErrorCode;

use super::invalid;

/// Certificates of an account in a region (quota of AWS).
const CERTIFICATES: usize = 2500;

/// The certificate with this ARN, if it is one and there is one.
pub(crate) fn by_arn<'v>(view: &'v View, arn: &str) -> Option<&'v Arc<Row<Certificate>>> {
    let CertificateArn { scope, id } = arn.parse().ok()?;
    view.certificates.get(&CertificateKey { scope, id })
}

/// # Errors
/// `ValidationException`, `ResourceNotFoundException`.
pub(super) fn certificate<'v>(
    view: &'v View,
    scope: &Scope,
    arn: &str,
) -> Result<&'v Arc<Row<Certificate>>, ServiceError> {
    let not_found =
        || ErrorCode::ResourceNotFoundException.error(format!("Could not find certificate {arn}."));
    match arn.parse::<CertificateArn>() {
        Ok(parsed) if parsed.scope == *scope => by_arn(view, arn).ok_or_else(not_found),
        Ok(_) => Err(not_found()),
        Err(ArnError::Resource) if arn.contains(":certificate/") => Err(not_found()),
        Err(_) => Err(invalid(format!(
            "1 validation error detected: Value '{arn}' at 'certificateArn' failed to satisfy \
             constraint: Member must satisfy regular expression pattern: \
             arn:[\\w+=/,.@-]+:acm:[\\w+=/,.@-]*:[0-9]+:[\\w+=,.@-]+(/[\\w+=,.@-]+)*"
        ))),
    }
}

/// Certificates of an account and region.
pub(super) fn all<'v>(
    view: &'v View,
    scope: &Scope,
) -> impl Iterator<Item = &'v Arc<Row<Certificate>>> {
    view.certificates.range(&KeyPrefix::scope(scope))
}

/// # Errors
/// `LimitExceededException`.
pub(super) fn check_room(view: &View, scope: &Scope) -> Result<(), ServiceError> {
    if all(view, scope).count() < CERTIFICATES {
        return Ok(());
    }
    Err(ErrorCode::LimitExceededException.error(format!(
        "You have reached the maximum number of certificates ({CERTIFICATES}). Delete certificates \
         that are not in use."
    )))
}

pub(super) fn is_used(view: &View, arn: &str) -> bool {
    view.listeners.count_by(&ForwardIndex::Certificate(arn.to_owned())) > 0
}

/// ARNs of the balancers with listeners that show a certificate.
pub(super) fn used_by(view: &View, arn: &str) -> Vec<String> {
    let listeners = view.listeners.by(&ForwardIndex::Certificate(arn.to_owned()));
    let balancers: BTreeSet<String> =
        listeners.filter_map(|row| crate::elbv2::balancer_arn(view, row)).collect();
    balancers.into_iter().collect()
}
