//! Permission boundaries of users and roles.

use longshore_auth::Authorized;
use longshore_domain::ids::AccountId;
use longshore_domain::record::{IamRole, IamUser};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    DeleteRolePermissionsBoundaryRequest, DeleteUserPermissionsBoundaryRequest, Nothing,
    PutRolePermissionsBoundaryRequest, PutUserPermissionsBoundaryRequest,
};

use super::lookup::{self, AnyPolicy};
use super::{attachments, roles};
use crate::call::Call;

/// Makes sure that a boundary is there, and stays there.
///
/// # Errors
/// `ValidationError`, `NoSuchEntity`, `PolicyNotAttachable`.
pub(super) fn take(
    view: &View,
    txn: &mut RecordTxn,
    account: AccountId,
    arn: Option<&str>,
) -> Result<(), ServiceError> {
    let Some(arn) = arn else { return Ok(()) };
    attachments::check_attachable(arn, view, account)?;
    if let AnyPolicy::Own(row) = lookup::policy(view, account, arn)? {
        // Touched, so that it is not deleted meanwhile.
        txn.update(row, &row.record);
    }
    Ok(())
}

async fn set_user(call: &Call, name: &str, arn: Option<&str>) -> Result<Nothing, ServiceError> {
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::user(view, account, name)?;
        if row.boundary.as_deref() != arn {
            take(view, txn, account, arn)?;
            txn.update(row, &IamUser { boundary: arn.map(str::to_owned), ..row.record.clone() });
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

async fn set_role(call: &Call, name: &str, arn: Option<&str>) -> Result<Nothing, ServiceError> {
    let account = call.scope.account;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::role(view, account, name)?;
        roles::check_changeable(row)?;
        if row.boundary.as_deref() != arn {
            take(view, txn, account, arn)?;
            txn.update(row, &IamRole { boundary: arn.map(str::to_owned), ..row.record.clone() });
        }
        Ok(Nothing::default())
    };
    call.server.decide(decide).await
}

/// PutUserPermissionsBoundary.
pub(super) async fn put_user(
    call: &Call,
    request: Authorized<PutUserPermissionsBoundaryRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    set_user(call, &request.user_name, Some(&request.permissions_boundary)).await
}

/// DeleteUserPermissionsBoundary.
pub(super) async fn delete_user(
    call: &Call,
    request: Authorized<DeleteUserPermissionsBoundaryRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    set_user(call, &request.user_name, None).await
}

/// PutRolePermissionsBoundary.
pub(super) async fn put_role(
    call: &Call,
    request: Authorized<PutRolePermissionsBoundaryRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    set_role(call, &request.role_name, Some(&request.permissions_boundary)).await
}

/// DeleteRolePermissionsBoundary.
pub(super) async fn delete_role(
    call: &Call,
    request: Authorized<DeleteRolePermissionsBoundaryRequest>,
) -> Result<Nothing, ServiceError> {
    let (_, request) = request.into_parts();
    set_role(call, &request.role_name, None).await
}
