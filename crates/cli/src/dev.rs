//! `longshore dev`: control plane, balancer and container instances on this machine, in one process.
//!
//! The instances speak the agent protocol over the loopback like any other; only the process
//! is shared. Each has a private loopback address, so that fixed host ports on two of them do
//! not collide. Containers keep running when it stops, and are found again when it starts.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use longshore_agent::{Config as AgentConfig, PullBehavior, Trust};
use longshore_auth::{Account, Credentials, Open};
use longshore_domain::ids::{AccountId, ClusterName, Region, Scope};
use longshore_server::{Config, Identity, MasterKey, Retention, Started, Tls};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::{self, DevOptions, IdentityKind};
use crate::failure::Failure;
use crate::store::Place;
use crate::{agent, ca_file, client, files, identity_key, init, output, server, shutdown};

/// Availability zones of a development region.
const ZONES: [char; 3] = ['a', 'b', 'c'];
/// How long containers of stopped tasks stay for a look at their logs.
const CONTAINER_RETENTION: Duration = Duration::from_secs(600);
/// Memory in MiB that instances leave to the machine.
const RESERVED_MIB: u64 = 512;

/// Runs until Ctrl-C.
pub(crate) async fn run(options: DevOptions, region: &str) -> Result<(), Failure> {
    let data_dir = server::data_dir(options.data_dir.clone())?;
    let region_name = server::parse_region(region)?;
    let account = AccountId::default();
    let store = Place::DataDirectory.open(&data_dir).await?;
    let iam = options.identity == IdentityKind::Iam;
    let identity_key = identity_key::of_development(&data_dir)?;
    if iam {
        init::first(&store, &identity_key, account).await?;
    }
    let config = control_plane(&options, region_name.clone(), identity_key, &data_dir);
    let started = server::start(config, store).await?;
    let (keys, credentials) = credentials(&started, iam, account).await?;
    let scope = Scope { account, region: region_name };
    started
        .ensure_cluster(&scope, ClusterName::default_cluster())
        .await
        .map_err(|error| Failure::new("cannot prepare the default cluster", error))?;
    let url = url(&started);
    let authority = started.certificate_authority().map(str::to_owned);
    let keys = match &authority {
        Some(pem) => {
            let file = ca_file::keep(&data_dir, pem)?;
            format!("{keys}\nexport AWS_CA_BUNDLE={}", file.display())
        }
        None => keys,
    };

    let stop = watch::Sender::new(false);
    let stopped = |mut switch: watch::Receiver<bool>| async move {
        let _ = switch.wait_for(|on| *on).await;
    };
    let mut agents = JoinSet::new();
    for number in 0..options.instances {
        let mut config = instance(&options, number, region, credentials.clone())?;
        config.endpoint.clone_from(&url);
        if let Some(pem) = &authority {
            let trust = Trust::only(pem.as_bytes());
            config.trust = trust.map_err(|error| Failure::caused("cannot use TLS", &error))?;
        }
        config.data_dir = data_dir.join(format!("agent-{}", number + 1));
        agents.spawn(longshore_agent::run(config, stopped(stop.subscribe())));
    }
    #[cfg(feature = "lb")]
    let balancing = {
        let config = longshore_lb::Config {
            server: Some(url.clone()),
            region: region.to_owned(),
            credentials: credentials.clone(),
            authorities: authority.map(String::into_bytes),
            data_dir: data_dir.join("lb"),
            snapshot: None,
            metrics_listen: None,
            workers: Some(1),
        };
        tokio::spawn(longshore_lb::run(config, stopped(stop.subscribe())))
    };
    let mut serving = tokio::spawn(started.serve(stopped(stop.subscribe())));
    output::note(&format!(
        "longshore dev: {url}, {} container instances, state in {}\n{}",
        options.instances,
        data_dir.display(),
        args::exports_with(&url, region, &keys),
    ));

    let mut result = Ok(());
    tokio::select! {
        biased;
        () = shutdown::requested() => {}
        served = &mut serving => {
            stop.send_replace(true);
            while agents.join_next().await.is_some() {}
            return match served {
                Ok(served) => served.map_err(|error| server::failure(&error)),
                Err(error) => Err(Failure::new("the server broke", error)),
            };
        }
        Some(ended) = agents.join_next(), if !agents.is_empty() => {
            result = match ended {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(agent::failure(&error)),
                Err(error) => Err(Failure::new("an agent broke", error)),
            };
        }
    }
    // Agents first: they report what they still know.
    stop.send_replace(true);
    while agents.join_next().await.is_some() {}
    let _ = serving.await;
    #[cfg(feature = "lb")]
    if let Ok(Err(error)) = balancing.await {
        return Err(Failure::caused("the balancer cannot run", &error));
    }
    output::note("longshore dev stopped; containers keep running and are found again");
    result
}

/// How the control plane is set up.
fn control_plane(
    options: &DevOptions,
    region: Region,
    identity_key: MasterKey,
    data_dir: &Path,
) -> Config {
    let iam = options.identity == IdentityKind::Iam;
    let identity =
        if iam { Identity::Iam } else { Identity::Given(Box::new(Open::new(Account::default()))) };
    // One that is open to everybody refuses to listen beyond loopback addresses.
    let is_plain = !iam || options.listen.ip().is_loopback();
    Config {
        listen: options.listen,
        tls: if is_plain { Tls::Off } else { Tls::Local { names: Vec::new() } },
        region,
        identity,
        identity_key: Some(identity_key),
        open: !iam,
        retention: Retention::default(),
        fidelity: options.fidelity.fidelity(),
        connections: files::for_connections(),
        event_webhook: options.fidelity.event_webhook.clone(),
        membership: server::membership(None, None),
        throttle: false,
        balancer_addresses: options.balancers.addresses,
        role_life: options.roles.life,
        audit: options.audit.config(data_dir),
    }
}

/// Where instances and balancers reach the control plane.
fn url(started: &Started) -> String {
    let address = started.address();
    // All addresses are no name that a certificate is for.
    if address.ip().is_unspecified() {
        format!("https://localhost:{}", address.port())
    } else {
        started.url()
    }
}

/// The exports of a key for people, and the credentials of the instances and balancers.
async fn credentials(
    started: &Started,
    iam: bool,
    account: AccountId,
) -> Result<(String, Credentials), Failure> {
    if !iam {
        return Ok((args::key_exports("longshore", "longshore"), client::credentials()));
    }
    let made = started.development_keys(account).await;
    let (admin, parts) = made.map_err(|error| Failure::caused("cannot make keys", &error))?;
    let keys = match admin {
        Some(key) => args::key_exports(&key.access_key_id, &key.secret_access_key),
        None => "# the user admin has no access key any more".to_owned(),
    };
    let credentials = Credentials {
        access_key_id: parts.access_key_id,
        secret_access_key: parts.secret_access_key,
        session_token: None,
    };
    Ok((keys, credentials))
}

fn instance(
    options: &DevOptions,
    number: u8,
    region: &str,
    credentials: Credentials,
) -> Result<AgentConfig, Failure> {
    let mut config = AgentConfig::new("", region, credentials, "default", "");
    let zone = ZONES[usize::from(number) % ZONES.len()];
    config.name = Some(format!("dev-{}", number + 1));
    config.host_address = Some(args::dev_address(number));
    config.availability_zone = Some(format!("{region}{zone}"));
    config.docker_socket.clone_from(&options.docker_socket);
    config.pull = PullBehavior::PreferCached;
    config.cleanup.task_wait = CONTAINER_RETENTION;
    config.cleanup.images = false;
    let share = u64::from(options.instances.max(1));
    let cores = available_parallelism().map_or(1, NonZeroUsize::get) as u64;
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    config.cpu_units = Some(options.cpu.unwrap_or(narrow((cores * 1024 / share).max(128))));
    config.memory_mib = Some(if let Some(mib) = options.memory {
        mib
    } else {
        let total = machine_memory_mib()?;
        narrow((total.saturating_sub(RESERVED_MIB) / share).max(128))
    });
    Ok(config)
}

fn machine_memory_mib() -> Result<u64, Failure> {
    let what = "cannot read this machine's memory from /proc/meminfo";
    let text = std::fs::read_to_string("/proc/meminfo").map_err(|e| Failure::new(what, e))?;
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .map(|kib: u64| kib / 1024)
        .ok_or_else(|| Failure::new(what, "it has no MemTotal").fix("give --memory"))
}
