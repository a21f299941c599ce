//! Container instances: register, describe, list, drain, deregister.

mod register;

pub(crate) use register::register;

use longshore_auth::Authorized;
use longshore_domain::ids::{InstanceId, Resource};
use longshore_domain::limits;
use longshore_domain::record::{ContainerInstance, DesiredStatus, InstanceStatus};
use longshore_domain::schedule::query::Expression;
use longshore_store::tables::{ContainerInstanceKey, TaskIndex};
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::ContainerInstanceStatus;
use longshore_wire::ecs::{
    DeregisterContainerInstanceRequest, DeregisterContainerInstanceResponse,
    DescribeContainerInstancesRequest, DescribeContainerInstancesResponse, ErrorCode, Failure,
    ListContainerInstancesRequest, ListContainerInstancesResponse, UpdateContainerAgentRequest,
    UpdateContainerAgentResponse, UpdateContainerInstancesStateRequest,
    UpdateContainerInstancesStateResponse,
};

use super::page::PageRequest;
use super::references::instance_ref;
use super::{client_error, encode, invalid_parameter, lookup, placement};
use crate::access::agents;
use crate::call::Call;

/// Instances that one UpdateContainerInstancesState call takes (ECS API).
const UPDATE_MAX: usize = 10;

/// What a call that names an instance finds.
fn find<'a>(
    call: &Call,
    view: &'a View,
    cluster: Option<&str>,
    instance: &str,
) -> Result<&'a std::sync::Arc<Row<ContainerInstance>>, ServiceError> {
    let cluster = lookup::cluster(view, &call.scope, cluster)?;
    instance_ref(&call.scope, &cluster.name, instance)
        .and_then(|id| lookup::instance(view, &call.scope, &cluster.name, id))
        .ok_or_else(|| invalid_parameter("Referenced container instance not found."))
}

fn missing(call: &Call, cluster: &longshore_domain::ids::ClusterName, name: String) -> Failure {
    let arn = match name.parse::<InstanceId>() {
        Ok(id) => call.arn(Resource::ContainerInstance(cluster.clone(), id)),
        Err(()) => name,
    };
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// DescribeContainerInstances.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeContainerInstancesRequest>,
) -> Result<DescribeContainerInstancesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let names = request.container_instances;
    if names.is_empty() {
        return Err(invalid_parameter("Container instance should not be null or empty."));
    }
    if names.len() > limits::DESCRIBE {
        return Err(invalid_parameter("Container instances cannot have more than 100 elements."));
    }
    let include = request.include.unwrap_or_default();
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        let row = instance_ref(&call.scope, &cluster.name, &name)
            .and_then(|id| lookup::instance(&view, &call.scope, &cluster.name, id));
        match row {
            Some(row) => found.push(encode::container_instance(&view, row, &include)),
            None => failures.push(missing(call, &cluster.name, name)),
        }
    }
    Ok(DescribeContainerInstancesResponse {
        container_instances: Some(found),
        failures: Some(failures),
    })
}

/// ListContainerInstances, by status and cluster query expression.
pub(crate) async fn list(
    call: &Call,
    request: Authorized<ListContainerInstancesRequest>,
) -> Result<ListContainerInstancesResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let filters = ("instances", &request.cluster, &request.filter, request.status);
    let page = PageRequest::list(&filters, request.max_results, request.next_token.as_deref())?;
    let filter = request
        .filter
        .as_deref()
        .filter(|text| !text.trim().is_empty())
        .map(Expression::parse)
        .transpose()
        .map_err(|error| invalid_parameter(format!("Invalid filter: {error}")))?;
    let view = call.server.state.view();
    let cluster = lookup::cluster(&view, &call.scope, request.cluster.as_deref())?;
    let wanted = |status: InstanceStatus| match request.status {
        None => status != InstanceStatus::Inactive,
        Some(ContainerInstanceStatus::Active) => status == InstanceStatus::Active,
        Some(ContainerInstanceStatus::Draining) => status == InstanceStatus::Draining,
        // Instances of ours are never in the states of ENI trunking.
        Some(_) => false,
    };
    let rows: Vec<_> = view
        .container_instances
        .range(&ContainerInstanceKey::in_cluster(&call.scope, &cluster.name))
        .filter(|row| wanted(row.status))
        .filter(|row| filter.as_ref().is_none_or(|f| placement::matches(&view, row, f)))
        .collect();
    let (rows, next_token) = page.cut(rows, |row| row.id.to_string());
    let arn = |row: &ContainerInstance| {
        call.arn(Resource::ContainerInstance(row.cluster.clone(), row.id))
    };
    Ok(ListContainerInstancesResponse {
        container_instance_arns: Some(rows.into_iter().map(|row| arn(row)).collect()),
        next_token,
    })
}

/// UpdateContainerInstancesState: between ACTIVE and DRAINING.
pub(crate) async fn update_state(
    call: &Call,
    request: Authorized<UpdateContainerInstancesStateRequest>,
) -> Result<UpdateContainerInstancesStateResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let status = match request.status {
        ContainerInstanceStatus::Active => InstanceStatus::Active,
        ContainerInstanceStatus::Draining => InstanceStatus::Draining,
        other => {
            return Err(invalid_parameter(format!(
                "Container instance status must be one of ACTIVE, DRAINING, not {other}."
            )));
        }
    };
    let names = request.container_instances;
    if names.is_empty() || names.len() > UPDATE_MAX {
        return Err(invalid_parameter("containerInstances must name 1 to 10 container instances."));
    }
    let decide = |view: &View, txn: &mut RecordTxn| -> Result<_, ServiceError> {
        let cluster = lookup::cluster(view, &call.scope, request.cluster.as_deref())?;
        let (mut changed, mut failures) = (Vec::<ContainerInstance>::new(), Vec::new());
        for name in &names {
            let row = instance_ref(&call.scope, &cluster.name, name)
                .and_then(|id| lookup::instance(view, &call.scope, &cluster.name, id));
            let Some(row) = row else {
                failures.push(missing(call, &cluster.name, name.clone()));
                continue;
            };
            agents::manages(view, &call.principal, row, "ecs:UpdateContainerInstancesState")?;
            if row.status == InstanceStatus::Inactive {
                failures.push(Failure {
                    reason: Some("INACTIVE".to_owned()),
                    ..missing(call, &cluster.name, row.id.to_string())
                });
                continue;
            }
            if changed.iter().any(|c| c.id == row.id) {
                continue;
            }
            let mut record = row.record.clone();
            if record.status != status {
                record.status = status;
                record.version += 1;
                txn.update(row, &record);
            }
            changed.push(record);
        }
        Ok((changed, failures))
    };
    let (changed, failures) = call.server.decide(decide).await?;
    let view = call.server.state.view();
    let encoded = changed.iter().map(|i| encode::container_instance(&view, i, &[])).collect();
    Ok(UpdateContainerInstancesStateResponse {
        container_instances: Some(encoded),
        failures: Some(failures),
    })
}

/// DeregisterContainerInstance; `force` leaves its containers running, unmanaged, as ECS does.
pub(crate) async fn deregister(
    call: &Call,
    request: Authorized<DeregisterContainerInstanceRequest>,
) -> Result<DeregisterContainerInstanceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let force = request.force.unwrap_or(false);
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = find(call, view, request.cluster.as_deref(), &request.container_instance)?;
        agents::manages(view, &call.principal, row, "ecs:DeregisterContainerInstance")?;
        if row.status == InstanceStatus::Inactive {
            return Ok(row.record.clone());
        }
        let busy = view
            .tasks
            .by(&TaskIndex::Instance(row.id))
            .any(|task| !task.is_stopped() && task.desired == DesiredStatus::Running);
        if busy && !force {
            return Err(invalid_parameter("Found running tasks on the instance."));
        }
        let record = ContainerInstance {
            status: InstanceStatus::Inactive,
            deregistered_at: Some(call.now),
            version: row.version + 1,
            ..row.record.clone()
        };
        txn.update(row, &record);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let view = call.server.state.view();
    Ok(DeregisterContainerInstanceResponse {
        container_instance: Some(encode::container_instance(&view, &record, &[])),
    })
}

/// UpdateContainerAgent: agents are upgraded with the machine's own means, never from here.
pub(crate) async fn update_agent(
    call: &Call,
    request: Authorized<UpdateContainerAgentRequest>,
) -> Result<UpdateContainerAgentResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let row = find(call, &view, request.cluster.as_deref(), &request.container_instance)?;
    agents::manages(&view, &call.principal, row, "ecs:UpdateContainerAgent")?;
    if row.version_info.agent_version.is_none() {
        return Err(ErrorCode::MissingVersionException.error(
            "Agent version is missing on the instance; it is known once the agent has connected.",
        ));
    }
    if row.status == InstanceStatus::Inactive {
        return Err(client_error("The container instance is INACTIVE."));
    }
    Err(ErrorCode::NoUpdateAvailableException
        .error("There is no update available for your container agent."))
}
