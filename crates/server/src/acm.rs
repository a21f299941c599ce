//! The Certificate Manager API: certificates that listeners show, imported or issued by a local
//! authority.
//!
//! Private keys are in records and in the snapshots of balancers, and nowhere else: not in answers,
//! not in logs.

mod authority;
pub(crate) mod coverage;
mod delete;
mod describe;
mod import;
mod lookup;
mod renew;
mod request;
mod tags;
#[cfg(test)]
mod tests;
mod x509;

pub(crate) use authority::certificate as authority_certificate;
pub(crate) use lookup::by_arn;
pub(crate) use renew::{renew, renewed_at};

use longshore_auth::Authorized;
use longshore_wire::acm::OperationName as O;
use longshore_wire::acm::{ErrorCode, decode_problem, op};
use longshore_wire::codec::json;
use longshore_wire::{Operation, Peer, ServiceError};

use crate::call::{Call, refused_as};

/// Decodes, authorizes, runs and encodes one operation.
pub(crate) async fn dispatch(
    call: &Call,
    operation: O,
    body: &[u8],
) -> Result<Vec<u8>, ServiceError> {
    // The handler takes `Authorized<Input>`, so nothing can skip it.
    macro_rules! run {
        ($op:ident, $handler:path) => {{
            let input = json::decode(body, Peer::Client).map_err(|error| decode_problem(&error))?;
            let request: Authorized<<op::$op as Operation>::Input> =
                call.authorize::<op::$op>(input).map_err(|error| {
                    refused_as(error, |text| ErrorCode::AccessDeniedException.error(text))
                })?;
            let output: <op::$op as Operation>::Output = Box::pin($handler(call, request)).await?;
            Ok(json::encode(&output))
        }};
    }
    match operation {
        O::AddTagsToCertificate => run!(AddTagsToCertificate, tags::add),
        O::DeleteCertificate => run!(DeleteCertificate, delete::delete),
        O::DescribeCertificate => run!(DescribeCertificate, describe::describe),
        O::GetAccountConfiguration => {
            run!(GetAccountConfiguration, describe::account_configuration)
        }
        O::GetCertificate => run!(GetCertificate, describe::get),
        O::ImportCertificate => run!(ImportCertificate, import::import),
        O::ListCertificates => run!(ListCertificates, describe::list),
        O::ListTagsForCertificate => run!(ListTagsForCertificate, tags::list),
        O::ListTagsForResource => run!(ListTagsForResource, tags::list_for_resource),
        O::RemoveTagsFromCertificate => run!(RemoveTagsFromCertificate, tags::remove),
        O::RequestCertificate => run!(RequestCertificate, request::request),
        O::TagResource => run!(TagResource, tags::tag),
        O::UntagResource => run!(UntagResource, tags::untag),
        missing => Err(ErrorCode::UnknownOperationException.error(coverage::refusal(missing))),
    }
}

/// `ValidationException`.
fn invalid(message: impl Into<String>) -> ServiceError {
    ErrorCode::ValidationException.error(message)
}
