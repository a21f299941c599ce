//! What an agent is told at its start.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use longshore_auth::Credentials;
pub use longshore_domain::task::PullBehavior;

use crate::join::JoinToken;
use crate::runtime::RegistryAuth;
pub use crate::task::AwsLogs;
use crate::{AgentError, Trust, limits};

/// Settings of one agent. [`Config::new`] takes what has no default.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Debug)]
pub struct Config {
    /// Base URL of the control plane's API; of several servers, with commas between them.
    pub endpoint: String,
    /// Region, for signatures and for the containers' environment.
    pub region: String,
    /// Whether nobody chose `endpoint`, so that the one by which the machine joined counts more.
    pub endpoint_is_default: bool,
    /// Whom the agent takes for the control plane.
    pub trust: Trust,
    /// Whether nobody chose `trust`, so that the authority by which the machine joined counts more.
    pub trust_is_default: bool,
    /// Keys of the instance role, unless the machine joins or has joined by a token.
    pub credentials: Credentials,
    /// The token by which the machine joins, unless it did.
    pub join: Option<JoinToken>,
    /// Age at which the keys of a machine that joined are renewed.
    pub renew_after: Duration,
    /// Name or ARN of the cluster; sent as it stands.
    pub cluster: String,
    /// Directory of the agent's own state; one agent each.
    pub data_dir: PathBuf,
    /// Name for logs; no meaning beyond that.
    pub name: Option<String>,
    /// Address that published ports are bound to and that the introspection endpoint listens on;
    /// all addresses when absent. A loopback address such as 127.0.1.1 keeps several agents on
    /// one machine apart.
    pub host_address: Option<IpAddr>,
    /// Socket of the Docker daemon.
    pub docker_socket: String,
    /// Custom attributes, sent at registration.
    pub attributes: BTreeMap<String, String>,
    /// Sent as the attribute `ecs.availability-zone`.
    pub availability_zone: Option<String>,
    /// Tags of the container instance, sent at its first registration.
    pub tags: BTreeMap<String, String>,
    /// CPU units to register; the machine's when absent.
    pub cpu_units: Option<u32>,
    /// Memory in MiB to register; the machine's less `reserved_memory_mib` when absent.
    pub memory_mib: Option<u32>,
    /// Memory in MiB kept back for the machine itself.
    pub reserved_memory_mib: u32,
    /// TCP ports that no task may take.
    pub reserved_ports: Vec<u16>,
    /// UDP ports that no task may take.
    pub reserved_ports_udp: Vec<u16>,
    /// When images are pulled.
    pub pull: PullBehavior,
    /// Logins for registries, when a task brings none.
    pub engine_auth: Vec<RegistryAuth>,
    /// Log drivers to register; what the runtime offers when absent.
    pub log_drivers: Option<Vec<String>>,
    /// Where logs of the `awslogs` driver go.
    pub awslogs: AwsLogs,
    /// Whether task-level limits are set by a parent control group, if the machine allows.
    pub task_limits: bool,
    /// Whether the endpoints for containers (metadata, credentials) and introspection are served.
    pub endpoints: bool,
    /// Whether metrics are published.
    pub metrics: bool,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When what has ended is cleared away.
    pub cleanup: Cleanup,
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Between the stop signal and the kill, unless the container says otherwise.
    pub stop: Duration,
    /// Starting a container.
    pub start: Duration,
    /// Making a container.
    pub create: Duration,
    /// Pulling an image.
    pub pull: Duration,
    /// Any other call to the container runtime.
    pub inspect: Duration,
    /// How long a refused agent (`InactiveInstanceException`) waits before it asks again.
    pub inactive: Duration,
    /// Between two publications of metrics.
    pub metrics: Duration,
    /// How long changes of single containers are collected before they are reported.
    pub container_changes: Duration,
}

/// When what has ended is cleared away.
#[derive(Clone, Debug)]
pub struct Cleanup {
    /// How long containers of a stopped task stay.
    pub task_wait: Duration,
    /// Whether images are removed at all.
    pub images: bool,
    /// Between two looks at the images.
    pub image_interval: Duration,
    /// How long an image must have been unused.
    pub image_min_age: Duration,
    /// Images removed at one look.
    pub images_per_cycle: usize,
}

impl Default for Timeouts {
    /// AWS's defaults; what AWS does not set is bounded by what a healthy daemon needs.
    fn default() -> Self {
        Self {
            stop: Duration::from_secs(30),
            start: Duration::from_secs(180),
            create: Duration::from_secs(240),
            pull: Duration::from_secs(2 * 3600),
            inspect: Duration::from_secs(30),
            inactive: Duration::from_secs(3600),
            metrics: Duration::from_secs(20),
            container_changes: Duration::from_secs(1),
        }
    }
}

impl Default for Cleanup {
    /// AWS's defaults.
    fn default() -> Self {
        Self {
            task_wait: Duration::from_secs(3 * 3600),
            images: true,
            image_interval: Duration::from_secs(30 * 60),
            image_min_age: Duration::from_secs(3600),
            images_per_cycle: 5,
        }
    }
}

impl Config {
    /// Where a machine that joined by `joined` finds the control plane.
    pub(crate) fn chosen_endpoint<'a>(&'a self, joined: &'a str) -> &'a str {
        if self.endpoint_is_default { joined } else { &self.endpoint }
    }

    /// Whom to take for it where a machine joined by a token that names an authority, or none.
    pub(crate) fn chosen_trust(&self, authority: Option<&str>) -> Result<Trust, AgentError> {
        match authority {
            Some(pem) if self.is_bound(authority) => {
                Trust::only(pem.as_bytes()).map_err(AgentError::Authority)
            }
            _ => Ok(self.trust.clone()),
        }
    }

    /// Whether the machine goes by the authority of its token, and so never speaks plain HTTP.
    pub(crate) fn is_bound(&self, authority: Option<&str>) -> bool {
        authority.is_some() && self.trust_is_default
    }

    /// Makes sure that a machine which goes by an authority is not led past it.
    pub(crate) fn check(&self, endpoint: &str, authority: Option<&str>) -> Result<(), AgentError> {
        let is_plain = endpoint.split(',').any(|url| url.trim().starts_with("http://"));
        if is_plain && self.is_bound(authority) {
            return Err(AgentError::Plain(endpoint.to_owned()));
        }
        Ok(())
    }

    /// An agent of `cluster` that talks to the API at `endpoint` and keeps its state in
    /// `data_dir`; everything else as AWS has it.
    pub fn new(
        endpoint: impl Into<String>,
        region: impl Into<String>,
        credentials: Credentials,
        cluster: impl Into<String>,
        data_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            region: region.into(),
            endpoint_is_default: false,
            trust: Trust::System,
            trust_is_default: true,
            credentials,
            join: None,
            renew_after: limits::KEYS_RENEWAL,
            cluster: cluster.into(),
            data_dir: data_dir.into(),
            name: None,
            host_address: None,
            docker_socket: "/var/run/docker.sock".into(),
            attributes: BTreeMap::new(),
            availability_zone: None,
            tags: BTreeMap::new(),
            cpu_units: None,
            memory_mib: None,
            reserved_memory_mib: 0,
            reserved_ports: vec![22, 2375, 2376, 51678, 51679],
            reserved_ports_udp: Vec::new(),
            pull: PullBehavior::Default,
            engine_auth: Vec::new(),
            log_drivers: None,
            awslogs: AwsLogs::default(),
            task_limits: true,
            endpoints: true,
            metrics: true,
            timeouts: Timeouts::default(),
            cleanup: Cleanup::default(),
        }
    }
}
