//! What a container is made of.

use std::collections::BTreeMap;
use std::net::IpAddr;

use longshore_wire::agent::{Container, PortMapping, Task, TransportProtocol};
use serde_json::Value;

use super::{AwsLogs, logs, order, volume};
use crate::record::{ContainerFacts, id_of};
use crate::runtime::{ContainerRequest, PortRequest};
use crate::{labels, limits};

/// What a container gets from its agent rather than from its task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Cluster as configured.
    pub(crate) cluster: String,
    /// Region.
    pub(crate) region: String,
    /// ARN of the container instance.
    pub(crate) container_instance_arn: String,
    /// Address that ports are bound to.
    pub(crate) host_address: Option<IpAddr>,
    /// Base URL of the metadata endpoint, if there is one.
    pub(crate) metadata: Option<String>,
    /// Whether that is the address that SDKs know; then credentials are named by path only.
    pub(crate) well_known: bool,
    /// Where logs of the `awslogs` driver go.
    pub(crate) awslogs: AwsLogs,
}

/// Name of a container in the runtime. The same for every attempt, so that one that was made
/// already is found rather than made again.
pub(crate) fn runtime_name(task: &Task, container: &Container) -> String {
    let raw =
        format!("ecs-{}-{}-{}-{}", task.family, task.version, container.name, id_of(&task.arn));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    raw.chars().filter(|c| fits(*c)).collect()
}

/// The container's request. `host_ranges` are the first host ports of its port ranges, in order.
///
/// # Errors
/// When its overrides cannot be read.
pub(crate) fn request(
    task: &Task,
    container: &Container,
    facts: &ContainerFacts,
    surroundings: &Surroundings,
    host_ranges: &[u16],
) -> Result<ContainerRequest, String> {
    let overrides = order::overrides(container)?;
    let by_name = |name: &str| task.containers.iter().find(|other| other.name == name);
    let links = container.links.iter().filter_map(|link| {
        let (name, alias) = link.split_once(':').unwrap_or((link, link));
        Some(format!("{}:{alias}", runtime_name(task, by_name(name)?)))
    });
    let volumes_from = container.volumes_from.iter().filter_map(|from| {
        Some((runtime_name(task, by_name(&from.source_container)?), from.read_only))
    });
    let mode = network_mode(task, container);
    let published = !matches!(mode.as_str(), "host" | "none");
    let gpus = task.associations.iter().filter(|association| {
        association.kind == "gpu" && association.containers.contains(&container.name)
    });
    let mut labels = label(task, container, surroundings);
    let mut host_config = container.docker_config.host_config.clone();
    let kept = host_config.as_deref().and_then(logs::kept_locally);
    if let Some((settings, more)) = kept.filter(|_| surroundings.awslogs == AwsLogs::Local) {
        host_config = Some(settings);
        labels.extend(more);
    }
    let not_task = |mode: &Option<String>| mode.clone().filter(|mode| mode != "task");
    Ok(ContainerRequest {
        name: runtime_name(task, container),
        image: container.image.clone(),
        entry_point: container.entry_point.clone(),
        command: overrides.command.unwrap_or_else(|| container.command.clone()),
        environment: environment(task, container, facts, surroundings),
        labels,
        cpu_shares: container.cpu.clamp(limits::CPU_SHARES_MIN, limits::CPU_SHARES_MAX),
        memory_mib: match container.memory {
            0 => 0,
            given => given.max(limits::MEMORY_MIN_MIB),
        },
        links: links.collect(),
        volumes_from: volumes_from.collect(),
        binds: volume::binds(task, container),
        ports: if published { ports(container, host_ranges) } else { Vec::new() },
        bind_address: surroundings.host_address.map(|address| address.to_string()),
        cgroup_parent: None,
        pid_mode: not_task(&task.pid_mode),
        ipc_mode: not_task(&task.ipc_mode),
        network_mode: Some(mode),
        gpus: gpus.map(|association| association.name.clone()).collect(),
        engine_config: container.docker_config.config.clone(),
        engine_host_config: host_config,
    })
}

/// The network mode that counts: the one in the container's Docker settings, else the task's.
pub(crate) fn network_mode(task: &Task, container: &Container) -> String {
    let settings = container.docker_config.host_config.as_deref();
    let settings = settings.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let own = settings.and_then(|value| {
        let members = value.as_object()?;
        let member = members.iter().find(|(name, _)| name.eq_ignore_ascii_case("NetworkMode"))?;
        Some(member.1.as_str()?.to_owned())
    });
    let mode = own.filter(|mode| !mode.is_empty()).or_else(|| task.network_mode.clone());
    match mode.as_deref() {
        None | Some("" | "default") => "bridge".to_owned(),
        Some(mode) => mode.to_owned(),
    }
}

/// The port ranges of a container: first and last port in the container, and whether over TCP.
pub(crate) fn port_ranges(container: &Container) -> Vec<(u16, u16, bool)> {
    container.port_mappings.iter().filter_map(range).collect()
}

fn range(mapping: &PortMapping) -> Option<(u16, u16, bool)> {
    let (first, last) = mapping.container_port_range.as_deref()?.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first <= last).then(|| (first, last, mapping.protocol != TransportProtocol::Udp))
}

fn ports(container: &Container, host_ranges: &[u16]) -> Vec<PortRequest> {
    let mut ports = Vec::new();
    let mut host_ranges = host_ranges.iter();
    for mapping in &container.port_mappings {
        let protocol = mapping.protocol.as_str().to_ascii_lowercase();
        if let Some((first, last, _)) = range(mapping) {
            let base = host_ranges.next().copied();
            for (offset, container_port) in (first..=last).enumerate() {
                let offset = u16::try_from(offset).unwrap_or(u16::MAX);
                let host_port = base.map_or(0, |base| base.saturating_add(offset));
                ports.push(PortRequest { container_port, host_port, protocol: protocol.clone() });
            }
        } else if mapping.container_port != 0 {
            let (container_port, host_port) = (mapping.container_port, mapping.host_port);
            ports.push(PortRequest { container_port, host_port, protocol });
        }
    }
    ports
}

fn label(
    task: &Task,
    container: &Container,
    surroundings: &Surroundings,
) -> BTreeMap<String, String> {
    [
        (labels::TASK_ARN, task.arn.as_str()),
        (labels::CONTAINER_NAME, &container.name),
        (labels::FAMILY, &task.family),
        (labels::VERSION, &task.version),
        (labels::CLUSTER, &surroundings.cluster),
        (labels::CONTAINER_INSTANCE_ARN, &surroundings.container_instance_arn),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn environment(
    task: &Task,
    container: &Container,
    facts: &ContainerFacts,
    surroundings: &Surroundings,
) -> BTreeMap<String, String> {
    let mut all = container.environment.clone();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    if let Some(base) = &surroundings.metadata {
        let id = &facts.endpoint_id;
        set("ECS_CONTAINER_METADATA_URI", format!("{base}/v3/{id}"));
        set("ECS_CONTAINER_METADATA_URI_V4", format!("{base}/v4/{id}"));
        set("ECS_AGENT_URI", format!("{base}/api/{id}"));
        if let Some(credentials) = &task.role_credentials {
            let path = format!("/v2/credentials/{}", credentials.credentials_id);
            if !surroundings.well_known {
                set("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{base}{path}"));
            }
            set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path);
        }
    }
    let regions = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let given = regions.iter().any(|name| container.environment.contains_key(*name));
    if !given && !facts.image_sets_region {
        for name in regions {
            set(name, surroundings.region.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use longshore_wire::agent::{DockerConfig, RoleCredentials};

    use super::*;

    fn task() -> Task {
        let container = |name: &str| Container {
            name: name.into(),
            image: "bb:latest".into(),
            ..Container::default()
        };
        Task {
            arn: "arn:aws:ecs:r:0:task/c/0123".into(),
            family: "web".into(),
            version: "3".into(),
            containers: vec![container("app"), container("db")],
            ..Task::default()
        }
    }

    fn surroundings() -> Surroundings {
        Surroundings {
            cluster: "c".into(),
            region: "us-east-1".into(),
            container_instance_arn: "arn:i".into(),
            metadata: Some("http://169.254.170.2".into()),
            well_known: true,
            ..Surroundings::default()
        }
    }

    fn make(task: &Task) -> ContainerRequest {
        let facts = ContainerFacts { endpoint_id: "e".into(), ..ContainerFacts::default() };
        request(task, &task.containers[0], &facts, &surroundings(), &[40_000]).expect("a request")
    }

    #[test]
    fn a_container_gets_its_names_and_endpoints() {
        let mut task = task();
        task.role_credentials =
            Some(RoleCredentials { credentials_id: "cid".into(), ..RoleCredentials::default() });
        let request = make(&task);
        assert_eq!(request.name, "ecs-web-3-app-0123");
        assert_eq!(request.labels[labels::TASK_ARN], task.arn);
        assert_eq!(
            request.environment.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
            [
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/cid",
                "AWS_DEFAULT_REGION=us-east-1",
                "AWS_REGION=us-east-1",
                "ECS_AGENT_URI=http://169.254.170.2/api/e",
                "ECS_CONTAINER_METADATA_URI=http://169.254.170.2/v3/e",
                "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/e",
            ]
        );
    }

    #[test]
    fn a_region_of_the_users_stays() {
        let mut task = task();
        task.containers[0].environment.insert("AWS_REGION".into(), "eu-west-1".into());
        let request = make(&task);
        assert_eq!(request.environment["AWS_REGION"], "eu-west-1");
        assert!(!request.environment.contains_key("AWS_DEFAULT_REGION"));
    }

    #[test]
    fn limits_are_raised_to_what_the_kernel_takes() {
        let mut task = task();
        let check = |task: &Task, shares, memory| {
            let request = make(task);
            assert_eq!((request.cpu_shares, request.memory_mib), (shares, memory));
        };
        check(&task, 2, 0);
        (task.containers[0].cpu, task.containers[0].memory) = (1, 4);
        check(&task, 2, 6);
        (task.containers[0].cpu, task.containers[0].memory) = (400_000, 64);
        check(&task, 262_144, 64);
    }

    #[test]
    fn ports_are_published_in_bridge_mode_only() {
        let mut task = task();
        task.containers[0].port_mappings = vec![
            PortMapping { container_port: 80, ..PortMapping::default() },
            PortMapping {
                container_port_range: Some("8000-8002".into()),
                protocol: TransportProtocol::Udp,
                ..PortMapping::default()
            },
        ];
        let ports: Vec<_> = make(&task)
            .ports
            .into_iter()
            .map(|port| (port.container_port, port.host_port, port.protocol))
            .collect();
        let udp = |container, host| (container, host, "udp".to_owned());
        assert_eq!(
            ports,
            [(80, 0, "tcp".to_owned()), udp(8000, 40_000), udp(8001, 40_001), udp(8002, 40_002)]
        );
        for mode in ["host", "none"] {
            task.containers[0].docker_config = DockerConfig {
                host_config: Some(format!(r#"{{"NetworkMode":"{mode}"}}"#)),
                ..DockerConfig::default()
            };
            assert_eq!(make(&task).ports, []);
        }
    }

    #[test]
    fn links_and_overrides_apply() {
        let mut task = task();
        task.containers[0].links = vec!["db:database".into()];
        task.containers[0].command = vec!["a".into()];
        task.containers[0].overrides = Some(r#"{"command":["b","c"]}"#.into());
        let request = make(&task);
        assert_eq!(request.links, ["ecs-web-3-db-0123:database"]);
        assert_eq!(request.command, ["b", "c"]);
    }
}
