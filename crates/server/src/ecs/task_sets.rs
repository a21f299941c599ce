//! Task sets of services with the EXTERNAL deployment controller: create, describe, scale, make
//! primary, delete.
//!
//! A set is part of the service's record, so that a change of it holds only if the service is
//! unchanged. `controllers::services` starts and stops the tasks.

use longshore_auth::Authorized;
use longshore_domain::deploy::{self, NewTaskSet};
use longshore_domain::ids::Resource;
use longshore_domain::limits;
use longshore_domain::record::{
    DeploymentController, Scale, Service, ServiceStatus, TaskSet, TaskSetStatus,
};
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::TaskSetField;
use longshore_wire::ecs::{
    self, CreateTaskSetRequest, CreateTaskSetResponse, DeleteTaskSetRequest, DeleteTaskSetResponse,
    DescribeTaskSetsRequest, DescribeTaskSetsResponse, ErrorCode, Failure,
    UpdateServicePrimaryTaskSetRequest, UpdateServicePrimaryTaskSetResponse, UpdateTaskSetRequest,
    UpdateTaskSetResponse,
};

use super::references::task_set_ref;
use super::services::{balancers, existing, settings};
use super::{encode, invalid_parameter, lookup, placement, tags, task_definition_ref, tasks};
use crate::call::Call;
use crate::clock::RandomIds;

/// The service that a request names, if its deployments are controlled from outside.
fn managed<'v>(
    call: &Call,
    view: &'v View,
    cluster: &str,
    service: &str,
) -> Result<&'v Row<Service>, ServiceError> {
    let row = existing(call, view, Some(cluster), service)?;
    if row.status == ServiceStatus::Inactive {
        return Err(not_active());
    }
    if row.controller != DeploymentController::External {
        return Err(invalid_parameter(
            "Amazon ECS only supports task set management on services configured to use external \
             deployment controllers.",
        ));
    }
    Ok(row)
}

/// The same, if it may change.
fn changeable<'v>(
    call: &Call,
    view: &'v View,
    cluster: &str,
    service: &str,
) -> Result<&'v Row<Service>, ServiceError> {
    let row = managed(call, view, cluster, service)?;
    if row.status == ServiceStatus::Active { Ok(row) } else { Err(not_active()) }
}

fn not_active() -> ServiceError {
    ErrorCode::ServiceNotActiveException.error("Service was not ACTIVE.")
}

/// The place of a set in its service.
fn place(call: &Call, service: &Service, text: &str) -> Result<usize, ServiceError> {
    let number = task_set_ref(&call.scope, &service.cluster, &service.name, text);
    let found = service.task_sets.iter().position(|set| Some(set.deployment.id) == number);
    found.ok_or_else(|| ErrorCode::TaskSetNotFoundException.error("TaskSet not found."))
}

fn refuse_draining(set: &TaskSet) -> Result<(), ServiceError> {
    match set.status {
        TaskSetStatus::Draining => {
            Err(invalid_parameter("The task set is DRAINING and cannot be changed."))
        }
        TaskSetStatus::Primary | TaskSetStatus::Active => Ok(()),
    }
}

/// The share that a request asks for.
fn scale(given: &ecs::Scale) -> Result<Scale, ServiceError> {
    let percent = given.value.unwrap_or_default();
    if !(0.0..=100.0).contains(&percent) {
        return Err(invalid_parameter("Scale value must be between 0 and 100 percent."));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0 and 100 million, as checked"
    )]
    let millionths = (percent * 1_000_000.0).round() as u32;
    Scale::from_millionths(millionths)
        .ok_or_else(|| invalid_parameter("Scale value must be between 0 and 100 percent."))
}

/// What the change of a task set is answered with.
fn answer(call: &Call, service: &Service, set: &TaskSet) -> Result<ecs::TaskSet, ServiceError> {
    encode::task_set(&call.server.state.view(), service, set, true)
}

/// CreateTaskSet. A second call with the same client token and settings gives the same set.
pub(crate) async fn create(
    call: &Call,
    request: Authorized<CreateTaskSetRequest>,
) -> Result<CreateTaskSetResponse, ServiceError> {
    let (_, request) = request.into_parts();
    settings::check_client_token(request.client_token.as_deref())?;
    settings::check_launch(request.launch_type, request.capacity_provider_strategy.as_deref())?;
    settings::Unbuilt {
        members: &[(
            settings::given(request.service_registries.as_ref()),
            "Service discovery (serviceRegistries)",
        )],
        controller: None,
        capacity_providers: request.capacity_provider_strategy.as_deref(),
    }
    .refuse()?;
    let scale = request.scale.as_ref().map_or(Ok(Scale::WHOLE), scale)?;
    let launch_type = tasks::launch_type(request.launch_type)?;
    let own_tags = tags::checked(request.tags.clone())?;
    let balancers = balancers::read(request.load_balancers.as_deref())?;
    balancers::refuse_advanced(&balancers)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = changeable(call, view, &request.cluster, &request.service)?;
        let reference = task_definition_ref(&call.scope, &request.task_definition)?;
        let definition = lookup::runnable_task_definition(view, &call.scope, &reference)?;
        placement::parsed(
            row.placement_constraints.iter().chain(&definition.spec.placement_constraints),
        )?;
        settings::check_network(definition, request.network_configuration.as_ref())?;
        balancers::check(view, &balancers, definition)?;
        let kept = ecs::Service {
            network_configuration: request.network_configuration.clone(),
            platform_version: request.platform_version.clone(),
            ..ecs::Service::default()
        };
        let new = NewTaskSet {
            family: definition.family.clone(),
            revision: definition.revision,
            scale,
            launch_type,
            balancers: balancers.clone(),
            external_id: request.external_id.clone(),
            client_token: request.client_token.clone(),
            document: settings::document(&kept)?,
            tags: own_tags.clone(),
        };
        if let Some(known) = known(row, &new)? {
            return Ok((row.record.clone(), known.clone()));
        }
        if row.task_sets.len() >= limits::TASK_SETS {
            return Err(invalid_parameter(format!(
                "{} deployments exist on the service. Unable to create new TaskSet since this \
                 exceeds the maximum limit.",
                row.task_sets.len()
            )));
        }
        let set = deploy::new_task_set(row, new, &mut RandomIds, call.now);
        let mut record = row.record.clone();
        record.task_sets.push(set.clone());
        txn.update(row, &record);
        Ok((record, set))
    };
    let (service, set) = call.server.decide(decide).await?;
    Ok(CreateTaskSetResponse { task_set: Some(answer(call, &service, &set)?) })
}

/// The set that an earlier call with the same client token made.
fn known<'s>(service: &'s Service, new: &NewTaskSet) -> Result<Option<&'s TaskSet>, ServiceError> {
    let mut sets = service.task_sets.iter().filter(|set| set.status != TaskSetStatus::Draining);
    let known = sets.find(|set| set.client_token.is_some() && set.client_token == new.client_token);
    let Some(known) = known else { return Ok(None) };
    let same = known.deployment.family == new.family
        && known.deployment.revision == new.revision
        && known.launch_type == new.launch_type
        && known.deployment.balancers == new.balancers
        && known.external_id == new.external_id
        && known.document == new.document;
    if same {
        Ok(Some(known))
    } else {
        Err(invalid_parameter("Creation of TaskSet was not idempotent."))
    }
}

/// DescribeTaskSets: those that are named, or all of the service.
pub(crate) async fn describe(
    call: &Call,
    request: Authorized<DescribeTaskSetsRequest>,
) -> Result<DescribeTaskSetsResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let view = call.server.state.view();
    let service = managed(call, &view, &request.cluster, &request.service)?;
    let tagged = request.include.unwrap_or_default().contains(&TaskSetField::Tags);
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    match request.task_sets.filter(|names| !names.is_empty()) {
        None => found.extend(&service.task_sets),
        Some(names) => {
            for name in names {
                match place(call, service, &name) {
                    Ok(place) => found.extend(service.task_sets.get(place)),
                    Err(_) => failures.push(missing(call, service, name)),
                }
            }
        }
    }
    let sets = found.into_iter().map(|set| encode::task_set(&view, service, set, tagged));
    Ok(DescribeTaskSetsResponse {
        task_sets: Some(sets.collect::<Result<_, _>>()?),
        failures: Some(failures),
    })
}

fn missing(call: &Call, service: &Service, name: String) -> Failure {
    let number = task_set_ref(&call.scope, &service.cluster, &service.name, &name);
    let arn = number.map_or(name, |number| {
        call.arn(Resource::TaskSet(service.cluster.clone(), service.name.clone(), number))
    });
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// UpdateTaskSet: another share of the desired count.
pub(crate) async fn update(
    call: &Call,
    request: Authorized<UpdateTaskSetRequest>,
) -> Result<UpdateTaskSetResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let scale = scale(&request.scale)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = changeable(call, view, &request.cluster, &request.service)?;
        let place = place(call, row, &request.task_set)?;
        let mut record = row.record.clone();
        let set = &mut record.task_sets[place];
        refuse_draining(set)?;
        if set.scale != scale {
            set.scale = scale;
            set.deployment.updated_at = call.now;
            let set = set.clone();
            txn.update(row, &record);
            return Ok((record, set));
        }
        let set = set.clone();
        Ok((record, set))
    };
    let (service, set) = call.server.decide(decide).await?;
    Ok(UpdateTaskSetResponse { task_set: Some(answer(call, &service, &set)?) })
}

/// UpdateServicePrimaryTaskSet: what the set runs shows as the service's from now on.
pub(crate) async fn make_primary(
    call: &Call,
    request: Authorized<UpdateServicePrimaryTaskSetRequest>,
) -> Result<UpdateServicePrimaryTaskSetResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = changeable(call, view, &request.cluster, &request.service)?;
        let place = place(call, row, &request.primary_task_set)?;
        refuse_draining(&row.task_sets[place])?;
        let mut record = row.record.clone();
        let number = record.task_sets[place].deployment.id;
        deploy::make_primary(&mut record, number, call.now);
        if record != row.record {
            txn.update(row, &record);
        }
        let set = record.task_sets[place].clone();
        Ok((record, set))
    };
    let (service, set) = call.server.decide(decide).await?;
    Ok(UpdateServicePrimaryTaskSetResponse { task_set: Some(answer(call, &service, &set)?) })
}

/// DeleteTaskSet: the set drains, and is gone when its tasks have stopped.
pub(crate) async fn delete(
    call: &Call,
    request: Authorized<DeleteTaskSetRequest>,
) -> Result<DeleteTaskSetResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = changeable(call, view, &request.cluster, &request.service)?;
        let place = place(call, row, &request.task_set)?;
        let mut record = row.record.clone();
        let set = &mut record.task_sets[place];
        if set.status == TaskSetStatus::Primary && !request.force.unwrap_or(false) {
            return Err(invalid_parameter("Primary TaskSet cannot be deleted"));
        }
        if set.status != TaskSetStatus::Draining {
            set.status = TaskSetStatus::Draining;
            set.deployment.updated_at = call.now;
            let set = set.clone();
            txn.update(row, &record);
            return Ok((record, set));
        }
        let set = set.clone();
        Ok((record, set))
    };
    let (service, set) = call.server.decide(decide).await?;
    Ok(DeleteTaskSetResponse { task_set: Some(answer(call, &service, &set)?) })
}

#[cfg(test)]
mod tests;
