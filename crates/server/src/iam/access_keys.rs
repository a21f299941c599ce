//! Access keys of users and of root. A secret is shown once, when its key is made.

use longshore_auth::{Authorized, PrincipalKind};
use longshore_domain::ids::{AccountId, IamId, IamIdKind};
use longshore_domain::record::{AccessKey, IamUser};
use longshore_domain::time::Timestamp;
use longshore_store::tables::{AccessKeyIndex, AccessKeyKey};
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::iam::enums::StatusType;
use longshore_wire::iam::{
    AccessKey as ShownKey, AccessKeyLastUsed, AccessKeyMetadata, CreateAccessKeyRequest,
    CreateAccessKeyResponse, DeleteAccessKeyRequest, ErrorCode, GetAccessKeyLastUsedRequest,
    GetAccessKeyLastUsedResponse, ListAccessKeysRequest, ListAccessKeysResponse, Nothing,
    UpdateAccessKeyRequest,
};
use longshore_wire::{Sensitive, ServiceError};

use super::page::Page;
use super::{encode, exceeded, lookup, names, quotas, users};
use crate::call::Call;
use crate::clock::RandomIds;
use crate::identity::{Vault, VaultError, new_secret};

/// What shows where a key was never used.
const NEVER: &str = "N/A";

/// Whose keys a request is about.
enum Owner<'v> {
    User(&'v std::sync::Arc<Row<IamUser>>),
    Root(AccountId),
}

impl<'v> Owner<'v> {
    /// The user who is named; without a name, the caller.
    fn of(call: &Call, view: &'v View, named: Option<&String>) -> Result<Self, ServiceError> {
        let account = call.scope.account;
        match (named, &call.principal.kind) {
            (Some(name), _) => lookup::user(view, account, name).map(Self::User),
            (None, PrincipalKind::Root) => Ok(Self::Root(account)),
            (None, _) => lookup::user(view, account, &users::own_name(call)?).map(Self::User),
        }
    }

    fn index(&self) -> AccessKeyIndex {
        match self {
            Self::User(row) => AccessKeyIndex::User(row.id.clone()),
            Self::Root(account) => AccessKeyIndex::Root(*account),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::User(row) => row.name.clone(),
            Self::Root(_) => String::new(),
        }
    }
}

/// A new key with its secret.
///
/// # Errors
/// The secret cannot be sealed.
pub(crate) fn fresh(
    vault: &Vault,
    account: AccountId,
    user: Option<&IamId>,
    now: Timestamp,
) -> Result<(AccessKey, String), VaultError> {
    let id = IamId::fresh(IamIdKind::AccessKey, &mut RandomIds);
    let secret = new_secret();
    let key = AccessKey {
        account,
        secret: vault.seal_secret(&id, &secret)?,
        id,
        user: user.cloned(),
        active: true,
        created_at: now,
        last_used: None,
    };
    Ok((key, secret))
}

/// CreateAccessKey.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateAccessKeyRequest>,
) -> Result<CreateAccessKeyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let vault = call.server.vault().map_err(no_vault)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let owner = Owner::of(call, view, request.user_name.as_ref())?;
        if view.access_keys.count_by(&owner.index()) >= quotas::ACCESS_KEYS {
            return Err(exceeded("AccessKeysPerUser", quotas::ACCESS_KEYS));
        }
        let user = match &owner {
            Owner::User(row) => {
                // Touched: it is not deleted meanwhile, and gets no third key.
                txn.update(row, &row.record);
                Some(&row.id)
            }
            Owner::Root(account) => {
                super::account::touch(view, txn, *account);
                None
            }
        };
        let (key, secret) = fresh(vault, call.scope.account, user, call.now).map_err(no_vault)?;
        txn.insert(&key);
        let access_key = ShownKey {
            access_key_id: key.id.to_string(),
            create_date: Some(encode::time(key.created_at)),
            secret_access_key: Sensitive(secret),
            status: StatusType::Active,
            user_name: owner.name(),
        };
        Ok(CreateAccessKeyResponse { access_key })
    };
    call.server.decide(decide).await
}

fn no_vault(error: VaultError) -> ServiceError {
    ErrorCode::ServiceFailure.error(error.to_string())
}

/// The key that a request names, if it is one of its owner.
fn named<'v>(
    view: &'v View,
    owner: &Owner<'_>,
    id: &str,
) -> Result<&'v std::sync::Arc<Row<AccessKey>>, ServiceError> {
    let found = view.access_keys.by(&owner.index()).find(|row| row.id.as_str() == id);
    found.ok_or_else(|| lookup::missing(format!("The Access Key with id {id} cannot be found.")))
}

/// UpdateAccessKey.
pub(super) async fn update(
    call: &Call,
    request: Authorized<UpdateAccessKeyRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let active = match request.status {
        StatusType::Active => true,
        StatusType::Inactive => false,
        StatusType::Expired => {
            return Err(names::invalid("A status can be set to Active or Inactive."));
        }
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        let owner = Owner::of(call, view, request.user_name.as_ref())?;
        let row = named(view, &owner, &request.access_key_id)?;
        if row.active != active {
            txn.update(row, &AccessKey { active, ..row.record.clone() });
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// DeleteAccessKey.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteAccessKeyRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let owner = Owner::of(call, view, request.user_name.as_ref())?;
        txn.remove(named(view, &owner, &request.access_key_id)?);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// ListAccessKeys.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListAccessKeysRequest>,
) -> Result<ListAccessKeysResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let view = call.server.state.view();
    let owner = Owner::of(call, &view, request.user_name.as_ref())?;
    let cut = page.cut(view.access_keys.by(&owner.index()).map(lookup::sorted));
    let shown = |row: &std::sync::Arc<Row<AccessKey>>| AccessKeyMetadata {
        access_key_id: Some(row.id.to_string()),
        create_date: Some(encode::time(row.created_at)),
        status: Some(if row.active { StatusType::Active } else { StatusType::Inactive }),
        user_name: Some(owner.name()),
    };
    Ok(ListAccessKeysResponse {
        access_key_metadata: cut.items.into_iter().map(shown).collect(),
        is_truncated: cut.is_truncated,
        marker: cut.marker,
    })
}

/// GetAccessKeyLastUsed.
pub(super) async fn last_used(
    call: &Call,
    request: Authorized<GetAccessKeyLastUsedRequest>,
) -> Result<GetAccessKeyLastUsedResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let id = request.access_key_id.parse::<IamId>().ok();
    let row = id.and_then(|id| view.access_keys.get(&AccessKeyKey { id }));
    let own = row.filter(|row| row.account == call.scope.account);
    // AWS says so, of all that it does not know.
    let row = own.ok_or_else(|| {
        ErrorCode::AccessDenied.error(format!(
            "User: {} is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access \
             key {}",
            call.principal.arn, request.access_key_id
        ))
    })?;
    let used = call.server.uses.key(row);
    let user = row.user.as_ref();
    let user = user.and_then(|id| view.iam_users.by(&super::IamIndex::Id(id.clone())).next());
    Ok(GetAccessKeyLastUsedResponse {
        access_key_last_used: Some(AccessKeyLastUsed {
            last_used_date: used.as_ref().map(|used| encode::time(used.at)),
            region: used.as_ref().map_or_else(|| NEVER.to_owned(), |used| used.region.clone()),
            service_name: used.map_or_else(|| NEVER.to_owned(), |used| used.service),
        }),
        user_name: user.map(|row| row.name.clone()),
    })
}
