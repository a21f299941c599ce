//! From the kept document to the typed view that decisions read.

use longshore_domain::record::{
    ConstraintKind, ContainerSpec, DependencyCondition, NetworkMode, PlacementConstraint,
    PortMapping, Protocol, TaskSpec,
};
use longshore_wire::ServiceError;
use longshore_wire::ecs::enums::{
    ContainerCondition, NetworkMode as WireMode, ResourceType, TransportProtocol,
};
use longshore_wire::ecs::{ContainerDefinition, TaskDefinition};

use crate::ecs::placement;

/// The typed view of `document`, which [`super::normalize`] made.
///
/// # Errors
/// `InvalidParameterException` for a placement constraint that is no expression.
pub(crate) fn spec(document: &TaskDefinition) -> Result<TaskSpec, ServiceError> {
    let amount = |text: &Option<String>| text.as_ref().and_then(|t| t.parse().ok());
    let network_mode = match document.network_mode {
        None | Some(WireMode::Bridge) => NetworkMode::Bridge,
        Some(WireMode::Host) => NetworkMode::Host,
        Some(WireMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(WireMode::None) => NetworkMode::None,
    };
    let placement_constraints: Vec<PlacementConstraint> = document
        .placement_constraints
        .iter()
        .flatten()
        .map(|constraint| PlacementConstraint {
            kind: ConstraintKind::MemberOf,
            expression: constraint.expression.clone(),
        })
        .collect();
    placement::parsed(&placement_constraints)?;
    Ok(TaskSpec {
        cpu_units: amount(&document.cpu),
        memory_mib: amount(&document.memory),
        network_mode,
        containers: document.container_definitions.iter().flatten().map(container).collect(),
        placement_constraints,
        requires_attributes: Vec::new(),
    })
}

fn unsigned(value: Option<i32>) -> Option<u32> {
    value.and_then(|n| u32::try_from(n).ok())
}

fn port(value: Option<i32>) -> Option<u16> {
    value.and_then(|n| u16::try_from(n).ok()).filter(|&n| n != 0)
}

fn container(container: &ContainerDefinition) -> ContainerSpec {
    let ports = container.port_mappings.iter().flatten().filter_map(|mapping| {
        Some(PortMapping {
            container_port: port(mapping.container_port)?,
            host_port: port(mapping.host_port),
            protocol: match mapping.protocol {
                Some(TransportProtocol::Udp) => Protocol::Udp,
                _ => Protocol::Tcp,
            },
        })
    });
    let gpus = container
        .resource_requirements
        .iter()
        .flatten()
        .filter(|requirement| requirement.r#type == ResourceType::Gpu)
        .filter_map(|requirement| requirement.value.as_ref()?.parse::<u32>().ok())
        .sum();
    let depends_on = container.depends_on.iter().flatten().map(|dependency| {
        let condition = match dependency.condition {
            ContainerCondition::Start => DependencyCondition::Start,
            ContainerCondition::Complete => DependencyCondition::Complete,
            ContainerCondition::Success => DependencyCondition::Success,
            ContainerCondition::Healthy => DependencyCondition::Healthy,
        };
        (dependency.container_name.clone(), condition)
    });
    ContainerSpec {
        name: container.name.clone().unwrap_or_default(),
        image: container.image.clone().unwrap_or_default(),
        cpu_units: unsigned(container.cpu).unwrap_or_default(),
        memory_mib: unsigned(container.memory),
        memory_reservation_mib: unsigned(container.memory_reservation),
        essential: container.essential.unwrap_or(true),
        ports: ports.collect(),
        gpus,
        has_health_check: container.health_check.is_some(),
        depends_on: depends_on.collect(),
    }
}
