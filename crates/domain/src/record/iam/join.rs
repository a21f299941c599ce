//! Tokens by which a machine joins: one each, and once.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, IamId};
use crate::time::Timestamp;

/// What a machine is let in by that has no keys yet. It is removed as it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Account.
    pub account: AccountId,
    /// Id, which the token names.
    pub id: String,
    /// SHA-256 of its secret, in hex. The secret has 256 random bits, so nobody finds it from this.
    pub digest: String,
    /// Unique id of the role that the machine gets.
    pub role: IamId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// ARN of whoever made it.
    pub created_by: String,
}
