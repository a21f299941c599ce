//! The Identity and Access Management API: users, groups, roles, and what they may.
//!
//! An operation reads a snapshot of the view, decides, and commits one transaction. Whoever begins to
//! use something (attaches a policy, joins a group) touches its record, so that nothing is deleted under
//! its hands. What follows from it for callers is decided by `crate::identity`.

mod access_keys;
mod account;
mod attachments;
mod boundaries;
pub(crate) mod coverage;
mod details;
mod documents;
mod encode;
mod groups;
mod holder;
mod inline;
mod instance_profiles;
mod lookup;
mod managed;
mod names;
mod oidc_providers;
mod page;
mod policies;
mod policy_versions;
mod quotas;
mod roles;
mod service_linked;
mod simulate;
mod tags;
#[cfg(test)]
mod tests;
mod users;

pub(crate) use access_keys::fresh as fresh_key;
pub(crate) use account::unknown as unknown_account;
pub(crate) use groups::of as groups_of;
pub(crate) use managed::{ADMINISTRATOR, INSTANCES};

use longshore_auth::{Authorized, PrincipalKind};
use longshore_store::tables::IamIndex;
use longshore_store::{StoreRevision, View};
use longshore_wire::codec::query;
use longshore_wire::iam::OperationName as O;
use longshore_wire::iam::{ErrorCode, SERVICE, decode_problem, op};
use longshore_wire::{Operation, ServiceError};

use crate::call::{Call, refused_as};
use crate::front::namespace;

/// Decodes, authorizes, runs and encodes one operation.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) async fn dispatch(
    call: &Call,
    operation: O,
    body: &[u8],
    request_id: &str,
) -> Result<Vec<u8>, ServiceError> {
    let form = query::Form::parse(body).map_err(|error| decode_problem(&error))?;
    check_session(call)?;
    // The handler takes `Authorized<Input>`, so nothing can skip it.
    macro_rules! run {
        ($op:ident, $handler:path) => {{
            let input = form.read().map_err(|error| decode_problem(&error))?;
            let request: Authorized<<op::$op as Operation>::Input> = call
                .authorize::<op::$op>(input)
                .map_err(|error| refused_as(error, |text| ErrorCode::AccessDenied.error(text)))?;
            let output: <op::$op as Operation>::Output = Box::pin($handler(call, request)).await?;
            call.answers::<op::$op>(&output);
            Ok(query::encode(&output, stringify!($op), namespace(&SERVICE), request_id))
        }};
    }
    match operation {
        O::AddClientIDToOpenIDConnectProvider => {
            run!(AddClientIDToOpenIDConnectProvider, oidc_providers::add_client)
        }
        O::AddRoleToInstanceProfile => run!(AddRoleToInstanceProfile, instance_profiles::add_role),
        O::AddUserToGroup => run!(AddUserToGroup, groups::add_user),
        O::AttachGroupPolicy => run!(AttachGroupPolicy, attachments::attach_group),
        O::AttachRolePolicy => run!(AttachRolePolicy, attachments::attach_role),
        O::AttachUserPolicy => run!(AttachUserPolicy, attachments::attach_user),
        O::CreateAccessKey => run!(CreateAccessKey, access_keys::create),
        O::CreateAccountAlias => run!(CreateAccountAlias, account::create_alias),
        O::CreateGroup => run!(CreateGroup, groups::create),
        O::CreateInstanceProfile => run!(CreateInstanceProfile, instance_profiles::create),
        O::CreateOpenIDConnectProvider => run!(CreateOpenIDConnectProvider, oidc_providers::create),
        O::CreatePolicy => run!(CreatePolicy, policies::create),
        O::CreatePolicyVersion => run!(CreatePolicyVersion, policy_versions::create),
        O::CreateRole => run!(CreateRole, roles::create),
        O::CreateServiceLinkedRole => run!(CreateServiceLinkedRole, service_linked::create),
        O::CreateUser => run!(CreateUser, users::create),
        O::DeleteAccessKey => run!(DeleteAccessKey, access_keys::delete),
        O::DeleteAccountAlias => run!(DeleteAccountAlias, account::delete_alias),
        O::DeleteGroup => run!(DeleteGroup, groups::delete),
        O::DeleteGroupPolicy => run!(DeleteGroupPolicy, inline::delete_group),
        O::DeleteInstanceProfile => run!(DeleteInstanceProfile, instance_profiles::delete),
        O::DeleteOpenIDConnectProvider => run!(DeleteOpenIDConnectProvider, oidc_providers::delete),
        O::DeletePolicy => run!(DeletePolicy, policies::delete),
        O::DeletePolicyVersion => run!(DeletePolicyVersion, policy_versions::delete),
        O::DeleteRole => run!(DeleteRole, roles::delete),
        O::DeleteRolePermissionsBoundary => {
            run!(DeleteRolePermissionsBoundary, boundaries::delete_role)
        }
        O::DeleteRolePolicy => run!(DeleteRolePolicy, inline::delete_role),
        O::DeleteServiceLinkedRole => run!(DeleteServiceLinkedRole, service_linked::delete),
        O::DeleteUser => run!(DeleteUser, users::delete),
        O::DeleteUserPermissionsBoundary => {
            run!(DeleteUserPermissionsBoundary, boundaries::delete_user)
        }
        O::DeleteUserPolicy => run!(DeleteUserPolicy, inline::delete_user),
        O::DetachGroupPolicy => run!(DetachGroupPolicy, attachments::detach_group),
        O::DetachRolePolicy => run!(DetachRolePolicy, attachments::detach_role),
        O::DetachUserPolicy => run!(DetachUserPolicy, attachments::detach_user),
        O::GetAccessKeyLastUsed => run!(GetAccessKeyLastUsed, access_keys::last_used),
        O::GetAccountAuthorizationDetails => run!(GetAccountAuthorizationDetails, details::get),
        O::GetAccountSummary => run!(GetAccountSummary, account::summary),
        O::GetContextKeysForCustomPolicy => {
            run!(GetContextKeysForCustomPolicy, simulate::custom_keys)
        }
        O::GetContextKeysForPrincipalPolicy => {
            run!(GetContextKeysForPrincipalPolicy, simulate::principal_keys)
        }
        O::GetGroup => run!(GetGroup, groups::get),
        O::GetGroupPolicy => run!(GetGroupPolicy, inline::get_group),
        O::GetInstanceProfile => run!(GetInstanceProfile, instance_profiles::get),
        O::GetOpenIDConnectProvider => run!(GetOpenIDConnectProvider, oidc_providers::get),
        O::GetPolicy => run!(GetPolicy, policies::get),
        O::GetPolicyVersion => run!(GetPolicyVersion, policy_versions::get),
        O::GetRole => run!(GetRole, roles::get),
        O::GetRolePolicy => run!(GetRolePolicy, inline::get_role),
        O::GetServiceLinkedRoleDeletionStatus => {
            run!(GetServiceLinkedRoleDeletionStatus, service_linked::deletion_status)
        }
        O::GetUser => run!(GetUser, users::get),
        O::GetUserPolicy => run!(GetUserPolicy, inline::get_user),
        O::ListAccessKeys => run!(ListAccessKeys, access_keys::list),
        O::ListAccountAliases => run!(ListAccountAliases, account::list_aliases),
        O::ListAttachedGroupPolicies => run!(ListAttachedGroupPolicies, attachments::list_group),
        O::ListAttachedRolePolicies => run!(ListAttachedRolePolicies, attachments::list_role),
        O::ListAttachedUserPolicies => run!(ListAttachedUserPolicies, attachments::list_user),
        O::ListEntitiesForPolicy => run!(ListEntitiesForPolicy, attachments::list_entities),
        O::ListGroupPolicies => run!(ListGroupPolicies, inline::list_group),
        O::ListGroups => run!(ListGroups, groups::list),
        O::ListGroupsForUser => run!(ListGroupsForUser, users::list_groups),
        O::ListInstanceProfileTags => run!(ListInstanceProfileTags, tags::list_profile),
        O::ListInstanceProfiles => run!(ListInstanceProfiles, instance_profiles::list),
        O::ListInstanceProfilesForRole => {
            run!(ListInstanceProfilesForRole, instance_profiles::list_for_role)
        }
        O::ListOpenIDConnectProviderTags => {
            run!(ListOpenIDConnectProviderTags, tags::list_provider)
        }
        O::ListOpenIDConnectProviders => run!(ListOpenIDConnectProviders, oidc_providers::list),
        O::ListPolicies => run!(ListPolicies, policies::list),
        O::ListPolicyTags => run!(ListPolicyTags, tags::list_policy),
        O::ListPolicyVersions => run!(ListPolicyVersions, policy_versions::list),
        O::ListRolePolicies => run!(ListRolePolicies, inline::list_role),
        O::ListRoleTags => run!(ListRoleTags, tags::list_role),
        O::ListRoles => run!(ListRoles, roles::list),
        O::ListUserPolicies => run!(ListUserPolicies, inline::list_user),
        O::ListUserTags => run!(ListUserTags, tags::list_user),
        O::ListUsers => run!(ListUsers, users::list),
        O::PutGroupPolicy => run!(PutGroupPolicy, inline::put_group),
        O::PutRolePermissionsBoundary => run!(PutRolePermissionsBoundary, boundaries::put_role),
        O::PutRolePolicy => run!(PutRolePolicy, inline::put_role),
        O::PutUserPermissionsBoundary => run!(PutUserPermissionsBoundary, boundaries::put_user),
        O::PutUserPolicy => run!(PutUserPolicy, inline::put_user),
        O::RemoveClientIDFromOpenIDConnectProvider => {
            run!(RemoveClientIDFromOpenIDConnectProvider, oidc_providers::remove_client)
        }
        O::RemoveRoleFromInstanceProfile => {
            run!(RemoveRoleFromInstanceProfile, instance_profiles::remove_role)
        }
        O::RemoveUserFromGroup => run!(RemoveUserFromGroup, groups::remove_user),
        O::SetDefaultPolicyVersion => run!(SetDefaultPolicyVersion, policy_versions::set_default),
        O::SimulateCustomPolicy => run!(SimulateCustomPolicy, simulate::custom),
        O::SimulatePrincipalPolicy => run!(SimulatePrincipalPolicy, simulate::principal),
        O::TagInstanceProfile => run!(TagInstanceProfile, tags::tag_profile),
        O::TagOpenIDConnectProvider => run!(TagOpenIDConnectProvider, tags::tag_provider),
        O::TagPolicy => run!(TagPolicy, tags::tag_policy),
        O::TagRole => run!(TagRole, tags::tag_role),
        O::TagUser => run!(TagUser, tags::tag_user),
        O::UntagInstanceProfile => run!(UntagInstanceProfile, tags::untag_profile),
        O::UntagOpenIDConnectProvider => run!(UntagOpenIDConnectProvider, tags::untag_provider),
        O::UntagPolicy => run!(UntagPolicy, tags::untag_policy),
        O::UntagRole => run!(UntagRole, tags::untag_role),
        O::UntagUser => run!(UntagUser, tags::untag_user),
        O::UpdateAccessKey => run!(UpdateAccessKey, access_keys::update),
        O::UpdateAssumeRolePolicy => run!(UpdateAssumeRolePolicy, roles::update_trust),
        O::UpdateGroup => run!(UpdateGroup, groups::update),
        O::UpdateOpenIDConnectProviderThumbprint => {
            run!(UpdateOpenIDConnectProviderThumbprint, oidc_providers::update_thumbprint)
        }
        O::UpdateRole => run!(UpdateRole, roles::update),
        O::UpdateRoleDescription => run!(UpdateRoleDescription, roles::update_description),
        O::UpdateUser => run!(UpdateUser, users::update),
        missing => Err(ErrorCode::NotSupportedService.error(coverage::refusal(missing))),
    }
}

/// A session of a user, or of root, may do what they may, but nothing to identities.
fn check_session(call: &Call) -> Result<(), ServiceError> {
    let role = matches!(call.principal.kind, PrincipalKind::AssumedRole { .. });
    if role || call.principal.session.is_none() {
        return Ok(());
    }
    // AWS's answer.
    Err(ServiceError {
        status: 403,
        ..ServiceError::client(
            "InvalidClientTokenId",
            "The security token included in the request is invalid",
        )
    })
}

pub(crate) use service_linked::role_of as service_linked_role;

/// The role with a name in an account.
pub(crate) fn role_by_name<'v>(
    view: &'v View,
    account: longshore_domain::ids::AccountId,
    name: &str,
) -> Option<&'v longshore_domain::record::IamRole> {
    lookup::role(view, account, name).ok().map(|row| &row.record)
}

/// What a managed policy says, and since which revision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicySource<'v> {
    pub(crate) revision: StoreRevision,
    pub(crate) document: &'v str,
}

/// What the managed policy with an ARN says, of whichever account.
pub(crate) fn policy_source<'v>(view: &'v View, arn: &str) -> Option<PolicySource<'v>> {
    Some(match lookup::policy_by_arn(view, arn)? {
        lookup::AnyPolicy::Aws(managed) => {
            PolicySource { revision: StoreRevision::ZERO, document: managed.document }
        }
        lookup::AnyPolicy::Own(row) => {
            PolicySource { revision: row.mod_revision, document: row.document() }
        }
    })
}

/// `EntityAlreadyExists`.
fn exists(message: impl Into<String>) -> ServiceError {
    ErrorCode::EntityAlreadyExists.error(message)
}

/// `LimitExceeded`.
fn exceeded(quota: &str, limit: usize) -> ServiceError {
    ErrorCode::LimitExceeded.error(format!("Cannot exceed quota for {quota}: {limit}"))
}
