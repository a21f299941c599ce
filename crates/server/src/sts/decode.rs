//! DecodeAuthorizationMessage: why a call was denied, for whoever may know it.

use longshore_auth::Authorized;
use longshore_wire::ServiceError;
use longshore_wire::sts::{
    DecodeAuthorizationMessageRequest, DecodeAuthorizationMessageResponse, ErrorCode,
};

use crate::access;
use crate::call::Call;

/// DecodeAuthorizationMessage. A message of another account is none.
pub(super) async fn message(
    call: &Call,
    request: Authorized<DecodeAuthorizationMessageRequest>,
) -> Result<DecodeAuthorizationMessageResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    let vault = call.server.vault().ok();
    let decoded = vault
        .and_then(|vault| access::message::decode(vault, &principal, &request.encoded_message));
    // AWS publishes the code, and not the text.
    let decoded = decoded.ok_or_else(|| {
        ErrorCode::InvalidAuthorizationMessageException.error("Message is not valid")
    })?;
    Ok(DecodeAuthorizationMessageResponse { decoded_message: Some(decoded) })
}
