//! Managed policies of users, groups and roles: attached, detached, listed.

use longshore_auth::Authorized;
use longshore_domain::ids::AccountId;
use longshore_domain::record::{IamGroup, IamRole, IamUser};
use longshore_store::View;
use longshore_store::tables::IamIndex;
use longshore_wire::ServiceError;
use longshore_wire::iam::enums::{EntityType, PolicyUsageType};
use longshore_wire::iam::{
    AttachGroupPolicyRequest, AttachRolePolicyRequest, AttachUserPolicyRequest, AttachedPolicy,
    DetachGroupPolicyRequest, DetachRolePolicyRequest, DetachUserPolicyRequest, ErrorCode,
    ListAttachedGroupPoliciesRequest, ListAttachedGroupPoliciesResponse,
    ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse,
    ListAttachedUserPoliciesRequest, ListAttachedUserPoliciesResponse,
    ListEntitiesForPolicyRequest, ListEntitiesForPolicyResponse, Nothing, PolicyGroup, PolicyRole,
    PolicyUser,
};

use super::holder::{Holder, change};
use super::lookup::{self, AnyPolicy};
use super::page::{Cut, Page};
use super::{encode, exceeded, names, quotas};
use crate::call::Call;

/// Refuses policies that only services use.
///
/// # Errors
/// `PolicyNotAttachable`.
pub(super) fn check_attachable(
    arn: &str,
    view: &View,
    account: AccountId,
) -> Result<(), ServiceError> {
    names::arn(arn)?;
    match lookup::policy(view, account, arn) {
        Ok(AnyPolicy::Aws(managed)) if managed.is_for_service() => {
            Err(ErrorCode::PolicyNotAttachable
                .error("Cannot attach a Service Role Policy to a Customer Role."))
        }
        Ok(_) => Ok(()),
        Err(_) => {
            Err(lookup::missing(format!("Policy {arn} does not exist or is not attachable.")))
        }
    }
}

async fn attach<H: Holder>(call: &Call, name: &str, arn: &str) -> Result<Nothing, ServiceError> {
    let account = call.scope.account;
    change::<H>(call, name, |view, txn, grants| {
        check_attachable(arn, view, account)?;
        if grants.attached.iter().any(|known| known == arn) {
            return Ok(());
        }
        if grants.attached.len() >= quotas::ATTACHED {
            return Err(exceeded(H::QUOTA, quotas::ATTACHED));
        }
        if let AnyPolicy::Own(row) = lookup::policy(view, account, arn)? {
            // Touched, so that it is not deleted meanwhile.
            txn.update(row, &row.record);
        }
        grants.attached.push(arn.to_owned());
        Ok(())
    })
    .await
}

async fn detach<H: Holder>(call: &Call, name: &str, arn: &str) -> Result<Nothing, ServiceError> {
    change::<H>(call, name, |_, _, grants| {
        names::arn(arn)?;
        let before = grants.attached.len();
        grants.attached.retain(|known| known != arn);
        if grants.attached.len() == before {
            return Err(lookup::missing(format!("Policy {arn} was not found.")));
        }
        Ok(())
    })
    .await
}

fn list<H: Holder>(
    call: &Call,
    name: &str,
    path_prefix: Option<String>,
    page: &Page,
) -> Result<Cut<AttachedPolicy>, ServiceError> {
    let prefix = names::path_prefix(path_prefix)?;
    let view = call.server.state.view();
    let row = H::find(&view, call.scope.account, name)?;
    let mut arns: Vec<String> = row.grants().attached.clone();
    arns.sort_unstable();
    let within = |arn: &String| {
        lookup::policy_by_arn(&view, arn).is_some_and(|policy| policy.path().starts_with(&prefix))
    };
    let arns = arns.into_iter().filter(within);
    Ok(page.cut(arns.map(|arn| {
        let attached = encode::attached(&view, &arn);
        (arn, attached)
    })))
}

/// Declares the three operations of a kind of holder.
macro_rules! operations {
    ($record:ident, $name:ident: $attach:ident($attach_request:ident),
     $detach:ident($detach_request:ident), $list:ident($list_request:ident) -> $answer:ident) => {
        /// Attaches a policy.
        pub(super) async fn $attach(
            call: &Call,
            request: Authorized<$attach_request>,
        ) -> Result<Nothing, ServiceError> {
            let (_, request) = request.into_parts();
            attach::<$record>(call, &request.$name, &request.policy_arn).await
        }

        /// Detaches a policy.
        pub(super) async fn $detach(
            call: &Call,
            request: Authorized<$detach_request>,
        ) -> Result<Nothing, ServiceError> {
            let (_, request) = request.into_parts();
            detach::<$record>(call, &request.$name, &request.policy_arn).await
        }

        /// Lists attached policies.
        pub(super) async fn $list(
            call: &Call,
            request: Authorized<$list_request>,
        ) -> Result<$answer, ServiceError> {
            let (_, request) = request.into_parts();
            let page = Page::of(request.marker.as_ref(), request.max_items)?;
            let cut = list::<$record>(call, &request.$name, request.path_prefix, &page)?;
            Ok($answer {
                attached_policies: Some(cut.items),
                is_truncated: cut.is_truncated,
                marker: cut.marker,
            })
        }
    };
}

operations!(IamUser, user_name: attach_user(AttachUserPolicyRequest),
    detach_user(DetachUserPolicyRequest),
    list_user(ListAttachedUserPoliciesRequest) -> ListAttachedUserPoliciesResponse);
operations!(IamGroup, group_name: attach_group(AttachGroupPolicyRequest),
    detach_group(DetachGroupPolicyRequest),
    list_group(ListAttachedGroupPoliciesRequest) -> ListAttachedGroupPoliciesResponse);
operations!(IamRole, role_name: attach_role(AttachRolePolicyRequest),
    detach_role(DetachRolePolicyRequest),
    list_role(ListAttachedRolePoliciesRequest) -> ListAttachedRolePoliciesResponse);

/// One of the entities that a policy is attached to.
enum Entity {
    Group(PolicyGroup),
    Role(PolicyRole),
    User(PolicyUser),
}

/// ListEntitiesForPolicy.
pub(super) async fn list_entities(
    call: &Call,
    request: Authorized<ListEntitiesForPolicyRequest>,
) -> Result<ListEntitiesForPolicyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let prefix = names::path_prefix(request.path_prefix)?;
    let view = call.server.state.view();
    let account = call.scope.account;
    lookup::policy(&view, account, &request.policy_arn)?;
    let index = match request.policy_usage_filter {
        Some(PolicyUsageType::PermissionsBoundary) => IamIndex::Boundary(request.policy_arn),
        Some(PolicyUsageType::PermissionsPolicy) | None => IamIndex::Policy(request.policy_arn),
    };
    let wanted = |kind: EntityType| request.entity_filter.is_none_or(|filter| filter == kind);
    let mut all = Vec::new();
    let within = |owner: AccountId, path: &str| owner == account && path.starts_with(&prefix);
    if wanted(EntityType::Group) {
        for row in view.iam_groups.by(&index).filter(|row| within(row.account, &row.path)) {
            let entity = PolicyGroup {
                group_id: Some(row.id.to_string()),
                group_name: Some(row.name.clone()),
            };
            all.push((row.key.to_string(), Entity::Group(entity)));
        }
    }
    if wanted(EntityType::Role) {
        for row in view.iam_roles.by(&index).filter(|row| within(row.account, &row.path)) {
            let entity =
                PolicyRole { role_id: Some(row.id.to_string()), role_name: Some(row.name.clone()) };
            all.push((row.key.to_string(), Entity::Role(entity)));
        }
    }
    if wanted(EntityType::User) {
        for row in view.iam_users.by(&index).filter(|row| within(row.account, &row.path)) {
            let entity =
                PolicyUser { user_id: Some(row.id.to_string()), user_name: Some(row.name.clone()) };
            all.push((row.key.to_string(), Entity::User(entity)));
        }
    }
    let cut = page.cut(all);
    let (mut groups, mut roles, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for entity in cut.items {
        match entity {
            Entity::Group(entity) => groups.push(entity),
            Entity::Role(entity) => roles.push(entity),
            Entity::User(entity) => users.push(entity),
        }
    }
    Ok(ListEntitiesForPolicyResponse {
        is_truncated: cut.is_truncated,
        marker: cut.marker,
        policy_groups: Some(groups),
        policy_roles: Some(roles),
        policy_users: Some(users),
    })
}
