//! Groups, and their members.

use std::sync::Arc;

use longshore_auth::Authorized;
use longshore_domain::ids::{IamId, IamIdKind};
use longshore_domain::record::{Grants, IamGroup, IamUser};
use longshore_store::tables::{IamGroupKey, IamIndex};
use longshore_store::{KeyPrefix, RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    AddUserToGroupRequest, CreateGroupRequest, CreateGroupResponse, DeleteGroupRequest, ErrorCode,
    GetGroupRequest, GetGroupResponse, ListGroupsRequest, ListGroupsResponse, Nothing,
    RemoveUserFromGroupRequest, UpdateGroupRequest,
};

use super::page::Page;
use super::{encode, exceeded, exists, lookup, names, quotas};
use crate::call::Call;
use crate::clock::RandomIds;

/// Groups of a user.
pub(crate) fn of<'v>(
    view: &'v View,
    user: &'v IamUser,
) -> impl Iterator<Item = &'v Arc<Row<IamGroup>>> {
    user.groups.iter().filter_map(|id| view.iam_groups.by(&IamIndex::Id(id.clone())).next())
}

/// CreateGroup.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateGroupRequest>,
) -> Result<CreateGroupResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::name(&request.group_name, "groupName")?;
    let account = call.scope.account;
    let group = IamGroup {
        account,
        name: request.group_name,
        path: names::path(request.path)?,
        id: IamId::fresh(IamIdKind::Group, &mut RandomIds),
        created_at: call.now,
        grants: Grants::default(),
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        if view.iam_groups.get(&IamGroupKey::new(account, &group.name)).is_some() {
            return Err(exists(format!("Group with name {} already exists.", group.name)));
        }
        if view.iam_groups.range(&KeyPrefix::account(account)).count() >= quotas::GROUPS {
            return Err(exceeded("GroupsPerAccount", quotas::GROUPS));
        }
        txn.insert(&group);
        Ok(CreateGroupResponse { group: encode::group(&group) })
    };
    call.server.decide(decide).await
}

/// GetGroup: with its members.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetGroupRequest>,
) -> Result<GetGroupResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let view = call.server.state.view();
    let row = lookup::group(&view, call.scope.account, &request.group_name)?;
    let members = view.iam_users.by(&IamIndex::Group(row.id.clone()));
    let cut = page.cut(members.map(lookup::sorted));
    Ok(GetGroupResponse {
        group: encode::group(row),
        is_truncated: cut.is_truncated,
        marker: cut.marker,
        users: cut.items.into_iter().map(|row| encode::listed_user(row)).collect(),
    })
}

/// ListGroups.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListGroupsRequest>,
) -> Result<ListGroupsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let prefix = names::path_prefix(request.path_prefix)?;
    let view = call.server.state.view();
    let all = view.iam_groups.range(&KeyPrefix::account(call.scope.account));
    let all = all.filter(|row| row.path.starts_with(&prefix)).map(lookup::sorted);
    let cut = page.cut(all);
    let groups = cut.items.into_iter().map(|row| encode::group(row)).collect();
    Ok(ListGroupsResponse { groups, is_truncated: cut.is_truncated, marker: cut.marker })
}

/// UpdateGroup: another name, another path. Its members stay.
pub(super) async fn update(
    call: &Call,
    request: Authorized<UpdateGroupRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    if let Some(name) = &request.new_group_name {
        names::name(name, "newGroupName")?;
    }
    let path = request.new_path.map(|path| names::path(Some(path))).transpose()?;
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::group(view, account, &request.group_name)?;
        let next = IamGroup {
            name: request.new_group_name.clone().unwrap_or_else(|| row.name.clone()),
            path: path.clone().unwrap_or_else(|| row.path.clone()),
            ..row.record.clone()
        };
        let key = IamGroupKey::new(account, &next.name);
        if key == IamGroupKey::new(account, &row.name) {
            txn.update(row, &next);
        } else if view.iam_groups.get(&key).is_some() {
            return Err(exists(format!("Group with name {} already exists.", next.name)));
        } else {
            txn.remove(row).insert(&next);
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// DeleteGroup: one without members and policies.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteGroupRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::group(view, call.scope.account, &request.group_name)?;
        let conflict = |what: &str| {
            let text = format!("Cannot delete entity, must {what} first.");
            Err(ErrorCode::DeleteConflict.error(text))
        };
        if view.iam_users.count_by(&IamIndex::Group(row.id.clone())) > 0 {
            return conflict("remove users from group");
        }
        if !row.grants.attached.is_empty() {
            return conflict("detach all policies");
        }
        if !row.grants.inline.is_empty() {
            return conflict("delete policies");
        }
        txn.remove(row);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// AddUserToGroup.
pub(super) async fn add_user(
    call: &Call,
    request: Authorized<AddUserToGroupRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let group = lookup::group(view, account, &request.group_name)?;
        let row = lookup::user(view, account, &request.user_name)?;
        if row.groups.contains(&group.id) {
            return Ok(Nothing::default());
        }
        if row.groups.len() >= quotas::GROUPS_PER_USER {
            return Err(exceeded("GroupsPerUser", quotas::GROUPS_PER_USER));
        }
        let mut next = row.record.clone();
        next.groups.push(group.id.clone());
        // Touched, so that it is not deleted meanwhile.
        txn.update(group, &group.record).update(row, &next);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// RemoveUserFromGroup.
pub(super) async fn remove_user(
    call: &Call,
    request: Authorized<RemoveUserFromGroupRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let group = lookup::group(view, account, &request.group_name)?;
        let row = lookup::user(view, account, &request.user_name)?;
        if row.groups.contains(&group.id) {
            let mut next = row.record.clone();
            next.groups.retain(|id| *id != group.id);
            txn.update(row, &next);
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}
