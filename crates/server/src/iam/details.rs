//! GetAccountAuthorizationDetails: everything that decides who may do what, in pages.

use longshore_auth::Authorized;
use longshore_domain::record::Grants;
use longshore_store::tables::InstanceProfileIndex;
use longshore_store::{KeyPrefix, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::enums::EntityType;
use longshore_wire::iam::{
    AttachedPolicy, GetAccountAuthorizationDetailsRequest, GetAccountAuthorizationDetailsResponse,
    GroupDetail, ManagedPolicyDetail, PolicyDetail, PolicyVersion, RoleDetail, UserDetail,
};

use super::lookup::AnyPolicy;
use super::page::Page;
use super::{encode, groups, lookup, managed};
use crate::call::Call;

/// One entry of a page.
enum Detail {
    Group(GroupDetail),
    Policy(ManagedPolicyDetail),
    Role(RoleDetail),
    User(UserDetail),
}

/// GetAccountAuthorizationDetails.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetAccountAuthorizationDetailsRequest>,
) -> Result<GetAccountAuthorizationDetailsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let filter = request.filter.unwrap_or_default();
    let wanted = |kind: EntityType| filter.is_empty() || filter.contains(&kind);
    let view = &*call.server.state.view();
    let account = call.scope.account;
    // Keys alone are sorted and cut; only what is on the page is made.
    let mut all: Vec<(String, Make<'_>)> = Vec::new();
    if wanted(EntityType::Group) {
        let rows = view.iam_groups.range(&KeyPrefix::account(account));
        all.extend(rows.map(|row| (row.key.to_string(), Make::Group(row))));
    }
    if wanted(EntityType::LocalManagedPolicy) {
        let rows = view.iam_policies.range(&KeyPrefix::account(account));
        all.extend(rows.map(|row| (row.key.to_string(), Make::Policy(AnyPolicy::Own(row)))));
    }
    if wanted(EntityType::Role) {
        let rows = view.iam_roles.range(&KeyPrefix::account(account));
        all.extend(rows.map(|row| (row.key.to_string(), Make::Role(row))));
    }
    if wanted(EntityType::User) {
        let rows = view.iam_users.range(&KeyPrefix::account(account));
        all.extend(rows.map(|row| (row.key.to_string(), Make::User(row))));
    }
    if wanted(EntityType::AWSManagedPolicy) {
        // Those that something has.
        let used =
            managed::ALL.iter().filter(|policy| lookup::attachments(view, &policy.arn()) > 0);
        let keyed =
            used.map(|policy| (format!("~{}", policy.arn()), Make::Policy(AnyPolicy::Aws(policy))));
        all.extend(keyed);
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let cut = page.cut(all);
    let (mut group_list, mut policies, mut roles, mut users) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for entry in cut.items {
        match entry.detail(call, view) {
            Detail::Group(detail) => group_list.push(detail),
            Detail::Policy(detail) => policies.push(detail),
            Detail::Role(detail) => roles.push(detail),
            Detail::User(detail) => users.push(detail),
        }
    }
    Ok(GetAccountAuthorizationDetailsResponse {
        group_detail_list: Some(group_list),
        is_truncated: cut.is_truncated,
        marker: cut.marker,
        policies: Some(policies),
        role_detail_list: Some(roles),
        user_detail_list: Some(users),
    })
}

/// What an entry is made of.
enum Make<'v> {
    Group(&'v longshore_domain::record::IamGroup),
    Policy(AnyPolicy<'v>),
    Role(&'v longshore_domain::record::IamRole),
    User(&'v longshore_domain::record::IamUser),
}

impl Make<'_> {
    fn detail(self, call: &Call, view: &View) -> Detail {
        match self {
            Self::Group(group) => Detail::Group(GroupDetail {
                arn: Some(group.arn()),
                attached_managed_policies: Some(attached(view, &group.grants)),
                create_date: Some(encode::time(group.created_at)),
                group_id: Some(group.id.to_string()),
                group_name: Some(group.name.clone()),
                group_policy_list: Some(inline(&group.grants)),
                path: Some(group.path.clone()),
            }),
            Self::Policy(policy) => Detail::Policy(policy_detail(view, policy)),
            Self::Role(role) => {
                let index = InstanceProfileIndex::role(role.account, &role.name);
                let profiles = view.instance_profiles.by(&index);
                let profiles = profiles.map(|row| encode::instance_profile(view, row));
                let used = call.server.uses.role(role);
                Detail::Role(RoleDetail {
                    arn: Some(role.arn()),
                    assume_role_policy_document: Some(encode::document(&role.trust)),
                    attached_managed_policies: Some(attached(view, &role.grants)),
                    create_date: Some(encode::time(role.created_at)),
                    instance_profile_list: Some(profiles.collect()),
                    path: Some(role.path.clone()),
                    permissions_boundary: encode::detail_boundary(role.boundary.as_ref()),
                    role_id: Some(role.id.to_string()),
                    role_last_used: Some(encode::last_used(used.as_ref())),
                    role_name: Some(role.name.clone()),
                    role_policy_list: Some(inline(&role.grants)),
                    tags: encode::tags(&role.tags),
                })
            }
            Self::User(user) => Detail::User(UserDetail {
                arn: Some(user.arn()),
                attached_managed_policies: Some(attached(view, &user.grants)),
                create_date: Some(encode::time(user.created_at)),
                group_list: Some(groups::of(view, user).map(|row| row.name.clone()).collect()),
                path: Some(user.path.clone()),
                permissions_boundary: encode::detail_boundary(user.boundary.as_ref()),
                tags: encode::tags(&user.tags),
                user_id: Some(user.id.to_string()),
                user_name: Some(user.name.clone()),
                user_policy_list: Some(inline(&user.grants)),
            }),
        }
    }
}

fn attached(view: &View, grants: &Grants) -> Vec<AttachedPolicy> {
    grants.attached.iter().map(|arn| encode::attached(view, arn)).collect()
}

fn inline(grants: &Grants) -> Vec<PolicyDetail> {
    let detail = |(name, text): (&String, &String)| PolicyDetail {
        policy_document: Some(encode::document(text)),
        policy_name: Some(name.clone()),
    };
    grants.inline.iter().map(detail).collect()
}

fn policy_detail(view: &View, policy: AnyPolicy<'_>) -> ManagedPolicyDetail {
    let shown = encode::policy(view, policy);
    let versions = match policy {
        AnyPolicy::Aws(managed) => vec![PolicyVersion {
            create_date: Some(encode::time(managed::created_at())),
            document: Some(encode::document(managed.document)),
            is_default_version: Some(true),
            version_id: Some(managed::version()),
        }],
        AnyPolicy::Own(row) => {
            row.versions.iter().rev().map(|version| encode::version(row, version)).collect()
        }
    };
    ManagedPolicyDetail {
        arn: shown.arn,
        attachment_count: shown.attachment_count,
        create_date: shown.create_date,
        default_version_id: shown.default_version_id,
        description: shown.description,
        is_attachable: shown.is_attachable,
        path: shown.path,
        permissions_boundary_usage_count: shown.permissions_boundary_usage_count,
        policy_id: shown.policy_id,
        policy_name: shown.policy_name,
        policy_version_list: Some(versions),
        update_date: shown.update_date,
    }
}
