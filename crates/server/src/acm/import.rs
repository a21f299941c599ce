//! ImportCertificate.

use longshore_auth::Authorized;
use longshore_domain::ids::CertificateId;
use longshore_domain::record::{Certificate, PrivateKey};
use longshore_store::{RecordTxn, View};
use longshore_wire::acm::{ErrorCode, ImportCertificateRequest, ImportCertificateResponse};
use longshore_wire::{Blob, ServiceError};

use super::x509::Facts;
use super::{invalid, lookup, tags, x509};
use crate::call::Call;
use crate::clock::RandomIds;

/// Largest chain: a record has to fit into a transaction of the store. AWS takes 2 MiB.
const CHAIN_BYTES: usize = 512 * 1024;

/// Takes in a certificate with its key: a new one, or in place of an imported one.
pub(super) async fn import(
    call: &Call,
    request: Authorized<ImportCertificateRequest>,
) -> Result<ImportCertificateResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let chain = request.certificate_chain.as_ref().map(|chain| chain.0.as_slice());
    if chain.is_some_and(|chain| chain.len() > CHAIN_BYTES) {
        return Err(invalid(format!(
            "1 validation error detected: Value at 'certificateChain' failed to satisfy \
             constraint: Member must have length less than or equal to {CHAIN_BYTES}"
        )));
    }
    let facts = x509::checked(&request.certificate.0, &request.private_key.0, chain, call.now)?;
    let text = |blob: &Blob| String::from_utf8(blob.0.clone()).map_err(|_| not_text());
    let new = Certificate {
        scope: call.scope.clone(),
        id: CertificateId::fresh(&mut RandomIds),
        request: None,
        domain: facts.names.first().cloned().unwrap_or_default(),
        names: facts.names.clone(),
        certificate_pem: text(&request.certificate)?,
        chain_pem: request.certificate_chain.as_ref().map(text).transpose()?,
        key: PrivateKey(text(&request.private_key)?),
        key_algorithm: facts.key_algorithm.to_string(),
        not_before: facts.not_before,
        not_after: facts.not_after,
        created_at: call.now,
        updated_at: call.now,
        tags: tags::checked(request.tags.clone().unwrap_or_default())?,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        let Some(arn) = &request.certificate_arn else {
            lookup::check_room(view, &call.scope)?;
            txn.insert(&new);
            return Ok(new.arn());
        };
        let row = lookup::certificate(view, &call.scope, arn)?;
        if request.tags.is_some() {
            return Err(invalid("Tagging is not permitted on re-import."));
        }
        check_again(row, &facts)?;
        let next = Certificate {
            id: row.id,
            created_at: row.created_at,
            tags: row.tags.clone(),
            ..new.clone()
        };
        txn.update(row, &next);
        Ok(row.arn())
    };
    let arn = call.server.decide(decide).await?;
    Ok(ImportCertificateResponse { certificate_arn: Some(arn) })
}

fn not_text() -> ServiceError {
    invalid("Unable to parse certificate. Please ensure the certificate is in PEM format.")
}

/// What may not change when a certificate is imported again: its user guide lists it ("Reimport a
/// certificate").
fn check_again(old: &Certificate, new: &Facts) -> Result<(), ServiceError> {
    if old.request.is_some() {
        return Err(ErrorCode::ValidationException.error(format!(
            "The certificate {} was not imported, so it cannot be imported again.",
            old.arn()
        )));
    }
    if old.key_algorithm != new.key_algorithm.as_str() {
        return Err(invalid(
            "The key type and size of a certificate cannot be changed when it is imported again.",
        ));
    }
    if !old.names.is_empty() && new.names.is_empty() {
        return Err(invalid("Not all domain names can be removed from a certificate."));
    }
    let Some(facts) = x509::of_record(&old.certificate_pem) else { return Ok(()) };
    let kept = facts.key_usages.iter().all(|usage| new.key_usages.contains(usage))
        && facts.extended_key_usages.iter().all(|usage| new.extended_key_usages.contains(usage));
    if !kept {
        return Err(invalid(
            "Key usages and extended key usages of a certificate cannot be removed when it is \
             imported again.",
        ));
    }
    Ok(())
}
