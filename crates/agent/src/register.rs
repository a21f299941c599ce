//! Making the machine known as a container instance.

use std::collections::BTreeMap;

use longshore_wire::ecs::{self, op};

use crate::api::{Api, ApiError};
use crate::backoff::Backoff;
use crate::runtime::Description;
use crate::task::{AWSLOGS_DRIVER, AwsLogs};
use crate::{AgentError, Config};

/// Docker API versions whose features a task definition may ask for (1.33 and later were never
/// given a capability).
const API_VERSIONS: [&str; 13] = [
    "1.17", "1.18", "1.19", "1.20", "1.21", "1.22", "1.23", "1.24", "1.25", "1.28", "1.29", "1.30",
    "1.32",
];

/// What this agent can do, by the names that task definitions ask for.
const CAPABILITIES: [&str; 19] = [
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.ecr-endpoint",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.container-ordering",
    "ecs.capability.full-sync",
    "ecs.capability.network.container-port-range",
    "ecs.capability.container-restart-policy",
    "ecs.capability.container-health-check",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.increased-task-cpu-limit",
];

/// Who registers.
pub(crate) struct Identity {
    /// ARN, when it has registered before.
    pub(crate) known_arn: Option<String>,
    /// Token that makes it one registration, however often it is tried.
    pub(crate) token: String,
}

/// Registers, as a new instance or as the one that `identity` knows of, and gives the instance's ARN.
/// Goes on trying while the control plane cannot be reached or asks for patience.
///
/// # Errors
/// When the control plane refuses.
pub(crate) async fn register(
    api: &Api,
    config: &Config,
    description: &Description,
    identity: Identity,
) -> Result<String, AgentError> {
    let input = request(config, description, identity);
    let mut backoff = Backoff::register();
    let mut cluster_made = false;
    loop {
        match api.call::<op::RegisterContainerInstance>(&input).await {
            Ok(answer) => {
                let instance = answer.container_instance.unwrap_or_default();
                if let Some(arn) = instance.container_instance_arn {
                    return Ok(arn);
                }
                return Err(AgentError::Register(ApiError::Answer("no ARN in it".to_owned())));
            }
            Err(error) if is_missing_cluster(&error) && !cluster_made => {
                cluster_made = true;
                let name = Some(config.cluster.clone());
                let create = ecs::CreateClusterRequest { cluster_name: name, ..Default::default() };
                api.call::<op::CreateCluster>(&create).await.map_err(AgentError::Register)?;
            }
            Err(error) if error.is_temporary() || error.is("LimitExceededException") => {
                let wait = backoff.wait();
                let fix = matches!(error, ApiError::Untrusted { .. });
                let fix = fix.then_some("name its authority with --ca-file, or join by a token");
                tracing::warn!(%error, fix, ?wait, "cannot register yet");
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(AgentError::Register(error)),
        }
    }
}

fn is_missing_cluster(error: &ApiError) -> bool {
    match error {
        ApiError::Service { code, message, .. } => {
            code == "ClusterNotFoundException"
                || (code == "ClientException" && message == "Cluster not found.")
        }
        _ => false,
    }
}

fn request(
    config: &Config,
    description: &Description,
    Identity { known_arn, token }: Identity,
) -> ecs::RegisterContainerInstanceRequest {
    let pairs = attributes(config, description);
    let attribute = |(name, value): (String, Option<String>)| ecs::Attribute {
        name,
        value,
        ..Default::default()
    };
    let tag = |(key, value): (&String, &String)| ecs::Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    let first = known_arn.is_none() && !config.tags.is_empty();
    ecs::RegisterContainerInstanceRequest {
        cluster: Some(config.cluster.clone()),
        container_instance_arn: known_arn,
        client_token: Some(token),
        attributes: Some(pairs.into_iter().map(attribute).collect()),
        tags: first.then(|| config.tags.iter().map(tag).collect()),
        total_resources: Some(resources(config, description)),
        version_info: Some(ecs::VersionInfo {
            agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            agent_hash: Some("longshore".to_owned()),
            docker_version: Some(format!("DockerVersion: {}", description.version)),
        }),
        ..Default::default()
    }
}

fn resources(config: &Config, description: &Description) -> Vec<ecs::Resource> {
    let integer = |name: &str, value: u64| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        integer_value: Some(i32::try_from(value).unwrap_or(i32::MAX)),
        ..Default::default()
    };
    let ports = |name: &str, ports: &[u16]| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("STRINGSET".to_owned()),
        string_set_value: Some(ports.iter().map(u16::to_string).collect()),
        ..Default::default()
    };
    let cpu = config.cpu_units.map_or_else(|| u64::from(description.cpus) * 1024, u64::from);
    let machine = description.memory_mib.saturating_sub(u64::from(config.reserved_memory_mib));
    let memory = config.memory_mib.map_or(machine, u64::from);
    vec![
        integer("CPU", cpu),
        integer("MEMORY", memory),
        ports("PORTS", &config.reserved_ports),
        ports("PORTS_UDP", &config.reserved_ports_udp),
    ]
}

/// Attributes: what the agent can do, what the machine is, and what the operator says of it.
fn attributes(config: &Config, description: &Description) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    let mut name = |name: String| all.insert(name, None);
    for capability in CAPABILITIES {
        name(capability.to_owned());
    }
    for version in API_VERSIONS {
        name(format!("com.amazonaws.ecs.capability.docker-remote-api.{version}"));
    }
    for driver in config.log_drivers.as_ref().unwrap_or(&description.log_drivers) {
        name(format!("com.amazonaws.ecs.capability.logging-driver.{driver}"));
    }
    name("com.amazonaws.ecs.capability.logging-driver.none".to_owned());
    if config.awslogs == AwsLogs::Local {
        // It needs nothing of Docker and no credentials, so neither a role nor a plugin can lack.
        name(format!("com.amazonaws.ecs.capability.logging-driver.{AWSLOGS_DRIVER}"));
        name("ecs.capability.execution-role-awslogs".to_owned());
    }
    for driver in &description.volume_drivers {
        name(format!("ecs.capability.docker-plugin.{driver}"));
    }
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let mut set = |name: &str, value: &str| all.insert(name.to_owned(), Some(value.to_owned()));
    set("ecs.os-type", "linux");
    set("ecs.os-family", "LINUX");
    set("ecs.os-type-detailed", "LINUX");
    set("ecs.cpu-architecture", architecture);
    if let Some(zone) = &config.availability_zone {
        set("ecs.availability-zone", zone);
    }
    for (name, value) in &config.attributes {
        set(name, value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Credentials;

    fn config() -> Config {
        let credentials = Credentials {
            access_key_id: "k".into(),
            secret_access_key: "s".into(),
            session_token: None,
        };
        Config::new("http://127.0.0.1:1", "us-east-1", credentials, "default", "/nowhere")
    }

    #[test]
    fn the_machine_is_registered_less_what_is_kept_back() {
        let description = Description { cpus: 2, memory_mib: 1000, ..Description::default() };
        let config = Config { reserved_memory_mib: 100, ..config() };
        let resources = resources(&config, &description);
        let values: Vec<_> = resources.iter().map(|r| r.integer_value).collect();
        assert_eq!(values, [Some(2048), Some(900), None, None]);
        let config = Config { cpu_units: Some(512), memory_mib: Some(256), ..config };
        let values: Vec<_> =
            super::resources(&config, &description).iter().map(|r| r.integer_value).collect();
        assert_eq!(values, [Some(512), Some(256), None, None]);
    }

    #[test]
    fn the_operators_attributes_are_sent_beside_the_agents() {
        let mut config = Config { availability_zone: Some("az-1".into()), ..config() };
        config.attributes.insert("stack".into(), "prod".into());
        let description =
            Description { log_drivers: vec!["journald".into()], ..Default::default() };
        let all = attributes(&config, &description);
        assert_eq!(all["stack"].as_deref(), Some("prod"));
        assert_eq!(all["ecs.availability-zone"].as_deref(), Some("az-1"));
        assert!(all.contains_key("com.amazonaws.ecs.capability.logging-driver.journald"));
    }

    #[test]
    fn awslogs_is_offered_without_docker_where_logs_stay_local() {
        let offered = |awslogs| {
            let config = Config { awslogs, ..config() };
            let all = attributes(&config, &Description::default());
            all.contains_key("com.amazonaws.ecs.capability.logging-driver.awslogs")
        };
        assert!(offered(AwsLogs::Local));
        assert!(!offered(AwsLogs::CloudWatch));
    }
}
