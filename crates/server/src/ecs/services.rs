//! Services: create, update, delete, describe, list.
//!
//! An operation only writes what is wanted; `controllers::services` starts and stops the tasks.
//! What is not built is refused, never accepted and ignored; `coverage` has the list.

pub(super) mod balancers;
mod create;
mod hooks;
pub(super) mod settings;
mod strategies;
mod update;

pub(crate) use create::create;
pub(crate) use update::update;

use longshore_auth::Authorized;
use longshore_domain::ids::{ClusterName, Resource};
use longshore_domain::limits;
use longshore_domain::record::{
    self, DeploymentController, SchedulingStrategy, Service, ServiceStatus, TaskSetStatus,
};
use longshore_store::tables::ServiceKey;
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{self, LaunchType, ServiceField};
use longshore_wire::ecs::{
    DeleteServiceRequest, DeleteServiceResponse, DescribeServicesRequest, DescribeServicesResponse,
    ErrorCode, Failure, ListServicesByNamespaceRequest, ListServicesByNamespaceResponse,
    ListServicesRequest, ListServicesResponse,
};

use super::page::PageRequest;
use super::references::service_ref;
use super::{encode, invalid_parameter, lookup, not_found};
use crate::call::Call;

/// The service that a request names, unless it is gone.
pub(super) fn existing<'v>(
    call: &Call,
    view: &'v View,
    cluster: Option<&str>,
    name: &str,
) -> Result<&'v Row<Service>, ServiceError> {
    let cluster = lookup::cluster(view, &call.scope, cluster)?;
    service_ref(&call.scope, &cluster.name, name)
        .and_then(|name| lookup::service(view, &call.scope, &cluster.name, &name))
        .map(|row| &**row)
        .ok_or_else(|| not_found(ErrorCode::ServiceNotFoundException, "Service"))
}

/// DescribeServices.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeServicesRequest>,
) -> Result<DescribeServicesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    if request.services.is_empty() {
        return Err(invalid_parameter("Services cannot be empty."));
    }
    if request.services.len() > limits::DESCRIBE_SERVICES {
        return Err(invalid_parameter("Services cannot have more than 10 elements."));
    }
    let include = request.include.unwrap_or_default();
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for name in request.services {
        let found = service_ref(&call.scope, &cluster.name, &name)
            .and_then(|name| lookup::service(&view, &call.scope, &cluster.name, &name));
        match found {
            Some(row) => services.push(encode::service(&view, row, &include)?),
            None => failures.push(missing(call, &cluster.name, name)),
        }
    }
    Ok(DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

fn missing(call: &Call, cluster: &ClusterName, name: String) -> Failure {
    let arn = match name.parse() {
        Ok(name) => call.arn(Resource::Service(cluster.clone(), name)),
        Err(_) => name,
    };
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// ListServices: those that are ACTIVE, ten to a page by default.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListServicesRequest>,
) -> Result<ListServicesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters = ListServicesRequest { next_token: None, max_results: None, ..request.clone() };
    let page = PageRequest::new(
        &("services", filters),
        request.max_results,
        request.next_token.as_deref(),
        limits::PAGE_SERVICES,
        limits::PAGE_MAX,
    )?;
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let wanted = |service: &Service| {
        service.status == ServiceStatus::Active
            && request.launch_type.is_none_or(|wanted| has_launch_type(service, wanted))
            && request.scheduling_strategy.is_none_or(|wanted| has_strategy(service, wanted))
    };
    let rows = view.services.range(&ServiceKey::in_cluster(&call.scope, &cluster.name));
    let (rows, next_token) = page.cut(rows.filter(|row| wanted(row)), |row| row.name.to_string());
    let arn = |service: &Service| {
        call.arn(Resource::Service(service.cluster.clone(), service.name.clone()))
    };
    Ok(ListServicesResponse {
        service_arns: Some(rows.into_iter().map(|row| arn(row)).collect()),
        next_token,
    })
}

fn has_launch_type(service: &Service, wanted: LaunchType) -> bool {
    match wanted {
        LaunchType::Ec2 => service.launch_type == record::LaunchType::Ec2,
        LaunchType::External => service.launch_type == record::LaunchType::External,
        LaunchType::Fargate | LaunchType::ManagedInstances => false,
    }
}

fn has_strategy(service: &Service, wanted: enums::SchedulingStrategy) -> bool {
    match wanted {
        enums::SchedulingStrategy::Replica => {
            service.scheduling_strategy == SchedulingStrategy::Replica
        }
        enums::SchedulingStrategy::Daemon => {
            service.scheduling_strategy == SchedulingStrategy::Daemon
        }
    }
}

/// ListServicesByNamespace. There are no namespaces without Service Connect.
pub(crate) async fn list_by_namespace(
    _call: &Call,
    request: Authorized<ListServicesByNamespaceRequest>,
) -> Result<ListServicesByNamespaceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters = ("namespace", &request.namespace);
    PageRequest::new(
        &filters,
        request.max_results,
        request.next_token.as_deref(),
        limits::PAGE_SERVICES,
        limits::PAGE_MAX,
    )?;
    let message = format!("The namespace {} was not found.", request.namespace);
    Err(ServiceError::client("NamespaceNotFoundException", message))
}

/// DeleteService: the service drains, and is INACTIVE when its tasks have stopped.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteServiceRequest>,
) -> Result<DeleteServiceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let force = request.force.unwrap_or(false);
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = existing(call, view, request.cluster.as_deref(), &request.service)?;
        match row.status {
            ServiceStatus::Active => {}
            ServiceStatus::Draining => return Ok(row.record.clone()),
            ServiceStatus::Inactive => {
                return Err(not_found(ErrorCode::ServiceNotFoundException, "Service"));
            }
        }
        let scaled = match (row.controller, row.scheduling_strategy) {
            (DeploymentController::External, _) => {
                row.task_sets.iter().any(|set| set.computed_desired_count(row.desired_count) > 0)
            }
            (DeploymentController::Ecs, SchedulingStrategy::Replica) => row.desired_count > 0,
            (DeploymentController::Ecs, SchedulingStrategy::Daemon) => false,
        };
        if scaled && !force {
            return Err(invalid_parameter(
                "The service cannot be stopped while it is scaled above 0.",
            ));
        }
        let mut record =
            Service { status: ServiceStatus::Draining, desired_count: 0, ..row.record.clone() };
        for deployment in &mut record.deployments {
            deployment.desired_count = 0;
        }
        for set in &mut record.task_sets {
            set.status = TaskSetStatus::Draining;
        }
        txn.update(row, &record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let service = encode::service(&call.server.state.view(), &record, ServiceField::ALL)?;
    Ok(DeleteServiceResponse { service: Some(service) })
}

#[cfg(test)]
mod tests;
