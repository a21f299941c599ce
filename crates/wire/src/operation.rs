//! What is known of a service and of each of its operations.

use crate::shape::Structure;

/// Wire protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JSON bodies, operation in `X-Amz-Target`.
    AwsJson11,
    /// Forms, operation in `Action`; answers are XML.
    AwsQuery {
        /// Namespace of the answers.
        namespace: &'static str,
    },
}

/// A service, as its model describes it.
#[derive(Debug)]
pub struct ServiceInfo {
    /// Name in the credential scope, e.g. `ecs`.
    pub signing_name: &'static str,
    /// Prefix of `X-Amz-Target`, without the dot; empty for protocols without that header.
    pub target_prefix: &'static str,
    /// API version.
    pub api_version: &'static str,
    /// Wire protocol.
    pub protocol: Protocol,
    /// Every operation, sorted by name.
    pub operations: &'static [&'static OperationInfo],
}

impl ServiceInfo {
    /// The operation called `name`.
    pub fn operation(&self, name: &str) -> Option<&'static OperationInfo> {
        let index = self.operations.binary_search_by(|info| info.name.cmp(name)).ok()?;
        Some(self.operations[index])
    }
}

/// An operation, as its model describes it.
#[derive(Debug, PartialEq, Eq)]
pub struct OperationInfo {
    /// Name, e.g. `RunTask`.
    pub name: &'static str,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Errors that the model names.
    pub errors: &'static [&'static str],
    /// How its pages are chained.
    pub pagination: Option<Pagination>,
}

/// Members that carry a paged listing.
#[derive(Debug, PartialEq, Eq)]
pub struct Pagination {
    /// Input member with the token.
    pub input_token: &'static str,
    /// Output member with the next token.
    pub output_token: &'static str,
    /// Input member with the page size.
    pub limit_key: &'static str,
    /// Output member with the page.
    pub result_key: &'static str,
}

/// An operation as a type: ties its name to its input and output.
pub trait Operation: 'static {
    /// What the model says of it.
    const INFO: &'static OperationInfo;
    /// Request.
    type Input: Structure + Send;
    /// Answer.
    type Output: Structure + Send;
}
