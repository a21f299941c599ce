//! Client tokens: what makes a repeated RunTask or CreateService the same call.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::ids::Scope;
use crate::time::Timestamp;

/// A remembered call with a client token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    /// Account and region.
    pub scope: Scope,
    /// Operation name, e.g. `RunTask`; tokens of different operations are different tokens.
    pub operation: String,
    /// The token as the client sent it.
    pub token: String,
    /// Digest of the request without its token, to tell a repetition from a conflict.
    pub request_digest: String,
    /// ARNs that the first call made.
    pub resources: Vec<String>,
    /// When it may be forgotten.
    pub expires_at: Timestamp,
}
