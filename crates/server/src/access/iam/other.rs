//! The account, instance profiles, providers of OpenID Connect, and simulations.

use super::{access, pairs};

access! { "iam", iam {
    AddClientIDToOpenIDConnectProvider Permissions ["oidc-provider"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.open_id_connect_provider_arn);
    AddRoleToInstanceProfile Permissions ["instance-profile"] ["aws:ResourceTag/${TagKey}"] ["iam:PassRole"] =
        |input, asking| {
            asking.ask_profile(&input.instance_profile_name);
            asking.pass_role_by_name(&input.role_name);
        };
    CreateAccountAlias Permissions [] [] [] =
        |_, asking| asking.ask_anything();
    CreateInstanceProfile Permissions ["instance-profile"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] ["iam:TagInstanceProfile"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.ask_new("instance-profile", input.path.as_deref(), &input.instance_profile_name);
            asking.ask_tagging("iam:TagInstanceProfile", input.tags.as_ref());
        };
    CreateOpenIDConnectProvider Permissions ["oidc-provider"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] ["iam:TagOpenIDConnectProvider"] =
        |input, asking| {
            asking.request_tags(pairs(input.tags.as_ref()));
            asking.ask_provider(&input.url);
            asking.ask_tagging("iam:TagOpenIDConnectProvider", input.tags.as_ref());
        };
    DeleteAccountAlias Permissions [] [] [] =
        |_, asking| asking.ask_anything();
    DeleteInstanceProfile Permissions ["instance-profile"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_profile(&input.instance_profile_name);
    DeleteOpenIDConnectProvider Permissions ["oidc-provider"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.open_id_connect_provider_arn);
    GetAccountAuthorizationDetails Read [] [] [] =
        |_, asking| asking.ask_anything();
    GetAccountSummary List [] [] [] =
        |_, asking| asking.ask_anything();
    GetContextKeysForCustomPolicy Read [] [] [] =
        |_, asking| asking.ask_anything();
    GetContextKeysForPrincipalPolicy Read ["group" "role" "user"] [] [] =
        |input, asking| asking.ask_iam(&input.policy_source_arn);
    GetInstanceProfile Read ["instance-profile"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_profile(&input.instance_profile_name);
    GetOpenIDConnectProvider Read ["oidc-provider"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.open_id_connect_provider_arn);
    ListAccountAliases List [] [] [] =
        |_, asking| asking.ask_anything();
    ListGroups List [] [] [] =
        |_, asking| asking.ask_anything();
    ListInstanceProfileTags List ["instance-profile"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_profile(&input.instance_profile_name);
    ListInstanceProfiles List [] [] [] =
        |_, asking| asking.ask_anything();
    ListOpenIDConnectProviderTags List ["oidc-provider"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.open_id_connect_provider_arn);
    ListOpenIDConnectProviders List [] [] [] =
        |_, asking| asking.ask_anything();
    ListPolicies List [] [] [] =
        |_, asking| asking.ask_anything();
    ListRoles List [] [] [] =
        |_, asking| asking.ask_anything();
    ListUsers List [] [] [] =
        |_, asking| asking.ask_anything();
    RemoveClientIDFromOpenIDConnectProvider Permissions ["oidc-provider"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.open_id_connect_provider_arn);
    RemoveRoleFromInstanceProfile Permissions ["instance-profile"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_profile(&input.instance_profile_name);
    SimulateCustomPolicy Read [] [] [] =
        |_, asking| asking.ask_anything();
    SimulatePrincipalPolicy Read ["group" "role" "user"] [] [] =
        |input, asking| asking.ask_iam(&input.policy_source_arn);
    TagInstanceProfile Tagging ["instance-profile"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_profile(&input.instance_profile_name);
        };
    TagOpenIDConnectProvider Tagging ["oidc-provider"] ["aws:RequestTag/${TagKey}" "aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.request_tags(pairs(Some(&input.tags)));
            asking.ask_iam(&input.open_id_connect_provider_arn);
        };
    UntagInstanceProfile Tagging ["instance-profile"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_profile(&input.instance_profile_name);
        };
    UntagOpenIDConnectProvider Tagging ["oidc-provider"] ["aws:ResourceTag/${TagKey}" "aws:TagKeys"] [] =
        |input, asking| {
            asking.tag_keys(input.tag_keys.iter().map(String::as_str));
            asking.ask_iam(&input.open_id_connect_provider_arn);
        };
    UpdateOpenIDConnectProviderThumbprint Permissions ["oidc-provider"] ["aws:ResourceTag/${TagKey}"] [] =
        |input, asking| asking.ask_iam(&input.open_id_connect_provider_arn);
} }
