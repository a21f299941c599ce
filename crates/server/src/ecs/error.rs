//! The errors that operations answer with most.

use longshore_wire::ServiceError;
use longshore_wire::ecs::ErrorCode;

/// `InvalidParameterException`.
pub(crate) fn invalid_parameter(message: impl Into<String>) -> ServiceError {
    ErrorCode::InvalidParameterException.error(message)
}

/// `ClientException`.
pub(crate) fn client_error(message: impl Into<String>) -> ServiceError {
    ErrorCode::ClientException.error(message)
}

/// `ClusterNotFoundException` and its kin, with AWS's text `X not found.`
pub(crate) fn not_found(code: ErrorCode, what: &str) -> ServiceError {
    code.error(format!("{what} not found."))
}

/// `UnsupportedFeatureException` for what is not built yet.
pub(super) fn unsupported(message: &str) -> ServiceError {
    ErrorCode::UnsupportedFeatureException.error(message)
}
