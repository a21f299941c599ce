//! What IAM knows of an account as a whole, and the providers of identities that it trusts.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::super::Tags;
use super::Sealed;
use crate::ids::{AccountId, IamArn, IamResource};
use crate::time::Timestamp;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamAccount {
    /// Its id.
    pub account: AccountId,
    /// Its alias.
    pub alias: Option<String>,
    /// When its root and its first administrator were made; absent where nobody did that.
    pub initialized_at: Option<Timestamp>,
    /// Something known, sealed with the key that secrets are sealed with: another key is found out
    /// before anybody is turned away for it.
    pub key_check: Option<Sealed>,
}

/// A provider of OpenID Connect whose tokens may become sessions of roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcProvider {
    /// Account.
    pub account: AccountId,
    /// Its URL without the scheme, `https`.
    pub url: String,
    /// Audiences that are taken.
    pub client_ids: Vec<String>,
    /// Digests of certificates, as given; nothing depends on them.
    pub thumbprints: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Tags.
    pub tags: Tags,
}

impl OidcProvider {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        IamArn::new(self.account, IamResource::OidcProvider(self.url.clone())).to_string()
    }
}
