//! Errors of AWS Certificate Manager.

use crate::error::{DecodeError, Problem, ServiceError};

macro_rules! codes {
    ($($code:ident,)+) => {
        /// Exceptions that Certificate Manager answers with. All are client errors but
        /// `InternalServerException`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "AWS documents its exceptions")]
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
        }
    };
}

codes! {
    AccessDeniedException,
    ConflictException,
    InternalServerException,
    InvalidArgsException,
    InvalidArnException,
    InvalidDomainValidationOptionsException,
    InvalidParameterException,
    InvalidStateException,
    InvalidTagException,
    LimitExceededException,
    RequestInProgressException,
    ResourceInUseException,
    ResourceNotFoundException,
    SerializationException,
    ServiceQuotaExceededException,
    TooManyTagsException,
    UnknownOperationException,
    ValidationException,
}

impl ErrorCode {
    /// An error answer of this code.
    pub fn error(self, message: impl Into<String>) -> ServiceError {
        match self {
            Self::InternalServerException => ServiceError::server(self.as_str(), message),
            _ => ServiceError::client(self.as_str(), message),
        }
    }
}

/// The error that Certificate Manager answers when a request cannot be decoded.
pub fn decode_problem(error: &DecodeError) -> ServiceError {
    match error.problem {
        Problem::Malformed(_) => ErrorCode::SerializationException.error(error.to_string()),
        Problem::Missing | Problem::UnknownValue { .. } | Problem::OutOfRange(_) => {
            ErrorCode::ValidationException.error(format!("1 validation error detected: {error}"))
        }
    }
}
