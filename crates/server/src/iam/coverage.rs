//! What of the Identity and Access Management API is built.

use longshore_wire::iam::OperationName;

use crate::ecs::coverage::Coverage;

/// How far `operation` is built. A new operation in the model does not compile until it is here.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) const fn of(operation: OperationName) -> Coverage {
    use Coverage::{Built, Missing, Partial};
    use OperationName as O;
    match operation {
        O::CreateServiceLinkedRole => {
            Partial("for ecs.amazonaws.com and elasticloadbalancing.amazonaws.com")
        }
        O::SimulateCustomPolicy => {
            Partial("no positions of statements, no policies of organizations")
        }
        O::SimulatePrincipalPolicy => Partial(
            "no positions of statements; policies that services attach count like any other",
        ),
        O::CreateOpenIDConnectProvider => Partial(
            "thumbprints are kept and change nothing: certificates are checked against the roots of the machine",
        ),
        O::CreateRole | O::UpdateAssumeRolePolicy => {
            Partial("principals of a trust policy are kept by name and not by unique id")
        }
        O::GetAccountSummary => Partial("what there is not is counted as none"),
        O::AddClientIDToOpenIDConnectProvider
        | O::AddRoleToInstanceProfile
        | O::AddUserToGroup
        | O::AttachGroupPolicy
        | O::AttachRolePolicy
        | O::AttachUserPolicy
        | O::CreateAccessKey
        | O::CreateAccountAlias
        | O::CreateGroup
        | O::CreateInstanceProfile
        | O::CreatePolicy
        | O::CreatePolicyVersion
        | O::CreateUser
        | O::DeleteAccessKey
        | O::DeleteAccountAlias
        | O::DeleteGroup
        | O::DeleteGroupPolicy
        | O::DeleteInstanceProfile
        | O::DeleteOpenIDConnectProvider
        | O::DeletePolicy
        | O::DeletePolicyVersion
        | O::DeleteRole
        | O::DeleteRolePermissionsBoundary
        | O::DeleteRolePolicy
        | O::DeleteServiceLinkedRole
        | O::DeleteUser
        | O::DeleteUserPermissionsBoundary
        | O::DeleteUserPolicy
        | O::DetachGroupPolicy
        | O::DetachRolePolicy
        | O::DetachUserPolicy
        | O::GetAccessKeyLastUsed
        | O::GetAccountAuthorizationDetails
        | O::GetContextKeysForCustomPolicy
        | O::GetContextKeysForPrincipalPolicy
        | O::GetGroup
        | O::GetGroupPolicy
        | O::GetInstanceProfile
        | O::GetOpenIDConnectProvider
        | O::GetPolicy
        | O::GetPolicyVersion
        | O::GetRole
        | O::GetRolePolicy
        | O::GetServiceLinkedRoleDeletionStatus
        | O::GetUser
        | O::GetUserPolicy
        | O::ListAccessKeys
        | O::ListAccountAliases
        | O::ListAttachedGroupPolicies
        | O::ListAttachedRolePolicies
        | O::ListAttachedUserPolicies
        | O::ListEntitiesForPolicy
        | O::ListGroupPolicies
        | O::ListGroups
        | O::ListGroupsForUser
        | O::ListInstanceProfileTags
        | O::ListInstanceProfiles
        | O::ListInstanceProfilesForRole
        | O::ListOpenIDConnectProviderTags
        | O::ListOpenIDConnectProviders
        | O::ListPolicies
        | O::ListPolicyTags
        | O::ListPolicyVersions
        | O::ListRolePolicies
        | O::ListRoleTags
        | O::ListRoles
        | O::ListUserPolicies
        | O::ListUserTags
        | O::ListUsers
        | O::PutGroupPolicy
        | O::PutRolePermissionsBoundary
        | O::PutRolePolicy
        | O::PutUserPermissionsBoundary
        | O::PutUserPolicy
        | O::RemoveClientIDFromOpenIDConnectProvider
        | O::RemoveRoleFromInstanceProfile
        | O::RemoveUserFromGroup
        | O::SetDefaultPolicyVersion
        | O::TagInstanceProfile
        | O::TagOpenIDConnectProvider
        | O::TagPolicy
        | O::TagRole
        | O::TagUser
        | O::UntagInstanceProfile
        | O::UntagOpenIDConnectProvider
        | O::UntagPolicy
        | O::UntagRole
        | O::UntagUser
        | O::UpdateAccessKey
        | O::UpdateGroup
        | O::UpdateOpenIDConnectProviderThumbprint
        | O::UpdateRole
        | O::UpdateRoleDescription
        | O::UpdateUser => Built,
        O::ChangePassword
        | O::CreateLoginProfile
        | O::DeleteAccountPasswordPolicy
        | O::DeleteLoginProfile
        | O::GetAccountPasswordPolicy
        | O::GetLoginProfile
        | O::UpdateAccountPasswordPolicy
        | O::UpdateLoginProfile => Missing("passwords"),
        O::CreateSAMLProvider
        | O::DeleteSAMLProvider
        | O::GetSAMLProvider
        | O::ListSAMLProviderTags
        | O::ListSAMLProviders
        | O::TagSAMLProvider
        | O::UntagSAMLProvider
        | O::UpdateSAMLProvider => Missing("providers of SAML"),
        O::CreateVirtualMFADevice
        | O::DeactivateMFADevice
        | O::DeleteVirtualMFADevice
        | O::EnableMFADevice
        | O::GetMFADevice
        | O::ListMFADeviceTags
        | O::ListMFADevices
        | O::ListVirtualMFADevices
        | O::ResyncMFADevice
        | O::TagMFADevice
        | O::UntagMFADevice => Missing("devices for several factors"),
        O::DeleteSSHPublicKey
        | O::DeleteServerCertificate
        | O::DeleteSigningCertificate
        | O::GetSSHPublicKey
        | O::GetServerCertificate
        | O::ListSSHPublicKeys
        | O::ListServerCertificateTags
        | O::ListServerCertificates
        | O::ListSigningCertificates
        | O::TagServerCertificate
        | O::UntagServerCertificate
        | O::UpdateSSHPublicKey
        | O::UpdateServerCertificate
        | O::UpdateSigningCertificate
        | O::UploadSSHPublicKey
        | O::UploadServerCertificate
        | O::UploadSigningCertificate => Missing("certificates and keys of users and servers"),
        O::CreateServiceSpecificCredential
        | O::DeleteServiceSpecificCredential
        | O::ListServiceSpecificCredentials
        | O::ResetServiceSpecificCredential
        | O::UpdateServiceSpecificCredential => Missing("credentials for single services"),
        O::DisableOrganizationsRootCredentialsManagement
        | O::DisableOrganizationsRootSessions
        | O::EnableOrganizationsRootCredentialsManagement
        | O::EnableOrganizationsRootSessions
        | O::GenerateOrganizationsAccessReport
        | O::GetOrganizationsAccessReport
        | O::ListOrganizationsFeatures => Missing("organizations"),
        O::AcceptDelegationRequest
        | O::AssociateDelegationRequest
        | O::CreateDelegationRequest
        | O::GetDelegationRequest
        | O::ListDelegationRequests
        | O::RejectDelegationRequest
        | O::SendDelegationToken
        | O::UpdateDelegationRequest => Missing("delegations"),
        O::GenerateCredentialReport
        | O::GenerateServiceLastAccessedDetails
        | O::GetCredentialReport
        | O::GetHumanReadableSummary
        | O::GetServiceLastAccessedDetails
        | O::GetServiceLastAccessedDetailsWithEntities
        | O::ListPoliciesGrantingServiceAccess => Missing("reports"),
        O::DisableOutboundWebIdentityFederation
        | O::EnableOutboundWebIdentityFederation
        | O::GetOutboundWebIdentityFederationInfo => Missing("tokens for others"),
        O::GetAccountProperties
        | O::PutAccountProperties
        | O::SetSecurityTokenServicePreferences => Missing("preferences of accounts"),
        O::AcquireRole | O::GetRoleTemplateVersion => Missing("templates of roles"),
    }
}

/// The message of an operation that is not built.
pub(super) fn refusal(operation: OperationName) -> String {
    let name = operation.info().name;
    let what = match of(operation) {
        Coverage::Missing(what) => what,
        Coverage::Built | Coverage::Partial(_) => name,
    };
    format!("{name} is not available in this version of Longshore: {what} are not built yet.")
}
