//! Service deployments and revisions: list, describe, stop, continue.
//!
//! Stopping and continuing only write what is asked for; `controllers::services` does it.

use longshore_auth::Authorized;
use longshore_domain::ids::{Arn, Resource, Scope};
use longshore_domain::limits;
use longshore_domain::record::{
    self, HookAction, LifecycleStage, ServiceDeployment, ServiceDeploymentStatus as Status,
};
use longshore_store::tables::{ServiceDeploymentKey, ServiceRevisionKey};
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    DeploymentLifecycleHookAction, ServiceDeploymentStatus, StopServiceDeploymentStopType,
};
use longshore_wire::ecs::{
    ContinueServiceDeploymentRequest, ContinueServiceDeploymentResponse, CreatedAt,
    DescribeServiceDeploymentsRequest, DescribeServiceDeploymentsResponse,
    DescribeServiceRevisionsRequest, DescribeServiceRevisionsResponse, ErrorCode, Failure,
    ListServiceDeploymentsRequest, ListServiceDeploymentsResponse, StopServiceDeploymentRequest,
    StopServiceDeploymentResponse,
};

use super::page::PageRequest;
use super::references::service_ref;
use super::{encode, invalid_parameter, lookup, not_found};
use crate::call::Call;

/// ListServiceDeployments: the newest first.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListServiceDeploymentsRequest>,
) -> Result<ListServiceDeploymentsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters =
        ListServiceDeploymentsRequest { next_token: None, max_results: None, ..request.clone() };
    let page = PageRequest::new(
        &("service-deployments", filters),
        request.max_results,
        request.next_token.as_deref(),
        limits::PAGE_SERVICE_DEPLOYMENTS,
        limits::PAGE_MAX,
    )?;
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let service = service_ref(&call.scope, &cluster.name, &request.service)
        .and_then(|name| lookup::service(&view, &call.scope, &cluster.name, &name))
        .ok_or_else(|| not_found(ErrorCode::ServiceNotFoundException, "Service"))?;
    let prefix = ServiceDeploymentKey::of_service(&call.scope, &cluster.name, &service.name);
    let wanted = |row: &Row<ServiceDeployment>| {
        // A service of the same name that is gone has its own.
        row.created_at >= service.created_at
            && has_status(row, request.status.as_deref().unwrap_or_default())
            && is_within(row, request.created_at.as_ref())
    };
    let mut rows: Vec<_> =
        view.service_deployments.range(&prefix).filter(|row| wanted(row)).collect();
    rows.reverse();
    let (rows, next_token) = page.cut_ordered(rows, true, |row| row.id.to_string());
    let brief = |row: &Row<ServiceDeployment>| encode::service_deployment_brief(row);
    Ok(ListServiceDeploymentsResponse {
        service_deployments: Some(rows.into_iter().map(|row| brief(row)).collect()),
        next_token,
    })
}

fn has_status(row: &ServiceDeployment, wanted: &[ServiceDeploymentStatus]) -> bool {
    wanted.is_empty() || wanted.iter().any(|status| status.as_str() == row.status.as_str())
}

fn is_within(row: &ServiceDeployment, range: Option<&CreatedAt>) -> bool {
    let Some(range) = range else { return true };
    let created = encode::time(row.created_at);
    range.after.is_none_or(|after| created > after)
        && range.before.is_none_or(|before| created < before)
}

/// DescribeServiceDeployments.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeServiceDeploymentsRequest>,
) -> Result<DescribeServiceDeploymentsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    check_count("ServiceDeploymentArns", &request.service_deployment_arns)?;
    let view = call.server.state.view();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in request.service_deployment_arns {
        match deployment(&view, &call.scope, &text)? {
            Some(row) => found.push(encode::service_deployment(&view, row)),
            None => failures.push(missing(text)),
        }
    }
    Ok(DescribeServiceDeploymentsResponse {
        service_deployments: Some(found),
        failures: Some(failures),
    })
}

/// DescribeServiceRevisions.
pub(crate) async fn describe_revisions(
    call: &Call,
    request: Authorized<DescribeServiceRevisionsRequest>,
) -> Result<DescribeServiceRevisionsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    check_count("ServiceRevisionArns", &request.service_revision_arns)?;
    let view = call.server.state.view();
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for text in request.service_revision_arns {
        let key = match text.parse::<Arn>() {
            Ok(Arn { scope, resource: Resource::ServiceRevision(cluster, service, id) }) => {
                ServiceRevisionKey { scope, cluster, service, id }
            }
            _ => return Err(malformed(&text)),
        };
        match view.service_revisions.get(&key).filter(|_| key.scope == call.scope) {
            Some(row) => found.push(encode::service_revision(&view, row)?),
            None => failures.push(missing(text)),
        }
    }
    Ok(DescribeServiceRevisionsResponse {
        service_revisions: Some(found),
        failures: Some(failures),
    })
}

fn check_count(name: &str, arns: &[String]) -> Result<(), ServiceError> {
    if arns.is_empty() {
        return Err(invalid_parameter(format!("{name} cannot be empty.")));
    }
    if arns.len() > limits::DESCRIBE_SERVICE_DEPLOYMENTS {
        return Err(invalid_parameter(format!("{name} cannot have more than 20 elements.")));
    }
    Ok(())
}

fn malformed(text: &str) -> ServiceError {
    invalid_parameter(format!("Invalid identifier: {text} is no ARN of the expected kind."))
}

fn missing(arn: String) -> Failure {
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// The service deployment that an ARN names; ARNs of others name nothing.
fn deployment<'v>(
    view: &'v View,
    scope: &Scope,
    text: &str,
) -> Result<Option<&'v Row<ServiceDeployment>>, ServiceError> {
    let key = match text.parse::<Arn>() {
        Ok(Arn { scope, resource: Resource::ServiceDeployment(cluster, service, id) }) => {
            ServiceDeploymentKey { scope, cluster, service, id }
        }
        _ => return Err(malformed(text)),
    };
    Ok(view.service_deployments.get(&key).filter(|_| key.scope == *scope).map(|row| &**row))
}

fn existing<'v>(
    view: &'v View,
    scope: &Scope,
    text: &str,
) -> Result<&'v Row<ServiceDeployment>, ServiceError> {
    deployment(view, scope, text)?.ok_or_else(|| {
        not_found(ErrorCode::ServiceDeploymentNotFoundException, "Service deployment")
    })
}

fn conflict(message: impl Into<String>) -> ServiceError {
    ErrorCode::ConflictException.error(message.into())
}

/// The service of a deployment, if the deployment is its current one.
fn service_of<'v>(
    view: &'v View,
    row: &ServiceDeployment,
) -> Result<&'v Row<record::Service>, ServiceError> {
    lookup::service(view, &row.scope, &row.cluster, &row.service)
        .filter(|service| service.service_deployment == Some(row.id))
        .map(|service| &**service)
        .ok_or_else(|| conflict("The service deployment is not the current one of its service."))
}

/// StopServiceDeployment: goes back (the default), whether or not rollback is configured, or
/// stays where it is.
pub(crate) async fn stop(
    call: &Call,
    request: Authorized<StopServiceDeploymentRequest>,
) -> Result<StopServiceDeploymentResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let wanted = match request.stop_type {
        None | Some(StopServiceDeploymentStopType::Rollback) => Status::RollbackRequested,
        Some(StopServiceDeploymentStopType::Abort) => Status::StopRequested,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = existing(view, &call.scope, &request.service_deployment_arn)?;
        if row.status == wanted {
            return Ok(());
        }
        if !matches!(row.status, Status::Pending | Status::InProgress) {
            return Err(conflict(format!(
                "The service deployment cannot be stopped: it is {}.",
                row.status.as_str()
            )));
        }
        let service = service_of(view, row)?;
        // The old tasks stop, and traffic is at the new ones.
        if row.shift.is_some() && row.stage == LifecycleStage::CleanUp {
            return Err(conflict(
                "The service deployment cannot be stopped: all traffic has shifted, and the tasks of \
                 the old service revision stop. Update the service to go back.",
            ));
        }
        let serves = row.shift.as_ref().and_then(|shift| shift.blue);
        let nowhere = service.completed.is_none() && serves.is_none();
        if wanted == Status::RollbackRequested && nowhere {
            return Err(conflict(
                "The service deployment cannot be rolled back: no earlier one is completed. Stop \
                 it with the stop type ABORT, or update the service.",
            ));
        }
        let next = ServiceDeployment {
            status: wanted,
            stopped_at: Some(call.now),
            updated_at: call.now,
            ..row.record.clone()
        };
        txn.expect_unchanged(service);
        txn.update(row, &next);
        Ok(())
    };
    call.server.decide(decide).await?;
    let arn = request.service_deployment_arn;
    Ok(StopServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

/// ContinueServiceDeployment: ends a pause.
pub(crate) async fn resume(
    call: &Call,
    request: Authorized<ContinueServiceDeploymentRequest>,
) -> Result<ContinueServiceDeploymentResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let action = match request.action {
        None | Some(DeploymentLifecycleHookAction::Continue) => HookAction::Continue,
        Some(DeploymentLifecycleHookAction::Rollback) => HookAction::Rollback,
    };
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = existing(view, &call.scope, &request.service_deployment_arn)?;
        check_hook_id(&request.hook_id)?;
        if row.status.is_over() {
            return Err(conflict(
                "Continuing a service deployment is not allowed for service deployment in terminal \
                 states.",
            ));
        }
        let service = service_of(view, row)?;
        let mut next = row.record.clone();
        // A webhook answers for itself.
        let open = next.pauses.iter_mut().filter(|pause| pause.is_open() && pause.call.is_none());
        let pause = { open }
            .find(|pause| pause.id == request.hook_id && row.status == Status::InProgress)
            .ok_or_else(|| {
                invalid_parameter(
                    "Provided hookId is either completed, unavailable, or not associated with the \
                     given Resource ARN",
                )
            })?;
        pause.answer = Some(action);
        next.updated_at = call.now;
        txn.expect_unchanged(service);
        txn.update(row, &next);
        Ok(())
    };
    call.server.decide(decide).await?;
    let arn = request.service_deployment_arn;
    Ok(ContinueServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

fn check_hook_id(id: &str) -> Result<(), ServiceError> {
    let parts: Vec<&str> = id.splitn(3, '-').collect();
    if parts.len() < 3 || parts[0] != "ecs" {
        return Err(invalid_parameter(
            "Invalid hookId: hookId must follow the format: ecs-{hookType}-{id}",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
