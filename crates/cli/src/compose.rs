//! Docker Compose files, as far as they map to task definitions and services. Pure.
//!
//! What cannot be mapped is named, never dropped in silence.

mod parts;

use std::collections::BTreeMap;

use longshore_wire::ecs::{
    ContainerDefinition, DeploymentCircuitBreaker, RegisterTaskDefinitionRequest, Volume,
};
use serde::Deserialize;
use serde_json::Value;

/// Memory in MiB of a container whose file sets none.
const DEFAULT_MEMORY_MIB: i32 = 128;

/// A compose file, mapped.
#[derive(Debug)]
pub(crate) struct Project {
    /// Services by name.
    pub(crate) services: Vec<Service>,
    /// What the file says and ECS has no place for.
    pub(crate) not_mapped: Vec<String>,
}

/// A service of a compose file, mapped.
#[derive(Debug)]
pub(crate) struct Service {
    /// Name.
    pub(crate) name: String,
    /// Desired count.
    pub(crate) count: i32,
    /// Circuit breaker, if the file says what to do about a failed update.
    pub(crate) breaker: Option<DeploymentCircuitBreaker>,
    /// What to register.
    pub(crate) definition: RegisterTaskDefinitionRequest,
}

/// Why a compose file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    /// Not YAML, or not of compose's form.
    #[error("the file cannot be read: {0}")]
    Form(String),
    /// A service cannot run.
    #[error("service {service}: {why}")]
    Service {
        /// Its name.
        service: String,
        /// Why.
        why: String,
    },
}

#[derive(Deserialize)]
struct File {
    services: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    networks: Option<Value>,
    #[serde(default)]
    configs: Option<Value>,
    #[serde(default)]
    secrets: Option<Value>,
}

/// Maps a compose file.
pub(crate) fn project(text: &str) -> Result<Project, ComposeError> {
    let file: File =
        serde_saphyr::from_str(text).map_err(|error| ComposeError::Form(error.to_string()))?;
    let mut not_mapped = Vec::new();
    for (section, value) in
        [("networks", &file.networks), ("configs", &file.configs), ("secrets", &file.secrets)]
    {
        if value.is_some() {
            not_mapped.push(section.to_owned());
        }
    }
    let services = file
        .services
        .into_iter()
        .map(|(name, members)| service(name, &members, &mut not_mapped))
        .collect::<Result<_, _>>()?;
    Ok(Project { services, not_mapped })
}

fn service(
    name: String,
    members: &BTreeMap<String, Value>,
    not_mapped: &mut Vec<String>,
) -> Result<Service, ComposeError> {
    let wrong = |why: String| ComposeError::Service { service: name.clone(), why };
    let mut container = ContainerDefinition {
        name: Some(name.clone()),
        memory: Some(DEFAULT_MEMORY_MIB),
        essential: Some(true),
        ..ContainerDefinition::default()
    };
    let mut count = 1;
    let mut breaker = None;
    let mut volumes: Vec<Volume> = Vec::new();
    let mut network_mode = None;
    for (member, value) in members {
        match member.as_str() {
            "network_mode" => network_mode = Some(parts::network_mode(value).map_err(wrong)?),
            "scale" => count = parts::int(value).map_err(wrong)?,
            "deploy" => {
                parts::deploy(value, &mut container, &mut count, not_mapped, &name)
                    .map_err(wrong)?;
                breaker = parts::breaker(&value["update_config"]).map_err(wrong)?;
            }
            "volumes" => parts::volumes(value, &mut container, &mut volumes).map_err(wrong)?,
            other => {
                if !parts::member(other, value, &mut container).map_err(wrong)? {
                    not_mapped.push(format!("services.{name}.{other}"));
                }
            }
        }
    }
    if container.image.is_none() {
        return Err(wrong("it has no image; build the image first and name it".to_owned()));
    }
    let definition = RegisterTaskDefinitionRequest {
        family: name.clone(),
        container_definitions: vec![container],
        volumes: (!volumes.is_empty()).then_some(volumes),
        network_mode,
        ..RegisterTaskDefinitionRequest::default()
    };
    Ok(Service { name, count, breaker, definition })
}

#[cfg(test)]
mod tests;
