//! Users.

use longshore_auth::{Authorized, PrincipalKind};
use longshore_domain::ids::{IamId, IamIdKind};
use longshore_domain::record::{Grants, IamUser};
use longshore_store::tables::{AccessKeyIndex, IamUserKey};
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    CreateUserRequest, CreateUserResponse, DeleteUserRequest, ErrorCode, GetUserRequest,
    GetUserResponse, ListGroupsForUserRequest, ListGroupsForUserResponse, ListUsersRequest,
    ListUsersResponse, Nothing, UpdateUserRequest, User,
};

use super::page::Page;
use super::{boundaries, encode, exceeded, exists, groups, lookup, names, quotas, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// CreateUser.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateUserRequest>,
) -> Result<CreateUserResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::name(&request.user_name, "userName")?;
    let account = call.scope.account;
    let user = IamUser {
        account,
        name: request.user_name,
        path: names::path(request.path)?,
        id: IamId::fresh(IamIdKind::User, &mut RandomIds),
        created_at: call.now,
        boundary: request.permissions_boundary,
        groups: Vec::new(),
        grants: Grants::default(),
        tags: tags::checked(request.tags)?,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        if view.iam_users.get(&IamUserKey::new(account, &user.name)).is_some() {
            return Err(exists(format!("User with name {} already exists.", user.name)));
        }
        if view.iam_users.range(&KeyPrefix::account(account)).count() >= quotas::USERS {
            return Err(exceeded("UsersPerAccount", quotas::USERS));
        }
        boundaries::take(view, txn, account, user.boundary.as_deref())?;
        txn.insert(&user);
        Ok(CreateUserResponse { user: Some(encode::user(&user)) })
    };
    call.server.decide(decide).await
}

/// GetUser; without a name, the caller.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetUserRequest>,
) -> Result<GetUserResponse, ServiceError> {
    let (principal, request) = request.into_parts();
    let view = call.server.state.view();
    let account = call.scope.account;
    let user = match (request.user_name, &principal.kind) {
        (Some(name), _) => encode::user(lookup::user(&view, account, &name)?),
        (None, PrincipalKind::Root) => root(call),
        (None, _) => encode::user(lookup::user(&view, account, &own_name(call)?)?),
    };
    Ok(GetUserResponse { user })
}

/// Root has no name, and its id is that of the account.
fn root(call: &Call) -> User {
    let account = call.scope.account;
    let view = call.server.state.view();
    let key = view.access_keys.by(&AccessKeyIndex::Root(account)).next();
    User {
        arn: call.principal.arn.clone(),
        create_date: encode::time(key.map_or(call.now, |key| key.created_at)),
        password_last_used: None,
        path: String::new(),
        permissions_boundary: None,
        tags: None,
        user_id: account.to_string(),
        user_name: String::new(),
    }
}

/// The name of the user who calls.
///
/// # Errors
/// `ValidationError` for callers that are no users.
pub(super) fn own_name(call: &Call) -> Result<String, ServiceError> {
    match &call.principal.kind {
        PrincipalKind::User { name } => Ok(name.rsplit('/').next().unwrap_or_default().to_owned()),
        PrincipalKind::Root | PrincipalKind::AssumedRole { .. } => {
            Err(names::invalid("Must specify userName when calling with non-User credentials"))
        }
    }
}

/// ListUsers.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListUsersRequest>,
) -> Result<ListUsersResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let prefix = names::path_prefix(request.path_prefix)?;
    let view = call.server.state.view();
    let all = view.iam_users.range(&KeyPrefix::account(call.scope.account));
    let all = all.filter(|row| row.path.starts_with(&prefix)).map(lookup::sorted);
    let cut = page.cut(all);
    let users = cut.items.into_iter().map(|row| encode::listed_user(row)).collect();
    Ok(ListUsersResponse { users, is_truncated: cut.is_truncated, marker: cut.marker })
}

/// UpdateUser: another name, another path. What the user has stays with it.
pub(super) async fn update(
    call: &Call,
    request: Authorized<UpdateUserRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    if let Some(name) = &request.new_user_name {
        names::name(name, "newUserName")?;
    }
    let path = request.new_path.map(|path| names::path(Some(path))).transpose()?;
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::user(view, account, &request.user_name)?;
        let next = IamUser {
            name: request.new_user_name.clone().unwrap_or_else(|| row.name.clone()),
            path: path.clone().unwrap_or_else(|| row.path.clone()),
            ..row.record.clone()
        };
        let key = IamUserKey::new(account, &next.name);
        if key == IamUserKey::new(account, &row.name) {
            txn.update(row, &next);
        } else if view.iam_users.get(&key).is_some() {
            return Err(exists(format!("User with name {} already exists.", next.name)));
        } else {
            txn.remove(row).insert(&next);
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// DeleteUser: one that has nothing any more.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteUserRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::user(view, call.scope.account, &request.user_name)?;
        let conflict = |what: &str| {
            let text = format!("Cannot delete entity, must {what} first.");
            Err(ErrorCode::DeleteConflict.error(text))
        };
        if !row.grants.attached.is_empty() {
            return conflict("detach all policies");
        }
        if !row.grants.inline.is_empty() {
            return conflict("delete policies");
        }
        if view.access_keys.count_by(&AccessKeyIndex::User(row.id.clone())) > 0 {
            return conflict("delete access keys");
        }
        if !row.groups.is_empty() {
            return conflict("remove users from group");
        }
        // Whoever gives the user something touches it, so that one of both fails.
        txn.remove(row);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// ListGroupsForUser.
pub(super) async fn list_groups(
    call: &Call,
    request: Authorized<ListGroupsForUserRequest>,
) -> Result<ListGroupsForUserResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let view = call.server.state.view();
    let row = lookup::user(&view, call.scope.account, &request.user_name)?;
    let mut all: Vec<_> = groups::of(&view, row).map(lookup::sorted).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let cut = page.cut(all);
    let groups = cut.items.into_iter().map(|row| encode::group(row)).collect();
    Ok(ListGroupsForUserResponse { groups, is_truncated: cut.is_truncated, marker: cut.marker })
}
