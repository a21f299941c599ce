//! Principals, and the two providers that recognize them.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use subtle::ConstantTimeEq;

use crate::error::AuthError;
use crate::policy::Permissions;
use crate::request::{PayloadHash, RequestParts};
use crate::scheme::peek;
use crate::sign::Credentials;
use crate::verify::{Expected, verify};

/// An AWS account id: exactly 12 digits, leading zeros kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account(String);

/// The text is not 12 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountError;

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an account id has exactly 12 digits")
    }
}

impl core::error::Error for AccountError {}

impl Account {
    /// The 12 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Account {
    /// `000000000000`, the account when none is configured.
    fn default() -> Self {
        Self("0".repeat(12))
    }
}

impl FromStr for Account {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        if digits { Ok(Self(text.to_owned())) } else { Err(AccountError) }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What sort of caller a principal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The account itself.
    Root,
    /// An IAM user.
    User {
        /// Its name, with its path if it has one.
        name: String,
    },
    /// A session of an IAM role.
    AssumedRole {
        /// Name of the role.
        role: String,
        /// Name of the session.
        session: String,
    },
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Account that the principal belongs to and acts in.
    pub account: Account,
    /// ARN, as CloudTrail and error texts print it.
    pub arn: String,
    /// Access key that signed; `None` for an unsigned request in development.
    pub access_key_id: Option<String>,
    /// User, role session or root.
    pub kind: PrincipalKind,
}

impl Principal {
    /// A principal of `kind` in `account`; the ARN follows from both.
    pub fn new(account: Account, kind: PrincipalKind, access_key_id: Option<String>) -> Self {
        let arn = match &kind {
            PrincipalKind::Root => format!("arn:aws:iam::{account}:root"),
            PrincipalKind::User { name } => format!("arn:aws:iam::{account}:user/{name}"),
            PrincipalKind::AssumedRole { role, session } => {
                format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
            }
        };
        Self { account, arn, access_key_id, kind }
    }
}

/// Turns a request into the principal behind it.
pub trait IdentityProvider: Send + Sync {
    /// Who makes this request; `body` is the hash of the body as received.
    ///
    /// # Errors
    /// [`AuthError`] when the provider does not recognize the caller.
    fn identify(
        &self,
        parts: &RequestParts<'_>,
        body: &PayloadHash,
        expected: &Expected<'_>,
        now_s: i64,
    ) -> Result<Principal, AuthError>;

    /// What `principal` may do.
    fn permissions(&self, _principal: &Principal) -> Permissions {
        Permissions::Account
    }

    /// Whether `principal` may have everything that there is: it is the root of an account, and
    /// there is no other account that anything could belong to.
    fn owns_all(&self, principal: &Principal) -> bool;
}

/// Development: everyone is root of some account, signed or not.
///
/// An access key of exactly 12 digits names the account, as AWS emulators have it; any other
/// caller acts in the default account. Whoever uses it must listen on loopback only.
#[derive(Clone, Debug, Default)]
pub struct Open {
    default_account: Account,
}

impl Open {
    /// A provider with this account for callers that name none.
    pub fn new(default_account: Account) -> Self {
        Self { default_account }
    }
}

impl IdentityProvider for Open {
    fn identify(
        &self,
        parts: &RequestParts<'_>,
        _body: &PayloadHash,
        _expected: &Expected<'_>,
        _now_s: i64,
    ) -> Result<Principal, AuthError> {
        let access_key_id = peek(parts).map(|peeked| peeked.access_key_id);
        let named = access_key_id.as_deref().and_then(|key| key.parse().ok());
        let account = named.unwrap_or_else(|| self.default_account.clone());
        Ok(Principal::new(account, PrincipalKind::Root, access_key_id))
    }

    fn owns_all(&self, _principal: &Principal) -> bool {
        // Whoever is here is root of any account.
        true
    }
}

/// One known key and whom it stands for.
#[derive(Clone, Debug)]
pub struct StaticKey {
    /// The key pair; a session token, if set, must come with every request.
    pub credentials: Credentials,
    /// Account of the principal.
    pub account: Account,
    /// User, role session or root.
    pub kind: PrincipalKind,
    /// When the key ends, in seconds since the Unix epoch; `None` for never.
    pub expires_at_s: Option<i64>,
}

/// A fixed list of keys; every request must be signed by one of them.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    by_id: BTreeMap<String, StaticKey>,
}

impl Keys {
    /// A provider that knows these keys; of two with one id the later counts.
    pub fn new(keys: impl IntoIterator<Item = StaticKey>) -> Self {
        let by_id = keys.into_iter().map(|key| (key.credentials.access_key_id.clone(), key));
        Self { by_id: by_id.collect() }
    }
}

impl IdentityProvider for Keys {
    fn identify(
        &self,
        parts: &RequestParts<'_>,
        body: &PayloadHash,
        expected: &Expected<'_>,
        now_s: i64,
    ) -> Result<Principal, AuthError> {
        let verified = verify(parts, body, expected, now_s, |id| {
            let key = self.by_id.get(id)?;
            Some((key.credentials.secret_access_key.clone(), key))
        })?;
        let key = verified.key;
        let token = |token: &Option<String>| token.clone().unwrap_or_default();
        let (ours, sent) = (token(&key.credentials.session_token), token(&verified.session_token));
        if !bool::from(ours.as_bytes().ct_eq(sent.as_bytes())) {
            return Err(AuthError::UnknownKey);
        }
        if key.expires_at_s.is_some_and(|end_s| end_s <= now_s) {
            return Err(AuthError::ExpiredToken);
        }
        Ok(Principal::new(key.account.clone(), key.kind.clone(), Some(verified.access_key_id)))
    }

    fn owns_all(&self, principal: &Principal) -> bool {
        principal.kind == PrincipalKind::Root
            && self.by_id.values().all(|key| key.account == principal.account)
    }
}
