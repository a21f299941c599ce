//! Settings that CreateService and UpdateService take alike: what is valid, and what is refused
//! because it is not built.

use longshore_domain::limits;
use longshore_domain::record::{
    self, CircuitBreaker, Document, NetworkMode, PlacementStrategy, SchedulingStrategy, Spread,
    TaskDefinition, Threshold,
};
use longshore_domain::schedule::ZONE;
use longshore_wire::ServiceError;
use longshore_wire::codec::json;
use longshore_wire::ecs::enums::{
    AvailabilityZoneRebalancing, DeploymentControllerType, DeploymentStrategy, LaunchType,
    PropagateTags, ThresholdType,
};
use longshore_wire::ecs::{
    CapacityProviderStrategyItem, DeploymentCircuitBreaker, DeploymentConfiguration,
    DeploymentController, ErrorCode, NetworkConfiguration, Service,
};

use crate::ecs::{client_error, invalid_parameter};

/// `UnsupportedFeatureException` that names the member and what to do.
pub(super) fn unsupported(what: &str) -> ServiceError {
    ErrorCode::UnsupportedFeatureException.error(format!(
        "{what} is not available in this version of Longshore. Remove it and try again."
    ))
}

/// Members that ask for what is not built; empty ones ask for nothing.
pub(in crate::ecs) struct Unbuilt<'a> {
    /// Whether a member is given, and what it is.
    pub(in crate::ecs) members: &'a [(bool, &'static str)],
    pub(in crate::ecs) controller: Option<&'a DeploymentController>,
    pub(in crate::ecs) capacity_providers: Option<&'a [CapacityProviderStrategyItem]>,
}

/// What is not built of a CreateService or UpdateService request: they share these members.
macro_rules! refuse_unbuilt {
    ($request:expr) => {
        $crate::ecs::services::settings::Unbuilt {
            members: &[
                (
                    given($request.service_registries.as_ref()),
                    "Service discovery (serviceRegistries)",
                ),
                (
                    given($request.volume_configurations.as_ref()),
                    "A volume configured at deployment (volumeConfigurations)",
                ),
                (
                    given($request.vpc_lattice_configurations.as_ref()),
                    "VPC Lattice (vpcLatticeConfigurations)",
                ),
                (given($request.gateway_connectors.as_ref()), "A gateway (gatewayConnectors)"),
                ($request.monitoring.is_some(), "Monitoring of services (monitoring)"),
                (
                    $request.service_connect_configuration.as_ref().is_some_and(|c| c.enabled),
                    "Service Connect (serviceConnectConfiguration)",
                ),
            ],
            controller: $request.deployment_controller.as_ref(),
            capacity_providers: $request.capacity_provider_strategy.as_deref(),
        }
        .refuse()
    };
}
pub(super) use refuse_unbuilt;

impl Unbuilt<'_> {
    /// # Errors
    /// `UnsupportedFeatureException`, and AWS's errors for what cannot exist without the feature.
    pub(in crate::ecs) fn refuse(&self) -> Result<(), ServiceError> {
        if let Some((_, what)) = self.members.iter().find(|(given, _)| *given) {
            return Err(unsupported(what));
        }
        match self.controller.map(|controller| controller.r#type) {
            None | Some(DeploymentControllerType::Ecs | DeploymentControllerType::External) => {}
            Some(DeploymentControllerType::CodeDeploy) => {
                return Err(unsupported(
                    "The deployment controller CODE_DEPLOY, which needs AWS CodeDeploy,",
                ));
            }
        }
        match self.capacity_providers.and_then(<[_]>::first) {
            None => Ok(()),
            Some(item) => Err(client_error(format!(
                "The specified capacity provider '{}' was not found.",
                item.capacity_provider
            ))),
        }
    }
}

/// # Errors
/// `InvalidParameterException` for a client token that is none.
pub(in crate::ecs) fn check_client_token(given: Option<&str>) -> Result<(), ServiceError> {
    let token = given.unwrap_or_default();
    let printable = token.chars().all(|c| ('!'..='~').contains(&c));
    if !printable || token.chars().count() > limits::SERVICE_CLIENT_TOKEN_LEN {
        return Err(invalid_parameter(
            "clientToken must have at most 36 printable ASCII characters.",
        ));
    }
    Ok(())
}

/// # Errors
/// `InvalidParameterException` when launch type and capacity providers are both given.
pub(in crate::ecs) fn check_launch(
    launch_type: Option<LaunchType>,
    capacity_providers: Option<&[CapacityProviderStrategyItem]>,
) -> Result<(), ServiceError> {
    if launch_type.is_some() && capacity_providers.is_some() {
        return Err(invalid_parameter(
            "Specifying both a launch type and capacity provider strategy is not supported. \
             Remove one and try again.",
        ));
    }
    Ok(())
}

/// A list that asks for something.
pub(in crate::ecs) fn given<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// The deployment configuration: what is given, else what was `before`.
///
/// # Errors
/// `InvalidParameterException` for percentages that make no sense, and a refusal of what is not
/// built.
pub(super) fn deployment_configuration(
    given: Option<&DeploymentConfiguration>,
    before: record::DeploymentConfiguration,
    strategy: SchedulingStrategy,
) -> Result<record::DeploymentConfiguration, ServiceError> {
    let Some(given) = given else { return Ok(before) };
    refuse_unbuilt_detection(given)?;
    let percent = |value: Option<i32>, name: &str, before: u32| match value {
        None => Ok(before),
        Some(n) => {
            u32::try_from(n).map_err(|_| invalid_parameter(format!("{name} cannot be negative.")))
        }
    };
    let minimum_healthy_percent = percent(
        given.minimum_healthy_percent,
        "minimumHealthyPercent",
        before.minimum_healthy_percent,
    )?;
    let maximum_percent = percent(given.maximum_percent, "maximumPercent", before.maximum_percent)?;
    check_percents(minimum_healthy_percent, maximum_percent, strategy)?;
    let circuit_breaker = match &given.deployment_circuit_breaker {
        None => before.circuit_breaker,
        Some(breaker) => circuit_breaker(breaker)?,
    };
    Ok(record::DeploymentConfiguration {
        minimum_healthy_percent,
        maximum_percent,
        circuit_breaker,
    })
}

/// Who decides about new versions.
pub(super) fn controller(given: Option<&DeploymentController>) -> record::DeploymentController {
    match given.map(|controller| controller.r#type) {
        Some(DeploymentControllerType::External) => record::DeploymentController::External,
        _ => record::DeploymentController::Ecs,
    }
}

/// # Errors
/// `InvalidParameterException` for what only rolling deployments have.
pub(super) fn refuse_detection(
    given: Option<&DeploymentConfiguration>,
) -> Result<(), ServiceError> {
    let breaker = given.and_then(|given| given.deployment_circuit_breaker.as_ref());
    if breaker.is_some_and(|breaker| breaker.enable) {
        return Err(invalid_parameter(
            "Deployment circuit breaker feature can only be enabled with ECS deployment \
             controller.",
        ));
    }
    let strategy = given.and_then(|given| given.strategy);
    if let Some(strategy) = strategy.filter(|strategy| *strategy != DeploymentStrategy::Rolling) {
        return Err(invalid_parameter(format!(
            "Deployment strategy {strategy} can only be used with ECS deployment controller."
        )));
    }
    if given.is_some_and(|given| self::given(given.lifecycle_hooks.as_ref())) {
        return Err(invalid_parameter(
            "Lifecycle hooks can only be configured with ECS deployment controller.",
        ));
    }
    Ok(())
}

/// Percentages that leave room for a deployment.
fn check_percents(
    minimum_healthy: u32,
    maximum: u32,
    strategy: SchedulingStrategy,
) -> Result<(), ServiceError> {
    let wrong = [
        (minimum_healthy > 100, "minimumHealthyPercent must be at most 100"),
        (maximum < 100, "maximumPercent must be at least 100"),
        (
            strategy == SchedulingStrategy::Daemon && maximum > 100,
            "The daemon scheduling strategy does not support values above 100 for maximumPercent. \
             Change the value and try again.",
        ),
        (
            minimum_healthy == 100 && maximum == 100,
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block \
             deployments.",
        ),
    ];
    match wrong.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, text)) => Err(invalid_parameter(text)),
        None => Ok(()),
    }
}

/// `InvalidParameterException`: the count of a daemon follows from the instances.
pub(super) fn refuse_daemon_count() -> ServiceError {
    invalid_parameter(
        "The daemon scheduling strategy does not support a desired count for services. Remove the \
         desired count value and try again",
    )
}

/// The circuit breaker; members that are not given have the defaults of ECS.
fn circuit_breaker(given: &DeploymentCircuitBreaker) -> Result<CircuitBreaker, ServiceError> {
    let threshold = match &given.threshold_configuration {
        None => Threshold::default(),
        Some(threshold) => {
            let value = u32::try_from(threshold.value).ok().filter(|value| *value > 0);
            let value = value.ok_or_else(|| {
                invalid_parameter("The value of thresholdConfiguration must be greater than 0.")
            })?;
            match threshold.r#type {
                ThresholdType::Count => Threshold::Count(value),
                ThresholdType::BoundedPercent => Threshold::BoundedPercent(value),
                ThresholdType::UnboundedPercent => Threshold::UnboundedPercent(value),
            }
        }
    };
    Ok(CircuitBreaker {
        enable: given.enable,
        rollback: given.rollback,
        threshold,
        reset_on_healthy_task: given.reset_on_healthy_task.unwrap_or(true),
    })
}

fn refuse_unbuilt_detection(given: &DeploymentConfiguration) -> Result<(), ServiceError> {
    let members = [
        (given.alarms.as_ref().is_some_and(|alarms| alarms.enable), "Deployment alarms (alarms)"),
        (given.early_success_criteria.is_some(), "Early success (earlySuccessCriteria)"),
    ];
    match members.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

/// Why ECS does not level the availability zones of a service, if it does not.
fn hinders_rebalancing(service: &record::Service) -> Option<&'static str> {
    let constraints = service.placement_constraints.iter();
    let mut expressions = constraints.filter_map(|constraint| constraint.expression.as_deref());
    let spreads_zones = match service.placement_strategy.first() {
        None => true,
        Some(PlacementStrategy::Spread(Spread::Attribute(name))) => name == ZONE,
        Some(_) => false,
    };
    let hindrances = [
        (service.scheduling_strategy == SchedulingStrategy::Daemon, "DAEMON services"),
        (service.launch_type == record::LaunchType::External, "the EXTERNAL launch type"),
        (
            service.deployment_configuration.maximum_percent <= 100,
            "maximumPercent <= 100 % as deployment configuration",
        ),
        (
            !spreads_zones,
            "placement strategies whose first one does not spread over \
             attribute:ecs.availability-zone",
        ),
        (
            expressions.any(|text| text.contains(ZONE)),
            "placement constraints on attribute:ecs.availability-zone",
        ),
    ];
    hindrances.into_iter().find(|(hinders, _)| *hinders).map(|(_, what)| what)
}

/// Whether the availability zones of a new service are levelled: as given, else where it is
/// possible.
///
/// # Errors
/// `InvalidParameterException` when it is asked for where it is not possible.
pub(super) fn zone_rebalancing(
    given: Option<AvailabilityZoneRebalancing>,
    service: &record::Service,
) -> Result<bool, ServiceError> {
    match given {
        None => Ok(hinders_rebalancing(service).is_none()),
        Some(AvailabilityZoneRebalancing::Disabled) => Ok(false),
        Some(AvailabilityZoneRebalancing::Enabled) => check_rebalancing(service).map(|()| true),
    }
}

/// The same for a service that has the other members of a change already: as given, else as it is.
///
/// # Errors
/// `InvalidParameterException` when it is, or stays, enabled where it is not possible.
pub(super) fn changed_zone_rebalancing(
    given: Option<AvailabilityZoneRebalancing>,
    service: &record::Service,
) -> Result<bool, ServiceError> {
    let enabled = given
        .map_or(service.zone_rebalancing, |given| given == AvailabilityZoneRebalancing::Enabled);
    if enabled {
        check_rebalancing(service)?;
    }
    Ok(enabled)
}

fn check_rebalancing(service: &record::Service) -> Result<(), ServiceError> {
    match hinders_rebalancing(service) {
        None => Ok(()),
        Some(what) => Err(invalid_parameter(format!(
            "Availability Zone Rebalancing does not support {what}."
        ))),
    }
}

/// ECS's defaults of the deployment configuration.
pub(super) fn defaults(strategy: SchedulingStrategy) -> record::DeploymentConfiguration {
    let (minimum_healthy_percent, maximum_percent) = match strategy {
        SchedulingStrategy::Replica => (100, 200),
        SchedulingStrategy::Daemon => (0, 100),
    };
    let circuit_breaker = CircuitBreaker::default();
    record::DeploymentConfiguration { minimum_healthy_percent, maximum_percent, circuit_breaker }
}

/// A desired count.
///
/// # Errors
/// `InvalidParameterException` outside 0 to 5000.
pub(super) fn desired_count(count: i32) -> Result<u32, ServiceError> {
    u32::try_from(count).ok().filter(|count| *count <= limits::SERVICE_TASKS).ok_or_else(|| {
        invalid_parameter(format!("desiredCount must be between 0 and {}.", limits::SERVICE_TASKS))
    })
}

/// Seconds of the health check grace period.
///
/// # Errors
/// `InvalidParameterException` when negative.
pub(super) fn grace_period(seconds: Option<i32>) -> Result<Option<u32>, ServiceError> {
    let check = |seconds| {
        u32::try_from(seconds)
            .map_err(|_| invalid_parameter("healthCheckGracePeriodSeconds cannot be negative."))
    };
    seconds.map(check).transpose()
}

/// AWS's word, kept as such.
pub(super) fn propagate_tags(given: Option<PropagateTags>) -> String {
    given.unwrap_or(PropagateTags::None).as_str().to_owned()
}

/// Whether network configuration and network mode fit together.
///
/// # Errors
/// `InvalidParameterException` with AWS's texts.
pub(in crate::ecs) fn check_network(
    definition: &TaskDefinition,
    network: Option<&NetworkConfiguration>,
) -> Result<(), ServiceError> {
    match (definition.spec.network_mode, network) {
        (NetworkMode::Awsvpc, None) => Err(invalid_parameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )),
        (NetworkMode::Awsvpc, Some(_)) | (_, None) => Ok(()),
        (_, Some(_)) => Err(invalid_parameter(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
    }
}

/// Members that are only given back.
pub(in crate::ecs) fn document(kept: &Service) -> Result<Document, ServiceError> {
    let text = String::from_utf8(json::encode(kept)).unwrap_or_default();
    Document::new(text).map_err(|error| client_error(error.to_string()))
}
