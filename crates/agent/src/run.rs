//! Putting an agent together, and taking it apart.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::Api;
use crate::cgroup::TaskLimits;
use crate::disk::{Directory, Disk};
use crate::engine::{Engine, Event};
use crate::hands::{EndWithAgent, Hands};
use crate::images::Images;
use crate::join::{self, Membership};
use crate::keys::Keys;
use crate::metadata::{self, AgentHandle};
use crate::network::{Network, Tcp};
use crate::ports::PortRanges;
use crate::record::{InstanceRecord, VERSION};
use crate::register::{Identity, register};
use crate::runtime::{Description, DockerRuntime, RuntimeError, SharedRuntime};
use crate::session::{Links, acs, tcs};
use crate::store::{Saved, Store};
use crate::task::Surroundings;
use crate::telemetry::Collector;
use crate::{AgentError, Config, labels, limits};

/// Runs an agent on Docker until `shutdown` is ready. Containers go on running after that.
///
/// # Errors
/// When it cannot start; see [`AgentError`].
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let connect = DockerRuntime::connect(&config.docker_socket);
    let limit = config.timeouts.inspect;
    let runtime = tokio::time::timeout(limit, connect)
        .await
        .unwrap_or(Err(RuntimeError::TimedOut(limit)))
        .map_err(AgentError::Runtime)?;
    run_with(config, Arc::new(runtime), shutdown).await
}

/// Runs an agent on any runtime until `shutdown` is ready.
///
/// # Errors
/// When it cannot start; see [`AgentError`].
pub async fn run_with(
    config: Config,
    runtime: SharedRuntime,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let path = config.data_dir.clone();
    let disk = Directory::open(&path).map_err(|source| AgentError::DataDir { path, source })?;
    let host = Host { runtime, disk: Arc::new(disk), network: Arc::new(Tcp) };
    run_on(config, host, shutdown).await
}

/// What an agent runs on.
#[derive(Clone)]
pub struct Host {
    /// What runs its containers.
    pub runtime: SharedRuntime,
    /// What keeps its state.
    pub disk: Arc<dyn Disk>,
    /// What connects it with the control plane.
    pub network: Arc<dyn Network>,
}

/// Runs an agent on any host until `shutdown` is ready.
///
/// # Errors
/// When it cannot start; see [`AgentError`].
pub async fn run_on(
    config: Config,
    host: Host,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let mut parts = JoinSet::new();
    tokio::select! {
        biased;
        () = shutdown => Ok(()),
        result = live(config, host, &mut parts) => result,
    }
    // The parts end with their set.
}

async fn live(config: Config, host: Host, parts: &mut JoinSet<()>) -> Result<(), AgentError> {
    let config = Arc::new(config);
    let Host { runtime, disk, network } = host;
    let unkept = |source| AgentError::DataDir { path: config.data_dir.clone(), source };
    let (store, saved) = Store::open(Arc::clone(&disk)).map_err(unkept)?;
    check_cluster(&config, &saved)?;
    let limit = config.timeouts.inspect;
    let description =
        Hands::within(limit, runtime.describe()).await.map_err(AgentError::Runtime)?;
    let connect = |endpoint: &str, keys: Keys, tls: &Arc<rustls::ClientConfig>| {
        Api::new(Arc::clone(&network), endpoint, &config.region, keys, tls)
    };
    let joined = Membership::find(&config, &disk, connect).await?;
    let (endpoint, credentials) = match &joined {
        Some(joined) => (config.chosen_endpoint(joined.endpoint()), joined.credentials()),
        None => (config.endpoint.as_str(), config.credentials.clone()),
    };
    let authority = joined.as_ref().and_then(Membership::authority);
    config.check(endpoint, authority)?;
    let (tls, is_bound) = (config.chosen_trust(authority)?.tls()?, config.is_bound(authority));
    let keys = Keys::new(credentials);
    let api = connect(endpoint, keys.clone(), &tls)?;
    let instance = identify(&api, &config, &description, &saved, &store).await;
    let instance = instance.map_err(|error| match error {
        AgentError::Register(cause) if joined.is_some() && join::is_end(&cause) => {
            AgentError::KeysEnded(cause)
        }
        other => other,
    })?;
    let arn = instance.container_instance_arn.clone();
    tracing::info!(container_instance = arn, cluster = config.cluster, "registered");

    let endpoint = if config.endpoints {
        let gateway = description.gateway.as_deref();
        metadata::shared(gateway, saved.metadata_address, config.host_address).await
    } else {
        None
    };
    if let Some(address) = endpoint.as_ref().and_then(|endpoint| endpoint.address())
        && let Err(error) = store.save_metadata_address(address)
    {
        tracing::warn!(%error, "the metadata endpoint may move at the next start");
    }
    let surroundings = Surroundings {
        cluster: config.cluster.clone(),
        region: config.region.clone(),
        container_instance_arn: arn.clone(),
        host_address: config.host_address,
        metadata: endpoint.as_ref().map(|endpoint| endpoint.base().to_owned()),
        well_known: endpoint.as_ref().is_some_and(|endpoint| endpoint.is_well_known()),
        awslogs: config.awslogs,
    };
    let (events, inbox) = mpsc::channel(limits::EVENTS);
    let machine = description.memory_mib;
    let hands = Arc::new(Hands {
        runtime: Arc::clone(&runtime),
        api: api.clone(),
        surroundings,
        images: Images::new(Arc::clone(&runtime), config.pull, config.timeouts.pull),
        limits: TaskLimits::new(description.cgroups.filter(|_| config.task_limits)),
        ports: PortRanges::default(),
        calls: Arc::new(Semaphore::new(limits::RUNTIME_CALLS)),
        reports: Semaphore::new(limits::REPORTS),
        memory_mib: config.memory_mib.map_or(machine, u64::from),
        events: events.clone(),
        health_changed: Notify::new(),
        under_way: Mutex::default(),
        config: Arc::clone(&config),
    });
    let _end = EndWithAgent(Arc::clone(&hands));
    let handle = AgentHandle { hands: Arc::clone(&hands), events: events.clone() };
    if config.endpoints {
        metadata::introspection::serve(handle.clone(), config.host_address, parts).await;
    }
    let routes = endpoint.map(|endpoint| metadata::Routes::new(endpoint, handle));
    let mut engine = Engine::new(Arc::clone(&hands), store, instance, routes, inbox);
    let first = open_events(&runtime, &arn, limit).await.map_err(AgentError::Runtime)?;
    let found = Hands::within(limit, runtime.list(labels::CONTAINER_INSTANCE_ARN, &arn)).await;
    engine.restore(saved.tasks, &found.map_err(AgentError::Runtime)?);

    parts.spawn(watch(runtime, arn.clone(), limit, first, events.clone()));
    let renewing = renewing(joined, api.clone(), keys);
    let links = Links::new(api, network, &tls, &config.cluster, &arn, &description.version);
    let links = if is_bound { links.over_tls_only() } else { links };
    start_sessions(Arc::new(links), &hands, &events, &config, parts);
    tokio::select! {
        biased;
        () = engine.run() => Ok(()),
        error = renewing => Err(error),
    }
}

/// Renews the keys of a machine that joined, until they end.
async fn renewing(joined: Option<Membership>, api: Api, keys: Keys) -> AgentError {
    match joined {
        Some(joined) => joined.renew(api, keys).await,
        None => std::future::pending().await,
    }
}

fn start_sessions(
    links: Arc<Links>,
    hands: &Arc<Hands>,
    events: &mpsc::Sender<Event>,
    config: &Config,
    parts: &mut JoinSet<()>,
) {
    let shared = Arc::<acs::Shared>::default();
    let (inactive, is_inactive) = watch::channel(false);
    if config.metrics {
        let (cluster, arn) = (links.cluster(), links.container_instance_arn());
        let collector = Collector::new(Arc::clone(hands), events.clone(), cluster, arn);
        parts.spawn(tcs::run(
            Arc::clone(&links),
            collector,
            Arc::clone(&shared),
            is_inactive,
            config.timeouts.metrics,
        ));
    }
    parts.spawn(acs::run(links, events.clone(), shared, inactive, config.timeouts.inactive));
}

fn check_cluster(config: &Config, saved: &Saved) -> Result<(), AgentError> {
    match &saved.instance {
        Some(instance) if instance.cluster != config.cluster => Err(AgentError::OtherCluster {
            saved: instance.cluster.clone(),
            configured: config.cluster.clone(),
        }),
        _ => Ok(()),
    }
}

async fn identify(
    api: &Api,
    config: &Config,
    description: &Description,
    saved: &Saved,
    store: &Store,
) -> Result<InstanceRecord, AgentError> {
    let known = saved.instance.as_ref().map(|instance| instance.container_instance_arn.clone());
    let unkept = |source| AgentError::DataDir { path: config.data_dir.clone(), source };
    let token = store.registration_token().await.map_err(unkept)?;
    let arn = register(api, config, description, Identity { known_arn: known, token }).await?;
    let instance = InstanceRecord {
        version: VERSION,
        cluster: config.cluster.clone(),
        container_instance_arn: arn,
        latest_seq_num: saved.instance.as_ref().map_or(0, |instance| instance.latest_seq_num),
    };
    store.save_identity(&instance).await.map_err(unkept)?;
    Ok(instance)
}

type Events =
    futures_util::stream::BoxStream<'static, Result<crate::runtime::RuntimeEvent, RuntimeError>>;

async fn open_events(
    runtime: &SharedRuntime,
    arn: &str,
    limit: Duration,
) -> Result<Events, RuntimeError> {
    Hands::within(limit, runtime.events(labels::CONTAINER_INSTANCE_ARN, arn)).await
}

/// Passes on what the runtime sees. When the stream breaks it is opened again, and what was
/// missed is found by looking at every container.
async fn watch(
    runtime: SharedRuntime,
    arn: String,
    limit: Duration,
    mut stream: Events,
    events: mpsc::Sender<Event>,
) {
    loop {
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    if events.send(Event::Runtime(event)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the runtime's events broke");
                    break;
                }
            }
        }
        loop {
            sleep(limits::EVENTS_RETRY).await;
            let Ok(opened) = open_events(&runtime, &arn, limit).await else { continue };
            let list = runtime.list(labels::CONTAINER_INSTANCE_ARN, &arn);
            let Ok(found) = Hands::within(limit, list).await else { continue };
            stream = opened;
            if events.send(Event::Resync(found)).await.is_err() {
                return;
            }
            break;
        }
    }
}
