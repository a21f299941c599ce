//! Roles that belong to a service: made in its name, and changed by nobody else.

use longshore_auth::Authorized;
use longshore_domain::ids::{Arn, IamId, IamIdKind, Resource};
use longshore_domain::record::{Grants, IamRole, Service, ServiceStatus, Tags};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::iam::enums::DeletionTaskStatusType;
use longshore_wire::iam::{
    CreateServiceLinkedRoleRequest, CreateServiceLinkedRoleResponse,
    DeleteServiceLinkedRoleRequest, DeleteServiceLinkedRoleResponse, DeletionTaskFailureReasonType,
    ErrorCode, GetServiceLinkedRoleDeletionStatusRequest,
    GetServiceLinkedRoleDeletionStatusResponse, RoleUsageType,
};

use super::{encode, lookup, managed, names, roles};
use crate::call::Call;
use crate::clock::{self, RandomIds};

/// Services with a role: what they are called, their role, its policies.
const SERVICES: &[(&str, &str, &[&str])] = &[
    ("ecs.amazonaws.com", "AWSServiceRoleForECS", &[managed::ECS_SERVICE]),
    ("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing", &[]),
];

/// Path and name of a role that belongs to a service.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) path: String,
    pub(crate) name: String,
}

/// What the role of a service is called; of one that has none, what it would be called.
pub(crate) fn role_of(service: &str) -> Linked {
    let known = SERVICES.iter().find(|(name, ..)| *name == service);
    let name = known.map_or_else(|| "AWSServiceRole".to_owned(), |(_, name, _)| (*name).to_owned());
    Linked { path: format!("{}{service}/", IamRole::SERVICE_PATH), name }
}

/// CreateServiceLinkedRole.
pub(super) async fn create(
    call: &Call,
    request: Authorized<CreateServiceLinkedRoleRequest>,
) -> Result<CreateServiceLinkedRoleResponse, ServiceError> {
    let (_, request) = request.into_parts();
    names::description(request.description.as_ref())?;
    let service = request.aws_service_name;
    let known = SERVICES.iter().find(|(name, ..)| *name == service);
    let (_, name, policies) = known.ok_or_else(|| {
        ErrorCode::InvalidInput.error(format!("Service role for {service} is not supported."))
    })?;
    if request.custom_suffix.is_some() {
        return Err(
            ErrorCode::InvalidInput.error(format!("Custom suffix is not allowed for {service}"))
        );
    }
    let role = IamRole {
        account: call.scope.account,
        name: (*name).to_owned(),
        path: format!("{}{service}/", IamRole::SERVICE_PATH),
        id: IamId::fresh(IamIdKind::Role, &mut RandomIds),
        created_at: call.now,
        trust: format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":\
             {{\"Service\":\"{service}\"}},\"Action\":\"sts:AssumeRole\"}}]}}"
        ),
        description: request.description,
        max_session_s: 3600,
        boundary: None,
        grants: Grants {
            attached: policies.iter().map(|arn| (*arn).to_owned()).collect(),
            ..Grants::default()
        },
        tags: Tags::new(),
        last_used: None,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        if lookup::role(view, role.account, name).is_ok() {
            return Err(ErrorCode::InvalidInput.error(format!(
                "Service role name {name} has been taken in this account, please try a different \
                 suffix."
            )));
        }
        roles::insert(view, txn, &role)?;
        Ok(CreateServiceLinkedRoleResponse { role: Some(encode::listed_role(&role)) })
    };
    call.server.decide(decide).await
}

/// DeleteServiceLinkedRole: at once, unless something needs it; then its status says so.
pub(super) async fn delete(
    call: &Call,
    request: Authorized<DeleteServiceLinkedRoleRequest>,
) -> Result<DeleteServiceLinkedRoleResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = lookup::role(view, call.scope.account, &request.role_name)?;
        if !row.is_service_linked() {
            return Err(lookup::missing(format!(
                "The role with name {} cannot be found.",
                request.role_name
            )));
        }
        if used(view, row).is_empty() {
            txn.remove(row);
        }
        Ok(row.path.clone())
    };
    let path = call.server.decide(decide).await?;
    let id = clock::uuid();
    let deletion_task_id = format!("task{path}{}/{id}", request.role_name);
    Ok(DeleteServiceLinkedRoleResponse { deletion_task_id })
}

/// ARNs of what needs a role.
fn used(view: &View, role: &IamRole) -> Vec<String> {
    if !role.path.contains("/ecs.") {
        return Vec::new();
    }
    let services = view.services.iter().filter(|service| {
        service.scope.account == role.account && service.status == ServiceStatus::Active
    });
    let arn = |service: &Service| {
        let resource = Resource::Service(service.cluster.clone(), service.name.clone());
        Arn::new(&service.scope, resource).to_string()
    };
    services.take(10).map(|row| arn(row)).collect()
}

/// GetServiceLinkedRoleDeletionStatus: what is there still could not be deleted.
pub(super) async fn deletion_status(
    call: &Call,
    request: Authorized<GetServiceLinkedRoleDeletionStatusRequest>,
) -> Result<GetServiceLinkedRoleDeletionStatusResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let id = &request.deletion_task_id;
    let wrong = || lookup::missing(format!("The deletion task {id} cannot be found."));
    let parts: Vec<&str> = id.split('/').collect();
    let ["task", "aws-service-role", _, name, _] = parts[..] else { return Err(wrong()) };
    let view = call.server.state.view();
    let Ok(role) = lookup::role(&view, call.scope.account, name) else {
        let status = DeletionTaskStatusType::Succeeded;
        return Ok(GetServiceLinkedRoleDeletionStatusResponse { reason: None, status });
    };
    let usage = RoleUsageType {
        region: Some(call.scope.region.to_string()),
        resources: Some(used(&view, role)),
    };
    Ok(GetServiceLinkedRoleDeletionStatusResponse {
        reason: Some(DeletionTaskFailureReasonType {
            reason: Some("The role is still used.".to_owned()),
            role_usage_list: Some(vec![usage]),
        }),
        status: DeletionTaskStatusType::Failed,
    })
}
