//! Records as the API shows them. Documents are percent-encoded, as RFC 3986 has it.

use longshore_domain::record::{
    IamGroup, IamPolicy, IamRole, IamUser, InstanceProfile, PolicyVersion, RoleUse, Tags,
};
use longshore_domain::time::Timestamp;
use longshore_store::View;
use longshore_wire::Timestamp as Shown;
use longshore_wire::iam::enums::PermissionsBoundaryAttachmentType;
use longshore_wire::iam::{
    AttachedPermissionsBoundary, AttachedPolicy, Group, InstanceProfile as ShownProfile, Policy,
    PolicyVersion as ShownVersion, Role, RoleLastUsed, Tag, User,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::lookup::{self, AnyPolicy};
use super::managed;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A document as answers have it.
pub(super) fn document(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A time; IAM counts whole seconds.
pub(super) fn time(at: Timestamp) -> Shown {
    Shown(at.as_epoch_seconds().floor())
}

/// Tags; `None` where there are none.
pub(super) fn tags(tags: &Tags) -> Option<Vec<Tag>> {
    let tag = |(key, value): (&String, &String)| Tag { key: key.clone(), value: value.clone() };
    (!tags.is_empty()).then(|| tags.iter().map(tag).collect())
}

fn boundary(arn: Option<&String>) -> Option<AttachedPermissionsBoundary> {
    arn.map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_arn: Some(arn.clone()),
        permissions_boundary_type: Some(
            PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy,
        ),
    })
}

/// A user as it is listed: without tags and boundary.
pub(super) fn listed_user(user: &IamUser) -> User {
    User {
        arn: user.arn(),
        create_date: time(user.created_at),
        password_last_used: None,
        path: user.path.clone(),
        permissions_boundary: None,
        tags: None,
        user_id: user.id.to_string(),
        user_name: user.name.clone(),
    }
}

/// A user.
pub(super) fn user(user: &IamUser) -> User {
    User {
        permissions_boundary: boundary(user.boundary.as_ref()),
        tags: tags(&user.tags),
        ..listed_user(user)
    }
}

/// A group.
pub(super) fn group(group: &IamGroup) -> Group {
    Group {
        arn: group.arn(),
        create_date: time(group.created_at),
        group_id: group.id.to_string(),
        group_name: group.name.clone(),
        path: group.path.clone(),
    }
}

/// A role as it is listed: without tags, boundary and when it was used.
pub(super) fn listed_role(role: &IamRole) -> Role {
    Role {
        arn: role.arn(),
        assume_role_policy_document: Some(document(&role.trust)),
        create_date: time(role.created_at),
        description: role.description.clone(),
        max_session_duration: i32::try_from(role.max_session_s).ok(),
        path: role.path.clone(),
        permissions_boundary: None,
        role_id: role.id.to_string(),
        role_last_used: None,
        role_name: role.name.clone(),
        source_role_template: None,
        tags: None,
    }
}

/// A role, and when it was used last.
pub(super) fn role(role: &IamRole, used: Option<&RoleUse>) -> Role {
    Role {
        permissions_boundary: boundary(role.boundary.as_ref()),
        role_last_used: Some(last_used(used)),
        tags: tags(&role.tags),
        ..listed_role(role)
    }
}

pub(super) fn last_used(used: Option<&RoleUse>) -> RoleLastUsed {
    RoleLastUsed {
        last_used_date: used.map(|used| time(used.at)),
        region: used.map(|used| used.region.clone()),
    }
}

/// Boundary of a user or role, for the account's details.
pub(super) fn detail_boundary(arn: Option<&String>) -> Option<AttachedPermissionsBoundary> {
    boundary(arn)
}

/// An instance profile with its role.
pub(super) fn instance_profile(view: &View, profile: &InstanceProfile) -> ShownProfile {
    let role = profile.role.as_ref();
    let role = role.and_then(|role| lookup::role(view, profile.account, role).ok());
    ShownProfile {
        arn: profile.arn(),
        create_date: time(profile.created_at),
        instance_profile_id: profile.id.to_string(),
        instance_profile_name: profile.name.clone(),
        path: profile.path.clone(),
        roles: role.into_iter().map(|row| listed_role(row)).collect(),
        tags: tags(&profile.tags),
    }
}

/// A managed policy.
pub(super) fn policy(view: &View, policy: AnyPolicy<'_>) -> Policy {
    let arn = policy.arn();
    let count = |count: usize| i32::try_from(count).ok();
    let used = Policy {
        attachment_count: count(lookup::attachments(view, &arn)),
        permissions_boundary_usage_count: count(lookup::bounded(view, &arn)),
        policy_name: Some(policy.name().to_owned()),
        path: Some(policy.path().to_owned()),
        arn: Some(arn),
        is_attachable: Some(true),
        ..Policy::default()
    };
    match policy {
        AnyPolicy::Aws(managed) => Policy {
            create_date: Some(time(managed::created_at())),
            default_version_id: Some(managed::version()),
            description: Some(managed.description.to_owned()),
            policy_id: Some(managed.id.to_owned()),
            update_date: Some(time(managed::created_at())),
            ..used
        },
        AnyPolicy::Own(row) => own_policy(row, used),
    }
}

fn own_policy(policy: &IamPolicy, used: Policy) -> Policy {
    Policy {
        create_date: Some(time(policy.created_at)),
        default_version_id: Some(version_id(policy.default)),
        description: policy.description.clone(),
        policy_id: Some(policy.id.to_string()),
        tags: tags(&policy.tags),
        update_date: Some(time(policy.updated_at)),
        ..used
    }
}

/// `v1`, `v2` and so on.
pub(super) fn version_id(number: u32) -> String {
    format!("v{number}")
}

/// A version of a policy, without its document.
pub(super) fn listed_version(policy: &IamPolicy, version: &PolicyVersion) -> ShownVersion {
    ShownVersion {
        create_date: Some(time(version.created_at)),
        document: None,
        is_default_version: Some(version.number == policy.default),
        version_id: Some(version_id(version.number)),
    }
}

/// A version of a policy.
pub(super) fn version(policy: &IamPolicy, version: &PolicyVersion) -> ShownVersion {
    ShownVersion { document: Some(document(&version.document)), ..listed_version(policy, version) }
}

/// A policy as one of those that are attached to something.
pub(super) fn attached(view: &View, arn: &str) -> AttachedPolicy {
    let name = lookup::policy_by_arn(view, arn).map(|policy| policy.name().to_owned());
    AttachedPolicy { policy_arn: Some(arn.to_owned()), policy_name: name }
}
