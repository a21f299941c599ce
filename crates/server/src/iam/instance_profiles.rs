//! Instance profiles.

use longshore_auth::Authorized;
use longshore_domain::ids::{IamId, IamIdKind};
use longshore_domain::record::InstanceProfile;
use longshore_store::tables::{InstanceProfileIndex, InstanceProfileKey};
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    AddRoleToInstanceProfileRequest, CreateInstanceProfileRequest, CreateInstanceProfileResponse,
    DeleteInstanceProfileRequest, ErrorCode, GetInstanceProfileRequest, GetInstanceProfileResponse,
    ListInstanceProfilesForRoleRequest, ListInstanceProfilesForRoleResponse,
    ListInstanceProfilesRequest, ListInstanceProfilesResponse, Nothing,
    RemoveRoleFromInstanceProfileRequest,
};

use super::page::Page;
use super::{encode, exceeded, exists, lookup, names, quotas, roles, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// CreateInstanceProfile.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateInstanceProfileRequest>,
) -> Result<CreateInstanceProfileResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::name(&request.instance_profile_name, "instanceProfileName")?;
    let account = call.scope.account;
    let profile = InstanceProfile {
        account,
        name: request.instance_profile_name,
        path: names::path(request.path)?,
        id: IamId::fresh(IamIdKind::InstanceProfile, &mut RandomIds),
        created_at: call.now,
        role: None,
        tags: tags::checked(request.tags)?,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        let table = &view.instance_profiles;
        if table.get(&InstanceProfileKey::new(account, &profile.name)).is_some() {
            return Err(exists(format!("Instance Profile {} already exists.", profile.name)));
        }
        if table.range(&KeyPrefix::account(account)).count() >= quotas::INSTANCE_PROFILES {
            return Err(exceeded("InstanceProfilesPerAccount", quotas::INSTANCE_PROFILES));
        }
        txn.insert(&profile);
        let instance_profile = encode::instance_profile(view, &profile);
        Ok(CreateInstanceProfileResponse { instance_profile })
    };
    call.server.decide(decide).await
}

/// GetInstanceProfile.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetInstanceProfileRequest>,
) -> Result<GetInstanceProfileResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let account = call.scope.account;
    let row = lookup::instance_profile(&view, account, &request.instance_profile_name)?;
    Ok(GetInstanceProfileResponse { instance_profile: encode::instance_profile(&view, row) })
}

/// ListInstanceProfiles.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListInstanceProfilesRequest>,
) -> Result<ListInstanceProfilesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let prefix = names::path_prefix(request.path_prefix)?;
    let view = call.server.state.view();
    let all = view.instance_profiles.range(&KeyPrefix::account(call.scope.account));
    let all = all.filter(|row| row.path.starts_with(&prefix)).map(lookup::sorted);
    let cut = page.cut(all);
    let profiles = cut.items.into_iter().map(|row| encode::instance_profile(&view, row));
    Ok(ListInstanceProfilesResponse {
        instance_profiles: profiles.collect(),
        is_truncated: cut.is_truncated,
        marker: cut.marker,
    })
}

/// ListInstanceProfilesForRole.
pub(super) async fn list_for_role(
    call: &Call,
    request: Authorized<ListInstanceProfilesForRoleRequest>,
) -> Result<ListInstanceProfilesForRoleResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let view = call.server.state.view();
    let account = call.scope.account;
    let role = lookup::role(&view, account, &request.role_name)?;
    let all = view.instance_profiles.by(&InstanceProfileIndex::role(account, &role.name));
    let cut = page.cut(all.map(lookup::sorted));
    let profiles = cut.items.into_iter().map(|row| encode::instance_profile(&view, row));
    Ok(ListInstanceProfilesForRoleResponse {
        instance_profiles: profiles.collect(),
        is_truncated: cut.is_truncated,
        marker: cut.marker,
    })
}

/// AddRoleToInstanceProfile: it has one.
pub(super) async fn add_role(
    call: &Call,
    request: Authorized<AddRoleToInstanceProfileRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::instance_profile(view, account, &request.instance_profile_name)?;
        let role = lookup::role(view, account, &request.role_name)?;
        roles::check_changeable(role)?;
        if row.role.is_some() {
            return Err(exceeded("InstanceSessionsPerInstanceProfile", 1));
        }
        let next = InstanceProfile { role: Some(role.name.clone()), ..row.record.clone() };
        // Touched, so that it is not deleted meanwhile.
        txn.update(role, &role.record).update(row, &next);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// RemoveRoleFromInstanceProfile.
pub(super) async fn remove_role(
    call: &Call,
    request: Authorized<RemoveRoleFromInstanceProfileRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::instance_profile(view, account, &request.instance_profile_name)?;
        let role = lookup::role(view, account, &request.role_name)?;
        if row.role.as_ref() != Some(&role.name) {
            return Err(lookup::missing(format!(
                "The role with name {} cannot be found in instance profile {}.",
                role.name, row.name
            )));
        }
        txn.update(row, &InstanceProfile { role: None, ..row.record.clone() });
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// DeleteInstanceProfile: one without a role.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteInstanceProfileRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::instance_profile(view, account, &request.instance_profile_name)?;
        if row.role.is_some() {
            return Err(ErrorCode::DeleteConflict
                .error("Cannot delete entity, must remove roles from instance profile first."));
        }
        txn.remove(row);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}
