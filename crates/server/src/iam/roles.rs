//! Roles.

use longshore_auth::Authorized;
use longshore_domain::ids::{IamId, IamIdKind};
use longshore_domain::record::{Grants, IamRole};
use longshore_store::tables::{IamRoleKey, InstanceProfileIndex};
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    CreateRoleRequest, CreateRoleResponse, DeleteRoleRequest, ErrorCode, GetRoleRequest,
    GetRoleResponse, ListRolesRequest, ListRolesResponse, Nothing, UpdateAssumeRolePolicyRequest,
    UpdateRoleDescriptionRequest, UpdateRoleDescriptionResponse, UpdateRoleRequest,
    UpdateRoleResponse,
};

use super::page::Page;
use super::{boundaries, documents, encode, exceeded, exists, lookup, names, quotas, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// Longest session unless a role says otherwise, in seconds.
const SESSION_S: u32 = 3600;

/// Refuses changes of roles that belong to a service.
///
/// # Errors
/// `UnmodifiableEntity`.
pub(super) fn check_changeable(role: &IamRole) -> Result<(), ServiceError> {
    if !role.is_service_linked() {
        return Ok(());
    }
    Err(ErrorCode::UnmodifiableEntity.error(format!(
        "Cannot perform the operation on the protected role '{}' - this role is only modifiable by \
         AWS",
        role.name
    )))
}

/// CreateRole.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateRoleRequest>,
) -> Result<CreateRoleResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::name(&request.role_name, "roleName")?;
    names::description(request.description.as_ref())?;
    let path = names::path(request.path)?;
    if path.starts_with(IamRole::SERVICE_PATH) {
        return Err(names::invalid(
            "The path /aws-service-role/ is reserved for roles that services create.",
        ));
    }
    let role = IamRole {
        account: call.scope.account,
        name: request.role_name,
        path,
        id: IamId::fresh(IamIdKind::Role, &mut RandomIds),
        created_at: call.now,
        trust: request.assume_role_policy_document,
        description: request.description,
        max_session_s: session(request.max_session_duration),
        boundary: request.permissions_boundary,
        grants: Grants::default(),
        tags: tags::checked(request.tags)?,
        last_used: None,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        documents::check_trust(view, role.account, &role.trust)?;
        boundaries::take(view, txn, role.account, role.boundary.as_deref())?;
        insert(view, txn, &role)?;
        Ok(CreateRoleResponse { role: encode::role(&role, None) })
    };
    call.server.decide(decide).await
}

/// Adds a role, if its name is free and there is room.
pub(super) fn insert(view: &View, txn: &mut RecordTxn, role: &IamRole) -> Result<(), ServiceError> {
    if view.iam_roles.get(&IamRoleKey::new(role.account, &role.name)).is_some() {
        return Err(exists(format!("Role with name {} already exists.", role.name)));
    }
    if view.iam_roles.range(&KeyPrefix::account(role.account)).count() >= quotas::ROLES {
        return Err(exceeded("RolesPerAccount", quotas::ROLES));
    }
    txn.insert(role);
    Ok(())
}

fn session(given: Option<i32>) -> u32 {
    given.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(SESSION_S)
}

/// GetRole.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetRoleRequest>,
) -> Result<GetRoleResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = lookup::role(&view, call.scope.account, &request.role_name)?;
    let used = call.server.uses.role(row);
    Ok(GetRoleResponse { role: encode::role(row, used.as_ref()) })
}

/// ListRoles.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListRolesRequest>,
) -> Result<ListRolesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let prefix = names::path_prefix(request.path_prefix)?;
    let view = call.server.state.view();
    let all = view.iam_roles.range(&KeyPrefix::account(call.scope.account));
    let all = all.filter(|row| row.path.starts_with(&prefix)).map(lookup::sorted);
    let cut = page.cut(all);
    let roles = cut.items.into_iter().map(|row| encode::listed_role(row)).collect();
    Ok(ListRolesResponse { roles, is_truncated: cut.is_truncated, marker: cut.marker })
}

/// Changes a role that may be changed.
async fn change(
    call: &Call,
    name: &str,
    change: impl Fn(&View, &mut IamRole) -> Result<(), ServiceError>,
) -> Result<IamRole, ServiceError> {
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::role(view, call.scope.account, name)?;
        let mut next = row.record.clone();
        change(view, &mut next)?;
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(next)
    };
    call.server.decide(decide).await
}

/// UpdateRole.
pub(super) async fn update(
    call: &Call,
    request: Authorized<UpdateRoleRequest>,
) -> Result<UpdateRoleResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::description(request.description.as_ref())?;
    change(call, &request.role_name, |_, role| {
        if let Some(seconds) = request.max_session_duration {
            check_changeable(role)?;
            role.max_session_s = session(Some(seconds));
        }
        // The description of a role may be changed also where it belongs to a service.
        if let Some(description) = &request.description {
            role.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        Ok(())
    })
    .await?;
    Ok(UpdateRoleResponse::default())
}

/// UpdateRoleDescription.
pub(super) async fn update_description(
    call: &Call,
    request: Authorized<UpdateRoleDescriptionRequest>,
) -> Result<UpdateRoleDescriptionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::description(Some(&request.description))?;
    let role = change(call, &request.role_name, |_, role| {
        role.description = Some(request.description.clone()).filter(|text| !text.is_empty());
        Ok(())
    })
    .await?;
    Ok(UpdateRoleDescriptionResponse { role: Some(encode::listed_role(&role)) })
}

/// UpdateAssumeRolePolicy.
pub(super) async fn update_trust(
    call: &Call,
    request: Authorized<UpdateAssumeRolePolicyRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    change(call, &request.role_name, |view, role| {
        check_changeable(role)?;
        documents::check_trust(view, role.account, &request.policy_document)?;
        role.trust.clone_from(&request.policy_document);
        Ok(())
    })
    .await?;
    Ok(Nothing::default())
}

/// DeleteRole: one without policies that no instance profile has.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteRoleRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::role(view, account, &request.role_name)?;
        check_changeable(row)?;
        let conflict = |what: &str| {
            let text = format!("Cannot delete entity, must {what} first.");
            Err(ErrorCode::DeleteConflict.error(text))
        };
        let profiles = InstanceProfileIndex::role(account, &row.name);
        if view.instance_profiles.count_by(&profiles) > 0 {
            return conflict("remove roles from instance profile");
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
