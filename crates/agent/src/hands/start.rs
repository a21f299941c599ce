//! Starting a container, and finding out where its ports are.

use std::sync::Arc;

use longshore_domain::task::{ContainerIndex, Event as TaskEvent};
use longshore_wire::agent::{Container, Task};

use super::{Hands, Turn, named};
use crate::engine::{Fact, TaskKey};
use crate::record::Binding;
use crate::runtime::RuntimeError;
use crate::task::{Surroundings, network_mode};

/// A container to start.
#[derive(Debug)]
pub(crate) struct StartJob {
    id: String,
    ports: Ports,
    turn: Option<Turn>,
}

impl StartJob {
    /// The job of starting the container with `id` in the runtime; `turn` is that of its making,
    /// if it was made just now.
    pub(crate) fn new(
        id: String,
        task: &Task,
        container: &Container,
        surroundings: &Surroundings,
        turn: Option<Turn>,
    ) -> Self {
        let host_ip = surroundings.host_address.map(|address| address.to_string());
        let host_ip = host_ip.unwrap_or_else(|| "0.0.0.0".to_owned());
        Self { id, ports: Ports::of(task, container, &host_ip), turn }
    }
}

/// How the published ports of a container become known.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ports {
    /// They are known beforehand.
    Known(Vec<Binding>),
    /// The runtime chooses some of them.
    Ask,
}

impl Ports {
    /// How the ports of `container` become known, when ports are bound to `host_ip`.
    fn of(task: &Task, container: &Container, host_ip: &str) -> Self {
        let mode = network_mode(task, container);
        if container.port_mappings.is_empty() || mode == "none" {
            return Self::Known(Vec::new());
        }
        let on_host = mode == "host";
        let mut known = Vec::new();
        for mapping in &container.port_mappings {
            let host_port = if on_host { mapping.container_port } else { mapping.host_port };
            if mapping.container_port_range.is_some() || host_port == 0 {
                return Self::Ask;
            }
            known.push(Binding {
                container_port: mapping.container_port,
                protocol: mapping.protocol.as_str().to_ascii_lowercase(),
                host_ip: host_ip.to_owned(),
                host_port,
            });
        }
        Self::Known(known)
    }
}

impl Hands {
    /// Starts a container.
    pub(crate) fn start(self: &Arc<Self>, key: TaskKey, index: ContainerIndex, job: StartJob) {
        let hands = Arc::clone(self);
        self.spawn(async move {
            match hands.try_start(&key, job).await {
                Ok(bound) => {
                    let fact = Fact::Bound(index, bound);
                    hands.tell(&key, Some(fact), TaskEvent::Started(index)).await;
                }
                Err(error) => {
                    let reason = named("CannotStartContainerError", &error);
                    hands.tell(&key, None, TaskEvent::StartFailed(index, reason)).await;
                }
            }
        });
    }

    async fn try_start(&self, key: &TaskKey, job: StartJob) -> Result<Vec<Binding>, RuntimeError> {
        let turn = match job.turn {
            Some(turn) => turn,
            None => self.turn().await,
        };
        Self::within(self.config.timeouts.start, self.runtime.start(&job.id)).await?;
        drop(turn);
        self.limits.apply_late(key);
        match job.ports {
            Ports::Known(bound) => Ok(bound),
            Ports::Ask => {
                let limit = self.config.timeouts.inspect;
                // A container that was removed or exited meanwhile has no ports any more.
                let found = Self::within(limit, self.runtime.inspect(&job.id)).await?;
                let bound = found.map(|found| found.ports).unwrap_or_default();
                Ok(bound.into_iter().map(Binding::from).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_wire::agent::PortMapping;

    use super::*;

    #[test]
    fn only_ports_that_the_runtime_chooses_are_asked_for() {
        let mapping = |container_port, host_port| PortMapping {
            container_port,
            host_port,
            ..PortMapping::default()
        };
        let check = |mode: &str, mappings: Vec<PortMapping>, expected: Option<Vec<(u16, u16)>>| {
            let container = Container { port_mappings: mappings, ..Container::default() };
            let task = Task { network_mode: Some(mode.into()), ..Task::default() };
            let known = match Ports::of(&task, &container, "127.0.1.1") {
                Ports::Known(bound) => {
                    Some(bound.iter().map(|b| (b.container_port, b.host_port)).collect())
                }
                Ports::Ask => None,
            };
            assert_eq!(known, expected, "{mode}");
        };
        check("bridge", vec![], Some(vec![]));
        check("bridge", vec![mapping(80, 8080)], Some(vec![(80, 8080)]));
        check("bridge", vec![mapping(80, 8080), mapping(81, 0)], None);
        check("host", vec![mapping(80, 0)], Some(vec![(80, 80)]));
        check("none", vec![mapping(80, 0)], Some(vec![]));
    }
}
