//! The Security Token Service API: who a caller is, and sessions of roles and users. Sessions are not
//! stored; see `crate::identity`.

mod assume;
mod caller;
pub(crate) mod coverage;
mod decode;
mod jwt;
mod limits;
mod session_token;
#[cfg(test)]
mod tests;
mod web_identity;
mod web_keys;

pub(crate) use web_identity::anybody;
pub(crate) use web_keys::WebKeys;

use longshore_auth::{Authorized, PrincipalKind};
use longshore_wire::codec::query;
use longshore_wire::sts::OperationName as O;
use longshore_wire::sts::{Credentials, ErrorCode, SERVICE, decode_problem, op};
use longshore_wire::{Operation, Sensitive, ServiceError, Timestamp};

use crate::call::{Call, refused_as};
use crate::front::namespace;
use crate::identity::{Minted, VaultError};

/// Decodes, authorizes, runs and encodes one operation.
pub(crate) async fn dispatch(
    call: &Call,
    operation: O,
    body: &[u8],
    request_id: &str,
) -> Result<Vec<u8>, ServiceError> {
    let form = query::Form::parse(body).map_err(|error| decode_problem(&error))?;
    check_session(call, operation)?;
    // The handler takes `Authorized<Input>`, so nothing can skip it.
    macro_rules! run {
        ($op:ident, $handler:path) => {{
            let input = form.read().map_err(|error| decode_problem(&error))?;
            let request: Authorized<<op::$op as Operation>::Input> = call
                .authorize::<op::$op>(input)
                .map_err(|error| refused_as(error, |text| ErrorCode::AccessDenied.error(text)))?;
            let output: <op::$op as Operation>::Output = Box::pin($handler(call, request)).await?;
            call.answers::<op::$op>(&output);
            Ok(query::encode(&output, stringify!($op), namespace(&SERVICE), request_id))
        }};
    }
    match operation {
        O::AssumeRole => run!(AssumeRole, assume::assume),
        O::AssumeRoleWithWebIdentity => {
            run!(AssumeRoleWithWebIdentity, web_identity::assume)
        }
        O::DecodeAuthorizationMessage => run!(DecodeAuthorizationMessage, decode::message),
        O::GetAccessKeyInfo => run!(GetAccessKeyInfo, caller::key_info),
        O::GetCallerIdentity => run!(GetCallerIdentity, caller::identity),
        O::GetSessionToken => run!(GetSessionToken, session_token::get),
        missing => Err(ErrorCode::InvalidAction.error(coverage::refusal(missing))),
    }
}

/// A session of a user, or of root, may become roles and ask who it is, and nothing else here.
fn check_session(call: &Call, operation: O) -> Result<(), ServiceError> {
    let role = matches!(call.principal.kind, PrincipalKind::AssumedRole { .. });
    let free = role || call.principal.session.is_none();
    if free || matches!(operation, O::AssumeRole | O::GetCallerIdentity) {
        return Ok(());
    }
    let name = operation.info().name;
    Err(ErrorCode::AccessDenied.error(format!("Cannot call {name} with session credentials")))
}

/// Temporary credentials as answers have them.
fn shown(minted: Minted, expires_at_s: i64) -> Credentials {
    #[expect(clippy::cast_precision_loss, reason = "seconds of any sane date are exact")]
    let expiration = Timestamp(expires_at_s as f64);
    Credentials {
        access_key_id: minted.access_key_id,
        expiration,
        secret_access_key: Sensitive(minted.secret_access_key),
        session_token: minted.session_token,
    }
}

fn no_vault(error: VaultError) -> ServiceError {
    ErrorCode::InternalFailure.error(error.to_string())
}

/// `ValidationError`.
fn invalid(message: impl Into<String>) -> ServiceError {
    ErrorCode::ValidationError.error(message)
}
