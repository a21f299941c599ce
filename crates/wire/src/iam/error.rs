//! Errors of Identity and Access Management.

use crate::codec::query::validation_message;
use crate::error::{DecodeError, Problem, ServiceError};

macro_rules! codes {
    ($($code:ident $status:literal,)+) => {
        /// Codes that IAM answers with.
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
    DeleteConflict 409,
    EntityAlreadyExists 409,
    InvalidAction 400,
    InvalidInput 400,
    LimitExceeded 409,
    MalformedPolicyDocument 400,
    MalformedQueryString 400,
    NoSuchEntity 404,
    NotSupportedService 404,
    PolicyEvaluation 500,
    PolicyNotAttachable 400,
    ServiceFailure 500,
    UnmodifiableEntity 400,
    ValidationError 400,
}

impl ErrorCode {
    /// An error answer of this code.
    pub fn error(self, message: impl Into<String>) -> ServiceError {
        ServiceError { status: self.status(), ..ServiceError::client(self.as_str(), message) }
    }
}

/// The error that IAM answers when a request cannot be decoded.
pub fn decode_problem(error: &DecodeError) -> ServiceError {
    match &error.problem {
        Problem::Malformed(_) if error.path.is_empty() => {
            ErrorCode::MalformedQueryString.error(error.to_string())
        }
        _ => ErrorCode::ValidationError.error(validation_message(error)),
    }
}
