//! Errors of Elastic Load Balancing, and those that every query service has.

use crate::error::{DecodeError, Problem, ServiceError};

macro_rules! codes {
    ($($code:ident,)+) => {
        /// Codes that Elastic Load Balancing answers with. All are client errors but `InternalFailure`.
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
        }
    };
}

codes! {
    AccessDenied,
    ALPNPolicyNotFound,
    CertificateNotFound,
    DuplicateListener,
    DuplicateLoadBalancerName,
    DuplicateTagKeys,
    DuplicateTargetGroupName,
    IncompatibleProtocols,
    InternalFailure,
    InvalidAction,
    InvalidConfigurationRequest,
    InvalidLoadBalancerAction,
    InvalidScheme,
    InvalidSecurityGroup,
    InvalidSubnet,
    InvalidTarget,
    ListenerNotFound,
    LoadBalancerNotFound,
    MalformedQueryString,
    OperationNotPermitted,
    PriorityInUse,
    ResourceInUse,
    RuleNotFound,
    SSLPolicyNotFound,
    SubnetNotFound,
    TargetGroupAssociationLimit,
    TargetGroupNotFound,
    Throttling,
    TooManyActions,
    TooManyCertificates,
    TooManyListeners,
    TooManyLoadBalancers,
    TooManyRules,
    TooManyTags,
    TooManyTargetGroups,
    TooManyTargets,
    UnsupportedCertificate,
    UnsupportedProtocol,
    ValidationError,
}

impl ErrorCode {
    /// An error answer of this code.
    pub fn error(self, message: impl Into<String>) -> ServiceError {
        match self {
            Self::InternalFailure => ServiceError::server(self.as_str(), message),
            Self::AccessDenied => {
                ServiceError { status: 403, ..ServiceError::client(self.as_str(), message) }
            }
            _ => ServiceError::client(self.as_str(), message),
        }
    }
}

/// The error that Elastic Load Balancing answers when a request cannot be decoded.
pub fn decode_problem(error: &DecodeError) -> ServiceError {
    match &error.problem {
        Problem::Missing => {
            let member = &error.path;
            ErrorCode::ValidationError.error(format!("A value must be specified for '{member}'"))
        }
        Problem::Malformed(_) if error.path.is_empty() => {
            ErrorCode::MalformedQueryString.error(error.to_string())
        }
        Problem::Malformed(_) | Problem::UnknownValue { .. } | Problem::OutOfRange(_) => {
            ErrorCode::ValidationError.error(error.to_string())
        }
    }
}
