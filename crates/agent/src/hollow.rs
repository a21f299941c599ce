//! Hollow agents: many agents in one process that run nothing, for load tests and for planning.
//!
//! A control plane cannot tell them from real ones: each registers, asks where to connect, keeps its
//! sessions, acknowledges, answers manifests, reports the states of its tasks and publishes
//! their metrics, over connections of its own and with the back-off of a real agent. What an agent
//! would send, it sends; only the containers are made up.
//!
//! What it leaves out: an agent's disk (who ends and comes back is a new instance), images and
//! everything else on the machine. The real engine over a simulated runtime is in the simulator.

mod instance;
mod network;
mod orders;
mod task;
mod telemetry;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_auth::Credentials;
use longshore_wire::ecs::{self, op};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::instance::Instance;
use crate::session::acs::Shared;
use crate::{AgentError, ApiError, Trust, api, limits};

/// What the agents are like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URL of the control plane.
    pub endpoint: String,
    /// Region.
    pub region: String,
    /// Keys of the instance role.
    pub credentials: Credentials,
    /// Cluster to join.
    pub cluster: String,
    /// How many there are.
    pub count: u32,
    /// CPU units of each instance.
    pub cpu_units: u32,
    /// Memory in MiB of each instance.
    pub memory_mib: u32,
    /// Availability zones that they are spread over.
    pub zones: u32,
    /// How long a container takes to start, and to stop.
    pub start_delay: Duration,
    /// Share of the tasks that cannot start, from 0 to 1.
    pub failure_rate: f64,
    /// Share of the running tasks that exit by themselves each minute, from 0 to 1.
    pub exit_rate: f64,
    /// Whether they publish metrics and health. Without, an agent has one session, as the official one has
    /// with `ECS_DISABLE_METRICS` and `ECS_DISABLE_DOCKER_HEALTH_CHECK`.
    pub telemetry: bool,
    /// Whether the instances are deregistered in the end.
    pub deregister: bool,
    /// Whom they take for the control plane.
    pub trust: Trust,
}

/// How the agents are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Agents that have registered.
    pub registered: u64,
    /// Agents whose ACS session is open.
    pub connected: u64,
    /// Tasks that were accepted and do not run yet.
    pub starting: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that were accepted, ever.
    pub accepted: u64,
    /// Tasks that came to run, ever.
    pub started: u64,
    /// Tasks that could not start, ever.
    pub failed: u64,
    /// Tasks that exited by themselves, ever.
    pub exited: u64,
    /// Tasks that ended in any way, ever.
    pub stopped: u64,
    /// Reports that were acknowledged, ever.
    pub reports: u64,
}

#[derive(Debug, Default)]
struct Counts {
    registered: AtomicU64,
    accepted: AtomicU64,
    started: AtomicU64,
    failed: AtomicU64,
    exited: AtomicU64,
    stopped: AtomicU64,
    /// Tasks that had come to run when they stopped.
    ran: AtomicU64,
    reports: AtomicU64,
}

/// Counts one more.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Agents that run nothing.
#[derive(Debug)]
pub struct Fleet {
    options: Options,
    tls: Arc<rustls::ClientConfig>,
    counts: Counts,
    /// What is known of the sessions, by agent.
    sessions: Mutex<Vec<Arc<Shared>>>,
    /// ARNs of the instances.
    arns: Mutex<Vec<String>>,
    /// Bounds those that register at the same time.
    joining: Semaphore,
}

impl Fleet {
    /// Agents that have not been started.
    ///
    /// # Errors
    /// [`AgentError::Tls`].
    pub fn new(options: Options) -> Result<Self, AgentError> {
        Ok(Self {
            tls: options.trust.tls()?,
            options,
            counts: Counts::default(),
            sessions: Mutex::default(),
            arns: Mutex::default(),
            joining: Semaphore::new(limits::HOLLOW_JOINING),
        })
    }

    /// Runs all agents until `shutdown` is ready.
    ///
    /// # Errors
    /// The control plane refuses to register them.
    pub async fn run(
        self: &Arc<Self>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), AgentError> {
        let mut agents = JoinSet::new();
        for number in 0..self.options.count {
            agents.spawn(Instance::run(Arc::clone(self), number));
        }
        tokio::pin!(shutdown);
        let mut result = Ok(());
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                // An agent ends only when it is refused.
                ended = agents.join_next() => match ended {
                    Some(Ok(Err(error))) => {
                        result = Err(error);
                        break;
                    }
                    Some(_) => {}
                    None => break,
                },
            }
        }
        agents.shutdown().await;
        if self.options.deregister {
            self.deregister().await?;
        }
        result
    }

    /// How they are doing.
    pub fn status(&self) -> Status {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        // In the order in which a task comes by, the last first, so that no difference is negative.
        let (ran, stopped) = (read(&counts.ran), read(&counts.stopped));
        let (exited, failed) = (read(&counts.exited), read(&counts.failed));
        let (started, accepted) = (read(&counts.started), read(&counts.accepted));
        let connected = |shared: &&Arc<Shared>| shared.connected.load(Ordering::Relaxed);
        let connected = lock(&self.sessions).iter().filter(connected).count();
        Status {
            registered: read(&counts.registered),
            connected: u64::try_from(connected).unwrap_or(u64::MAX),
            starting: accepted.saturating_sub(started + (stopped - ran)),
            running: started.saturating_sub(ran),
            accepted,
            started,
            failed,
            exited,
            stopped,
            reports: read(&counts.reports),
        }
    }

    /// Takes the instances out of the cluster, with whatever tasks they have.
    async fn deregister(&self) -> Result<(), AgentError> {
        let Options { endpoint, region, credentials, cluster, trust, .. } = &self.options;
        let api = api::Api::connect(endpoint, region, credentials.clone(), trust)?;
        let arns = std::mem::take(&mut *lock(&self.arns));
        let mut calls = JoinSet::new();
        for arn in arns {
            if calls.len() >= limits::HOLLOW_JOINING {
                ended(calls.join_next().await)?;
            }
            let (api, cluster) = (api.clone(), cluster.clone());
            calls.spawn(async move {
                let input = ecs::DeregisterContainerInstanceRequest {
                    cluster: Some(cluster),
                    container_instance: arn,
                    force: Some(true),
                };
                api.call::<op::DeregisterContainerInstance>(&input).await.map(drop)
            });
        }
        while let Some(call) = calls.join_next().await {
            ended(Some(call))?;
        }
        Ok(())
    }
}

type Ended = Result<Result<(), ApiError>, tokio::task::JoinError>;

fn ended(call: Option<Ended>) -> Result<(), AgentError> {
    match call {
        Some(Ok(Err(error))) => Err(AgentError::Deregister(error)),
        _ => Ok(()),
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves plain lists and counts usable.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
