//! Users and groups.

use super::{Bound, access, pairs};

access! { "iam", iam {
    AddUserToGroup Permissions ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    AttachGroupPolicy Permissions ["group"] ["iam:PolicyARN"] [] =
        |input, asking| {
            asking.key("iam:PolicyARN", &input.policy_arn);
            asking.ask_group(&input.group_name);
        };
    AttachUserPolicy Permissions ["user"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary" "iam:PolicyARN"] [] =
        |input, asking| {
            asking.key("iam:PolicyARN", &input.policy_arn);
            asking.ask_user(Some(&input.user_name), Bound::Key);
        };
    CreateAccessKey Permissions ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(input.user_name.as_deref(), Bound::No);
    CreateGroup Permissions ["group"] [] [] =
        |input, asking| asking.ask_new("group", input.path.as_deref(), &input.group_name);
    CreateUser Permissions ["user"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys" "iam:PermissionsBoundary"] ["iam:TagUser"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.key_of("iam:PermissionsBoundary", input.permissions_boundary.as_ref());
            asking.ask_new("user", input.path.as_deref(), &input.user_name);
            asking.ask_tagging("iam:TagUser", input.tags.as_ref());
        };
    DeleteAccessKey Permissions ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(input.user_name.as_deref(), Bound::No);
    DeleteGroup Permissions ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    DeleteGroupPolicy Permissions ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    DeleteUser Permissions ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::No);
    DeleteUserPermissionsBoundary Permissions ["user"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::Key);
    DeleteUserPolicy Permissions ["user"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::Key);
    DetachGroupPolicy Permissions ["group"] ["iam:PolicyARN"] [] =
        |input, asking| {
            asking.key("iam:PolicyARN", &input.policy_arn);
            asking.ask_group(&input.group_name);
        };
    DetachUserPolicy Permissions ["user"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary" "iam:PolicyARN"] [] =
        |input, asking| {
            asking.key("iam:PolicyARN", &input.policy_arn);
            asking.ask_user(Some(&input.user_name), Bound::Key);
        };
    GetAccessKeyLastUsed Read ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user_of_key(&input.access_key_id);
    GetGroup Read ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    GetGroupPolicy Read ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    GetUser Read ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(input.user_name.as_deref(), Bound::No);
    GetUserPolicy Read ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::No);
    ListAccessKeys List ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(input.user_name.as_deref(), Bound::No);
    ListAttachedGroupPolicies List ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    ListAttachedUserPolicies List ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::No);
    ListGroupPolicies List ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    ListGroupsForUser List ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::No);
    ListUserPolicies List ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::No);
    ListUserTags List ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::No);
    PutGroupPolicy Permissions ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    PutUserPermissionsBoundary Permissions ["user"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| {
            asking.key_of("iam:PermissionsBoundary", Some(&input.permissions_boundary));
            asking.ask_user(Some(&input.user_name), Bound::No);
        };
    PutUserPolicy Permissions ["user"] ["aws:ResourceTag/${TagKey}" "iam:PermissionsBoundary"] [] =
        |input, asking| asking.ask_user(Some(&input.user_name), Bound::Key);
    RemoveUserFromGroup Permissions ["group"] [] [] =
        |input, asking| asking.ask_group(&input.group_name);
    TagUser Tagging ["user"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_user(Some(&input.user_name), Bound::No);
        };
    UntagUser Tagging ["user"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_user(Some(&input.user_name), Bound::No);
        };
    UpdateAccessKey Permissions ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_user(input.user_name.as_deref(), Bound::No);
    UpdateGroup Permissions ["group"] [] [] =
        |input, asking| {
            asking.ask_group(&input.group_name);
            asking.ask_renamed_group(&input.group_name, input.new_path.as_deref(), input.new_group_name.as_deref());
        };
    UpdateUser Permissions ["user"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| {
            asking.ask_user(Some(&input.user_name), Bound::No);
            asking.ask_renamed_user(&input.user_name, input.new_path.as_deref(), input.new_user_name.as_deref());
        };
} }
