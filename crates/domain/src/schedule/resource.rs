//! Resource accounting: CPU units, MiB, GPUs and fixed host ports, all integers.

use alloc::vec::Vec;

use crate::record::{ContainerInstance, Demand, NetworkMode, PortClaim, Protocol, TaskSpec};

/// Countable resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// CPU units, 1024 per core.
    pub cpu_units: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of GPUs.
    pub gpus: u32,
}

impl Amount {
    /// What an agent registered.
    pub fn registered(instance: &ContainerInstance) -> Self {
        let registered = &instance.registered;
        Self {
            cpu_units: registered.cpu_units,
            memory_mib: registered.memory_mib,
            gpus: u32::try_from(registered.gpus.len()).unwrap_or(u32::MAX),
        }
    }

    /// What a task takes.
    pub fn of(demand: &Demand) -> Self {
        Self { cpu_units: demand.cpu_units, memory_mib: demand.memory_mib, gpus: demand.gpus }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u32::saturating_add)
    }

    /// What is left without `other`; nothing when `other` is more, as after an agent came back with
    /// less than it had.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.zip(other, u32::saturating_sub)
    }

    /// This, `count` times.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        self.zip(self, |one, _| one.saturating_mul(count))
    }

    fn zip(self, other: Self, f: impl Fn(u32, u32) -> u32) -> Self {
        Self {
            cpu_units: f(self.cpu_units, other.cpu_units),
            memory_mib: f(self.memory_mib, other.memory_mib),
            gpus: f(self.gpus, other.gpus),
        }
    }
}

/// What a task of this definition takes of its instance, without overrides.
///
/// Task-level amounts count when they are set. Otherwise the containers' amounts add up, for
/// memory the reservation before the limit. In `host` mode every container port is a host port; in
/// `bridge` mode only the fixed ones are; `awsvpc` and `none` take no port of the instance.
pub fn demand_of(spec: &TaskSpec) -> Demand {
    let sum = |f: fn(&crate::record::ContainerSpec) -> u32| {
        spec.containers.iter().map(f).fold(0, u32::saturating_add)
    };
    let mut ports: Vec<PortClaim> = Vec::new();
    for mapping in spec.containers.iter().flat_map(|container| &container.ports) {
        let port = match spec.network_mode {
            NetworkMode::Bridge => mapping.host_port.unwrap_or(0),
            NetworkMode::Host => mapping.container_port,
            NetworkMode::Awsvpc | NetworkMode::None => 0,
        };
        if port != 0 {
            ports.push(PortClaim { protocol: mapping.protocol, port });
        }
    }
    ports.sort();
    ports.dedup();
    Demand {
        cpu_units: spec.cpu_units.unwrap_or_else(|| sum(|c| c.cpu_units)),
        memory_mib: spec.memory_mib.unwrap_or_else(|| {
            sum(|c| c.memory_reservation_mib.or(c.memory_mib).unwrap_or_default())
        }),
        ports,
        gpus: sum(|c| c.gpus),
    }
}

/// Whether an agent keeps a port for itself.
pub(super) fn is_reserved(instance: &ContainerInstance, claim: PortClaim) -> bool {
    let registered = &instance.registered;
    match claim.protocol {
        Protocol::Tcp => registered.reserved_tcp_ports.contains(&claim.port),
        Protocol::Udp => registered.reserved_udp_ports.contains(&claim.port),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::record::{ContainerSpec, PortMapping};

    fn container(memory_mib: Option<u32>, memory_reservation_mib: Option<u32>) -> ContainerSpec {
        let port = |container_port, host_port, protocol| PortMapping {
            container_port,
            host_port,
            protocol,
        };
        ContainerSpec {
            name: "a".to_string(),
            image: "x".to_string(),
            cpu_units: 100,
            memory_mib,
            memory_reservation_mib,
            essential: true,
            ports: vec![
                port(80, Some(8080), Protocol::Tcp),
                port(53, Some(0), Protocol::Udp),
                port(81, None, Protocol::Tcp),
            ],
            gpus: 1,
            has_health_check: false,
            depends_on: vec![],
        }
    }

    fn spec(network_mode: NetworkMode, containers: Vec<ContainerSpec>) -> TaskSpec {
        TaskSpec {
            cpu_units: None,
            memory_mib: None,
            network_mode,
            containers,
            placement_constraints: vec![],
            requires_attributes: vec![],
        }
    }

    #[test]
    fn demand_follows_the_network_mode_and_the_level() {
        let containers = vec![container(Some(512), Some(128)), container(Some(300), None)];
        let bridge = demand_of(&spec(NetworkMode::Bridge, containers.clone()));
        let tcp = |port| PortClaim { protocol: Protocol::Tcp, port };
        assert_eq!(bridge.ports, [tcp(8080)]);
        assert_eq!((bridge.cpu_units, bridge.memory_mib, bridge.gpus), (200, 428, 2));
        let host = demand_of(&spec(NetworkMode::Host, containers.clone()));
        let udp = PortClaim { protocol: Protocol::Udp, port: 53 };
        assert_eq!(host.ports, [tcp(80), tcp(81), udp]);
        let mut own = spec(NetworkMode::Awsvpc, containers);
        (own.cpu_units, own.memory_mib) = (Some(1024), Some(2048));
        let own = demand_of(&own);
        assert_eq!((own.cpu_units, own.memory_mib, own.ports), (1024, 2048, vec![]));
    }

    #[test]
    fn amounts_never_wrap() {
        let most = Amount { cpu_units: u32::MAX, memory_mib: 1, gpus: 0 };
        assert_eq!(most.plus(most).cpu_units, u32::MAX);
        assert_eq!(most.times(3), Amount { cpu_units: u32::MAX, memory_mib: 3, gpus: 0 });
        assert_eq!(Amount::default().minus(most), Amount::default());
    }
}
