//! Errors of ECS.

use crate::error::{DecodeError, Problem, ServiceError};

/// Exceptions that ECS answers with. All are client errors but `ServerException`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "AWS documents its exceptions")]
pub enum ErrorCode {
    AccessDeniedException,
    AttributeLimitExceededException,
    BlockedException,
    ClientException,
    ClusterContainsCapacityProviderException,
    ClusterContainsContainerInstancesException,
    ClusterContainsServicesException,
    ClusterContainsTasksException,
    ClusterNotFoundException,
    ConflictException,
    DaemonNotActiveException,
    DaemonNotFoundException,
    InvalidParameterException,
    LimitExceededException,
    MissingVersionException,
    NoUpdateAvailableException,
    PlatformTaskDefinitionIncompatibilityException,
    PlatformUnknownException,
    ResourceInUseException,
    ResourceNotFoundException,
    SerializationException,
    ServerException,
    ServiceDeploymentNotFoundException,
    ServiceNotActiveException,
    ServiceNotFoundException,
    TargetNotConnectedException,
    TargetNotFoundException,
    TaskSetNotFoundException,
    ThrottlingException,
    UnknownOperationException,
    UnsupportedFeatureException,
    UpdateInProgressException,
}

impl ErrorCode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDeniedException => "AccessDeniedException",
            Self::AttributeLimitExceededException => "AttributeLimitExceededException",
            Self::BlockedException => "BlockedException",
            Self::ClientException => "ClientException",
            Self::ClusterContainsCapacityProviderException => {
                "ClusterContainsCapacityProviderException"
            }
            Self::ClusterContainsContainerInstancesException => {
                "ClusterContainsContainerInstancesException"
            }
            Self::ClusterContainsServicesException => "ClusterContainsServicesException",
            Self::ClusterContainsTasksException => "ClusterContainsTasksException",
            Self::ClusterNotFoundException => "ClusterNotFoundException",
            Self::ConflictException => "ConflictException",
            Self::DaemonNotActiveException => "DaemonNotActiveException",
            Self::DaemonNotFoundException => "DaemonNotFoundException",
            Self::InvalidParameterException => "InvalidParameterException",
            Self::LimitExceededException => "LimitExceededException",
            Self::MissingVersionException => "MissingVersionException",
            Self::NoUpdateAvailableException => "NoUpdateAvailableException",
            Self::PlatformTaskDefinitionIncompatibilityException => {
                "PlatformTaskDefinitionIncompatibilityException"
            }
            Self::PlatformUnknownException => "PlatformUnknownException",
            Self::ResourceInUseException => "ResourceInUseException",
            Self::ResourceNotFoundException => "ResourceNotFoundException",
            Self::SerializationException => "SerializationException",
            Self::ServerException => "ServerException",
            Self::ServiceDeploymentNotFoundException => "ServiceDeploymentNotFoundException",
            Self::ServiceNotActiveException => "ServiceNotActiveException",
            Self::ServiceNotFoundException => "ServiceNotFoundException",
            Self::TargetNotConnectedException => "TargetNotConnectedException",
            Self::TargetNotFoundException => "TargetNotFoundException",
            Self::TaskSetNotFoundException => "TaskSetNotFoundException",
            Self::ThrottlingException => "ThrottlingException",
            Self::UnknownOperationException => "UnknownOperationException",
            Self::UnsupportedFeatureException => "UnsupportedFeatureException",
            Self::UpdateInProgressException => "UpdateInProgressException",
        }
    }

    /// An error answer of this code.
    pub fn error(self, message: impl Into<String>) -> ServiceError {
        match self {
            Self::ServerException => ServiceError::server(self.as_str(), message),
            _ => ServiceError::client(self.as_str(), message),
        }
    }
}

/// The error that ECS answers when a request cannot be decoded.
pub fn decode_problem(error: &DecodeError) -> ServiceError {
    let code = match error.problem {
        Problem::Malformed(_) => ErrorCode::SerializationException,
        Problem::Missing | Problem::UnknownValue { .. } | Problem::OutOfRange(_) => {
            ErrorCode::InvalidParameterException
        }
    };
    code.error(error.to_string())
}
