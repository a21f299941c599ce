//! CreateService.

use longshore_auth::Authorized;
use longshore_domain::deploy::{self, Begun};
use longshore_domain::idle;
use longshore_domain::ids::{ClusterName, ServiceName};
use longshore_domain::record::{
    DeploymentController, LaunchType, PlacementConstraint, PlacementStrategy, SchedulingStrategy,
    Service, ServiceStatus, Tags,
};
use longshore_store::{RecordTxn, View};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{self, ServiceField};
use longshore_wire::ecs::{self, CreateServiceRequest, CreateServiceResponse};

use super::balancers;
use super::hooks;
use super::settings::{self, given, refuse_unbuilt};
use super::strategies;
use crate::call::Call;
use crate::clock::RandomIds;
use crate::ecs::{encode, invalid_parameter, lookup, placement, tags, task_definition_ref, tasks};

/// What a request asks for, as far as it can be judged by itself.
struct Wanted {
    name: ServiceName,
    controller: DeploymentController,
    strategy: SchedulingStrategy,
    desired_count: u32,
    launch_type: LaunchType,
    constraints: Vec<PlacementConstraint>,
    strategies: Vec<PlacementStrategy>,
    tags: Tags,
}

/// CreateService. A second call with the same settings gives the same service.
pub(crate) async fn create(
    call: &Call,
    request: Authorized<CreateServiceRequest>,
) -> Result<CreateServiceResponse, ServiceError> {
    let (_, request) = request.into_parts();
    let wanted = wanted(&request)?;
    let decide = |view: &View, txn: &mut RecordTxn| {
        let cluster = lookup::cluster(view, &call.scope, request.cluster.as_deref())?;
        let known = lookup::service(view, &call.scope, &cluster.name, &wanted.name);
        if known.is_some_and(|row| row.status == ServiceStatus::Draining) {
            return Err(invalid_parameter("Unable to Start a service that is still Draining."));
        }
        let (record, begun) = record(call, view, &request, &wanted, &cluster.name)?;
        match known {
            Some(row) if row.status == ServiceStatus::Active => {
                if same_settings(row, &record) {
                    return Ok(row.record.clone());
                }
                return Err(invalid_parameter("Creation of service was not idempotent."));
            }
            Some(row) => txn.update(row, &record),
            None => txn.insert(&record),
        };
        if let Some(begun) = &begun {
            txn.insert(&begun.revision);
            txn.insert(&begun.deployment);
        }
        txn.expect_unchanged(cluster);
        Ok(record)
    };
    let record = call.server.decide(decide).await?;
    let service = encode::service(&call.server.state.view(), &record, ServiceField::ALL)?;
    Ok(CreateServiceResponse { service: Some(service) })
}

fn wanted(request: &CreateServiceRequest) -> Result<Wanted, ServiceError> {
    settings::check_client_token(request.client_token.as_deref())?;
    let name = request.service_name.parse().map_err(|why| {
        invalid_parameter(format!("Invalid service name '{}': it {why}.", request.service_name))
    })?;
    settings::check_launch(request.launch_type, request.capacity_provider_strategy.as_deref())?;
    refuse_unbuilt!(request)?;
    let controller = settings::controller(request.deployment_controller.as_ref());
    let strategy = match request.scheduling_strategy {
        None | Some(enums::SchedulingStrategy::Replica) => SchedulingStrategy::Replica,
        Some(enums::SchedulingStrategy::Daemon) => SchedulingStrategy::Daemon,
    };
    let desired_count = match (strategy, request.desired_count) {
        (SchedulingStrategy::Replica, Some(count)) => settings::desired_count(count)?,
        // The only member that such a service needs is its name.
        (SchedulingStrategy::Replica, None) if controller == DeploymentController::External => 0,
        (SchedulingStrategy::Replica, None) => {
            return Err(invalid_parameter("desiredCount should not be null or empty."));
        }
        (SchedulingStrategy::Daemon, None) => 0,
        (SchedulingStrategy::Daemon, Some(_)) => {
            return Err(settings::refuse_daemon_count());
        }
    };
    let strategies = placement::strategies(request.placement_strategy.clone())?;
    if strategy == SchedulingStrategy::Daemon && !strategies.is_empty() {
        return Err(invalid_parameter(
            "The daemon scheduling strategy does not support placement strategies. Remove the \
             placement strategies and try again.",
        ));
    }
    if controller == DeploymentController::External {
        refuse_what_task_sets_have(request, strategy)?;
    }
    let balancers = balancers::read(request.load_balancers.as_deref())?;
    // Task sets have balancers of their own.
    match controller {
        DeploymentController::Ecs => {
            balancers::check_grace(request.health_check_grace_period_seconds, &balancers)?;
        }
        DeploymentController::External => balancers::refuse_advanced(&balancers)?,
    }
    Ok(Wanted {
        name,
        controller,
        strategy,
        desired_count,
        launch_type: tasks::launch_type(request.launch_type)?,
        constraints: placement::constraints(request.placement_constraints.clone())?,
        strategies,
        tags: tags::checked(request.tags.clone())?,
    })
}

/// A service whose deployments are controlled from outside is made without what tasks are made
/// from: CreateTaskSet has that.
fn refuse_what_task_sets_have(
    request: &CreateServiceRequest,
    strategy: SchedulingStrategy,
) -> Result<(), ServiceError> {
    if strategy == SchedulingStrategy::Daemon {
        return Err(invalid_parameter(
            "The daemon scheduling strategy is not supported with the EXTERNAL deployment \
             controller.",
        ));
    }
    let members = [
        (request.task_definition.is_some(), "taskDefinition"),
        (request.network_configuration.is_some(), "networkConfiguration"),
        (request.platform_version.is_some(), "platformVersion"),
    ];
    if let Some((_, name)) = members.iter().find(|(given, _)| *given) {
        return Err(invalid_parameter(format!(
            "{name} cannot be specified for a service with the EXTERNAL deployment controller. \
             Specify it when creating a task set."
        )));
    }
    settings::refuse_detection(request.deployment_configuration.as_ref())
}

fn record(
    call: &Call,
    view: &View,
    request: &CreateServiceRequest,
    wanted: &Wanted,
    cluster: &ClusterName,
) -> Result<(Service, Option<Begun>), ServiceError> {
    let mut service = service(call, request, wanted, cluster)?;
    service.zone_rebalancing =
        settings::zone_rebalancing(request.availability_zone_rebalancing, &service)?;
    if wanted.controller == DeploymentController::External {
        placement::parsed(&wanted.constraints)?;
        return Ok((service, None));
    }
    let reference = request.task_definition.as_deref().unwrap_or_default();
    let reference = task_definition_ref(&call.scope, reference)?;
    let definition = lookup::runnable_task_definition(view, &call.scope, &reference)?;
    placement::parsed(wanted.constraints.iter().chain(&definition.spec.placement_constraints))?;
    settings::check_network(definition, request.network_configuration.as_ref())?;
    balancers::check(view, &service.balancers, definition)?;
    balancers::check_rules(view, &service)?;
    let (family, revision) = (definition.family.clone(), definition.revision);
    let begun = deploy::begin(&mut service, &mut RandomIds, family, revision, call.now);
    Ok((service, Some(begun)))
}

/// The record, without a deployment.
fn service(
    call: &Call,
    request: &CreateServiceRequest,
    wanted: &Wanted,
    cluster: &ClusterName,
) -> Result<Service, ServiceError> {
    let kept = ecs::Service {
        network_configuration: request.network_configuration.clone(),
        platform_version: request.platform_version.clone(),
        role_arn: request.role.clone(),
        ..ecs::Service::default()
    };
    let configuration = request.deployment_configuration.as_ref();
    let shifting = strategies::read(configuration, None, wanted.strategy)?;
    let pause_hooks = hooks::read(configuration)?.unwrap_or_default();
    hooks::check(&pause_hooks, shifting)?;
    Ok(Service {
        scope: call.scope.clone(),
        cluster: cluster.clone(),
        name: wanted.name.clone(),
        status: ServiceStatus::Active,
        scheduling_strategy: wanted.strategy,
        desired_count: wanted.desired_count,
        launch_type: wanted.launch_type,
        deployment_configuration: settings::deployment_configuration(
            request.deployment_configuration.as_ref(),
            settings::defaults(wanted.strategy),
            wanted.strategy,
        )?,
        placement_constraints: wanted.constraints.clone(),
        placement_strategy: wanted.strategies.clone(),
        deployments: Vec::new(),
        service_deployment: None,
        completed: None,
        balancers: balancers::read(request.load_balancers.as_deref())?,
        controller: wanted.controller,
        task_sets: Vec::new(),
        pause_hooks,
        shifting,
        zone_rebalancing: false,
        propagate_tags: settings::propagate_tags(request.propagate_tags),
        enable_ecs_managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        enable_execute_command: request.enable_execute_command.unwrap_or(false),
        idle: None,
        health_check_grace_period_s: settings::grace_period(
            request.health_check_grace_period_seconds,
        )?,
        document: settings::document(&kept)?,
        client_token: request.client_token.clone(),
        created_by: call.principal.arn.clone(),
        created_at: call.now,
        deleted_at: None,
        retry_at: None,
        notices: Vec::new(),
        tags: wanted.tags.clone(),
    })
}

/// Whether a service was made with the settings of `new`, whatever became of it.
fn same_settings(old: &Service, new: &Service) -> bool {
    let runs = |service: &Service| {
        service.deployments.first().map(|primary| (primary.family.clone(), primary.revision))
    };
    let replica = new.scheduling_strategy == SchedulingStrategy::Replica;
    let external = new.controller == DeploymentController::External;
    let as_new = Service {
        // The scheduler keeps the count of a daemon.
        desired_count: if replica { idle::given_count(old) } else { new.desired_count },
        idle: new.idle,
        deployments: new.deployments.clone(),
        service_deployment: new.service_deployment,
        completed: new.completed.clone(),
        // What the primary task set has shows as the service's.
        launch_type: if external { new.launch_type } else { old.launch_type },
        document: if external { new.document.clone() } else { old.document.clone() },
        task_sets: new.task_sets.clone(),
        client_token: new.client_token.clone(),
        created_by: new.created_by.clone(),
        created_at: new.created_at,
        retry_at: new.retry_at,
        notices: new.notices.clone(),
        ..old.clone()
    };
    runs(old) == runs(new) && as_new == *new
}
