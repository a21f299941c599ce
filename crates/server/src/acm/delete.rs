//! DeleteCertificate.

use longshore_auth::Authorized;
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::acm::{DeleteCertificateRequest, ErrorCode, Nothing};

use super::lookup;
use crate::call::Call;

/// Removes a certificate that no listener uses.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteCertificateRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let arn = request.certificate_arn;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::certificate(view, &call.scope, &arn)?;
        if lookup::is_used(view, &arn) {
            let account = &call.scope.account;
            return Err(ErrorCode::ResourceInUseException
                .error(format!("Certificate {arn} in account {account} is in use.")));
        }
        // Whoever begins to use it touches it, so that one of both fails.
        txn.remove(row);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}
