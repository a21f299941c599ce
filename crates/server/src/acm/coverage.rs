//! What of the Certificate Manager API is built.

use longshore_wire::acm::OperationName;

use crate::ecs::coverage::Coverage;

const ACME: &str = "endpoints of ACME";

/// How far `operation` is built. A new operation in the model does not compile until it is here.
pub(crate) const fn of(operation: OperationName) -> Coverage {
    use Coverage::{Built, Missing, Partial};
    use OperationName as O;
    match operation {
        O::ImportCertificate => {
            Partial("keys of RSA (2048 to 4096 bits), P-256 and P-384; chains up to 512 KiB")
        }
        O::RequestCertificate => Partial(
            "issued at once by the local authority (`longshore ctl ca`), for keys of P-256 (unless \
             asked otherwise) and P-384; also for addresses and `localhost`; valid for 395 days, and renewed 60 days before its end while a listener shows it",
        ),
        O::ListCertificates => {
            Partial("all kinds of keys are listed where no `keyTypes` are given")
        }
        O::GetAccountConfiguration => Partial("the default, which cannot be changed"),
        O::AddTagsToCertificate
        | O::DeleteCertificate
        | O::DescribeCertificate
        | O::GetCertificate
        | O::ListTagsForCertificate
        | O::ListTagsForResource
        | O::RemoveTagsFromCertificate
        | O::TagResource
        | O::UntagResource => Built,
        O::ExportCertificate => Missing("exports of keys"),
        O::ListCertificateDomainValidations => Missing("lists of validations"),
        O::PutAccountConfiguration => Missing("events before certificates expire"),
        O::RenewCertificate => Missing("renewals on demand"),
        O::ResendValidationEmail => Missing("mails for validation"),
        O::RevokeCertificate => Missing("revocations"),
        O::SearchCertificates => Missing("searches"),
        O::UpdateCertificateOptions => Missing("changes of options"),
        O::CreateAcmeDomainValidation
        | O::CreateAcmeEndpoint
        | O::CreateAcmeExternalAccountBinding
        | O::DeleteAcmeDomainValidation
        | O::DeleteAcmeEndpoint
        | O::DeleteAcmeExternalAccountBinding
        | O::DescribeAcmeAccount
        | O::DescribeAcmeDomainValidation
        | O::DescribeAcmeEndpoint
        | O::DescribeAcmeExternalAccountBinding
        | O::GetAcmeExternalAccountBindingCredentials
        | O::ListAcmeAccounts
        | O::ListAcmeDomainValidations
        | O::ListAcmeEndpoints
        | O::ListAcmeExternalAccountBindings
        | O::RevokeAcmeAccount
        | O::RevokeAcmeExternalAccountBinding
        | O::UpdateAcmeDomainValidation
        | O::UpdateAcmeEndpoint => Missing(ACME),
    }
}

/// The message of an operation that is not built.
pub(super) fn refusal(operation: OperationName) -> String {
    let name = operation.info().name;
    let what = match of(operation) {
        Coverage::Missing(what) => what,
        Coverage::Built | Coverage::Partial(_) => name,
    };
    format!("{name} is not available in this version of Longshore: {what} are not built yet.")
}
