//! Access keys. Their secrets are sealed with a key that is not in the store.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, IamId};
use crate::time::Timestamp;

/// Something that was encrypted and authenticated for one purpose, in base 64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// When, where and for what a key was used last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// When.
    pub at: Timestamp,
    /// Service, by the name that requests are signed for.
    pub service: String,
    /// Region.
    pub region: String,
}

/// A long-lived access key of a user, or of the account's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Account.
    pub account: AccountId,
    /// Id, `AKIA…`.
    pub id: IamId,
    /// Unique id of its user; absent where it belongs to the account's root.
    pub user: Option<IamId>,
    /// Its secret, sealed for this id.
    pub secret: Sealed,
    /// Whether it may be used.
    pub active: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was used last, as far as that was written down.
    pub last_used: Option<KeyUse>,
}
