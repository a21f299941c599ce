//! Managed policies.

use super::{access, pairs};

access! { "iam", iam {
    CreatePolicy Permissions ["policy"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] ["iam:TagPolicy"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.ask_new("policy", input.path.as_deref(), &input.policy_name);
            asking.ask_tagging("iam:TagPolicy", input.tags.as_ref());
        };
    CreatePolicyVersion Permissions ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    DeletePolicy Permissions ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    DeletePolicyVersion Permissions ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    GetPolicy Read ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    GetPolicyVersion Read ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    ListEntitiesForPolicy List ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    ListPolicyTags List ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    ListPolicyVersions List ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    SetDefaultPolicyVersion Permissions ["policy"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.policy_arn);
    TagPolicy Tagging ["policy"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_iam(&input.policy_arn);
        };
    UntagPolicy Tagging ["policy"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_iam(&input.policy_arn);
        };
} }
