//! Principals, and the two providers that recognize them without a store.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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

/// What temporary credentials say beside whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// When they were made, in seconds since the Unix epoch.
    pub issued_at_s: i64,
    /// When they end, in seconds since the Unix epoch.
    pub expires_at_s: i64,
    /// ARN of the role, with its path; `None` for a session of a user or of root.
    pub role_arn: Option<String>,
    /// Who began a chain of sessions, if that was said.
    pub source_identity: Option<String>,
    /// Keys of the tags that sessions which follow from this one inherit.
    pub transitive_tag_keys: Vec<String>,
    /// Documents that limit the session.
    pub policies: Vec<String>,
    /// ARNs of managed policies that limit the session.
    pub policy_arns: Vec<String>,
    /// Whether anything limits it: an empty policy does, and none does not.
    pub is_limited: bool,
    /// ARN of the task whose containers have the credentials.
    pub task_arn: Option<String>,
    /// ARN of the container instance whose agent has the credentials.
    pub instance_arn: Option<String>,
    /// ARN of the provider that vouches for whoever has them.
    pub provider_arn: Option<String>,
    /// Whether a machine has them that joined by a token, and may have others in their place.
    #[serde(default)]
    pub joined: bool,
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
    /// `aws:userid`: the unique id of a user, `ROLE-ID:SESSION`, or the account of root; empty where
    /// identities have none.
    pub unique_id: String,
    /// `aws:PrincipalTag`: tags of the user, or of the role and on top of them those of the session.
    pub tags: BTreeMap<String, String>,
    /// What its credentials say, where they are temporary.
    pub session: Option<Box<Session>>,
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
        let unique_id = match &kind {
            PrincipalKind::Root => account.to_string(),
            PrincipalKind::User { .. } | PrincipalKind::AssumedRole { .. } => String::new(),
        };
        let tags = BTreeMap::new();
        Self { account, arn, access_key_id, kind, unique_id, tags, session: None }
    }
}

/// What a running task is to be given: a session of a role.
#[derive(Clone, Copy, Debug)]
pub struct Loan<'a> {
    /// ARN of the role, or its name.
    pub role_arn: &'a str,
    /// Name of the session.
    pub session: &'a str,
    /// ARN of the task; the session ends with it.
    pub task_arn: &'a str,
    /// How long the session lasts, in seconds.
    pub life_s: i64,
}

/// Which half of "this task acts as that role" is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleProblem {
    /// There is no such role.
    Missing,
    /// Its trust policy does not let tasks have it.
    Untrusted,
    /// Nothing can be sealed, so nobody can have credentials.
    Unsealed,
}

impl fmt::Display for RoleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no role with this ARN",
            Self::Untrusted => {
                "its trust policy does not allow sts:AssumeRole to the service \
                 ecs-tasks.amazonaws.com"
            }
            Self::Unsealed => "this server has no identity key",
        })
    }
}

impl core::error::Error for RoleProblem {}

/// Credentials that end.
#[derive(Clone, Debug)]
pub struct Lent {
    /// ARN of the role, however it was named.
    pub role_arn: String,
    /// Key, secret and session token.
    pub credentials: Credentials,
    /// When they end, in seconds since the Unix epoch.
    pub expires_at_s: i64,
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

    /// Who has the credentials that signed a request some time ago, as it is known now: for what outlives the
    /// request.
    ///
    /// # Errors
    /// [`AuthError`] when a request that they sign now would not be recognized.
    fn holder(
        &self,
        access_key_id: Option<&str>,
        session_token: Option<&str>,
        now_s: i64,
    ) -> Result<Principal, AuthError>;

    /// Whether tasks could have a role; `source_arn` is that of whatever they are started in or by.
    ///
    /// # Errors
    /// What stands in the way, for a caller who is about to start some.
    fn check_role(&self, role_arn: &str, source_arn: &str) -> Result<(), RoleProblem>;

    /// Credentials of a role for a running task; `None` where identities have no roles.
    ///
    /// # Errors
    /// The task cannot have the role.
    fn lend(&self, loan: &Loan<'_>, now_s: i64) -> Result<Option<Lent>, RoleProblem>;

    /// A number for `name` that is always the same, and that nobody can find without the keys of this
    /// provider.
    fn secret_id(&self, name: &str) -> u128;

    /// What `principal` may do.
    fn permissions(&self, principal: &Principal) -> Permissions;

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

    fn root(&self, access_key_id: Option<String>) -> Principal {
        let named = access_key_id.as_deref().and_then(|key| key.parse().ok());
        let account = named.unwrap_or_else(|| self.default_account.clone());
        Principal::new(account, PrincipalKind::Root, access_key_id)
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
        Ok(self.root(peek(parts).map(|peeked| peeked.access_key_id)))
    }

    fn holder(
        &self,
        access_key_id: Option<&str>,
        _session_token: Option<&str>,
        _now_s: i64,
    ) -> Result<Principal, AuthError> {
        Ok(self.root(access_key_id.map(str::to_owned)))
    }

    fn check_role(&self, _role_arn: &str, _source_arn: &str) -> Result<(), RoleProblem> {
        Ok(())
    }

    fn lend(&self, loan: &Loan<'_>, now_s: i64) -> Result<Option<Lent>, RoleProblem> {
        // The key that names the account of the role.
        let account = |arn: &str| arn.split(':').nth(4).and_then(|text| text.parse().ok());
        let account = account(loan.role_arn).or_else(|| account(loan.task_arn));
        let account: Account = account.ok_or(RoleProblem::Missing)?;
        let credentials = Credentials {
            access_key_id: account.to_string(),
            secret_access_key: "open".to_owned(),
            session_token: Some("open".to_owned()),
        };
        Ok(Some(Lent {
            role_arn: loan.role_arn.to_owned(),
            credentials,
            expires_at_s: now_s.saturating_add(loan.life_s),
        }))
    }

    fn secret_id(&self, name: &str) -> u128 {
        // There are no keys: here everybody may have everything.
        digest_id(Sha256::digest(name.as_bytes()).into())
    }

    fn permissions(&self, _principal: &Principal) -> Permissions {
        Permissions::Account
    }

    fn owns_all(&self, _principal: &Principal) -> bool {
        // Whoever is here is root of any account.
        true
    }
}

/// The first half of a digest as a number.
fn digest_id(digest: [u8; 32]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(half)
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

    fn principal(
        key: &StaticKey,
        session_token: Option<&str>,
        now_s: i64,
    ) -> Result<Principal, AuthError> {
        let ours = key.credentials.session_token.as_deref().unwrap_or_default();
        let sent = session_token.unwrap_or_default();
        if !bool::from(ours.as_bytes().ct_eq(sent.as_bytes())) {
            return Err(AuthError::UnknownKey);
        }
        if key.expires_at_s.is_some_and(|end_s| end_s <= now_s) {
            return Err(AuthError::ExpiredToken);
        }
        let id = key.credentials.access_key_id.clone();
        Ok(Principal::new(key.account.clone(), key.kind.clone(), Some(id)))
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
        Self::principal(verified.key, verified.session_token.as_deref(), now_s)
    }

    fn holder(
        &self,
        access_key_id: Option<&str>,
        session_token: Option<&str>,
        now_s: i64,
    ) -> Result<Principal, AuthError> {
        let key = self.by_id.get(access_key_id.ok_or(AuthError::Missing)?);
        Self::principal(key.ok_or(AuthError::UnknownKey)?, session_token, now_s)
    }

    fn check_role(&self, _role_arn: &str, _source_arn: &str) -> Result<(), RoleProblem> {
        Ok(())
    }

    fn lend(&self, _loan: &Loan<'_>, _now_s: i64) -> Result<Option<Lent>, RoleProblem> {
        Ok(None)
    }

    fn secret_id(&self, name: &str) -> u128 {
        digest_id(Sha256::digest(name.as_bytes()).into())
    }

    fn permissions(&self, _principal: &Principal) -> Permissions {
        Permissions::Account
    }

    fn owns_all(&self, principal: &Principal) -> bool {
        principal.kind == PrincipalKind::Root
            && self.by_id.values().all(|key| key.account == principal.account)
    }
}
