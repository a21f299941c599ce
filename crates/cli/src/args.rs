//! The command line.

mod server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use longshore_agent::JoinToken;
use longshore_domain::fidelity::{self, Fidelity};
use longshore_server::{Ipv4Net, Webhook};

use crate::audit::AuditOptions;
use crate::ctl::audit::AuditCommand;
use crate::ctl::iam::IamCommand;
use crate::output::Output;
use crate::store::Place;

pub(crate) use server::{
    IdentityKeyOptions, IdentityKind, InitOptions, Instead, ServerCommand, ServerOptions, TlsKind,
    TlsOptions,
};

/// Where emulators of AWS listen, and so do we.
pub(crate) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4566";

/// Amazon ECS on machines you own.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, propagate_version = true)]
pub(crate) struct Cli {
    /// URL of the control plane; of several servers, with commas between them.
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL", default_value = DEFAULT_ENDPOINT)]
    pub(crate) endpoint: String,
    /// Region.
    #[arg(long, global = true, env = "AWS_REGION", default_value = "us-east-1")]
    pub(crate) region: String,
    /// File with the certificates by which the control plane is known, and by no others: PEM
    /// [default: that of AWS_CA_BUNDLE, else the roots of the system].
    #[arg(long, global = true, value_name = "FILE", env = "LONGSHORE_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Form of data on standard output.
    #[arg(long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Output,
    /// Log filter, e.g. `info` or `longshore_server=debug`.
    #[arg(long, global = true, env = "LONGSHORE_LOG", default_value = "warn")]
    pub(crate) log: String,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: control plane and container instances.
    Dev(DevOptions),
    /// Run the control plane, or prepare its identities.
    Server(Box<ServerCommand>),
    /// Run the agent of a container instance.
    Agent(AgentOptions),
    /// Run a node of load balancers.
    #[cfg(feature = "lb")]
    Lb(LbOptions),
    /// Look into a running system.
    #[command(subcommand)]
    Ctl(CtlCommand),
    /// Run an image as a service, and wait until it is steady.
    Run(RunOptions),
    /// Deploy a Docker Compose file as services.
    Deploy(DeployOptions),
    /// Simulate, for load tests and for planning.
    #[command(subcommand)]
    Sim(SimCommand),
    /// Print the exports that point AWS's tools here.
    Env,
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Options of `longshore dev`.
#[derive(Debug, Args)]
pub(crate) struct DevOptions {
    /// Where to listen; a loopback address, since anyone who reaches it is the account's root. With
    /// `--identity iam` any address, over TLS.
    #[arg(long, default_value = "127.0.0.1:4566")]
    pub(crate) listen: SocketAddr,
    /// Number of container instances; each in the next of three availability zones.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) instances: u8,
    /// CPU units of each instance [default: this machine's, divided].
    #[arg(long)]
    pub(crate) cpu: Option<u32>,
    /// Memory in MiB of each instance [default: this machine's, divided].
    #[arg(long)]
    pub(crate) memory: Option<u32>,
    /// Where state is kept [default: /var/lib/longshore for root, else ~/.local/share/longshore].
    #[arg(long, env = "LONGSHORE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Docker's socket.
    #[arg(long, default_value = "/var/run/docker.sock")]
    pub(crate) docker_socket: String,
    /// How callers are known: `open`, or `iam` to practise, with an administrator whose keys are printed.
    #[arg(long, default_value = "open", value_parser = dev_identity)]
    pub(crate) identity: IdentityKind,
    /// Where balancers listen.
    #[command(flatten)]
    pub(crate) balancers: BalancerOptions,
    /// Credentials of tasks.
    #[command(flatten)]
    pub(crate) roles: RoleOptions,
    /// Fidelity and events.
    #[command(flatten)]
    pub(crate) fidelity: FidelityOptions,
    /// The audit log.
    #[command(flatten)]
    pub(crate) audit: AuditOptions,
}

/// Where balancers listen.
#[derive(Debug, Args)]
pub(crate) struct BalancerOptions {
    /// Addresses of load balancers; each gets one of its own, which is also its DNS name. Every node
    /// of balancers must have them.
    #[arg(long = "balancer-addresses", value_name = "CIDR", default_value = "127.0.2.0/24")]
    pub(crate) addresses: Ipv4Net,
}

/// Credentials of tasks.
#[derive(Debug, Args)]
pub(crate) struct RoleOptions {
    /// How long credentials of task roles and execution roles last; tasks get others at half of it.
    #[arg(long = "task-credentials-life", value_name = "DURATION", value_parser = role_life, default_value = "360m")]
    pub(crate) life: Duration,
}

/// Options of `longshore agent`. Credentials come from AWS_ACCESS_KEY_ID and its kin.
#[derive(Debug, Args)]
pub(crate) struct AgentOptions {
    /// Cluster to join.
    #[arg(long, env = "ECS_CLUSTER", default_value = "default")]
    pub(crate) cluster: String,
    /// Where state is kept.
    #[arg(long, env = "ECS_DATADIR", default_value = "/var/lib/longshore/agent")]
    pub(crate) data_dir: PathBuf,
    /// Address that containers' ports are published on [default: all].
    #[arg(long)]
    pub(crate) host_address: Option<IpAddr>,
    /// Availability zone of the instance.
    #[arg(long)]
    pub(crate) availability_zone: Option<String>,
    /// Docker's socket.
    #[arg(long, default_value = "/var/run/docker.sock")]
    pub(crate) docker_socket: String,
    /// CPU units to register [default: this machine's].
    #[arg(long)]
    pub(crate) cpu: Option<u32>,
    /// Memory in MiB to register [default: this machine's].
    #[arg(long)]
    pub(crate) memory: Option<u32>,
    /// Memory in MiB kept back for the machine.
    #[arg(long, env = "ECS_RESERVED_MEMORY", default_value_t = 0)]
    pub(crate) reserved_memory: u32,
    /// Custom attribute NAME=VALUE; may be repeated.
    #[arg(long = "attribute", value_parser = pair)]
    pub(crate) attributes: Vec<(String, String)>,
    /// Send logs of the `awslogs` driver to CloudWatch Logs, with Docker's own credentials,
    /// instead of keeping them on this machine.
    #[arg(long)]
    pub(crate) cloudwatch_logs: bool,
    /// Use images that are there before pulling.
    #[arg(long)]
    pub(crate) prefer_cached: bool,
    /// Token of `ctl join-token`, by which a machine without keys joins; it is used once, and the keys
    /// that it yields stay in the data directory. The variable keeps it out of the list of processes.
    #[arg(long, value_name = "TOKEN", env = "LONGSHORE_JOIN_TOKEN", hide_env_values = true)]
    pub(crate) join: Option<JoinToken>,
    /// Age at which those keys are renewed [default: a day].
    #[arg(long, value_name = "DURATION", value_parser = duration, hide = true)]
    pub(crate) renew_after: Option<Duration>,
}

/// Options of `longshore lb`. Credentials come from AWS_ACCESS_KEY_ID and its kin.
#[cfg(feature = "lb")]
#[derive(Debug, Args)]
pub(crate) struct LbOptions {
    /// URL of the control plane, or those of its servers, separated by commas [default: the endpoint,
    /// unless there is a snapshot file].
    #[arg(long, value_name = "URL,...", value_parser = base_urls)]
    pub(crate) server: Option<String>,
    /// Where the last snapshot, access logs and the socket for handovers are kept; a balancer that is
    /// started on the directory of a running one takes over its sockets.
    #[arg(long, default_value = "/var/lib/longshore/lb")]
    pub(crate) data_dir: PathBuf,
    /// Serve by this file, and read it again whenever it changes.
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
    /// Where metrics are served, for Prometheus.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Threads that serve connections [default: one per processor].
    #[arg(long)]
    pub(crate) workers: Option<usize>,
}

/// Commands of `longshore ctl`.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Servers, clusters, instances, services and tasks at a glance.
    Status,
    /// The certificate of the local authority, PEM, for those who are to trust what it issues.
    Ca,
    /// The servers of the control plane: which leads, and how far each is behind the store.
    Servers,
    /// Say why: what a task, a service or a task group waits for, or why it ended.
    Explain {
        /// Task id or ARN, service name, or task group (family:NAME) [default: all that waits].
        subject: Option<String>,
        /// Cluster.
        #[arg(long, default_value = "default")]
        cluster: String,
        /// Docker's socket, for the last log lines of a task of this machine.
        #[arg(long, default_value = "/var/run/docker.sock")]
        docker_socket: String,
    },
    /// Events of services, deployments, tasks and container instances, oldest first.
    Events(EventsOptions),
    /// What a cluster was like at a time.
    At {
        /// 2026-11-23T03:12:00Z, 2026-11-23T03:12 or 03:12 (UTC), or 10m for ten minutes ago.
        time: String,
        /// Cluster.
        #[arg(default_value = "default")]
        cluster: String,
        /// Seconds before and after the time whose events are shown.
        #[arg(long, default_value_t = 300)]
        around: u64,
    },
    /// Which half-empty container instances could be emptied, where their tasks would go, and why
    /// others stay.
    Consolidate {
        /// Cluster.
        #[arg(long, default_value = "default")]
        cluster: String,
        /// Look at instances of which at most this much is used, in percent.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100))]
        below: u32,
        /// Drain them: services replace their tasks within minimum and maximum percent.
        #[arg(long)]
        execute: bool,
    },
    /// Make a token by which one machine joins that has no keys: `longshore agent --join TOKEN`. It is
    /// good once, and shown once.
    JoinToken {
        /// How long it may be left unused: 30m, 12h, 7d.
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
        ttl: Duration,
        /// Role of the machine, which must trust ec2.amazonaws.com: name or ARN.
        #[arg(long, default_value = "ecsInstanceRole")]
        role: String,
    },
    /// Check this machine: Docker, cgroups, ports, disk.
    Doctor {
        /// Docker's socket.
        #[arg(long, default_value = "/var/run/docker.sock")]
        docker_socket: PathBuf,
    },
    /// Ask a URL at a steady rate, e.g. during a deployment, and fail if any request fails.
    Loadtest(LoadtestOptions),
    /// Look whether anybody has changed the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Find out why a request was denied, what a principal needs, and who may do something.
    #[command(subcommand)]
    Iam(IamCommand),
    /// Empty a development server, and stop its containers.
    Reset,
    /// Back up, move and check what the control plane stores.
    #[command(subcommand)]
    Store(StoreCommand),
}

/// Options of `longshore ctl loadtest`.
#[derive(Debug, Args)]
pub(crate) struct LoadtestOptions {
    /// http://HOST[:PORT]/PATH
    pub(crate) url: String,
    /// Requests per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Clients that share them; each waits for its answer.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) clients: u32,
    /// How long; an interrupt (^C) ends it before, and shows what has been seen.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Seconds after which a request that was not answered has failed.
    #[arg(long, default_value_t = 10)]
    pub(crate) timeout: u64,
    /// A new connection for each request.
    #[arg(long)]
    pub(crate) new_connections: bool,
}

/// Commands of `longshore ctl store`.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Write everything that a running server stores to a file.
    Backup {
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Write everything in a store to a file, without a server.
    Export {
        /// The file, which must not exist.
        file: PathBuf,
        /// The store.
        #[command(flatten)]
        store: StoreOptions,
    },
    /// Bring a backup or an export into an empty store; goes on where it was interrupted.
    Import {
        /// The file.
        file: PathBuf,
        /// The store.
        #[command(flatten)]
        store: StoreOptions,
    },
    /// Copy a store into an empty one, e.g. redb into etcd; no server may run on either.
    Migrate {
        /// The store to read: redb, redb:FILE, or an address of etcd.
        from: Place,
        /// The store to fill.
        to: Place,
        /// Where state is kept [default: /var/lib/longshore for root, else ~/.local/share/longshore].
        #[arg(long, env = "LONGSHORE_DATA_DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Read everything in a file or a store, and print what it holds, with its digest.
    Verify {
        /// The file [default: the store].
        file: Option<PathBuf>,
        /// The store.
        #[command(flatten)]
        store: StoreOptions,
    },
}

/// Which store is meant.
#[derive(Debug, Args)]
pub(crate) struct StoreOptions {
    /// The store: redb (a file in the data directory), redb:FILE, or an address of etcd.
    #[arg(long, env = "LONGSHORE_STORE", hide_env_values = true, default_value = "redb")]
    pub(crate) store: Place,
    /// Where state is kept [default: /var/lib/longshore for root, else ~/.local/share/longshore].
    #[arg(long, env = "LONGSHORE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// Options of `longshore ctl events`.
#[derive(Debug, Args)]
pub(crate) struct EventsOptions {
    /// Cluster.
    #[arg(long, default_value = "default")]
    pub(crate) cluster: String,
    /// Only of this service and its tasks.
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// Only of this task; id or ARN.
    #[arg(long)]
    pub(crate) task: Option<String>,
    /// Only of this container instance and its tasks; id or ARN.
    #[arg(long)]
    pub(crate) instance: Option<String>,
    /// Only of this type: service, deployment, task, instance or placement; may be repeated.
    #[arg(long = "type")]
    pub(crate) types: Vec<String>,
    /// Begin at this time [default: an hour ago]; e.g. 2026-11-23T03:12, 03:12 or 10m (ago), in UTC.
    #[arg(long, conflicts_with = "after")]
    pub(crate) since: Option<String>,
    /// End at this time.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) until: Option<String>,
    /// Begin after the event with this sequence, as `--output json` shows it.
    #[arg(long)]
    pub(crate) after: Option<u64>,
    /// Wait for more.
    #[arg(long)]
    pub(crate) follow: bool,
}

/// How far to be like ECS, and who is told of events.
#[derive(Debug, Default, Args)]
pub(crate) struct FidelityOptions {
    /// Fidelity switch NAME=VALUE (docs/fidelity.md); may be repeated.
    #[arg(long = "fidelity", value_name = "NAME=VALUE", value_parser = switch)]
    switches: Vec<String>,
    /// Days that stopped tasks and the journal are kept, the same as --fidelity history=DAYS
    /// [default: an hour, and 7 days].
    #[arg(long, value_name = "DAYS", value_parser = days)]
    history: Option<String>,
    /// URL that events are posted to, as EventBridge would deliver them.
    #[arg(long, value_name = "URL", value_parser = Webhook::parse)]
    pub(crate) event_webhook: Option<Webhook>,
}

impl FidelityOptions {
    /// The switches.
    pub(crate) fn fidelity(&self) -> Fidelity {
        let history = self.history.as_ref().map(|days| format!("history={days}"));
        let all = self.switches.iter().map(String::as_str).chain(history.as_deref());
        Fidelity::of(all).expect("each was checked as it was read")
    }
}

fn switch(text: &str) -> Result<String, String> {
    Fidelity::of([text]).map(|_| text.to_owned())
}

fn days(text: &str) -> Result<String, String> {
    fidelity::days(text).map(|_| text.to_owned())
}

/// Commands of `longshore sim`.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Join a control plane with many hollow agents, which do all that agents do except run
    /// containers. Ends with Ctrl-C.
    Agents(HollowOptions),
}

/// Options of `longshore sim agents`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HollowOptions {
    /// Number of agents.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// Cluster to join.
    #[arg(long, default_value = "default")]
    pub(crate) cluster: String,
    /// CPU units of each instance.
    #[arg(long, default_value_t = 65_536)]
    pub(crate) cpu: u32,
    /// Memory in MiB of each instance.
    #[arg(long, default_value_t = 262_144)]
    pub(crate) memory: u32,
    /// Availability zones that the instances are spread over.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=26))]
    pub(crate) zones: u32,
    /// How long a container takes to start, and to stop: 50ms, 2s.
    #[arg(long, default_value = "50ms", value_parser = duration)]
    pub(crate) start_delay: Duration,
    /// Share of the tasks that cannot start, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) failure_rate: f64,
    /// Share of the running tasks that exit by themselves each minute, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    pub(crate) exit_rate: f64,
    /// Publish no metrics and no health: one session for each agent, not two.
    #[arg(long)]
    pub(crate) without_telemetry: bool,
    /// Deregister the instances in the end, with whatever tasks they have.
    #[arg(long)]
    pub(crate) deregister: bool,
}

/// SDKs ask for others some minutes before the end, so an hour is short already; seconds are for tests.
fn role_life(text: &str) -> Result<Duration, String> {
    let life = duration(text)?;
    let allowed = Duration::from_secs(10)..=Duration::from_secs(12 * 3600);
    if allowed.contains(&life) { Ok(life) } else { Err("10s to 720m (12 hours)".to_owned()) }
}

/// A duration of milliseconds, seconds, minutes, hours or days.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| format!("'{text}' is not like 50ms, 2s or 1m"))?;
    match text.strip_prefix(digits) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s" | "") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number.saturating_mul(60))),
        Some("h") => Ok(Duration::from_secs(number.saturating_mul(3600))),
        Some("d") => Ok(Duration::from_secs(number.saturating_mul(24 * 3600))),
        _ => Err(format!("'{text}' has no unit of ms, s, m, h or d")),
    }
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("it is from 0 to 1".to_owned()) }
}

/// Options of `longshore run`.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Image.
    #[arg(long)]
    pub(crate) image: String,
    /// Port in the container; may be repeated. The first one is put behind a load balancer.
    #[arg(long = "port")]
    pub(crate) ports: Vec<u16>,
    /// No load balancer: tasks answer at addresses of their own.
    #[arg(long)]
    pub(crate) no_balancer: bool,
    /// Number of tasks.
    #[arg(long, default_value_t = 1)]
    pub(crate) count: u32,
    /// Name of the service [default: from the image].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Cluster.
    #[arg(long, default_value = "default")]
    pub(crate) cluster: String,
    /// CPU units of each task.
    #[arg(long, default_value_t = 0)]
    pub(crate) cpu: u32,
    /// Memory in MiB of each task.
    #[arg(long, default_value_t = 128)]
    pub(crate) memory: u32,
    /// Environment variable NAME=VALUE; may be repeated.
    #[arg(long = "env", value_parser = pair)]
    pub(crate) environment: Vec<(String, String)>,
    /// Give up waiting after this many seconds.
    #[arg(long, default_value_t = 300)]
    pub(crate) timeout: u64,
    /// Docker's socket, for the last log lines of tasks that failed on this machine.
    #[arg(long, default_value = "/var/run/docker.sock")]
    pub(crate) docker_socket: String,
    /// Command, instead of the image's.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

/// Options of `longshore deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployOptions {
    /// Docker Compose file.
    #[arg(short, long, default_value = "compose.yaml")]
    pub(crate) file: PathBuf,
    /// Cluster.
    #[arg(long, default_value = "default")]
    pub(crate) cluster: String,
    /// No load balancers: tasks answer at addresses of their own. Without this, the first TCP port that
    /// a service publishes is put behind one.
    #[arg(long)]
    pub(crate) no_balancer: bool,
    /// Wait until every service is steady, and fail when a deployment fails or is rolled back;
    /// the default.
    #[arg(long, overrides_with = "no_wait")]
    pub(crate) wait: bool,
    /// Begin the deployments, and leave.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Give up waiting after this many seconds.
    #[arg(long, default_value_t = 300)]
    pub(crate) timeout: u64,
    /// Docker's socket, for the last log lines of tasks that failed on this machine.
    #[arg(long, default_value = "/var/run/docker.sock")]
    pub(crate) docker_socket: String,
}

/// A URL that paths are added to.
fn base_url(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' is no URL such as http://10.0.0.1:4566");
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.ok_or_else(wrong)?.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return Err(wrong());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// URLs of servers that are asked in turn.
fn base_urls(text: &str) -> Result<String, String> {
    let urls: Result<Vec<String>, String> = text.split(',').map(base_url).collect();
    Ok(urls?.join(","))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        Err("the name is empty".to_owned())
    } else {
        Ok((name.into(), value.into()))
    }
}

/// The exports that point AWS's tools at `endpoint`.
pub(crate) fn exports(endpoint: &str, region: &str) -> String {
    exports_with(endpoint, region, &key_exports("longshore", "longshore"))
}

/// The same with the exports of an access key.
pub(crate) fn exports_with(endpoint: &str, region: &str, keys: &str) -> String {
    // They take one.
    let endpoint = endpoint.split(',').next().unwrap_or(endpoint);
    format!("export AWS_ENDPOINT_URL={endpoint}\nexport AWS_DEFAULT_REGION={region}\n{keys}")
}

fn dev_identity(text: &str) -> Result<IdentityKind, String> {
    match text {
        "open" => Ok(IdentityKind::Open),
        "iam" => Ok(IdentityKind::Iam),
        _ => Err("write open or iam".to_owned()),
    }
}

/// The exports of an access key.
pub(crate) fn key_exports(id: &str, secret: &str) -> String {
    format!("export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret}")
}

/// The private address of the `number`th instance of `dev`, counted from 0.
pub(crate) fn dev_address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, number + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn fidelity_is_checked_as_it_is_read() {
        let parse = |options: &[&str]| {
            let given = ["longshore", "server", "--open"].iter().chain(options);
            match Cli::try_parse_from(given)?.command {
                Command::Server(server) => Ok(server.options.fidelity),
                other => panic!("{other:?}"),
            }
        };
        let given = ["--fidelity", "count-crash-loops=on", "--history", "14"];
        let options = parse(&given).expect("valid");
        let expected = Fidelity::of(["count-crash-loops=on", "history=14"]).expect("valid");
        assert_eq!(options.fidelity(), expected);
        for wrong in [
            ["--fidelity", "speed=1"],
            ["--fidelity", "history"],
            ["--history", "0"],
            ["--event-webhook", "example.com"],
        ] {
            assert!(
                parse(&wrong).is_err_and(|error: clap::Error| error.exit_code() == 2),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_base_url_has_a_host_and_no_path() {
        assert_eq!(base_url("http://10.0.0.1:4566/").as_deref(), Ok("http://10.0.0.1:4566"));
        assert_eq!(base_url("https://[::1]:1").as_deref(), Ok("https://[::1]:1"));
        for wrong in ["", "10.0.0.1:4566", "http://", "http://a/b", "ftp://a", "http://a b"] {
            assert!(base_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_need_a_name() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(pair("a").is_err());
        assert!(pair("=a").is_err());
    }
}
