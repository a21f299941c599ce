//! `longshore deploy`: every service of a Docker Compose file becomes an ECS service.

use std::time::Duration;

use longshore_agent::api::Api;
use longshore_wire::ecs::enums::TransportProtocol;

use crate::args::DeployOptions;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::progress;
use crate::rollout::Follow;
use crate::run::{Wanted, apply};
use crate::{balancer, compose};

/// Applies the file, waits for all services unless told not to, and prints where they answer.
pub(crate) async fn run(
    options: DeployOptions,
    client: &Api,
    output: Output,
) -> Result<(), Failure> {
    let path = &options.file;
    let what = || format!("cannot deploy {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Failure::new(what(), error))?;
    let project = compose::project(&text).map_err(|error| Failure::new(what(), error))?;
    for note in &project.not_mapped {
        output::note(&format!("not mapped: {note}"));
    }
    let mut rollouts = Vec::new();
    let mut urls = Vec::new();
    for service in &project.services {
        let balanced = match published(service) {
            Some((container, port)) if !options.no_balancer => {
                balancer::url(client, &service.name, container, port).await?
            }
            _ => None,
        };
        let wanted = Wanted {
            cluster: options.cluster.clone(),
            name: service.name.clone(),
            count: service.count,
            breaker: service.breaker.clone(),
            balancers: balanced.iter().map(|url| url.member.clone()).collect(),
        };
        urls.extend(balanced.map(|balanced| (service.name.clone(), balanced.url)));
        rollouts.push(apply(client, &wanted, service.definition.clone()).await?);
    }
    if options.no_wait && !options.wait {
        return Ok(());
    }
    let follow = Follow {
        client,
        cluster: &options.cluster,
        timeout: Duration::from_secs(options.timeout),
        docker_socket: &options.docker_socket,
    };
    let tasks = follow.until_steady(rollouts).await?;
    progress::print_tasks(&tasks, output);
    for (name, url) in urls {
        output::note(&format!("{name} answers at {url}"));
    }
    Ok(())
}

/// The first TCP port that a service publishes, and the container that has it.
fn published(service: &compose::Service) -> Option<(&str, u16)> {
    let container = service.definition.container_definitions.first()?;
    let mut ports = container.port_mappings.iter().flatten();
    let tcp = ports.find(|port| port.protocol != Some(TransportProtocol::Udp))?;
    let port = u16::try_from(tcp.container_port?).ok()?;
    Some((container.name.as_deref()?, port))
}
