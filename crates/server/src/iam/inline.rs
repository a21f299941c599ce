//! Policies that are written into a user, a group or a role.

use longshore_auth::Authorized;
use longshore_domain::record::{IamGroup, IamRole, IamUser};
use longshore_wire::ServiceError;
use longshore_wire::iam::{
    DeleteGroupPolicyRequest, DeleteRolePolicyRequest, DeleteUserPolicyRequest, ErrorCode,
    GetGroupPolicyRequest, GetGroupPolicyResponse, GetRolePolicyRequest, GetRolePolicyResponse,
    GetUserPolicyRequest, GetUserPolicyResponse, ListGroupPoliciesRequest,
    ListGroupPoliciesResponse, ListRolePoliciesRequest, ListRolePoliciesResponse,
    ListUserPoliciesRequest, ListUserPoliciesResponse, Nothing, PutGroupPolicyRequest,
    PutRolePolicyRequest, PutUserPolicyRequest,
};

use super::holder::{Holder, change};
use super::page::{Cut, Page};
use super::{documents, encode, lookup, names};
use crate::call::Call;

async fn put<H: Holder>(
    call: &Call,
    name: &str,
    policy: &str,
    document: &str,
) -> Result<Nothing, ServiceError> {
    names::name(policy, "policyName")?;
    documents::check_identity(document)?;
    change::<H>(call, name, |_, _, grants| {
        grants.inline.insert(policy.to_owned(), document.to_owned());
        if grants.inline_size() > H::INLINE {
            return Err(ErrorCode::LimitExceeded.error(format!(
                "Maximum policy size of {} bytes exceeded for {} {name}",
                H::INLINE,
                H::WORD
            )));
        }
        Ok(())
    })
    .await
}

fn missing<H: Holder>(policy: &str) -> ServiceError {
    lookup::missing(format!("The {} policy with name {policy} cannot be found.", H::WORD))
}

fn get<H: Holder>(call: &Call, name: &str, policy: &str) -> Result<(String, String), ServiceError> {
    let view = call.server.state.view();
    let row = H::find(&view, call.scope.account, name)?;
    let found = row.grants().inline.get_key_value(policy);
    let (policy, document) = found.ok_or_else(|| missing::<H>(policy))?;
    Ok((policy.clone(), encode::document(document)))
}

fn list<H: Holder>(call: &Call, name: &str, page: &Page) -> Result<Cut<String>, ServiceError> {
    let view = call.server.state.view();
    let row = H::find(&view, call.scope.account, name)?;
    Ok(page.cut(row.grants().inline.keys().map(|policy| (policy.clone(), policy.clone()))))
}

async fn delete<H: Holder>(call: &Call, name: &str, policy: &str) -> Result<Nothing, ServiceError> {
    change::<H>(call, name, |_, _, grants| {
        grants.inline.remove(policy).map(drop).ok_or_else(|| missing::<H>(policy))
    })
    .await
}

/// Declares the four operations of a kind of holder.
macro_rules! operations {
    ($record:ident, $name:ident: $put:ident($put_request:ident),
     $get:ident($get_request:ident) -> $got:ident, $list:ident($list_request:ident) -> $listed:ident,
     $delete:ident($delete_request:ident)) => {
        /// Writes a policy.
        pub(super) async fn $put(
            call: &Call,
            request: Authorized<$put_request>,
        ) -> Result<Nothing, ServiceError> {
            let (_, request) = request.into_parts();
            put::<$record>(call, &request.$name, &request.policy_name, &request.policy_document)
                .await
        }

        /// Shows a policy.
        pub(super) async fn $get(
            call: &Call,
            request: Authorized<$get_request>,
        ) -> Result<$got, ServiceError> {
            let (_, request) = request.into_parts();
            let (policy_name, policy_document) =
                get::<$record>(call, &request.$name, &request.policy_name)?;
            Ok($got { $name: request.$name, policy_document, policy_name })
        }

        /// Lists the names of policies.
        pub(super) async fn $list(
            call: &Call,
            request: Authorized<$list_request>,
        ) -> Result<$listed, ServiceError> {
            let (_, request) = request.into_parts();
            let page = Page::of(request.marker.as_ref(), request.max_items)?;
            let cut = list::<$record>(call, &request.$name, &page)?;
            Ok($listed {
                policy_names: cut.items,
                is_truncated: cut.is_truncated,
                marker: cut.marker,
            })
        }

        /// Removes a policy.
        pub(super) async fn $delete(
            call: &Call,
            request: Authorized<$delete_request>,
        ) -> Result<Nothing, ServiceError> {
            let (_, request) = request.into_parts();
            delete::<$record>(call, &request.$name, &request.policy_name).await
        }
    };
}

operations!(IamUser, user_name: put_user(PutUserPolicyRequest),
    get_user(GetUserPolicyRequest) -> GetUserPolicyResponse,
    list_user(ListUserPoliciesRequest) -> ListUserPoliciesResponse,
    delete_user(DeleteUserPolicyRequest));
operations!(IamGroup, group_name: put_group(PutGroupPolicyRequest),
    get_group(GetGroupPolicyRequest) -> GetGroupPolicyResponse,
    list_group(ListGroupPoliciesRequest) -> ListGroupPoliciesResponse,
    delete_group(DeleteGroupPolicyRequest));
operations!(IamRole, role_name: put_role(PutRolePolicyRequest),
    get_role(GetRolePolicyRequest) -> GetRolePolicyResponse,
    list_role(ListRolePoliciesRequest) -> ListRolePoliciesResponse,
    delete_role(DeleteRolePolicyRequest));
