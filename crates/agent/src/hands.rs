//! What the engine does to the world: each call runs on its own, within its time, and ends in an
//! event for the engine.

mod create;
mod start;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_domain::task::{ContainerIndex, Event as TaskEvent, Exit, Reason};
use longshore_wire::agent::RoleCredentials;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::api::Api;
use crate::cgroup::TaskLimits;
use crate::engine::{Event, Fact, TaskKey};
use crate::images::Images;
use crate::ports::PortRanges;
use crate::runtime::{Call, Inspection, RegistryAuth, RuntimeError, RuntimeState, SharedRuntime};
use crate::task::Surroundings;
use crate::{Config, clock, limits};

pub(crate) use create::CreateJob;
pub(crate) use start::StartJob;

/// Everything that calls need; shared by all of them.
pub(crate) struct Hands {
    pub(crate) runtime: SharedRuntime,
    pub(crate) api: Api,
    pub(crate) config: Arc<Config>,
    pub(crate) surroundings: Surroundings,
    pub(crate) images: Images,
    pub(crate) limits: TaskLimits,
    pub(crate) ports: PortRanges,
    /// Bounds the calls that make and start containers.
    pub(crate) calls: Arc<Semaphore>,
    /// Bounds the reports in flight.
    pub(crate) reports: Semaphore,
    /// Memory that was registered, in MiB.
    pub(crate) memory_mib: u64,
    pub(crate) events: mpsc::Sender<Event>,
    /// Wakes whoever publishes the health of tasks: that of a container has changed.
    pub(crate) health_changed: Notify,
    /// Calls under way; they end with the agent.
    pub(crate) under_way: Mutex<JoinSet<()>>,
}

/// The right to make or start a container now.
#[derive(Debug)]
pub(crate) struct Turn(
    #[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>,
);

/// An image to get.
#[derive(Debug)]
pub(crate) struct PullJob {
    pub(crate) image: String,
    pub(crate) auth: Option<longshore_wire::agent::RegistryAuthentication>,
    pub(crate) execution_role: Option<RoleCredentials>,
}

/// Ends the calls that are under way when the agent ends.
pub(crate) struct EndWithAgent(pub(crate) Arc<Hands>);

impl Drop for EndWithAgent {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

impl Hands {
    /// Lets something run beside the engine.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        under_way.spawn(work)
    }

    /// Tells the engine how a call ended. Without an engine there is nobody to tell.
    pub(crate) async fn tell(&self, task: &TaskKey, fact: Option<Fact>, event: TaskEvent) {
        let outcome = Event::Outcome { task: Arc::clone(task), fact, event };
        drop(self.events.send(outcome).await);
    }

    /// Waits for a turn to make or start a container. Whoever has made one keeps the turn and
    /// starts it, so that the first of many tasks run before the last are made.
    pub(crate) async fn turn(&self) -> Turn {
        // Never closed; without a permit there would merely be no bound.
        Turn(Arc::clone(&self.calls).acquire_owned().await.ok())
    }

    /// A call that must end in time.
    pub(crate) async fn within<T>(limit: Duration, call: Call<'_, T>) -> Result<T, RuntimeError> {
        timeout(limit, call).await.unwrap_or(Err(RuntimeError::TimedOut(limit)))
    }

    /// Gets an image; the handle breaks it off.
    pub(crate) fn pull(
        self: &Arc<Self>,
        task: TaskKey,
        index: ContainerIndex,
        job: PullJob,
    ) -> AbortHandle {
        let hands = Arc::clone(self);
        let pull = async move {
            let result = match hands.login(&job).await {
                Ok(auth) => hands.images.ensure(&job.image, auth.as_ref()).await,
                Err(reason) => Err(reason),
            };
            match result {
                Ok(ready) => {
                    let fact = Fact::Image(index, ready.image);
                    let event = TaskEvent::Pulled(index, ready.pulled_since);
                    hands.tell(&task, Some(fact), event).await;
                }
                Err(reason) => {
                    hands.tell(&task, None, TaskEvent::PullFailed(index, reason)).await;
                }
            }
        };
        self.spawn(pull)
    }

    async fn login(&self, job: &PullJob) -> Result<Option<RegistryAuth>, Reason> {
        if let Some(auth) = &job.auth {
            let role = job.execution_role.as_ref();
            return crate::secrets::registry_login(&self.api, auth, &job.image, role).await;
        }
        let host = registry_host(&job.image);
        Ok(self.config.engine_auth.iter().find(|auth| auth.server == host).cloned())
    }

    /// Stops a container and tells how it ended.
    pub(crate) fn stop(
        self: &Arc<Self>,
        task: TaskKey,
        index: ContainerIndex,
        id: String,
        patience: Duration,
    ) {
        let hands = Arc::clone(self);
        self.spawn(async move {
            let limit = patience + limits::STOP_MARGIN;
            let stopped = Self::within(limit, hands.runtime.stop(&id, patience)).await;
            hands.ended(&task, index, &id, stopped).await;
        });
    }

    /// Kills a container and tells how it ended.
    pub(crate) fn kill(self: &Arc<Self>, task: TaskKey, index: ContainerIndex, id: String) {
        let hands = Arc::clone(self);
        self.spawn(async move {
            let limit = hands.config.timeouts.inspect;
            let killed = Self::within(limit, hands.runtime.kill(&id)).await;
            hands.ended(&task, index, &id, killed).await;
        });
    }

    /// Makes sure that nothing of a container runs whose start failed.
    pub(crate) fn discard(self: &Arc<Self>, id: String) {
        let hands = Arc::clone(self);
        self.spawn(async move {
            let limit = hands.config.timeouts.inspect;
            if let Err(error) = Self::within(limit, hands.runtime.kill(&id)).await {
                tracing::warn!(container = id, %error, "cannot make sure that it does not run");
            }
        });
    }

    /// Looks at a container that exited and tells how; `code` is what its exit event said. The
    /// runtime may learn only after a while that it was for lack of memory.
    pub(crate) fn examine(
        self: &Arc<Self>,
        task: TaskKey,
        index: ContainerIndex,
        id: String,
        code: Option<i32>,
    ) {
        let hands = Arc::clone(self);
        self.spawn(async move {
            let limit = hands.config.timeouts.inspect;
            let look = || async {
                let found = Self::within(limit, hands.runtime.inspect(&id)).await;
                found.ok().flatten().as_ref().and_then(exit)
            };
            let mut exit = look().await;
            if exit.as_ref().is_some_and(|exit| exit.reason.is_none()) {
                tokio::time::sleep(limits::MEMORY_GRACE).await;
                exit = look().await;
            }
            let unseen = Exit { code, reason: None, at: clock::now() };
            let event = TaskEvent::Exited(index, exit.unwrap_or(unseen));
            hands.tell(&task, None, event).await;
        });
    }

    async fn ended(
        &self,
        task: &TaskKey,
        index: ContainerIndex,
        id: &str,
        result: Result<(), RuntimeError>,
    ) {
        let limit = self.config.timeouts.inspect;
        let event = match result {
            Err(error) => {
                let reason = named("CannotStopContainerError", &error);
                TaskEvent::StopFailed(index, reason)
            }
            Ok(()) => match Self::within(limit, self.runtime.inspect(id)).await {
                Ok(None) => TaskEvent::Vanished(index),
                Ok(Some(found)) => {
                    let runs = "the container runs although it was stopped";
                    let reason = Reason::new("CannotStopContainerError", runs);
                    exit(&found).map_or(TaskEvent::StopFailed(index, reason), |exit| {
                        TaskEvent::Exited(index, exit)
                    })
                }
                Err(error) => {
                    let reason = named("CannotInspectContainerError", &error);
                    TaskEvent::StopFailed(index, reason)
                }
            },
        };
        self.tell(task, None, event).await;
    }
}

/// The reason of a container that took more memory than it may.
pub(crate) fn out_of_memory() -> Reason {
    Reason::new("OutOfMemoryError", "Container killed due to memory usage")
}

/// How a container ended, if it has.
pub(crate) fn exit(found: &Inspection) -> Option<Exit> {
    let RuntimeState::Exited { at, code, out_of_memory: killed, .. } = &found.state else {
        return None;
    };
    let reason = killed.then(out_of_memory);
    Some(Exit { code: Some(*code), reason, at: *at })
}

/// The reason for a failed call; one that did not answer has a name of its own.
pub(crate) fn named(name: &str, error: &RuntimeError) -> Reason {
    match error {
        RuntimeError::TimedOut(_) => Reason::new("DockerTimeoutError", error.to_string()),
        _ => Reason::new(name, error.to_string()),
    }
}

/// The registry that an image reference names.
fn registry_host(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}
