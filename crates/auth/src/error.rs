//! Why a request is refused before its operation sees it, and how AWS says so.

use core::fmt;

use crate::authorize::Denied;
use crate::{CLOCK_SKEW_S, date};

/// The family of error codes that a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// awsJson1.0 and 1.1 (ECS, ECR, Logs …): codes end in `Exception`, status 400.
    Json,
    /// awsQuery (ELB, Auto Scaling, IAM, STS): status 403.
    Query,
    /// ec2Query: codes of EC2's own.
    Ec2,
}

/// One AWS error answer, for the front to encode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorResponse {
    /// AWS's code, e.g. `InvalidSignatureException`.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// AWS's text.
    pub message: String,
}

/// Why a request has no principal, or its principal may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthError {
    /// No `Authorization` header and no signed query.
    Missing,
    /// A signature that lacks a part or cannot be read; the text says which.
    Incomplete(String),
    /// A readable signature that cannot be right: wrong scope, unsigned host; the text says why.
    Invalid(String),
    /// Signed too long ago. Times in seconds.
    Expired {
        /// When the caller says it signed.
        signed_at_s: i64,
        /// Our time.
        now_s: i64,
        /// How old a signature of this kind may be.
        life_s: i64,
    },
    /// Signed in our future. Times in seconds.
    NotYetCurrent {
        /// When the caller says it signed.
        signed_at_s: i64,
        /// Our time.
        now_s: i64,
    },
    /// The signature is not the one that we compute.
    Mismatch,
    /// `x-amz-content-sha256` is not the hash of the body.
    PayloadMismatch,
    /// Nobody has this access key, or its session token is wrong.
    UnknownKey,
    /// Temporary credentials that have ended.
    ExpiredToken,
    /// Known, but not allowed.
    Denied(Box<Denied>),
}

impl AuthError {
    /// AWS's code, status and text for a protocol.
    pub fn response(&self, protocol: Protocol) -> ErrorResponse {
        let (code, status) = self.code(protocol);
        ErrorResponse { code, status, message: self.message(protocol) }
    }

    fn code(&self, protocol: Protocol) -> (&'static str, u16) {
        let (json, query, ec2) = match self {
            Self::Missing => (
                "MissingAuthenticationTokenException",
                ("MissingAuthenticationToken", 403),
                ("MissingParameter", 400),
            ),
            Self::Incomplete(_) => (
                "IncompleteSignatureException",
                ("IncompleteSignature", 400),
                ("IncompleteSignature", 400),
            ),
            Self::Expired { .. } => (
                "InvalidSignatureException",
                ("SignatureDoesNotMatch", 403),
                ("RequestExpired", 400),
            ),
            Self::Invalid(_)
            | Self::NotYetCurrent { .. }
            | Self::Mismatch
            | Self::PayloadMismatch => {
                ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("AuthFailure", 401))
            }
            Self::UnknownKey => {
                ("UnrecognizedClientException", ("InvalidClientTokenId", 403), ("AuthFailure", 401))
            }
            Self::ExpiredToken => {
                ("ExpiredTokenException", ("ExpiredToken", 403), ("RequestExpired", 400))
            }
            Self::Denied(_) => {
                ("AccessDeniedException", ("AccessDenied", 403), ("UnauthorizedOperation", 403))
            }
        };
        match protocol {
            Protocol::Json => (json, 400),
            Protocol::Query => query,
            Protocol::Ec2 => ec2,
        }
    }

    fn message(&self, protocol: Protocol) -> String {
        let text = match (self, protocol) {
            (Self::Missing, Protocol::Json) => "Missing Authentication Token",
            (Self::Missing, Protocol::Query) => "Request is missing Authentication Token",
            (Self::Missing, Protocol::Ec2) => {
                "The request must contain the parameter AWSAccessKeyId"
            }
            (Self::UnknownKey, Protocol::Ec2) => {
                "AWS was not able to validate the provided access credentials"
            }
            _ => return self.to_string(),
        };
        text.to_owned()
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("Missing Authentication Token"),
            Self::Incomplete(text) | Self::Invalid(text) => f.write_str(text),
            Self::Expired { signed_at_s, now_s, life_s } => write!(
                f,
                "Signature expired: {} is now earlier than {} ({} - {} min.)",
                date::format(*signed_at_s),
                date::format(now_s.saturating_sub(*life_s)),
                date::format(*now_s),
                life_s / 60
            ),
            Self::NotYetCurrent { signed_at_s, now_s } => write!(
                f,
                "Signature not yet current: {} is still later than {} ({} + {} min.)",
                date::format(*signed_at_s),
                date::format(now_s.saturating_add(CLOCK_SKEW_S)),
                date::format(*now_s),
                CLOCK_SKEW_S / 60
            ),
            Self::Mismatch => f.write_str(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details.",
            ),
            Self::PayloadMismatch => f.write_str(
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ),
            Self::UnknownKey => {
                f.write_str("The security token included in the request is invalid.")
            }
            Self::ExpiredToken => {
                f.write_str("The security token included in the request is expired")
            }
            Self::Denied(denied) => denied.fmt(f),
        }
    }
}

impl core::error::Error for AuthError {}

impl From<Box<Denied>> for AuthError {
    fn from(denied: Box<Denied>) -> Self {
        Self::Denied(denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_those_of_aws() {
        let expired = AuthError::Expired { signed_at_s: 0, now_s: 1200, life_s: 300 };
        let response = expired.response(Protocol::Json);
        assert_eq!((response.code, response.status), ("InvalidSignatureException", 400));
        assert_eq!(
            response.message,
            "Signature expired: 19700101T000000Z is now earlier than 19700101T001500Z \
             (19700101T002000Z - 5 min.)"
        );
        let early = AuthError::NotYetCurrent { signed_at_s: 1200, now_s: 0 };
        assert_eq!(
            early.response(Protocol::Query).message,
            "Signature not yet current: 19700101T002000Z is still later than 19700101T000500Z \
             (19700101T000000Z + 5 min.)"
        );
        let unknown = AuthError::UnknownKey;
        assert_eq!(unknown.response(Protocol::Json).code, "UnrecognizedClientException");
        assert_eq!(unknown.response(Protocol::Query).code, "InvalidClientTokenId");
        assert_eq!(unknown.response(Protocol::Ec2).status, 401);
        assert_eq!(
            unknown.response(Protocol::Json).message,
            "The security token included in the request is invalid."
        );
    }
}
