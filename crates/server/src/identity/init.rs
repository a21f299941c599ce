//! The first keys of a control plane: those of root and of the first administrator, shown once.

use std::fmt;
use std::sync::Arc;

use longshore_domain::ids::{AccountId, IamId, IamIdKind};
use longshore_domain::record::{
    AccessKey, Grants, IamAccount, IamRole, IamUser, InstanceProfile, Tags,
};
use longshore_store::tables::{
    AccessKeyIndex, IamAccountKey, IamRoleKey, IamUserKey, InstanceProfileKey,
};
use longshore_store::{KeyPrefix, RecordTxn, State, StateError, Store, View, peek};

use super::vault::{MasterKey, Vault, VaultError};
use crate::clock::{self, RandomIds};
use crate::iam::{ADMINISTRATOR, INSTANCES, fresh_key, unknown_account};
use crate::tls;

/// Name of the first administrator.
const ADMIN: &str = "admin";
/// Role and instance profile of machines, by the name that the guides of ECS use.
const INSTANCE_ROLE: &str = "ecsInstanceRole";
/// Who may have that role.
const INSTANCE_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
/// User of the parts that `dev` runs itself.
const PARTS: &str = "longshore-dev";
/// What they may do beyond what an instance may: what balancers ask.
const PARTS_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["longshore:GetRouting","longshore:ReportBalancer","longshore:OwnAll"],"Resource":"*"}]}"#;

/// An access key with its secret.
#[derive(Clone)]
pub struct Keypair {
    /// Id.
    pub access_key_id: String,
    /// Secret.
    pub secret_access_key: String,
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keypair")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// What initialization has made.
#[derive(Clone, Debug)]
pub struct Initialized {
    /// The key of the account's root.
    pub root: Keypair,
    /// The key of the first administrator; absent where only root was renewed.
    pub administrator: Option<Keypair>,
    /// The certificate by which clients know the servers of this control plane, PEM.
    pub certificate_authority: String,
}

/// Why identities cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The store cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The key cannot seal.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It was done before.
    #[error("the store has been initialized before")]
    Done,
    /// It was not done before.
    #[error("the store has not been initialized")]
    NotDone,
    /// Secrets in the store were sealed with another key.
    #[error("the secrets in the store were sealed with another identity key")]
    OtherKey,
    /// The control plane's authority cannot be made or used.
    #[error("the authority of the control plane cannot be made or used: {0}")]
    Authority(#[from] rcgen::Error),
    /// There is a user with the name of the first administrator.
    #[error("the account has a user {0} already")]
    Taken(&'static str),
}

/// Whether a store has been initialized.
///
/// # Errors
/// It cannot be read.
pub async fn is_initialized(store: &dyn Store) -> Result<bool, StateError> {
    let accounts = peek::<IamAccount>(store, &KeyPrefix::shared()).await?;
    Ok(accounts.iter().any(|row| row.initialized_at.is_some()))
}

/// The same of a view.
pub(crate) fn shows_initialized(view: &View) -> bool {
    view.iam_accounts.iter().any(|row| row.initialized_at.is_some())
}

/// Makes the keys of root and of the first administrator, and the role of container instances.
///
/// # Errors
/// See [`InitError`]; nothing was changed.
pub async fn initialize(
    store: Arc<dyn Store>,
    key: &MasterKey,
    account: AccountId,
) -> Result<Initialized, InitError> {
    let (state, vault) = (State::open(store).await?, Vault::new(key));
    let now = clock::now();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = view.iam_accounts.get(&IamAccountKey { account });
        if row.is_some_and(|row| row.initialized_at.is_some()) {
            return Err(InitError::Done);
        }
        check_key(view, &vault)?;
        let record = row.map_or_else(|| unknown_account(account), |row| row.record.clone());
        let key_check = Some(vault.check()?);
        let record = IamAccount { initialized_at: Some(now), key_check, ..record };
        match row {
            Some(row) => txn.update(row, &record),
            None => txn.insert(&record),
        };
        if view.iam_users.get(&IamUserKey::new(account, ADMIN)).is_some() {
            return Err(InitError::Taken(ADMIN));
        }
        let user = user(account, ADMIN, "/");
        let root = new_key(&vault, txn, account, None)?;
        let administrator = new_key(&vault, txn, account, Some(&user.id))?;
        let grants = Grants { attached: vec![ADMINISTRATOR.to_owned()], ..Grants::default() };
        txn.insert(&IamUser { grants, ..user });
        for_instances(view, txn, account);
        let certificate_authority = tls::ensured(view, txn, &vault, now)?.certificate_pem;
        Ok(Initialized { root, administrator: Some(administrator), certificate_authority })
    };
    state.decide(decide).await?
}

/// Takes away the keys of root and makes a new one. With `forget`, secrets may have been sealed with
/// another key, which is lost: all access keys go, the authority of the control plane gives way to a new
/// one, and the new key is the one that counts.
///
/// # Errors
/// See [`InitError`]; nothing was changed.
pub async fn reset_root(
    store: Arc<dyn Store>,
    key: &MasterKey,
    account: AccountId,
    forget: bool,
) -> Result<Initialized, InitError> {
    let (state, vault) = (State::open(store).await?, Vault::new(key));
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = view.iam_accounts.get(&IamAccountKey { account });
        let row = row.filter(|row| row.initialized_at.is_some()).ok_or(InitError::NotDone)?;
        match check_key(view, &vault) {
            Err(InitError::OtherKey) if forget => {}
            other => other?,
        }
        txn.update(row, &IamAccount { key_check: Some(vault.check()?), ..row.record.clone() });
        for key in view.access_keys.by(&AccessKeyIndex::Root(account)) {
            txn.remove(key);
        }
        let root = new_key(&vault, txn, account, None)?;
        let authority = if forget { tls::renewed_if_lost } else { tls::ensured };
        let certificate_authority = authority(view, txn, &vault, clock::now())?.certificate_pem;
        Ok(Initialized { root, administrator: None, certificate_authority })
    };
    if forget {
        forget_keys(&state).await?;
    }
    state.decide(decide).await?
}

/// Removes all access keys.
async fn forget_keys(state: &State) -> Result<(), InitError> {
    loop {
        let decide = |view: &View, txn: &mut RecordTxn| -> Result<bool, InitError> {
            for key in view.access_keys.iter().take(100) {
                txn.remove(key);
            }
            Ok(txn.is_empty())
        };
        if state.decide(decide).await?? {
            return Ok(());
        }
    }
}

/// Whether the secrets of the store were sealed with this key, as far as it says.
///
/// # Errors
/// [`InitError::OtherKey`].
pub(crate) fn check_key(view: &View, vault: &Vault) -> Result<(), InitError> {
    let mut checks = view.iam_accounts.iter().filter_map(|row| row.key_check.as_ref());
    if checks.all(|check| vault.has_made(check)) { Ok(()) } else { Err(InitError::OtherKey) }
}

/// The keys of the first administrator and of the parts that `dev` runs itself, made where they are not
/// there. They are for a development server alone, whose key of all keys is beside its store.
///
/// # Errors
/// See [`InitError`].
pub(crate) async fn development(
    state: &State,
    vault: &Vault,
    account: AccountId,
) -> Result<(Option<Keypair>, Keypair), InitError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let known = view.iam_users.get(&IamUserKey::new(account, PARTS));
        let inline = [("parts".to_owned(), PARTS_POLICY.to_owned())].into();
        let grants = Grants { attached: vec![INSTANCES.to_owned()], inline };
        let Some(row) = known else {
            let user = user(account, PARTS, "/longshore/");
            let key = new_key(vault, txn, account, Some(&user.id))?;
            txn.insert(&IamUser { grants, ..user });
            return Ok(key);
        };
        // An older version gave them more.
        if row.grants != grants {
            txn.update(row, &IamUser { grants, ..row.record.clone() });
        }
        match existing(view, vault, &row.id) {
            Some(key) => Ok(key),
            None => new_key(vault, txn, account, Some(&row.id)),
        }
    };
    let parts = state.decide(decide).await??;
    let view = state.view();
    let admin = view.iam_users.get(&IamUserKey::new(account, ADMIN));
    Ok((admin.and_then(|row| existing(&view, vault, &row.id)), parts))
}

/// The role that machines join as, and its instance profile, where they are not there.
fn for_instances(view: &View, txn: &mut RecordTxn, account: AccountId) {
    let (name, path, created_at) = (INSTANCE_ROLE.to_owned(), "/".to_owned(), clock::now());
    if view.iam_roles.get(&IamRoleKey::new(account, INSTANCE_ROLE)).is_none() {
        txn.insert(&IamRole {
            account,
            name: name.clone(),
            path: path.clone(),
            id: IamId::fresh(IamIdKind::Role, &mut RandomIds),
            created_at,
            trust: INSTANCE_TRUST.to_owned(),
            description: Some("Container instances that join this control plane.".to_owned()),
            max_session_s: 3600,
            boundary: None,
            grants: Grants { attached: vec![INSTANCES.to_owned()], ..Grants::default() },
            tags: Tags::new(),
            last_used: None,
        });
    }
    if view.instance_profiles.get(&InstanceProfileKey::new(account, INSTANCE_ROLE)).is_none() {
        txn.insert(&InstanceProfile {
            account,
            name: name.clone(),
            path,
            id: IamId::fresh(IamIdKind::InstanceProfile, &mut RandomIds),
            created_at,
            role: Some(name),
            tags: Tags::new(),
        });
    }
}

/// A key of a user that may be used.
fn existing(view: &View, vault: &Vault, user: &IamId) -> Option<Keypair> {
    let mut keys = view.access_keys.by(&AccessKeyIndex::User(user.clone()));
    let key: &AccessKey = keys.find(|key| key.active)?;
    let secret_access_key = vault.open_secret(&key.id, &key.secret).ok()?;
    Some(Keypair { access_key_id: key.id.to_string(), secret_access_key })
}

fn user(account: AccountId, name: &str, path: &str) -> IamUser {
    IamUser {
        account,
        name: name.to_owned(),
        path: path.to_owned(),
        id: IamId::fresh(IamIdKind::User, &mut RandomIds),
        created_at: clock::now(),
        boundary: None,
        groups: Vec::new(),
        grants: Grants::default(),
        tags: Tags::new(),
    }
}

fn new_key(
    vault: &Vault,
    txn: &mut RecordTxn,
    account: AccountId,
    user: Option<&IamId>,
) -> Result<Keypair, VaultError> {
    let (key, secret) = fresh_key(vault, account, user, clock::now())?;
    txn.insert(&key);
    Ok(Keypair { access_key_id: key.id.to_string(), secret_access_key: secret })
}

#[cfg(test)]
mod tests;
