//! A runtime in memory: containers that run by rule, for tests and for agents without machines.
//!
//! Time is tokio's, so that a paused clock runs it as fast as it can be computed. It keeps what
//! Docker promises: names are unique, an exit is told once, a stopped container keeps its code.

mod behavior;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use longshore_domain::record::HealthStatus;
use longshore_domain::time::Timestamp;
use tokio::sync::{Notify, broadcast};

pub use behavior::{Behavior, Rule};

use super::types::{
    Bound, Cgroups, ContainerRequest, Description, ExecOutput, Image, Inspection, NetworkAddress,
    RegistryAuth, RuntimeError, RuntimeEvent, RuntimeState, Stats, VolumeRequest, What,
};
use super::{Call, Runtime};
use crate::clock;

/// Events that a slow listener may fall behind before its stream breaks.
const EVENT_BACKLOG: usize = 1024;

/// A runtime in memory. Clones share their containers, so that it outlives an agent.
#[derive(Clone, Debug)]
pub struct SimulatedRuntime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rules: Vec<Rule>,
    state: Mutex<State>,
    events: broadcast::Sender<(BTreeMap<String, String>, RuntimeEvent)>,
}

#[derive(Debug, Default)]
struct State {
    images: BTreeSet<String>,
    containers: BTreeMap<String, Container>,
    volumes: BTreeSet<String>,
    next_id: u64,
    next_port: u16,
    pulls: u64,
}

#[derive(Debug)]
struct Container {
    request: ContainerRequest,
    state: RuntimeState,
    health: HealthStatus,
    ports: Vec<Bound>,
    created_at: Timestamp,
    /// Told when it is to stop: the current run's life ends.
    stop: Arc<Notify>,
    /// Told when it has exited.
    exited: Arc<Notify>,
}

impl SimulatedRuntime {
    /// A runtime whose containers behave by the first rule that fits their image.
    pub fn new(rules: Vec<Rule>) -> Self {
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let state = Mutex::new(State { next_port: 32_768, ..State::default() });
        Self { inner: Arc::new(Inner { rules, state, events }) }
    }

    /// How many images were pulled.
    pub fn pulls(&self) -> u64 {
        self.inner.state().pulls
    }

    /// Every container as it stands, by name.
    pub fn containers(&self) -> Vec<Inspection> {
        let state = self.inner.state();
        state.containers.iter().map(|(id, container)| container.inspect(id)).collect()
    }

    /// What the running containers carry as `label`; those without it are passed over.
    pub fn running(&self, label: &str) -> Vec<String> {
        let state = self.inner.state();
        let running = |c: &&Container| matches!(c.state, RuntimeState::Running { .. });
        let containers = state.containers.values().filter(running);
        containers.filter_map(|c| c.request.labels.get(label).cloned()).collect()
    }

    /// The environment that a container was made with; empty when there is none of that id.
    pub fn environment(&self, id: &str) -> BTreeMap<String, String> {
        let state = self.inner.state();
        state.containers.get(id).map(|c| c.request.environment.clone()).unwrap_or_default()
    }

    /// Breaks every stream of events, as a restarted daemon does.
    pub fn break_events(&self) {
        for _ in 0..=EVENT_BACKLOG {
            let at = clock::now();
            let event = RuntimeEvent { id: String::new(), what: What::Started, at };
            // No listener, nothing to break.
            if self.inner.events.send((BTreeMap::new(), event)).is_err() {
                break;
            }
        }
    }

    /// Lets a container exit by itself.
    pub fn exit(&self, id: &str, code: i32) {
        self.inner.finish(id, code, false);
    }

    /// Lets a container's health check say something.
    pub fn set_health(&self, id: &str, health: HealthStatus) {
        self.inner.set_health(id, health);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behavior(&self, image: &str) -> Behavior {
        let rule = self.rules.iter().find(|rule| image.starts_with(&rule.image_prefix));
        rule.map(|rule| rule.behavior.clone()).unwrap_or_default()
    }

    fn tell(&self, container: &Container, id: &str, what: What) {
        let event = RuntimeEvent { id: id.to_owned(), what, at: clock::now() };
        // Without a listener there is nobody to tell.
        drop(self.events.send((container.request.labels.clone(), event)));
    }

    fn finish(&self, id: &str, code: i32, out_of_memory: bool) {
        let mut state = self.state();
        let Some(container) = state.containers.get_mut(id) else { return };
        let RuntimeState::Running { since } = container.state else { return };
        let at = clock::now();
        container.state =
            RuntimeState::Exited { since, at, code, out_of_memory, error: String::new() };
        container.health = HealthStatus::Unknown;
        container.exited.notify_waiters();
        let container = &state.containers[id];
        if out_of_memory {
            self.tell(container, id, What::OutOfMemory);
        }
        self.tell(container, id, What::Exited { code: Some(code) });
    }

    fn set_health(&self, id: &str, health: HealthStatus) {
        let mut state = self.state();
        if let Some(container) = state.containers.get_mut(id) {
            container.health = health;
            self.tell(container, id, What::Health(health));
        }
    }

    /// One run of a container, from its start to its exit.
    async fn live(self: Arc<Self>, id: String, behavior: Behavior, stop: Arc<Notify>) {
        let forever = Duration::from_secs(u64::from(u32::MAX));
        let life = behavior.exits_after.map_or(forever, |(after, _)| after);
        let healthy = behavior.healthy_after.map(|after| (after, HealthStatus::Healthy));
        let unhealthy = behavior.unhealthy_after.map(|after| (after, HealthStatus::Unhealthy));
        let mut checks: Vec<_> = healthy.into_iter().chain(unhealthy).collect();
        checks.retain(|(after, _)| *after < life);
        checks.sort_by_key(|(after, _)| *after);
        let run = async {
            let mut lived = Duration::ZERO;
            for (after, health) in checks {
                tokio::time::sleep(after.saturating_sub(lived)).await;
                self.set_health(&id, health);
                lived = after;
            }
            tokio::time::sleep(life.saturating_sub(lived)).await;
        };
        let code = tokio::select! {
            biased;
            () = stop.notified() => return,
            () = run => behavior.exits_after.map_or(0, |(_, code)| code),
        };
        self.finish(&id, code, behavior.out_of_memory);
    }
}

impl State {
    fn find(&self, id: &str) -> Option<(&String, &Container)> {
        let by_name = || self.containers.iter().find(|(_, c)| c.request.name == id);
        self.containers.get_key_value(id).or_else(by_name)
    }
}

impl Container {
    fn inspect(&self, id: &str) -> Inspection {
        let running = matches!(self.state, RuntimeState::Running { .. });
        let network = NetworkAddress {
            network: "bridge".into(),
            // One that a test can speak from, as if it were the container.
            ipv4: running.then(|| "127.0.3.2".into()),
            ipv6: None,
        };
        let mounts = self.request.binds.iter();
        Inspection {
            id: id.to_owned(),
            name: self.request.name.clone(),
            labels: self.request.labels.clone(),
            image_id: format!("sha256:{}", self.request.image),
            created_at: Some(self.created_at),
            state: self.state.clone(),
            health: self.health,
            health_output: None,
            health_exit_code: None,
            ports: self.ports.clone(),
            networks: vec![network],
            mounts: mounts.map(|b| (None, b.source.clone(), b.target.clone())).collect(),
            log_driver: "none".into(),
            log_options: BTreeMap::new(),
        }
    }
}

fn missing(id: &str) -> RuntimeError {
    RuntimeError::NotFound(format!("No such container: {id}"))
}

fn refusal(text: Option<String>) -> Result<(), RuntimeError> {
    text.map_or(Ok(()), |text| Err(RuntimeError::Refused(text)))
}

impl Runtime for SimulatedRuntime {
    fn describe(&self) -> Call<'_, Description> {
        Box::pin(async {
            Ok(Description {
                version: "simulated".into(),
                cpus: 4,
                memory_mib: 16_384,
                log_drivers: vec!["json-file".into(), "none".into()],
                volume_drivers: vec!["local".into()],
                cgroups: None::<Cgroups>,
                gateway: None,
            })
        })
    }

    fn pull<'a>(&'a self, image: &'a str, _auth: Option<&'a RegistryAuth>) -> Call<'a, ()> {
        Box::pin(async move {
            let behavior = self.inner.behavior(image);
            tokio::time::sleep(behavior.pull_delay).await;
            refusal(behavior.pull_fails)?;
            let mut state = self.inner.state();
            state.pulls += 1;
            state.images.insert(image.to_owned());
            Ok(())
        })
    }

    fn inspect_image<'a>(&'a self, image: &'a str) -> Call<'a, Option<Image>> {
        Box::pin(async move {
            let present = self.inner.state().images.contains(image);
            let present = present || self.inner.behavior(image).preloaded;
            Ok(present.then(|| Image {
                id: format!("sha256:{image}"),
                digest: Some(format!("sha256:digest-of-{image}")),
                ..Image::default()
            }))
        })
    }

    fn remove_image<'a>(&'a self, image: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.inner.state().images.remove(image);
            Ok(())
        })
    }

    fn create<'a>(&'a self, request: &'a ContainerRequest) -> Call<'a, String> {
        Box::pin(async move {
            let behavior = self.inner.behavior(&request.image);
            tokio::time::sleep(behavior.create_delay).await;
            refusal(behavior.create_fails)?;
            let mut state = self.inner.state();
            if !state.images.contains(&request.image) && !behavior.preloaded {
                return Err(RuntimeError::NotFound(format!("No such image: {}", request.image)));
            }
            if let Some((id, _)) = state.find(&request.name) {
                return Ok(id.clone());
            }
            state.next_id += 1;
            let id = format!("{:064x}", state.next_id);
            let mut ports = Vec::new();
            for port in &request.ports {
                let host_port = if port.host_port == 0 {
                    state.next_port += 1;
                    state.next_port
                } else {
                    port.host_port
                };
                ports.push(Bound {
                    container_port: port.container_port,
                    protocol: port.protocol.clone(),
                    host_ip: request.bind_address.clone().unwrap_or_else(|| "0.0.0.0".into()),
                    host_port,
                });
            }
            let container = Container {
                request: request.clone(),
                state: RuntimeState::Created,
                health: HealthStatus::Unknown,
                ports,
                created_at: clock::now(),
                stop: Arc::default(),
                exited: Arc::default(),
            };
            state.containers.insert(id.clone(), container);
            Ok(id)
        })
    }

    fn start<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            let image = match self.inner.state().containers.get(id) {
                Some(container) => container.request.image.clone(),
                None => return Err(missing(id)),
            };
            let behavior = self.inner.behavior(&image);
            tokio::time::sleep(behavior.start_delay).await;
            refusal(behavior.start_fails.clone())?;
            let stop = Arc::new(Notify::new());
            {
                let mut state = self.inner.state();
                let container = state.containers.get_mut(id).ok_or_else(|| missing(id))?;
                if matches!(container.state, RuntimeState::Running { .. }) {
                    return Ok(());
                }
                container.state = RuntimeState::Running { since: clock::now() };
                container.stop = Arc::clone(&stop);
                self.inner.tell(container, id, What::Started);
            }
            drop(tokio::spawn(Arc::clone(&self.inner).live(id.to_owned(), behavior, stop)));
            Ok(())
        })
    }

    fn stop<'a>(&'a self, id: &'a str, timeout: Duration) -> Call<'a, ()> {
        Box::pin(async move {
            let (image, stop) = match self.inner.state().containers.get(id) {
                Some(container) => (container.request.image.clone(), Arc::clone(&container.stop)),
                None => return Ok(()),
            };
            let behavior = self.inner.behavior(&image);
            refusal(behavior.stop_fails)?;
            if behavior.ignores_stop {
                tokio::time::sleep(timeout).await;
                self.inner.finish(id, 137, false);
            } else {
                tokio::time::sleep(behavior.stop_delay.min(timeout)).await;
                self.inner.finish(id, behavior.stop_code, false);
            }
            stop.notify_one();
            Ok(())
        })
    }

    fn kill<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.inner.finish(id, 137, false);
            if let Some(container) = self.inner.state().containers.get(id) {
                container.stop.notify_one();
            }
            Ok(())
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.inner.finish(id, 137, false);
            let removed = self.inner.state().containers.remove(id);
            if let Some(container) = removed {
                container.stop.notify_one();
                self.inner.tell(&container, id, What::Removed);
            }
            Ok(())
        })
    }

    fn inspect<'a>(&'a self, id: &'a str) -> Call<'a, Option<Inspection>> {
        Box::pin(async move {
            Ok(self.inner.state().find(id).map(|(id, container)| container.inspect(id)))
        })
    }

    fn list<'a>(&'a self, label: &'a str, value: &'a str) -> Call<'a, Vec<Inspection>> {
        Box::pin(async move {
            let state = self.inner.state();
            let mine = state.containers.iter().filter(|(_, container)| {
                container.request.labels.get(label).is_some_and(|found| found == value)
            });
            Ok(mine.map(|(id, container)| container.inspect(id)).collect())
        })
    }

    fn events<'a>(
        &'a self,
        label: &'a str,
        value: &'a str,
    ) -> Call<'a, BoxStream<'static, Result<RuntimeEvent, RuntimeError>>> {
        let (label, value) = (label.to_owned(), value.to_owned());
        Box::pin(async move {
            let receiver = self.inner.events.subscribe();
            let events = stream::unfold(receiver, move |mut receiver| {
                let (label, value) = (label.clone(), value.clone());
                async move {
                    loop {
                        match receiver.recv().await {
                            Ok((labels, event)) if labels.get(&label) == Some(&value) => {
                                return Some((Ok(event), receiver));
                            }
                            Ok(_) => {}
                            Err(_) => return None,
                        }
                    }
                }
            });
            Ok(events.boxed())
        })
    }

    fn stats<'a>(&'a self, id: &'a str) -> Call<'a, Option<Stats>> {
        Box::pin(async move {
            let state = self.inner.state();
            let Some(container) = state.containers.get(id) else { return Ok(None) };
            let RuntimeState::Running { since } = container.state else { return Ok(None) };
            let at = clock::now();
            let ran = at.saturating_since(since).as_nanos();
            Ok(Some(Stats {
                at,
                cpu_ns: u64::try_from(ran / 10).unwrap_or(u64::MAX),
                cpus: 4,
                memory_bytes: 1 << 20,
                ..Stats::default()
            }))
        })
    }

    fn logs<'a>(&'a self, _id: &'a str, _lines: u32) -> Call<'a, Vec<u8>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn exec<'a>(&'a self, id: &'a str, _command: &'a [String]) -> Call<'a, ExecOutput> {
        Box::pin(async move {
            match self.inner.state().containers.get(id) {
                Some(_) => Ok(ExecOutput { exit_code: Some(0), output: Vec::new() }),
                None => Err(missing(id)),
            }
        })
    }

    fn create_volume<'a>(&'a self, request: &'a VolumeRequest) -> Call<'a, ()> {
        Box::pin(async move {
            self.inner.state().volumes.insert(request.name.clone());
            Ok(())
        })
    }

    fn has_volume<'a>(&'a self, name: &'a str) -> Call<'a, bool> {
        Box::pin(async move { Ok(self.inner.state().volumes.contains(name)) })
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Call<'a, ()> {
        Box::pin(async move {
            self.inner.state().volumes.remove(name);
            Ok(())
        })
    }
}
