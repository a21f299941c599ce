//! Managed policies.

use longshore_auth::Authorized;
use longshore_domain::ids::{IamId, IamIdKind};
use longshore_domain::record::{IamPolicy, PolicyVersion};
use longshore_store::tables::IamPolicyKey;
use longshore_store::{KeyPrefix, RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::enums::{PolicyScopeType, PolicyUsageType};
use longshore_wire::iam::{
    CreatePolicyRequest, CreatePolicyResponse, DeletePolicyRequest, ErrorCode, GetPolicyRequest,
    GetPolicyResponse, ListPoliciesRequest, ListPoliciesResponse, Nothing, Policy,
};

use super::lookup::{self, AnyPolicy};
use super::page::Page;
use super::{documents, encode, exceeded, exists, managed, names, quotas, tags};
use crate::call::Call;
use crate::clock::RandomIds;

/// Checks the document of a managed policy.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
pub(super) fn check_document(text: &str) -> Result<(), ServiceError> {
    documents::check_identity(text)?;
    if documents::size(text) > quotas::POLICY_SIZE {
        return Err(exceeded("PolicySize", quotas::POLICY_SIZE));
    }
    Ok(())
}

/// CreatePolicy.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreatePolicyRequest>,
) -> Result<CreatePolicyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::name(&request.policy_name, "policyName")?;
    names::description(request.description.as_ref())?;
    check_document(&request.policy_document)?;
    let account = call.scope.account;
    let version =
        PolicyVersion { number: 1, document: request.policy_document, created_at: call.now };
    let policy = IamPolicy {
        account,
        name: request.policy_name,
        path: names::path(request.path)?,
        id: IamId::fresh(IamIdKind::Policy, &mut RandomIds),
        description: request.description.filter(|text| !text.is_empty()),
        versions: vec![version],
        default: 1,
        next: 2,
        created_at: call.now,
        updated_at: call.now,
        tags: tags::checked(request.tags)?,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        if view.iam_policies.get(&IamPolicyKey::new(account, &policy.name)).is_some() {
            return Err(exists(format!(
                "A policy called {} already exists. Duplicate names are not allowed.",
                policy.name
            )));
        }
        if view.iam_policies.range(&KeyPrefix::account(account)).count() >= quotas::POLICIES {
            return Err(exceeded("PoliciesPerAccount", quotas::POLICIES));
        }
        txn.insert(&policy);
        Ok(())
    };
    call.server.decide(decide).await?;
    Ok(CreatePolicyResponse {
        policy: Some(Policy {
            arn: Some(policy.arn()),
            attachment_count: Some(0),
            create_date: Some(encode::time(policy.created_at)),
            default_version_id: Some(encode::version_id(1)),
            description: None,
            is_attachable: Some(true),
            path: Some(policy.path.clone()),
            permissions_boundary_usage_count: Some(0),
            policy_id: Some(policy.id.to_string()),
            policy_name: Some(policy.name.clone()),
            tags: encode::tags(&policy.tags),
            update_date: Some(encode::time(policy.updated_at)),
        }),
    })
}

/// GetPolicy.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetPolicyRequest>,
) -> Result<GetPolicyResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let policy = lookup::policy(&view, call.scope.account, &request.policy_arn)?;
    Ok(GetPolicyResponse { policy: Some(encode::policy(&view, policy)) })
}

/// ListPolicies: those of AWS first.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListPoliciesRequest>,
) -> Result<ListPoliciesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let prefix = names::path_prefix(request.path_prefix)?;
    let view = call.server.state.view();
    let scope = request.scope.unwrap_or(PolicyScopeType::All);
    let aws = managed::ALL.iter().filter(|_| scope != PolicyScopeType::Local);
    let aws =
        aws.map(|policy| (format!("0{}{}", policy.path, policy.name), AnyPolicy::Aws(policy)));
    let own = view.iam_policies.range(&KeyPrefix::account(call.scope.account));
    let own = own.filter(|_| scope != PolicyScopeType::Aws).map(lookup::sorted);
    let own = own.map(|(key, row)| (format!("1{key}"), AnyPolicy::Own(row)));
    let only_attached = request.only_attached.unwrap_or_default();
    let wanted = |policy: &AnyPolicy<'_>| {
        let (arn, usage) = (policy.arn(), request.policy_usage_filter);
        let attached = lookup::attachments(&view, &arn) > 0;
        policy.path().starts_with(&prefix)
            && (!only_attached || attached)
            && match usage {
                None => true,
                Some(PolicyUsageType::PermissionsPolicy) => attached,
                Some(PolicyUsageType::PermissionsBoundary) => lookup::bounded(&view, &arn) > 0,
            }
    };
    let cut = page.cut(aws.chain(own).filter(|(_, policy)| wanted(policy)));
    let shown = |policy| Policy {
        // Lists have neither.
        description: None,
        tags: None,
        ..encode::policy(&view, policy)
    };
    let policies = Some(cut.items.into_iter().map(shown).collect());
    Ok(ListPoliciesResponse { policies, is_truncated: cut.is_truncated, marker: cut.marker })
}

/// DeletePolicy: one that nothing has, with its only version.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeletePolicyRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::own_policy(view, call.scope.account, &request.policy_arn)?;
        let arn = row.arn();
        if lookup::attachments(view, &arn) + lookup::bounded(view, &arn) > 0 {
            return Err(
                ErrorCode::DeleteConflict.error("Cannot delete a policy attached to entities.")
            );
        }
        if row.versions.len() > 1 {
            return Err(ErrorCode::DeleteConflict.error(
                "This policy has more than one version. Before you delete a policy, you must \
                 delete the policy's versions. The default version is deleted with the policy.",
            ));
        }
        // Whoever attaches it touches it, so that one of both fails.
        txn.remove(row);
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}
