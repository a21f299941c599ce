//! Load balancers of services: where their tasks are to be targets.

use longshore_domain::record::{NetworkMode, ServiceBalancer, TargetType, TaskDefinition};
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::ecs::{ErrorCode, LoadBalancer};

use crate::ecs::invalid_parameter;
use crate::elbv2::{group_by_arn, is_used};

/// Target groups of a service (ECS quota).
const TARGET_GROUPS: usize = 5;

/// Target groups, containers and ports, as a request gives them.
///
/// # Errors
/// `InvalidParameterException` for what is not whole, and a refusal of what is not built.
pub(in crate::ecs) fn read(
    given: Option<&[LoadBalancer]>,
) -> Result<Vec<ServiceBalancer>, ServiceError> {
    let given = given.unwrap_or_default();
    if given.len() > TARGET_GROUPS {
        return Err(invalid_parameter(format!(
            "loadBalancers cannot have more than {TARGET_GROUPS} elements."
        )));
    }
    given.iter().map(one).collect()
}

fn one(given: &LoadBalancer) -> Result<ServiceBalancer, ServiceError> {
    if given.load_balancer_name.is_some() {
        return Err(ErrorCode::UnsupportedFeatureException.error(
            "A Classic Load Balancer (loadBalancerName) is not available in this version of Longshore. \
             Use a target group (targetGroupArn) and try again.",
        ));
    }
    if given.advanced_configuration.is_some() {
        return Err(ErrorCode::UnsupportedFeatureException.error(
            "A second target group for blue/green deployments (advancedConfiguration) is not \
             available in this version of Longshore. Remove it and try again.",
        ));
    }
    let missing = |name: &str| invalid_parameter(format!("{name} cannot be null or empty."));
    let port = given.container_port.ok_or_else(|| missing("containerPort"))?;
    Ok(ServiceBalancer {
        target_group: given.target_group_arn.clone().ok_or_else(|| missing("targetGroupArn"))?,
        container: given.container_name.clone().ok_or_else(|| missing("containerName"))?,
        port: u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| invalid_parameter("containerPort must be between 1 and 65535."))?,
    })
}

/// Whether tasks of a definition can be targets as a service wants it.
///
/// # Errors
/// `InvalidParameterException` with AWS's texts.
pub(in crate::ecs) fn check(
    view: &View,
    balancers: &[ServiceBalancer],
    definition: &TaskDefinition,
) -> Result<(), ServiceError> {
    for balancer in balancers {
        let ServiceBalancer { target_group, container, port } = balancer;
        let containers = &definition.spec.containers;
        let spec = containers.iter().find(|spec| spec.name == *container).ok_or_else(|| {
            invalid_parameter(format!(
                "The container {container} does not exist in the task definition."
            ))
        })?;
        let maps = spec.ports.iter().any(|mapping| mapping.container_port == *port);
        if !maps {
            return Err(invalid_parameter(format!(
                "The container {container} did not have a container port {port} defined."
            )));
        }
        let group = group_by_arn(view, target_group).ok_or_else(|| {
            invalid_parameter(format!("The target group {target_group} does not exist."))
        })?;
        if !is_used(view, target_group) {
            return Err(invalid_parameter(format!(
                "The target group with targetGroupArn {target_group} does not have an associated \
                 load balancer."
            )));
        }
        let mode = definition.spec.network_mode;
        let wanted =
            if mode == NetworkMode::Awsvpc { TargetType::Ip } else { TargetType::Instance };
        if group.target_type != wanted {
            return Err(invalid_parameter(format!(
                "The provided target group {target_group} has target type {}, which is incompatible \
                 with the {} network mode specified in the task definition.",
                group.target_type.as_str(),
                match mode {
                    NetworkMode::Awsvpc => "awsvpc",
                    NetworkMode::Bridge => "bridge",
                    NetworkMode::Host => "host",
                    NetworkMode::None => "none",
                },
            )));
        }
    }
    Ok(())
}

/// A grace period is for the health checks of balancers.
///
/// # Errors
/// `InvalidParameterException` with AWS's text.
pub(in crate::ecs) fn check_grace(
    grace_s: Option<i32>,
    balancers: &[ServiceBalancer],
) -> Result<(), ServiceError> {
    if grace_s.is_some_and(|seconds| seconds > 0) && balancers.is_empty() {
        return Err(invalid_parameter(
            "Health check grace period is only valid for services configured to use load balancers",
        ));
    }
    Ok(())
}

/// As the API shows them.
pub(in crate::ecs) fn shown(balancers: &[ServiceBalancer]) -> Vec<LoadBalancer> {
    let shown = |balancer: &ServiceBalancer| LoadBalancer {
        target_group_arn: Some(balancer.target_group.clone()),
        container_name: Some(balancer.container.clone()),
        container_port: Some(i32::from(balancer.port)),
        ..LoadBalancer::default()
    };
    balancers.iter().map(shown).collect()
}
