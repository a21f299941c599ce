//! Versions of managed policies: at most five, one of which counts.

use longshore_auth::Authorized;
use longshore_domain::record::{IamPolicy, PolicyVersion};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    CreatePolicyVersionRequest, CreatePolicyVersionResponse, DeletePolicyVersionRequest, ErrorCode,
    GetPolicyVersionRequest, GetPolicyVersionResponse, ListPolicyVersionsRequest,
    ListPolicyVersionsResponse, Nothing, PolicyVersion as Shown, SetDefaultPolicyVersionRequest,
};

use super::lookup::{self, AnyPolicy};
use super::managed::{self, Managed};
use super::page::Page;
use super::{encode, names, policies, quotas};
use crate::call::Call;

/// The number in `v3`.
///
/// # Errors
/// `ValidationError`.
fn number(text: &str) -> Result<u32, ServiceError> {
    let number = text.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+']));
    let number = number.and_then(|digits| digits.split('.').next()?.parse().ok());
    number.ok_or_else(|| {
        names::invalid(format!(
            "Value '{text}' at 'versionId' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?"
        ))
    })
}

fn missing(arn: &str, version: &str) -> ServiceError {
    lookup::missing(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

/// CreatePolicyVersion.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreatePolicyVersionRequest>,
) -> Result<CreatePolicyVersionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    policies::check_document(&request.policy_document)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::own_policy(view, call.scope.account, &request.policy_arn)?;
        if row.versions.len() >= quotas::VERSIONS {
            return Err(ErrorCode::LimitExceeded.error(format!(
                "A managed policy can have up to {} versions. Before you create a new version, you \
                 must delete an existing version.",
                quotas::VERSIONS
            )));
        }
        let mut next = row.record.clone();
        let document = request.policy_document.clone();
        let version = PolicyVersion { number: row.next, document, created_at: call.now };
        next.next += 1;
        next.updated_at = call.now;
        if request.set_as_default.unwrap_or_default() {
            next.default = version.number;
        }
        next.versions.push(version.clone());
        txn.update(row, &next);
        let shown = encode::listed_version(&next, &version);
        Ok(CreatePolicyVersionResponse { policy_version: Some(shown) })
    };
    call.server.decide(decide).await
}

/// GetPolicyVersion.
pub(super) async fn get(
    call: &Call,
    request: Authorized<GetPolicyVersionRequest>,
) -> Result<GetPolicyVersionResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let number = number(&request.version_id)?;
    let view = call.server.state.view();
    let arn = &request.policy_arn;
    let none = || missing(arn, &request.version_id);
    let shown = match lookup::policy(&view, call.scope.account, arn)? {
        AnyPolicy::Aws(managed) if number == 1 => of_aws(managed),
        AnyPolicy::Aws(_) => return Err(none()),
        AnyPolicy::Own(row) => encode::version(row, row.version(number).ok_or_else(none)?),
    };
    Ok(GetPolicyVersionResponse { policy_version: Some(shown) })
}

fn of_aws(managed: &Managed) -> Shown {
    Shown {
        create_date: Some(encode::time(managed::created_at())),
        document: Some(encode::document(managed.document)),
        is_default_version: Some(true),
        version_id: Some(managed::version()),
    }
}

/// ListPolicyVersions: the newest first.
pub(super) async fn list(
    call: &Call,
    request: Authorized<ListPolicyVersionsRequest>,
) -> Result<ListPolicyVersionsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let page = Page::of(request.marker.as_ref(), request.max_items)?;
    let view = call.server.state.view();
    let all = match lookup::policy(&view, call.scope.account, &request.policy_arn)? {
        AnyPolicy::Aws(managed) => vec![Shown { document: None, ..of_aws(managed) }],
        AnyPolicy::Own(row) => {
            let versions = row.versions.iter().rev();
            versions.map(|version| encode::listed_version(row, version)).collect()
        }
    };
    let keyed = all.into_iter().enumerate().map(|(at, shown)| (at.to_string(), shown));
    let cut = page.cut(keyed);
    let versions = Some(cut.items);
    Ok(ListPolicyVersionsResponse { versions, is_truncated: cut.is_truncated, marker: cut.marker })
}

/// Changes a policy and one of its versions.
async fn change(
    call: &Call,
    (arn, version): (&str, &str),
    change: impl Fn(&mut IamPolicy, u32) -> Result<(), ServiceError>,
) -> Result<Nothing, ServiceError> {
    let number = number(version)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::own_policy(view, call.scope.account, arn)?;
        if row.version(number).is_none() {
            return Err(missing(arn, version));
        }
        let mut next = row.record.clone();
        change(&mut next, number)?;
        if next != row.record {
            txn.update(row, &next);
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// SetDefaultPolicyVersion.
pub(super) async fn set_default(
    call: &Call,
    request: Authorized<SetDefaultPolicyVersionRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    change(call, (&request.policy_arn, &request.version_id), |policy, number| {
        policy.default = number;
        Ok(())
    })
    .await
}

/// DeletePolicyVersion: not the one that counts.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeletePolicyVersionRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    change(call, (&request.policy_arn, &request.version_id), |policy, number| {
        if policy.default == number {
            return Err(
                ErrorCode::DeleteConflict.error("Cannot delete the default version of a policy.")
            );
        }
        policy.versions.retain(|version| version.number != number);
        Ok(())
    })
    .await
}
