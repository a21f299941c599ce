//! What a task takes of its instance once overrides are applied, and whether they are valid.

use longshore_domain::limits;
use longshore_domain::record::{ContainerSpec, Demand, Document, TaskSpec};
use longshore_domain::schedule::demand_of;
use longshore_wire::ServiceError;
use longshore_wire::codec::json;
use longshore_wire::ecs::TaskOverride;

use crate::ecs::task_definitions::{cpu_units, memory_mib};
use crate::ecs::{client_error, invalid_parameter};

/// Checks overrides against the task definition.
///
/// # Errors
/// AWS's `ClientException` for a container that is not in the task definition, and
/// `InvalidParameterException` for overrides that are too large.
pub(super) fn check_overrides(
    overrides: Option<&TaskOverride>,
    spec: &TaskSpec,
) -> Result<Option<Document>, ServiceError> {
    let Some(overrides) = overrides else { return Ok(None) };
    for over in overrides.container_overrides.iter().flatten() {
        let name = over.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(invalid_parameter("Container override name should not be null or empty."));
        }
        if !spec.containers.iter().any(|container| container.name == name) {
            return Err(client_error(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
        for (setting, value) in [
            ("cpu", over.cpu),
            ("memory", over.memory),
            ("memoryReservation", over.memory_reservation),
        ] {
            if value.is_some_and(|n| n < 0) {
                return Err(invalid_parameter(format!(
                    "Override of {setting} for container {name} cannot be negative."
                )));
            }
        }
    }
    overrides.cpu.as_deref().map(cpu_units).transpose()?;
    overrides.memory.as_deref().map(memory_mib).transpose()?;
    let text = String::from_utf8(json::encode(overrides)).unwrap_or_default();
    if text.chars().count() > limits::OVERRIDES_BYTES {
        return Err(invalid_parameter("Overrides cannot have more than 8192 characters."));
    }
    Document::new(text).map(Some).map_err(|error| client_error(error.to_string()))
}

/// The demand of a task of `spec` with these (checked) overrides.
pub(super) fn demand(overrides: Option<&TaskOverride>, spec: &TaskSpec) -> Demand {
    let Some(overrides) = overrides else { return demand_of(spec) };
    let mut spec = spec.clone();
    if let Some(units) = overrides.cpu.as_deref().and_then(|text| cpu_units(text).ok()) {
        spec.cpu_units = Some(units);
    }
    if let Some(mib) = overrides.memory.as_deref().and_then(|text| memory_mib(text).ok()) {
        spec.memory_mib = Some(mib);
    }
    let amount = |value: Option<i32>| value.and_then(|n| u32::try_from(n).ok());
    for over in overrides.container_overrides.iter().flatten() {
        let named = |container: &&mut ContainerSpec| Some(&container.name) == over.name.as_ref();
        if let Some(container) = spec.containers.iter_mut().find(named) {
            container.cpu_units = amount(over.cpu).unwrap_or(container.cpu_units);
            container.memory_mib = amount(over.memory).or(container.memory_mib);
            container.memory_reservation_mib =
                amount(over.memory_reservation).or(container.memory_reservation_mib);
        }
    }
    demand_of(&spec)
}
