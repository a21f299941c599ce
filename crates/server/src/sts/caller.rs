//! Who somebody is: GetCallerIdentity and GetAccessKeyInfo.

use longshore_auth::Authorized;
use longshore_domain::ids::IamId;
use longshore_store::tables::AccessKeyKey;
use longshore_wire::ServiceError;
use longshore_wire::sts::{
    GetAccessKeyInfoRequest, GetAccessKeyInfoResponse, GetCallerIdentityRequest,
    GetCallerIdentityResponse,
};

use super::invalid;
use crate::call::Call;

/// GetCallerIdentity.
pub(super) async fn identity(
    _call: &Call,
    request: Authorized<GetCallerIdentityRequest>,
) -> Result<GetCallerIdentityResponse, ServiceError> {
    let (principal, _) = request.into_parts();
    let user_id = if principal.unique_id.is_empty() {
        // Those of a key file have no ids of their own.
        principal.access_key_id
    } else {
        Some(principal.unique_id)
    };
    Ok(GetCallerIdentityResponse {
        account: Some(principal.account.to_string()),
        arn: Some(principal.arn),
        user_id,
    })
}

/// GetAccessKeyInfo: the account of a key. Keys of sessions are stored nowhere.
pub(super) async fn key_info(
    call: &Call,
    request: Authorized<GetAccessKeyInfoRequest>,
) -> Result<GetAccessKeyInfoResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    if principal.access_key_id.as_ref() == Some(&request.access_key_id) {
        return Ok(GetAccessKeyInfoResponse { account: Some(principal.account.to_string()) });
    }
    let view = call.server.state.view();
    let id = request.access_key_id.parse::<IamId>().ok();
    let row = id.and_then(|id| view.access_keys.get(&AccessKeyKey { id }));
    let row = row.ok_or_else(|| {
        invalid(format!("Access key {} is not known here.", request.access_key_id))
    })?;
    Ok(GetAccessKeyInfoResponse { account: Some(row.account.to_string()) })
}
