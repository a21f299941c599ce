//! Docker's objects as the boundary's.

use bollard::auth::DockerCredentials;
use bollard::models::{
    ContainerInspectResponse, ContainerMemoryStats, ContainerState, ContainerStateStatusEnum,
    ContainerStatsResponse, EventMessage, HealthStatusEnum, ImageInspect, NetworkSettings,
};
use longshore_domain::record::HealthStatus;
use longshore_domain::time::Timestamp;

use crate::clock;
use crate::runtime::types::{
    BlockIo, Bound, Image, Inspection, NetworkAddress, NetworkIo, RegistryAuth, RuntimeEvent,
    RuntimeState, Stats, What,
};

pub(super) fn credentials(auth: &RegistryAuth) -> DockerCredentials {
    DockerCredentials {
        username: Some(auth.username.clone()),
        password: Some(auth.password.clone()),
        serveraddress: Some(auth.server.clone()),
        ..DockerCredentials::default()
    }
}

pub(super) fn image(image: ImageInspect) -> Image {
    let digests = image.repo_digests.unwrap_or_default();
    let digest = digests.iter().find_map(|digest| digest.split_once('@'));
    let environment = image.config.and_then(|config| config.env).unwrap_or_default();
    let names = environment.iter().filter_map(|pair| pair.split_once('='));
    Image {
        id: image.id.unwrap_or_default(),
        digest: digest.map(|(_, digest)| digest.to_owned()),
        environment: names.map(|(name, _)| name.to_owned()).collect(),
        size: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
    }
}

pub(super) fn inspection(container: ContainerInspectResponse) -> Inspection {
    let state = container.state.unwrap_or_default();
    let config = container.config.unwrap_or_default();
    let log = container.host_config.and_then(|host| host.log_config);
    let (log_driver, log_options) = match log {
        Some(log) => {
            (log.typ.unwrap_or_default(), log.config.unwrap_or_default().into_iter().collect())
        }
        None => Default::default(),
    };
    let settings = container.network_settings.unwrap_or_default();
    let mounts = container.mounts.unwrap_or_default().into_iter();
    let check = state.health.as_ref().and_then(|health| health.log.as_ref()?.last());
    Inspection {
        id: container.id.unwrap_or_default(),
        name: container.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        image_id: container.image.unwrap_or_default(),
        created_at: container.created.as_deref().and_then(time),
        health: health(&state),
        health_output: check.and_then(|check| check.output.clone()),
        health_exit_code: check.and_then(|check| i32::try_from(check.exit_code?).ok()),
        state: run_state(&state),
        ports: bound(&settings),
        networks: addresses(settings),
        mounts: mounts
            .map(|mount| {
                let name = mount.name.filter(|name| !name.is_empty());
                (name, mount.source.unwrap_or_default(), mount.destination.unwrap_or_default())
            })
            .collect(),
        log_driver,
        log_options,
    }
}

fn run_state(state: &ContainerState) -> RuntimeState {
    let since = state.started_at.as_deref().and_then(time);
    let at = state.finished_at.as_deref().and_then(time);
    // A paused container has its processes, and one that Docker restarts will run again.
    if state.running == Some(true) {
        return RuntimeState::Running { since: since.unwrap_or_else(clock::now) };
    }
    if state.status == Some(ContainerStateStatusEnum::CREATED) && since.is_none() {
        return RuntimeState::Created;
    }
    let at = at.or(since).unwrap_or_else(clock::now);
    RuntimeState::Exited {
        since: since.unwrap_or(at),
        at,
        code: state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
        out_of_memory: state.oom_killed == Some(true),
        error: state.error.clone().unwrap_or_default(),
    }
}

fn health(state: &ContainerState) -> HealthStatus {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::HEALTHY) => HealthStatus::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => HealthStatus::Unhealthy,
        _ => HealthStatus::Unknown,
    }
}

fn bound(settings: &NetworkSettings) -> Vec<Bound> {
    let mut ports = Vec::new();
    for (key, bindings) in settings.ports.iter().flatten() {
        let Some((port, protocol)) = key.split_once('/') else { continue };
        let Ok(container_port) = port.parse() else { continue };
        for binding in bindings.iter().flatten() {
            let host_ip = binding.host_ip.clone().unwrap_or_default();
            let host_port = binding.host_port.as_deref().and_then(|port| port.parse().ok());
            // The IPv6 twin of a binding to all addresses says nothing new.
            if let (Some(host_port), false) = (host_port, host_ip == "::") {
                let protocol = protocol.to_owned();
                ports.push(Bound { container_port, protocol, host_ip, host_port });
            }
        }
    }
    ports.sort();
    ports
}

fn addresses(settings: NetworkSettings) -> Vec<NetworkAddress> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut networks: Vec<NetworkAddress> = settings
        .networks
        .into_iter()
        .flatten()
        .map(|(network, endpoint)| NetworkAddress {
            network,
            ipv4: filled(endpoint.ip_address),
            ipv6: filled(endpoint.global_ipv6_address),
        })
        .collect();
    networks.sort_by(|a, b| a.network.cmp(&b.network));
    networks
}

/// As Docker's events write it.
const SIGKILL: &str = "9";

pub(super) fn event(message: EventMessage) -> Option<RuntimeEvent> {
    let actor = message.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    let action = message.action?;
    let what = match action.as_str() {
        "start" => What::Started,
        "die" => What::Exited { code: attributes.get("exitCode").and_then(|c| c.parse().ok()) },
        "oom" => What::OutOfMemory,
        "kill" if attributes.get("signal").is_some_and(|signal| signal == SIGKILL) => What::Killed,
        "destroy" => What::Removed,
        "health_status: healthy" => What::Health(HealthStatus::Healthy),
        "health_status: unhealthy" => What::Health(HealthStatus::Unhealthy),
        _ => return None,
    };
    let at = message
        .time_nano
        .map_or_else(clock::now, |nanos| Timestamp::from_millis(nanos / 1_000_000));
    Some(RuntimeEvent { id: actor.id?, what, at })
}

/// What a running container uses; nothing when it does not run any more.
pub(super) fn stats(stats: &ContainerStatsResponse) -> Option<Stats> {
    let cpu = stats.cpu_stats.as_ref()?;
    let cpu_ns = cpu.cpu_usage.as_ref()?.total_usage?;
    let memory = stats.memory_stats.as_ref()?;
    memory.usage?;
    let networks = stats.networks.as_ref().filter(|networks| !networks.is_empty());
    Some(Stats {
        at: stats.read.as_deref().and_then(time).unwrap_or_else(clock::now),
        cpu_ns,
        cpus: cpu.online_cpus.unwrap_or(1).max(1),
        memory_bytes: used_memory(memory),
        network: networks.map(|networks| {
            networks.values().fold(NetworkIo::default(), |sum, one| NetworkIo {
                rx_bytes: sum.rx_bytes + one.rx_bytes.unwrap_or(0),
                rx_dropped: sum.rx_dropped + one.rx_dropped.unwrap_or(0),
                rx_errors: sum.rx_errors + one.rx_errors.unwrap_or(0),
                rx_packets: sum.rx_packets + one.rx_packets.unwrap_or(0),
                tx_bytes: sum.tx_bytes + one.tx_bytes.unwrap_or(0),
                tx_dropped: sum.tx_dropped + one.tx_dropped.unwrap_or(0),
                tx_errors: sum.tx_errors + one.tx_errors.unwrap_or(0),
                tx_packets: sum.tx_packets + one.tx_packets.unwrap_or(0),
            })
        }),
        block: block(stats),
        raw: serde_json::to_value(stats).unwrap_or_default(),
    })
}

/// Memory without the page cache that can be given back at once.
fn used_memory(memory: &ContainerMemoryStats) -> u64 {
    let detail = |name: &str| memory.stats.as_ref().and_then(|stats| stats.get(name).copied());
    let cache = detail("total_inactive_file").or_else(|| detail("inactive_file")).unwrap_or(0);
    memory.usage.unwrap_or(0).saturating_sub(cache)
}

fn block(stats: &ContainerStatsResponse) -> BlockIo {
    let mut io = BlockIo::default();
    let entries = stats.blkio_stats.as_ref().and_then(|io| io.io_service_bytes_recursive.as_ref());
    for entry in entries.into_iter().flatten() {
        let value = entry.value.unwrap_or(0);
        match entry.op.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("read") => io.read_bytes += value,
            Some("write") => io.write_bytes += value,
            _ => {}
        }
    }
    io
}

/// Docker writes the year 1 for "never".
fn time(text: &str) -> Option<Timestamp> {
    let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    (millis > 0).then(|| Timestamp::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signal_that_nothing_survives_is_a_kill() {
        let said = |signal: &str| {
            let attributes = [("signal".to_owned(), signal.to_owned())].into();
            let actor = bollard::models::EventActor {
                id: Some("c".to_owned()),
                attributes: Some(attributes),
            };
            let action = Some("kill".to_owned());
            event(EventMessage { action, actor: Some(actor), ..EventMessage::default() })
        };
        assert_eq!(said("9").map(|event| event.what), Some(What::Killed));
        assert_eq!(said("15"), None);
    }

    #[test]
    fn the_year_one_is_never() {
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
        let expected = Timestamp::from_millis(1_700_000_000_250);
        assert_eq!(time("2023-11-14T22:13:20.250999999Z"), Some(expected));
    }

    #[test]
    fn a_start_that_failed_is_told_from_one_that_never_was() {
        let state = |status, error: &str| ContainerState {
            status: Some(status),
            error: Some(error.into()),
            exit_code: Some(127),
            started_at: Some("0001-01-01T00:00:00Z".into()),
            ..ContainerState::default()
        };
        let created = run_state(&state(ContainerStateStatusEnum::CREATED, ""));
        assert_eq!(created, RuntimeState::Created);
        let exited = run_state(&state(ContainerStateStatusEnum::EXITED, "no such file"));
        assert!(matches!(exited, RuntimeState::Exited { code: 127, .. }));
    }

    #[test]
    fn memory_is_counted_without_the_cache() {
        let memory = ContainerMemoryStats {
            usage: Some(100),
            stats: Some([("inactive_file".to_owned(), 40)].into()),
            ..ContainerMemoryStats::default()
        };
        assert_eq!(used_memory(&memory), 60);
    }
}
