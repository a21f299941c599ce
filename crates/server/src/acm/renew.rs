//! When certificates are renewed, and how.

use std::time::Duration;

use longshore_domain::record::Certificate;
use longshore_domain::time::Timestamp;
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::acm::ErrorCode;
use longshore_wire::acm::enums::KeyAlgorithm;

use super::{authority, lookup, x509};

/// How long before the end a certificate is renewed (ACM: 60 days).
const BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);

/// When a certificate is due; `None` for those that nobody uses, and those that were not issued here.
pub(crate) fn renewed_at(view: &View, record: &Certificate) -> Option<Timestamp> {
    let is_due = record.request.is_some() && lookup::is_used(view, &record.arn());
    let before = i64::try_from(BEFORE.as_millis()).unwrap_or(0);
    is_due.then(|| Timestamp::from_millis(record.not_after.as_millis() - before))
}

/// Issues a certificate anew, with another key.
///
/// # Errors
/// It cannot be issued.
pub(crate) fn renew(
    view: &View,
    txn: &mut RecordTxn,
    row: &Row<Certificate>,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let known = KeyAlgorithm::ALL.iter().find(|known| known.as_str() == row.key_algorithm);
    let algorithm = known.copied().unwrap_or(KeyAlgorithm::EcPrime256v1);
    let issued = authority::issue(view, txn, &row.names, algorithm, now)?;
    let facts = x509::of_record(&issued.certificate_pem).ok_or_else(|| {
        ErrorCode::InternalServerException.error("The certificate cannot be read.")
    })?;
    let next = Certificate {
        certificate_pem: issued.certificate_pem,
        chain_pem: Some(issued.chain_pem),
        key: issued.key,
        not_before: facts.not_before,
        not_after: facts.not_after,
        updated_at: now,
        ..row.record.clone()
    };
    txn.update(row, &next);
    Ok(())
}

#[cfg(test)]
mod tests {
    use longshore_auth::{Account, Principal, PrincipalKind};
    use longshore_store::TxnOutcome;
    use longshore_wire::acm::OperationName;

    use super::*;
    use crate::call::Call;
    use crate::test_records::scope;
    use crate::{clock, test_server};

    #[tokio::test]
    async fn a_certificate_is_renewed_under_its_arn() {
        let server = test_server::server().await;
        let call = Call {
            server: std::sync::Arc::clone(&server),
            scope: scope(),
            principal: Principal::new(Account::default(), PrincipalKind::Root, None),
            permissions: longshore_auth::Permissions::Account,
            origin: crate::access::Origin::default(),
            trace: std::sync::Arc::default(),
            now: clock::now(),
            base_url: String::new(),
            term: None,
        };
        let input = br#"{"DomainName":"www.example.com"}"#;
        super::super::dispatch(&call, OperationName::RequestCertificate, input)
            .await
            .expect("it is issued");
        let view = server.state.view();
        let row = view.certificates.iter().next().expect("a record");
        assert_eq!(renewed_at(&view, row), None, "nobody uses it");
        let later = Timestamp::from_millis(clock::now().as_millis() + 340 * 24 * 3_600_000);
        let mut txn = RecordTxn::new();
        renew(&view, &mut txn, row, later).expect("it is issued");
        let outcome = server.commit(txn).await.expect("the store works");
        assert!(matches!(outcome, TxnOutcome::Committed { .. }));
        let view = server.state.view();
        let new = view.certificates.iter().next().expect("a record");
        assert_eq!((new.arn(), &new.names), (row.arn(), &row.names));
        assert!(new.not_after > row.not_after && new.record.key != row.record.key);
        assert_eq!(new.chain_pem, row.chain_pem, "by the same authority");
        assert_eq!((new.created_at, new.updated_at), (row.created_at, later));
    }
}
