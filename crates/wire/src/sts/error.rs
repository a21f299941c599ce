//! Errors of the Security Token Service.

use crate::codec::query::validation_message;
use crate::error::{DecodeError, Problem, ServiceError};

macro_rules! codes {
    ($($code:ident $status:literal,)+) => {
        /// Codes that STS answers with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "AWS documents its errors")]
        pub enum ErrorCode {
            $($code,)+
        }

        impl ErrorCode {
            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)+
                }
            }

            const fn status(self) -> u16 {
                match self {
                    $(Self::$code => $status,)+
                }
            }
        }
    };
}

codes! {
    AccessDenied 403,
    ExpiredTokenException 400,
    IDPCommunicationError 400,
    IDPRejectedClaim 403,
    InternalFailure 500,
    InvalidAction 400,
    InvalidAuthorizationMessageException 400,
    InvalidIdentityToken 400,
    InvalidParameterValue 400,
    MalformedPolicyDocument 400,
    MalformedQueryString 400,
    PackedPolicyTooLarge 400,
    ValidationError 400,
}

impl ErrorCode {
    /// An error answer of this code.
    pub fn error(self, message: impl Into<String>) -> ServiceError {
        ServiceError { status: self.status(), ..ServiceError::client(self.as_str(), message) }
    }
}

/// The error that STS answers when a request cannot be decoded.
pub fn decode_problem(error: &DecodeError) -> ServiceError {
    match &error.problem {
        Problem::Malformed(_) if error.path.is_empty() => {
            ErrorCode::MalformedQueryString.error(error.to_string())
        }
        _ => ErrorCode::ValidationError.error(validation_message(error)),
    }
}
