//! Roles.

use super::{Bound, access, pairs};

access! { "iam", iam {
    AttachRolePolicy Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary" "iam:PolicyARN"] [] =
        |input, asking| {
            asking.key("iam:PolicyARN", &input.policy_arn);
            asking.ask_role(&input.role_name, Bound::Key);
        };
    CreateRole Permissions ["role"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "iam:PermissionsBoundary"] ["iam:TagRole"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.key_of("iam:PermissionsBoundary", input.permissions_boundary.as_ref());
            asking.ask_new("role", input.path.as_deref(), &input.role_name);
            asking.ask_tagging("iam:TagRole", input.tags.as_ref());
        };
    CreateServiceLinkedRole Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:AWSServiceName"] [] =
        |input, asking| {
            asking.key("iam:AWSServiceName", &input.aws_service_name);
            let role = crate::iam::service_linked_role(&input.aws_service_name);
            asking.ask_new("role", Some(&role.path), &role.name);
        };
    DeleteRole Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
    DeleteRolePermissionsBoundary Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
    DeleteRolePolicy Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
    DeleteServiceLinkedRole Permissions ["role"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::No);
    DetachRolePolicy Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary" "iam:PolicyARN"] [] =
        |input, asking| {
            asking.key("iam:PolicyARN", &input.policy_arn);
            asking.ask_role(&input.role_name, Bound::Key);
        };
    GetRole Read ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
    GetRolePolicy Read ["role"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::No);
    GetServiceLinkedRoleDeletionStatus Read ["role"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_role_of_deletion(&input.deletion_task_id);
    ListAttachedRolePolicies List ["role"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::No);
    ListInstanceProfilesForRole List ["role"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::No);
    ListRolePolicies List ["role"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::No);
    ListRoleTags List ["role"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::No);
    PutRolePermissionsBoundary Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| {
            asking.key_of("iam:PermissionsBoundary", Some(&input.permissions_boundary));
            asking.ask_role(&input.role_name, Bound::No);
        };
    PutRolePolicy Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
    TagRole Tagging ["role"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_role(&input.role_name, Bound::No);
        };
    UntagRole Tagging ["role"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_role(&input.role_name, Bound::No);
        };
    UpdateAssumeRolePolicy Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
    UpdateRole Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
    UpdateRoleDescription Permissions ["role"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_role(&input.role_name, Bound::Key);
} }
