//! Accounts, all of them together so that a look tells whether there is any, and the providers of identities that they trust.

use longshore_domain::ids::AccountId;
use longshore_domain::record::{IamAccount, OidcProvider};

use super::super::NoIndex;
use crate::contract::Key;
use crate::record::{KeyPath, Record, RecordKey};
use crate::view::Kind;

/// Names an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IamAccountKey {
    /// Its id.
    pub account: AccountId,
}

impl RecordKey for IamAccountKey {
    fn encode(&self) -> Key {
        KeyPath::shared(Kind::IamAccount).part(self.account).key()
    }
}

impl Record for IamAccount {
    const KIND: Kind = Kind::IamAccount;
    const VERSION: u32 = 1;
    type Key = IamAccountKey;
    type Index = NoIndex;

    fn key(&self) -> IamAccountKey {
        IamAccountKey { account: self.account }
    }
}

/// Names a provider of OpenID Connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcProviderKey {
    /// Account.
    pub account: AccountId,
    /// Its URL without the scheme.
    pub url: String,
}

impl RecordKey for OidcProviderKey {
    fn encode(&self) -> Key {
        KeyPath::account(self.account, Kind::OidcProvider).escaped(&self.url).key()
    }
}

impl Record for OidcProvider {
    const KIND: Kind = Kind::OidcProvider;
    const VERSION: u32 = 1;
    type Key = OidcProviderKey;
    type Index = NoIndex;

    fn key(&self) -> OidcProviderKey {
        OidcProviderKey { account: self.account, url: self.url.clone() }
    }
}
