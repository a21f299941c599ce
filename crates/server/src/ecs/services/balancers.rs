//! Load balancers of services: where their tasks are to be targets.

use std::collections::BTreeSet;

use longshore_domain::ids::{ElbArn, ElbResource};
use longshore_domain::record::{
    Advanced, NetworkMode, Service, ServiceBalancer, TargetType, TaskDefinition,
};
use longshore_domain::route::BalancerKind;
use longshore_store::View;
use longshore_wire::ServiceError;
use longshore_wire::ecs::{AdvancedConfiguration, ErrorCode, LoadBalancer};

use crate::ecs::invalid_parameter;
use crate::elbv2::{forwards, group_by_arn, is_used};

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
    let advanced = given.iter().filter(|one| one.advanced_configuration.is_some()).count();
    if advanced > 0 && advanced < given.len() {
        return Err(invalid_parameter(
            "Either all or none of the provided loadBalancers must have advancedConfiguration defined",
        ));
    }
    let balancers: Vec<ServiceBalancer> = given.iter().map(one).collect::<Result<_, _>>()?;
    check_once(&balancers)?;
    Ok(balancers)
}

/// With two groups to each, none of them twice. (Without, a service may give a group two ports.)
fn check_once(balancers: &[ServiceBalancer]) -> Result<(), ServiceError> {
    let mut seen = BTreeSet::new();
    for balancer in balancers {
        let Some(advanced) = &balancer.advanced else { continue };
        for group in [&balancer.target_group, &advanced.alternate] {
            if !seen.insert(group) {
                return Err(invalid_parameter(format!("Duplicate targetGroupArn found: {group}")));
            }
        }
    }
    Ok(())
}

/// Task sets have their traffic shifted by whoever makes them.
///
/// # Errors
/// `InvalidParameterException`.
pub(in crate::ecs) fn refuse_advanced(balancers: &[ServiceBalancer]) -> Result<(), ServiceError> {
    if balancers.iter().any(|balancer| balancer.advanced.is_some()) {
        return Err(invalid_parameter(
            "advancedConfiguration is only valid for services with the ECS deployment controller",
        ));
    }
    Ok(())
}

fn one(given: &LoadBalancer) -> Result<ServiceBalancer, ServiceError> {
    if given.load_balancer_name.is_some() && given.advanced_configuration.is_some() {
        return Err(invalid_parameter(
            "advancedConfiguration field is not allowed with ELBv1 loadBalancers",
        ));
    }
    if given.load_balancer_name.is_some() {
        return Err(ErrorCode::UnsupportedFeatureException.error(
            "A Classic Load Balancer (loadBalancerName) is not available in this version of Longshore. \
             Use a target group (targetGroupArn) and try again.",
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
        advanced: given.advanced_configuration.as_ref().map(advanced).transpose()?,
    })
}

fn advanced(given: &AdvancedConfiguration) -> Result<Advanced, ServiceError> {
    let missing = |name: &str| invalid_parameter(format!("{name} cannot be null or empty."));
    let named = |given: &Option<String>, name: &str| {
        given.clone().filter(|arn| !arn.is_empty()).ok_or_else(|| missing(name))
    };
    let production_rule = named(&given.production_listener_rule, "productionListenerRule")?;
    check_rule_arn(&production_rule, "productionListenerRule")?;
    let test_rule = given.test_listener_rule.clone().filter(|arn| !arn.is_empty());
    if let Some(rule) = &test_rule {
        check_rule_arn(rule, "testListenerRule")?;
        if *rule == production_rule {
            return Err(invalid_parameter(format!(
                "The following rules cannot be used as both production and test listener rules: {rule}"
            )));
        }
    }
    Ok(Advanced {
        alternate: named(&given.alternate_target_group_arn, "alternateTargetGroupArn")?,
        production_rule,
        test_rule,
        role: given.role_arn.clone(),
    })
}

/// A rule of an application balancer, or a listener of a network balancer.
fn check_rule_arn(arn: &str, name: &str) -> Result<(), ServiceError> {
    let resource = arn.parse::<ElbArn>().map(|arn| arn.resource);
    match resource {
        Ok(
            ElbResource::Rule(BalancerKind::Application, ..)
            | ElbResource::Listener(BalancerKind::Network, ..),
        ) => Ok(()),
        _ => Err(invalid_parameter(format!(
            "{name} has an invalid ARN format. Must be RuleArn for ALB or ListenerArn for NLB. Got: {arn}"
        ))),
    }
}

/// Whether the balancers of a service fit its deployment strategy, and their rules are there.
///
/// # Errors
/// `InvalidParameterException`, with AWS's texts as far as they are published.
pub(in crate::ecs) fn check_rules(view: &View, service: &Service) -> Result<(), ServiceError> {
    for balancer in &service.balancers {
        let Some(advanced) = &balancer.advanced else {
            if service.shifting.is_some() {
                return Err(invalid_parameter(
                    "advancedConfiguration field is required for all loadBalancers when using a \
                     non-ROLLING deployment strategy",
                ));
            }
            continue;
        };
        let find = |rule: &String| {
            forwards(view, &service.scope, rule).ok_or_else(|| {
                invalid_parameter(format!("The listener rule {rule} does not exist."))
            })
        };
        let production = find(&advanced.production_rule)?;
        if let Some(rule) = &advanced.test_rule {
            find(rule)?;
            continue;
        }
        let pair = [&balancer.target_group, &advanced.alternate];
        let both = pair.iter().all(|group| production.iter().any(|w| w.group == **group));
        let application = advanced.production_rule.contains(":listener-rule/");
        if application && !both && service.shifting.is_some() {
            return Err(invalid_parameter(
                "For Application LoadBalancer, testListenerRule is required when \
                 productionListenerRule is not associated with both targetGroup and \
                 alternateTargetGroup",
            ));
        }
    }
    Ok(())
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
        let ServiceBalancer { container, port, .. } = balancer;
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
        let alternate = balancer.advanced.as_ref();
        check_group(view, &balancer.target_group, alternate.is_none(), definition)?;
        if let Some(advanced) = alternate {
            check_group(view, &advanced.alternate, false, definition)?;
        }
    }
    Ok(())
}

/// Whether a target group is there, and for such tasks; a network balancer's listener takes the group in
/// that does not serve only when traffic is about to shift.
fn check_group(
    view: &View,
    target_group: &str,
    must_be_used: bool,
    definition: &TaskDefinition,
) -> Result<(), ServiceError> {
    let group = group_by_arn(view, target_group).ok_or_else(|| {
        invalid_parameter(format!("The target group {target_group} does not exist."))
    })?;
    if must_be_used && !is_used(view, target_group) {
        return Err(invalid_parameter(format!(
            "The target group with targetGroupArn {target_group} does not have an associated load \
             balancer."
        )));
    }
    let mode = definition.spec.network_mode;
    let wanted = if mode == NetworkMode::Awsvpc { TargetType::Ip } else { TargetType::Instance };
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
        advanced_configuration: balancer.advanced.as_ref().map(|advanced| AdvancedConfiguration {
            alternate_target_group_arn: Some(advanced.alternate.clone()),
            production_listener_rule: Some(advanced.production_rule.clone()),
            test_listener_rule: advanced.test_rule.clone(),
            role_arn: advanced.role.clone(),
        }),
        ..LoadBalancer::default()
    };
    balancers.iter().map(shown).collect()
}
