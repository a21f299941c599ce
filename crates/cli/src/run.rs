//! `longshore run`: an image becomes a service, with everything in between made up.

use std::time::Duration;

use longshore_agent::api::Api;
use longshore_wire::ecs::{
    ContainerDefinition, CreateServiceRequest, DeploymentCircuitBreaker, DeploymentConfiguration,
    KeyValuePair, LoadBalancer, PortMapping, RegisterTaskDefinitionRequest, UpdateServiceRequest,
    op,
};

use crate::args::RunOptions;
use crate::balancer;
use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress;
use crate::rollout::{self, Rollout};

/// Name of the container.
const CONTAINER: &str = "main";

/// Registers the definition, creates or updates the service, waits, and prints where it answers.
pub(crate) async fn run(options: RunOptions, client: &Api, output: Output) -> Result<(), Failure> {
    let name = options.name.clone().unwrap_or_else(|| name_of(&options.image));
    let int = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let container = ContainerDefinition {
        name: Some(CONTAINER.to_owned()),
        image: Some(options.image.clone()),
        cpu: Some(int(options.cpu)),
        memory: Some(int(options.memory)),
        command: (!options.command.is_empty()).then_some(options.command),
        environment: Some(
            options
                .environment
                .into_iter()
                .map(|(name, value)| KeyValuePair { name: Some(name), value: Some(value) })
                .collect(),
        ),
        port_mappings: Some(
            options
                .ports
                .iter()
                .map(|port| PortMapping {
                    container_port: Some(i32::from(*port)),
                    ..PortMapping::default()
                })
                .collect(),
        ),
        ..ContainerDefinition::default()
    };
    let definition = RegisterTaskDefinitionRequest {
        family: name.clone(),
        container_definitions: vec![container],
        ..RegisterTaskDefinitionRequest::default()
    };
    let balanced = match options.ports.first() {
        Some(port) if !options.no_balancer => {
            balancer::url(client, &name, CONTAINER, *port).await?
        }
        _ => None,
    };
    let service = Wanted {
        cluster: options.cluster.clone(),
        name,
        count: int(options.count),
        breaker: None,
        balancers: balanced.iter().map(|url| url.member.clone()).collect(),
    };
    let rollout = apply(client, &service, definition).await?;
    let follow = rollout::Follow {
        client,
        cluster: &options.cluster,
        timeout: Duration::from_secs(options.timeout),
        docker_socket: &options.docker_socket,
    };
    let tasks = follow.until_steady(vec![rollout]).await?;
    match output {
        Output::Json => {
            let url = balanced.map(|balanced| balanced.url);
            output::json(&serde_json::json!({ "url": url, "tasks": progress::task_rows(&tasks) }));
        }
        Output::Table => {
            progress::print_tasks(&tasks, output);
            if let Some(balanced) = balanced {
                output::line(&format!("\n{} answers at {}", service.name, balanced.url));
            }
        }
    }
    Ok(())
}

/// A service as it should be.
pub(crate) struct Wanted {
    /// Cluster.
    pub(crate) cluster: String,
    /// Name.
    pub(crate) name: String,
    /// Desired count.
    pub(crate) count: i32,
    /// Circuit breaker; as it is when none is given.
    pub(crate) breaker: Option<DeploymentCircuitBreaker>,
    /// Where its tasks are to be targets; as it is when none is given.
    pub(crate) balancers: Vec<LoadBalancer>,
}

/// Registers `definition` and makes the service run it, whether it exists or not. Gives the
/// deployment that this began.
pub(crate) async fn apply(
    client: &Api,
    wanted: &Wanted,
    definition: RegisterTaskDefinitionRequest,
) -> Result<Rollout, Failure> {
    let registered = client
        .call::<op::RegisterTaskDefinition>(&definition)
        .await
        .map_err(failed("cannot register the task definition"))?;
    let arn = registered.task_definition.and_then(|definition| definition.task_definition_arn);
    output::note(&format!("registered {}", crate::task::short(arn.as_deref())));
    let known = progress::find(client, &wanted.cluster, &wanted.name).await?;
    let deployment_configuration = wanted.breaker.clone().map(|breaker| DeploymentConfiguration {
        deployment_circuit_breaker: Some(breaker),
        ..DeploymentConfiguration::default()
    });
    let load_balancers = (!wanted.balancers.is_empty()).then(|| wanted.balancers.clone());
    let service = if known.is_some_and(|service| service.status.as_deref() == Some("ACTIVE")) {
        let request = UpdateServiceRequest {
            cluster: Some(wanted.cluster.clone()),
            service: wanted.name.clone(),
            task_definition: arn,
            desired_count: Some(wanted.count),
            deployment_configuration,
            load_balancers,
            ..UpdateServiceRequest::default()
        };
        let what = "cannot update the service";
        let answer = client.call::<op::UpdateService>(&request).await.map_err(failed(what))?;
        output::note(&format!("updated service {}", wanted.name));
        answer.service
    } else {
        let request = CreateServiceRequest {
            cluster: Some(wanted.cluster.clone()),
            service_name: wanted.name.clone(),
            task_definition: arn,
            desired_count: Some(wanted.count),
            deployment_configuration,
            load_balancers,
            ..CreateServiceRequest::default()
        };
        let what = "cannot create the service";
        let answer = client.call::<op::CreateService>(&request).await.map_err(failed(what))?;
        output::note(&format!("created service {}", wanted.name));
        answer.service
    };
    let begun = service.and_then(|service| service.deployments?.into_iter().next()?.id);
    begun.map(|deployment| Rollout { service: wanted.name.clone(), deployment }).ok_or_else(|| {
        let what = format!("cannot follow the deployment of {}", wanted.name);
        Failure::new(what, "the server's answer names no deployment")
    })
}

/// A service name from an image: `registry/team/web:1` → `web`.
fn name_of(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    let base = last.split(['@', ':']).next().unwrap_or_default();
    let name: String = base
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .collect();
    if name.is_empty() { "service".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_after_their_image() {
        for (image, name) in [
            ("nginx", "nginx"),
            ("registry.example:5000/team/web.api:1.2", "web-api"),
            ("web@sha256:abc", "web"),
        ] {
            assert_eq!(name_of(image), name);
        }
    }
}
