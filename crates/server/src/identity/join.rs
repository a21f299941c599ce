//! How a machine joins that has no keys: somebody who may makes a token, which yields keys once. The keys
//! are a session of a role, and give way to others from day to day.
//!
//! The rules it keeps. A token is gone in the same transaction that answers it, so it cannot be used
//! twice. Whoever is refused does not learn why. All keys of a machine are one session: they have its name, so
//! that they speak for the instance that it registered, and the time of its join, so that a `Deny` by
//! `aws:TokenIssueTime` ends them however often they were renewed.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_auth::{Principal, Session, is_former_proven};
use longshore_domain::ids::{AccountId, IdSource as _};
use longshore_domain::limits;
use longshore_domain::record::{IamRole, JoinToken};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{IamIndex, IamRoleKey, JoinTokenKey};
use longshore_store::{RecordTxn, View};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::lend::{self, EC2};
use super::token::{Claims, Minted, Subject, mint, read};
use super::vault::{Vault, VaultError};
use crate::clock::RandomIds;

/// Why there is no token, or why there are no keys for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JoinError {
    /// There is no such role.
    #[error("There is no role {0} in this account.")]
    NoRole(String),
    /// Machines cannot have the role.
    #[error(
        "The trust policy of the role {0} does not allow sts:AssumeRole to the service ec2.amazonaws.com."
    )]
    Untrusted(String),
    /// The account has as many as it may have.
    #[error(
        "This account has {} join tokens that are not used yet; they go when they expire.",
        limits::JOIN_TOKENS
    )]
    TooMany,
    /// Wrong, used, or expired: whoever tries does not learn which.
    #[error(
        "The join token is not valid: each is good once, and until it expires. Make another with \
         `longshore ctl join-token`."
    )]
    Refused,
    /// These keys are not those of a machine that joined.
    #[error("Only keys that a machine got by a join token can be renewed.")]
    NotJoined,
    /// Nothing can be sealed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A token, as it is shown once.
pub(crate) struct NewToken {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// Keys for a machine.
pub(crate) struct Joined {
    pub(crate) keys: Minted,
    pub(crate) expires_at_s: i64,
    /// Whose they are.
    pub(crate) session: String,
    pub(crate) role: String,
    /// ARN of the role, with its path.
    pub(crate) role_arn: String,
    pub(crate) account: AccountId,
}

/// What a machine had before, if it joins anew.
pub(crate) struct Former<'a> {
    pub(crate) session_token: &'a str,
    /// By the secret of those keys, which stays where it is.
    pub(crate) proof: &'a str,
}

/// Who asks for a token, and what for.
pub(crate) struct Wanted<'a> {
    pub(crate) account: AccountId,
    /// Name of the role, or its ARN.
    pub(crate) role: &'a str,
    pub(crate) life: Duration,
    /// ARN of the caller.
    pub(crate) by: &'a str,
    pub(crate) now: Timestamp,
}

/// The role that is meant, if machines can have it.
pub(crate) fn role<'v>(
    view: &'v View,
    account: AccountId,
    named: &str,
) -> Result<&'v IamRole, JoinError> {
    // What is asked of policies is this role and no other: a name has no path, an ARN is the whole of it.
    let is_arn = named.starts_with("arn:");
    let name = if is_arn { named.rsplit('/').next().unwrap_or_default() } else { named };
    let row = view.iam_roles.get(&IamRoleKey::new(account, name));
    let row = row.filter(|row| !is_arn || row.arn() == named);
    let row = row.ok_or_else(|| JoinError::NoRole(named.to_owned()))?;
    if lend::is_trusted(row, EC2, &row.arn()) {
        Ok(row)
    } else {
        Err(JoinError::Untrusted(row.name.clone()))
    }
}

/// Makes a token.
pub(crate) fn create(
    view: &View,
    txn: &mut RecordTxn,
    wanted: &Wanted<'_>,
) -> Result<NewToken, JoinError> {
    let role = role(view, wanted.account, wanted.role)?;
    if view.join_tokens.iter().filter(|row| row.account == wanted.account).count()
        >= limits::JOIN_TOKENS
    {
        return Err(JoinError::TooMany);
    }
    let id = format!("{:032x}", RandomIds.next_id());
    let secret = format!("{:032x}{:032x}", RandomIds.next_id(), RandomIds.next_id());
    txn.insert(&JoinToken {
        account: wanted.account,
        id: id.clone(),
        digest: digest(&secret),
        role: role.id.clone(),
        created_at: wanted.now,
        expires_at: wanted.now + wanted.life,
        created_by: wanted.by.to_owned(),
    });
    Ok(NewToken { id, secret })
}

/// Takes a token, and gives keys for it. A machine that proves what keys it had before joins as the same
/// one.
pub(crate) fn redeem(
    view: &View,
    txn: &mut RecordTxn,
    vault: &Vault,
    (id, secret): (&str, &str),
    former: Option<&Former<'_>>,
    now: Timestamp,
) -> Result<Joined, JoinError> {
    let row = view.join_tokens.get(&JoinTokenKey { id: id.to_owned() });
    // A token that is not known takes as long as one whose secret is wrong.
    let known = row.map_or_else(|| "0".repeat(64), |row| row.digest.clone());
    let is_right = bool::from(known.as_bytes().ct_eq(digest(secret).as_bytes()));
    let row = row.filter(|row| is_right && now < row.expires_at).ok_or(JoinError::Refused)?;
    let role = view.iam_roles.by(&IamIndex::Id(row.role.clone())).next();
    let role = role.filter(|role| lend::is_trusted(role, EC2, &role.arn()));
    let role = role.ok_or(JoinError::Refused)?;
    let session = former
        .and_then(|former| claims_of(vault, former, id))
        .and_then(|claims| match claims.subject {
            Subject::Role { id, session } if claims.session.joined && id == role.id => {
                Some(session)
            }
            _ => None,
        })
        .unwrap_or_else(|| format!("i-{:017x}", RandomIds.next_id() >> 60));
    txn.remove(row);
    keys(vault, role, session, now, now)
}

/// Other keys of the same session.
pub(crate) fn renew(
    view: &View,
    vault: &Vault,
    principal: &Principal,
    now: Timestamp,
) -> Result<Joined, JoinError> {
    let session = principal.session.as_deref().filter(|session| session.joined);
    let session = session.ok_or(JoinError::NotJoined)?;
    let (id, name) = principal.unique_id.split_once(':').ok_or(JoinError::NotJoined)?;
    let id = id.parse().map_err(|()| JoinError::NotJoined)?;
    let role = view.iam_roles.by(&IamIndex::Id(id)).next();
    let role = role.filter(|role| lend::is_trusted(role, EC2, &role.arn()));
    let role = role.ok_or(JoinError::Refused)?;
    let joined_at = Timestamp::from_millis(session.issued_at_s.saturating_mul(1000));
    keys(vault, role, name.to_owned(), joined_at, now)
}

fn keys(
    vault: &Vault,
    role: &IamRole,
    session: String,
    joined_at: Timestamp,
    now: Timestamp,
) -> Result<Joined, JoinError> {
    let expires_at_s = (now + limits::JOINED_KEYS_LIFE).as_millis() / 1000;
    let role_arn = role.arn();
    let claims = Session {
        issued_at_s: joined_at.as_millis() / 1000,
        expires_at_s,
        role_arn: Some(role_arn.clone()),
        joined: true,
        ..Session::default()
    };
    let subject = Subject::Role { id: role.id.clone(), session: session.clone() };
    let keys = mint(vault, role.account, subject, BTreeMap::new(), claims)?;
    let (role, account) = (role.name.clone(), role.account);
    Ok(Joined { keys, expires_at_s, session, role, role_arn, account })
}

/// What the former keys say, if whoever joins by this token has both halves. They may have ended.
fn claims_of(vault: &Vault, former: &Former<'_>, token_id: &str) -> Option<Claims> {
    let claims = read(vault, former.session_token)?;
    is_former_proven(&claims.secret, token_id, former.proof).then_some(claims)
}

fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests;
