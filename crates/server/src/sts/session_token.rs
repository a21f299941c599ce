//! GetSessionToken: temporary credentials of a user, or of root.

use std::collections::BTreeMap;

use longshore_auth::{Authorized, PrincipalKind, Session};
use longshore_wire::ServiceError;
use longshore_wire::sts::{ErrorCode, GetSessionTokenRequest, GetSessionTokenResponse};

use super::{invalid, no_vault, shown};
use crate::call::Call;
use crate::identity::{Subject, mint};

/// Life of a session of a user unless the caller wants another, in seconds.
const DEFAULT_S: i64 = 43_200;
/// Longest life of a session of root, in seconds.
const ROOT_S: i64 = 3600;

/// GetSessionToken.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetSessionTokenRequest>,
) -> Result<GetSessionTokenResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    if request.serial_number.is_some() || request.token_code.is_some() {
        return Err(ErrorCode::AccessDenied
            .error("MultiFactorAuthentication failed, unable to validate MFA code."));
    }
    let wanted_s = request.duration_seconds.map_or(DEFAULT_S, i64::from);
    let (subject, lasts_s) = match &principal.kind {
        PrincipalKind::Root => (Subject::Root, wanted_s.min(ROOT_S)),
        PrincipalKind::User { .. } => {
            let id = principal.unique_id.parse();
            let id = id.map_err(|()| {
                invalid("A user of a key file has no sessions: make it a user of IAM.")
            })?;
            (Subject::User { id }, wanted_s)
        }
        PrincipalKind::AssumedRole { .. } => {
            return Err(ErrorCode::AccessDenied
                .error("Cannot call GetSessionToken with session credentials"));
        }
    };
    let issued_at_s = call.now.as_millis() / 1000;
    let expires_at_s = issued_at_s + lasts_s;
    let session = Session { issued_at_s, expires_at_s, ..Session::default() };
    let vault = call.server.vault().map_err(no_vault)?;
    let minted = mint(vault, call.scope.account, subject, BTreeMap::new(), session);
    let minted = minted.map_err(no_vault)?;
    Ok(GetSessionTokenResponse {
        credentials: Some(shown(minted, expires_at_s)),
        session_token_size: None,
        session_token_utilization: None,
    })
}
