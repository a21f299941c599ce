//! UpdateService.

use longshore_auth::Authorized;
use longshore_domain::deploy::{self, Begun};
use longshore_domain::record::{
    DeploymentController, SchedulingStrategy, Service, ServiceDeployment, ServiceStatus,
};
use longshore_store::{RecordTxn, Row, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::ServiceField;
use longshore_wire::ecs::{self, ErrorCode, UpdateServiceRequest, UpdateServiceResponse};

use super::balancers;
use super::existing;
use super::hooks;
use super::settings::{self, given, refuse_unbuilt};
use super::strategies;
use crate::call::Call;
use crate::clock::RandomIds;
use crate::ecs::{client_error, encode, invalid_parameter, lookup, placement, task_definition_ref};

/// UpdateService: each member if given. A change of what tasks are made from begins a new
/// deployment; counts, bounds, placement and tags do not.
pub(crate) async fn update(
    call: &Call,
    request: Authorized<UpdateServiceRequest>,
) -> Result<UpdateServiceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    refuse_unbuilt!(request)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let row = existing(call, view, request.cluster.as_deref(), &request.service)?;
        if row.status != ServiceStatus::Active {
            return Err(ErrorCode::ServiceNotActiveException.error("Service was not ACTIVE."));
        }
        refuse_other_controller(row, &request)?;
        let mut record = changed(row, &request)?;
        if row.controller == DeploymentController::External {
            refuse_what_task_sets_have(&request)?;
            if record != row.record {
                txn.update(row, &record);
            }
            return Ok(record);
        }
        let before = lookup::current_deployment(view, row);
        if record.balancers != row.balancers && before.is_some_and(|d| deploy::splits_traffic(d)) {
            return Err(invalid_parameter(
                "loadBalancers cannot be changed while a service deployment shifts traffic. Wait \
                 until it is over, or roll it back.",
            ));
        }
        let mut begun = deploy_if_needed(call, view, &request, row, &mut record)?;
        if let Some(begun) = &mut begun {
            if let Some(before) = before {
                deploy::take_over(&mut begun.deployment, before);
                match deploy::superseded(before, call.now) {
                    Some(superseded) => txn.update(before, &superseded),
                    None => txn.expect_unchanged(before),
                };
            }
            txn.insert(&begun.revision);
            txn.insert(&begun.deployment);
        } else if let Some(under_way) = before {
            keep_configuration(txn, under_way, &record);
        }
        if begun.is_some() || record != row.record {
            txn.update(row, &record);
        }
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let service = encode::service(&call.server.state.view(), &record, ServiceField::ALL)?;
    Ok(UpdateServiceResponse { service: Some(service) })
}

/// A deployment that is under way goes on with the new configuration; one that is over shows what
/// was in force then.
fn keep_configuration(txn: &mut RecordTxn, row: &Row<ServiceDeployment>, service: &Service) {
    let next = ServiceDeployment {
        configuration: service.deployment_configuration,
        pause_hooks: service.pause_hooks.clone(),
        ..row.record.clone()
    };
    if !row.status.is_over() && next != row.record {
        txn.update(row, &next);
    }
}

fn refuse_other_controller(
    service: &Service,
    request: &UpdateServiceRequest,
) -> Result<(), ServiceError> {
    let given = request.deployment_controller.as_ref();
    if given.is_some() && settings::controller(given) != service.controller {
        return Err(invalid_parameter(
            "The deployment controller of a service cannot be changed. Create another service.",
        ));
    }
    Ok(())
}

/// With the EXTERNAL deployment controller only counts, placement, grace period and tags change;
/// the rest belongs to task sets.
fn refuse_what_task_sets_have(request: &UpdateServiceRequest) -> Result<(), ServiceError> {
    let members = [
        (request.task_definition.is_some(), "task definition"),
        (request.network_configuration.is_some(), "network parameters"),
        (request.platform_version.is_some(), "platform version"),
        (request.deployment_configuration.is_some(), "deployment configuration"),
        (request.enable_execute_command.is_some(), "execute command"),
    ];
    if let Some((_, what)) = members.iter().find(|(given, _)| *given) {
        return Err(invalid_parameter(format!(
            "Unable to update {what} on services with an EXTERNAL deployment controller. Create a \
             task set instead."
        )));
    }
    if request.force_new_deployment == Some(true) {
        return Err(invalid_parameter(
            "Cannot force a new deployment on services with an EXTERNAL deployment controller. \
             Create a task set instead.",
        ));
    }
    Ok(())
}

/// The service with the members that do not begin a deployment.
fn changed(service: &Service, request: &UpdateServiceRequest) -> Result<Service, ServiceError> {
    let mut next = service.clone();
    if let Some(count) = request.desired_count {
        if service.scheduling_strategy == SchedulingStrategy::Daemon {
            return Err(settings::refuse_daemon_count());
        }
        next.desired_count = settings::desired_count(count)?;
    }
    next.deployment_configuration = settings::deployment_configuration(
        request.deployment_configuration.as_ref(),
        service.deployment_configuration,
        service.scheduling_strategy,
    )?;
    let configuration = request.deployment_configuration.as_ref();
    next.shifting = strategies::read(configuration, service.shifting, service.scheduling_strategy)?;
    if let Some(hooks) = hooks::read(configuration)? {
        next.pause_hooks = hooks;
    }
    hooks::check(&next.pause_hooks, next.shifting)?;
    if request.placement_constraints.is_some() {
        next.placement_constraints = placement::constraints(request.placement_constraints.clone())?;
    }
    if request.placement_strategy.is_some() {
        next.placement_strategy = placement::strategies(request.placement_strategy.clone())?;
        let daemon = service.scheduling_strategy == SchedulingStrategy::Daemon;
        if daemon && !next.placement_strategy.is_empty() {
            return Err(invalid_parameter(
                "The daemon scheduling strategy does not support placement strategies. Remove the \
                 placement strategies and try again.",
            ));
        }
    }
    let rebalancing = request.availability_zone_rebalancing;
    next.zone_rebalancing = settings::changed_zone_rebalancing(rebalancing, &next)?;
    if request.propagate_tags.is_some() {
        next.propagate_tags = settings::propagate_tags(request.propagate_tags);
    }
    next.enable_ecs_managed_tags =
        request.enable_ecs_managed_tags.unwrap_or(service.enable_ecs_managed_tags);
    next.enable_execute_command =
        request.enable_execute_command.unwrap_or(service.enable_execute_command);
    if request.load_balancers.is_some() {
        next.balancers = balancers::read(request.load_balancers.as_deref())?;
    }
    // Task sets have balancers of their own.
    if service.controller == DeploymentController::Ecs {
        balancers::check_grace(request.health_check_grace_period_seconds, &next.balancers)?;
    }
    let grace = settings::grace_period(request.health_check_grace_period_seconds)?;
    next.health_check_grace_period_s = grace.or(service.health_check_grace_period_s);
    Ok(next)
}

/// Begins a deployment when what tasks are made from changes, or when it is asked for.
fn deploy_if_needed(
    call: &Call,
    view: &View,
    request: &UpdateServiceRequest,
    old: &Service,
    next: &mut Service,
) -> Result<Option<Begun>, ServiceError> {
    let primary = old.deployments.first();
    let (family, revision) = primary
        .map(|primary| (primary.family.clone(), primary.revision))
        .ok_or_else(|| client_error("The service has no deployment."))?;
    let given = request.task_definition.as_deref();
    let reference = match given {
        Some(text) => task_definition_ref(&call.scope, text)?,
        None => task_definition_ref(&call.scope, &format!("{family}:{revision}"))?,
    };
    // Without a new one the service goes on with its own, even a deregistered one.
    let definition = match given {
        Some(_) => lookup::runnable_task_definition(view, &call.scope, &reference)?,
        None => lookup::task_definition(view, &call.scope, &reference)
            .ok_or_else(|| client_error("TaskDefinition not found."))?,
    };
    let mut kept: ecs::Service = encode::document(&old.document)?;
    let network = request.network_configuration.clone().or(kept.network_configuration.take());
    kept.network_configuration = network;
    if request.platform_version.is_some() {
        kept.platform_version.clone_from(&request.platform_version);
    }
    next.document = settings::document(&kept)?;
    settings::check_network(definition, kept.network_configuration.as_ref())?;
    balancers::check(view, &next.balancers, definition)?;
    placement::parsed(
        next.placement_constraints.iter().chain(&definition.spec.placement_constraints),
    )?;
    let new = (definition.family.clone(), definition.revision);
    let deploys = request.force_new_deployment.unwrap_or(false)
        || new != (family, revision)
        || next.document != old.document
        || next.balancers != old.balancers;
    // Whoever only scales may do so although a rule is gone.
    if deploys || next.shifting != old.shifting {
        balancers::check_rules(view, next)?;
    }
    Ok(deploys.then(|| deploy::begin(next, &mut RandomIds, new.0, new.1, call.now)))
}
