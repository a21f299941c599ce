//! Certificates and TLS settings of listeners.
//!
//! A listener's record has the default certificate first, and then those of its list, chosen by the
//! name that a client asks for. The default one may be in the list too, as in AWS.

use std::collections::BTreeSet;

use longshore_auth::Authorized;
use longshore_domain::ids::{ArnError, CertificateArn, ElbId, Scope};
use longshore_domain::record::Listener;
use longshore_domain::route::Protocol;
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::elbv2::{
    AddListenerCertificatesInput, AddListenerCertificatesOutput, Certificate,
    DescribeListenerCertificatesInput, DescribeListenerCertificatesOutput, ErrorCode,
    MutualAuthenticationAttributes, RemoveListenerCertificatesInput,
    RemoveListenerCertificatesOutput,
};

use super::settings::{self, page};
use super::{encode, invalid, lookup};
use crate::call::Call;

/// Certificates of a balancer beside the default ones of its listeners (ELBv2 quota).
const CERTIFICATES: usize = 25;
/// What is offered in the negotiation of a protocol.
const ALPN_POLICIES: [&str; 5] =
    ["HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None"];

pub(super) fn is_secure(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Https | Protocol::Tls)
}

fn not_found(arn: &str) -> ServiceError {
    ErrorCode::CertificateNotFound.error(format!("Certificate '{arn}' not found"))
}

/// Makes sure that a certificate exists, can be shown by a listener, and stays until the transaction
/// is through.
///
/// # Errors
/// `CertificateNotFound`, `UnsupportedCertificate`, `ValidationError`.
fn expect(view: &View, txn: &mut RecordTxn, scope: &Scope, arn: &str) -> Result<(), ServiceError> {
    match arn.parse::<CertificateArn>() {
        Ok(parsed) if parsed.scope == *scope => {}
        Ok(_) | Err(ArnError::Resource) => return Err(not_found(arn)),
        Err(_) => return Err(invalid(format!("Certificate ARN '{arn}' is not valid"))),
    }
    let row = crate::acm::by_arn(view, arn).ok_or_else(|| not_found(arn))?;
    if row.names.is_empty() {
        return Err(ErrorCode::UnsupportedCertificate.error(format!(
            "The certificate '{arn}' must have a fully-qualified domain name, a supported \
             signature, and a supported key size."
        )));
    }
    // A deletion that does not see the listener yet fails.
    txn.update(row, &row.record);
    Ok(())
}

/// Certificates, policies and protocol fit.
///
/// # Errors
/// `CertificateNotFound`, `UnsupportedCertificate`, `SSLPolicyNotFound`, `ALPNPolicyNotFound`,
/// `ValidationError`.
pub(super) fn check(
    view: &View,
    txn: &mut RecordTxn,
    listener: &Listener,
    before: Option<&Listener>,
) -> Result<(), ServiceError> {
    let protocol = encode::protocol(listener.protocol);
    let secure = is_secure(listener.protocol);
    if secure && listener.certificates.is_empty() {
        return Err(ErrorCode::CertificateNotFound
            .error(format!("A certificate must be specified for {protocol} listeners")));
    }
    if !secure && (!listener.certificates.is_empty() || listener.ssl_policy.is_some()) {
        return Err(invalid(format!(
            "Certificates and SSL policies cannot be specified for {protocol} listeners"
        )));
    }
    let default = listener.certificates.first();
    let old = before.and_then(|before| before.certificates.first());
    if let Some(arn) = default.filter(|arn| old != Some(*arn)) {
        expect(view, txn, &listener.scope, arn)?;
    }
    if let Some(policy) = &listener.ssl_policy {
        settings::check_ssl_policy(policy)?;
    }
    if let Some(policy) = &listener.alpn_policy {
        if listener.protocol != Protocol::Tls {
            return Err(invalid(format!(
                "An ALPN policy cannot be specified for {protocol} listeners"
            )));
        }
        if !ALPN_POLICIES.contains(&policy.as_str()) {
            return Err(
                ErrorCode::ALPNPolicyNotFound.error(format!("ALPN policy '{policy}' is not valid"))
            );
        }
    }
    Ok(())
}

/// The default certificate of a request.
///
/// # Errors
/// `TooManyCertificates`, `ValidationError`.
pub(super) fn default(given: Vec<Certificate>) -> Result<Option<String>, ServiceError> {
    if given.len() > 1 {
        return Err(ErrorCode::TooManyCertificates
            .error("Exactly one default certificate can be specified for a listener"));
    }
    Ok(arns(given)?.pop())
}

fn arns(given: Vec<Certificate>) -> Result<Vec<String>, ServiceError> {
    let arn = |certificate: Certificate| {
        certificate.certificate_arn.ok_or_else(|| invalid("A certificate ARN must be specified"))
    };
    given.into_iter().map(arn).collect()
}

/// The one ALPN policy of a request.
///
/// # Errors
/// `ValidationError`.
pub(super) fn alpn(given: Option<&Vec<String>>) -> Result<Option<String>, ServiceError> {
    match given.map(Vec::as_slice) {
        None | Some([]) => Ok(None),
        Some([policy]) => Ok(Some(policy.clone())),
        Some(_) => Err(invalid("Only one ALPN policy can be specified")),
    }
}

/// Refuses what needs trust stores.
///
/// # Errors
/// `OperationNotPermitted`, `ValidationError`.
pub(super) fn check_mutual(
    given: Option<&MutualAuthenticationAttributes>,
) -> Result<(), ServiceError> {
    match given.and_then(|given| given.mode.as_deref()) {
        None | Some("off") => Ok(()),
        Some(mode @ ("passthrough" | "verify")) => Err(ErrorCode::OperationNotPermitted.error(
            format!("Mutual authentication '{mode}' is not available in this version of Longshore"),
        )),
        Some(mode) => Err(invalid(format!("Mutual authentication mode '{mode}' is not valid"))),
    }
}

fn secure_listener<'v>(
    view: &'v View,
    scope: &Scope,
    arn: &str,
) -> Result<&'v Row<Listener>, ServiceError> {
    let row = lookup::listener(view, scope, arn)?;
    if is_secure(row.protocol) {
        return Ok(row);
    }
    Err(invalid(format!(
        "Certificates cannot be specified for {} listeners",
        encode::protocol(row.protocol)
    )))
}

/// Certificates in the lists of a balancer's listeners, each once.
fn lists<'v>(view: &'v View, scope: &Scope, balancer: ElbId) -> BTreeSet<&'v str> {
    let listeners = lookup::listeners_of(view, scope, balancer);
    listeners.flat_map(|row| row.certificates.iter().skip(1)).map(String::as_str).collect()
}

/// AddListenerCertificates: all of them, or none.
pub(super) async fn add(
    call: &Call,
    request: Authorized<AddListenerCertificatesInput>,
) -> Result<AddListenerCertificatesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    if request.certificates.iter().any(|given| given.is_default == Some(true)) {
        return Err(invalid("IsDefault cannot be specified when certificates are added"));
    }
    let given = arns(request.certificates)?;
    if given.is_empty() {
        return Err(invalid("At least one certificate must be specified"));
    }
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = secure_listener(view, &call.scope, &request.listener_arn)?;
        let mut next = row.record.clone();
        for arn in &given {
            if next.certificates.iter().skip(1).any(|known| known == arn) {
                continue;
            }
            expect(view, txn, &call.scope, arn)?;
            next.certificates.push(arn.clone());
        }
        let mut all = lists(view, &call.scope, row.balancer);
        all.extend(next.certificates.iter().skip(1).map(String::as_str));
        if all.len() > CERTIFICATES {
            return Err(ErrorCode::TooManyCertificates.error(format!(
                "A load balancer can have at most {CERTIFICATES} certificates, not counting \
                 default certificates"
            )));
        }
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(())
    };
    call.server.decide(decide).await?;
    let shown = given.into_iter().map(|arn| shown(arn, false)).collect();
    Ok(AddListenerCertificatesOutput { certificates: Some(shown) })
}

/// RemoveListenerCertificates: from the list; the default one stays.
pub(super) async fn remove(
    call: &Call,
    request: Authorized<RemoveListenerCertificatesInput>,
) -> Result<RemoveListenerCertificatesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let given = arns(request.certificates)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = secure_listener(view, &call.scope, &request.listener_arn)?;
        let mut next = row.record.clone();
        for arn in &given {
            let at = next.certificates.iter().skip(1).position(|known| known == arn);
            match at {
                Some(at) => _ = next.certificates.remove(at + 1),
                None if next.certificates.first() == Some(arn) => {
                    return Err(ErrorCode::OperationNotPermitted.error(format!(
                        "Default certificate '{arn}' cannot be removed from the listener"
                    )));
                }
                None => return Err(not_found(arn)),
            }
        }
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(RemoveListenerCertificatesOutput::default())
    };
    call.server.decide(decide).await
}

/// DescribeListenerCertificates.
pub(super) async fn describe(
    call: &Call,
    request: Authorized<DescribeListenerCertificatesInput>,
) -> Result<DescribeListenerCertificatesOutput, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::listener(&view, &call.scope, &request.listener_arn)?;
    let page = page(&request.listener_arn, request.page_size, request.marker.as_deref())?;
    let (default, list) = match row.certificates.split_first() {
        Some((default, list)) => (Some(default), list),
        None => (None, [].as_slice()),
    };
    let mut list = list.to_vec();
    list.sort_unstable();
    // The default one is first: nothing sorts before the empty text.
    let keyed = default.map(|arn| (String::new(), shown(arn.clone(), true)));
    let list = list.into_iter().map(|arn| (arn.clone(), shown(arn, false)));
    let (found, next_marker) =
        page.cut(keyed.into_iter().chain(list).collect::<Vec<_>>(), |(key, _)| key.clone());
    let certificates = Some(found.into_iter().map(|(_, shown)| shown).collect());
    Ok(DescribeListenerCertificatesOutput { certificates, next_marker })
}

fn shown(arn: String, is_default: bool) -> Certificate {
    Certificate { certificate_arn: Some(arn), is_default: Some(is_default) }
}
