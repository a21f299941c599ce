//! What goes over the boundary.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_domain::record::HealthStatus;
use longshore_domain::time::Timestamp;

/// Why a call to the runtime failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such container, image or volume.
    #[error("{0}")]
    NotFound(String),
    /// The runtime refuses; the same call will be refused again.
    #[error("{0}")]
    Refused(String),
    /// The runtime cannot be reached or failed; the call may be made again.
    #[error("{0}")]
    Unavailable(String),
    /// There was no answer in time; whether the call took effect is unknown.
    #[error("no answer from the container runtime within {}s", .0.as_secs())]
    TimedOut(Duration),
}

impl RuntimeError {
    /// Whether the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::TimedOut(_))
    }
}

/// What a runtime is and can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its version, e.g. `20.10.24`.
    pub version: String,
    /// CPU cores of the machine.
    pub cpus: u32,
    /// Memory of the machine in MiB.
    pub memory_mib: u64,
    /// Log drivers.
    pub log_drivers: Vec<String>,
    /// Volume drivers.
    pub volume_drivers: Vec<String>,
    /// Whether task-level limits can be set by a parent in the control group tree, and how.
    pub cgroups: Option<Cgroups>,
    /// Address of the host as containers on the default network see it.
    pub gateway: Option<String>,
}

/// Form of the control group tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Version 1, one directory per controller; parents are paths.
    V1,
    /// Version 2 under systemd; parents are slices.
    V2Systemd,
    /// Version 2 without systemd; parents are paths.
    V2,
}

/// How to log in to a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryAuth {
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
    /// Registry.
    pub server: String,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryAuth").field("server", &self.server).finish_non_exhaustive()
    }
}

/// An image that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Id.
    pub id: String,
    /// Digest of its manifest, if it came from a registry.
    pub digest: Option<String>,
    /// Names of the variables that it sets.
    pub environment: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
}

/// A container to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerRequest {
    /// Name, unique in the runtime.
    pub name: String,
    /// Image reference.
    pub image: String,
    /// Replaces the image's entry point.
    pub entry_point: Option<Vec<String>>,
    /// Replaces the image's command, unless empty.
    pub command: Vec<String>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Relative CPU weight.
    pub cpu_shares: u32,
    /// Hard memory limit in MiB; 0 is none.
    pub memory_mib: u32,
    /// `NAME:ALIAS` of linked containers, by their names in the runtime.
    pub links: Vec<String>,
    /// Containers whose volumes are mounted too, and whether read-only.
    pub volumes_from: Vec<(String, bool)>,
    /// Mounts of host paths and volumes.
    pub binds: Vec<Bind>,
    /// Published ports.
    pub ports: Vec<PortRequest>,
    /// Host address that ports are bound to; all when absent.
    pub bind_address: Option<String>,
    /// Parent in the control group tree.
    pub cgroup_parent: Option<String>,
    /// `host` or absent.
    pub pid_mode: Option<String>,
    /// `host`, `none` or absent.
    pub ipc_mode: Option<String>,
    /// `bridge`, `host` or `none`, unless `engine_host_config` says so.
    pub network_mode: Option<String>,
    /// Ids of GPUs.
    pub gpus: Vec<String>,
    /// JSON text of the runtime's own settings; they win.
    pub engine_config: Option<String>,
    /// JSON text of the runtime's own host settings; they win.
    pub engine_host_config: Option<String>,
}

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Absolute host path, or name of a volume.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// A port to publish.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRequest {
    /// Port in the container.
    pub container_port: u16,
    /// Port on the host; 0 lets the runtime choose.
    pub host_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// A volume to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeRequest {
    /// Name, unique in the runtime.
    pub name: String,
    /// Driver; the default one when absent.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A container as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Id of its image.
    pub image_id: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Whether it runs.
    pub state: RuntimeState,
    /// Health by its check; `Unknown` without one.
    pub health: HealthStatus,
    /// What the last health check wrote.
    pub health_output: Option<String>,
    /// Exit code of the last health check.
    pub health_exit_code: Option<i32>,
    /// Published ports.
    pub ports: Vec<Bound>,
    /// Addresses, one per network.
    pub networks: Vec<NetworkAddress>,
    /// Mounts: name of the volume if it is one, source, destination.
    pub mounts: Vec<(Option<String>, String, String)>,
    /// Log driver.
    pub log_driver: String,
    /// Options of the log driver.
    pub log_options: BTreeMap<String, String>,
}

/// Whether a container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeState {
    /// It was never started.
    Created,
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It has exited.
    Exited {
        /// When it was started.
        since: Timestamp,
        /// When it exited.
        at: Timestamp,
        /// Exit code.
        code: i32,
        /// Whether it was killed for lack of memory.
        out_of_memory: bool,
        /// What the runtime says went wrong, if it could not be started.
        error: String,
    },
}

/// A published port as it is bound.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// Port in the container.
    pub container_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Address on the host.
    pub host_ip: String,
    /// Port on the host.
    pub host_port: u16,
}

/// Addresses of a container in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkAddress {
    /// Name of the network.
    pub network: String,
    /// IPv4 address, if any.
    pub ipv4: Option<String>,
    /// IPv6 address, if any.
    pub ipv6: Option<String>,
}

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// Id of the container.
    pub id: String,
    /// What.
    pub what: What,
    /// When.
    pub at: Timestamp,
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was started.
    Started,
    /// It exited.
    Exited {
        /// Exit code.
        code: Option<i32>,
    },
    /// A process of it was killed for lack of memory.
    OutOfMemory,
    /// Somebody had the runtime kill it.
    Killed,
    /// Its health check says something new.
    Health(HealthStatus),
    /// It was removed.
    Removed,
}

/// What a container has used since it was started, unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// When it was read.
    pub at: Timestamp,
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Cores that it may use.
    pub cpus: u32,
    /// Bytes in use now, caches not counted.
    pub memory_bytes: u64,
    /// Traffic over all networks.
    pub network: Option<NetworkIo>,
    /// Block traffic.
    pub block: BlockIo,
    /// As the runtime writes it, for the metadata endpoint.
    pub raw: serde_json::Value,
}

/// Traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkIo {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received and dropped.
    pub rx_dropped: u64,
    /// Errors on receipt.
    pub rx_errors: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped on sending.
    pub tx_dropped: u64,
    /// Errors on sending.
    pub tx_errors: u64,
    /// Packets sent.
    pub tx_packets: u64,
}

/// Block traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
}

/// What a command in a container did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code.
    pub exit_code: Option<i64>,
    /// What it wrote, both streams in order.
    pub output: Vec<u8>,
}
