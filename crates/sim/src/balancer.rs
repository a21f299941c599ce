//! Nodes of balancers: they follow the routing snapshot, probe, send requests to targets, and report,
//! as `longshore lb` does. What they truly know and have under way is here for checkers to see.
//!
//! What is simple about them: a target is well if a container is bound to its port, and a node that
//! starts again has forgotten what it served.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_agent::api::Api;
use longshore_domain::route::{
    Health, HealthReason, HealthState, Outcome, Probe, Report, Snapshot, TargetReport,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::life::Life;
use crate::machine::Machine;
use crate::world;

/// A node that says nothing for so long is gone.
pub const SILENCE: Duration = Duration::from_secs(35);
/// Time between two whole reports.
const WHOLE: Duration = Duration::from_secs(10);
/// Time for a report.
const TELL: Duration = Duration::from_secs(5);
/// Time for a question for routing.
const POLL: Duration = Duration::from_secs(35);
/// Time between two probes of all targets.
const PROBE: Duration = Duration::from_secs(2);
/// Time that an older snapshot is not believed.
const GOES_BACK: Duration = Duration::from_secs(60);

/// Group, id and port of a target.
pub type Key = (String, String, u16);

/// All nodes. Clones are the same nodes.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    alive: Arc<Mutex<BTreeMap<String, Node>>>,
}

/// A node as it truly is.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The number that it drew.
    pub id: u64,
    /// When it began to send its last report that was taken in, since the run began.
    pub told_at: Option<Duration>,
    /// The targets that it knows, and those to which something is under way.
    pub targets: BTreeMap<Key, Flow>,
    version: u64,
}

/// What a node has to do with a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Whether it sends nothing new.
    pub leaves: bool,
    /// Requests under way.
    pub in_flight: u32,
    health: Option<Health>,
}

impl Nodes {
    fn alive(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes that live.
    pub fn all(&self) -> BTreeMap<String, Node> {
        self.alive().clone()
    }

    fn with<T>(&self, name: &str, id: u64, act: impl FnOnce(&mut Node) -> T) -> Option<T> {
        self.alive().get_mut(name).filter(|node| node.id == id).map(act)
    }
}

/// Lets a node live, die, and begin anew.
pub async fn keep(cluster: Cluster, name: String) {
    loop {
        let life = cluster.born(&name);
        let id = u64::try_from(world::bits() >> 65).unwrap_or(1);
        cluster.nodes.alive().insert(name.clone(), Node { id, ..Node::default() });
        cluster.story.tell(format!("{name} serves"));
        let one = One {
            apis: cluster.each_server(&name, &life),
            cluster: cluster.clone(),
            name: name.clone(),
            id,
            life: life.clone(),
            news: Arc::default(),
        };
        tokio::select! {
            biased;
            () = life.ended() => {}
            _ = one.follow() => {}
            _ = one.report() => {}
            _ = one.probe() => {}
            _ = one.serve() => {}
        }
        cluster.nodes.alive().remove(&name);
        cluster.story.tell(format!("{name} is dead"));
        sleep(crate::cluster::pause()).await;
    }
}

/// One life of a node.
struct One {
    cluster: Cluster,
    name: String,
    id: u64,
    life: Life,
    apis: Vec<Api>,
    news: Arc<Notify>,
}

impl One {
    fn node<T>(&self, act: impl FnOnce(&mut Node) -> T) -> Option<T> {
        self.cluster.nodes.with(&self.name, self.id, act)
    }

    /// Follows the snapshot.
    async fn follow(&self) -> Infallible {
        let (mut server, mut older_since) = (0_usize, None);
        loop {
            let after = self.node(|node| node.version).unwrap_or_default();
            let path = format!("balancers/routing?after={after}");
            let api = &self.apis[server % self.apis.len()];
            let asking = timeout(POLL, api.operator_with("GET", &path, Vec::new()));
            let Ok(Ok(answer)) = asking.await else {
                server += 1;
                sleep(world::millis(100..3_000)).await;
                continue;
            };
            let Ok(snapshot) = serde_json::from_slice::<Snapshot>(&answer) else {
                older_since = None;
                continue;
            };
            if snapshot.version < after {
                let since = *older_since.get_or_insert_with(world::elapsed);
                if world::elapsed() < since + GOES_BACK {
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
            older_since = None;
            self.life.step().await;
            self.apply(&snapshot);
        }
    }

    fn apply(&self, snapshot: &Snapshot) {
        self.node(|node| {
            node.version = snapshot.version;
            // What is no target any more may still have something under way.
            node.targets.retain(|_, flow| flow.in_flight > 0);
            node.targets.values_mut().for_each(|flow| flow.leaves = true);
            for group in &snapshot.groups {
                for target in &group.targets {
                    let key = (group.arn.clone(), target.id.clone(), target.port);
                    let flow = node.targets.entry(key).or_default();
                    flow.leaves = target.deregistered_at.is_some();
                    if flow.leaves {
                        flow.health = Some(Health {
                            state: HealthState::Draining,
                            reason: Some(HealthReason::DeregistrationInProgress),
                            description: None,
                            since: target.deregistered_at.unwrap_or_default(),
                        });
                    }
                }
            }
        });
        self.news.notify_one();
    }

    /// Sends requests to targets, each of which takes a while.
    async fn serve(&self) -> Infallible {
        loop {
            sleep(world::millis(50..1_000)).await;
            let taken = self.node(|node| {
                let open: Vec<Key> = node
                    .targets
                    .iter()
                    .filter(|(_, flow)| !flow.leaves)
                    .map(|(key, _)| key.clone())
                    .collect();
                let key = (!open.is_empty()).then(|| world::one_of(&open).clone())?;
                node.targets.get_mut(&key)?.in_flight += 1;
                Some(key)
            });
            let Some(key) = taken.flatten() else { continue };
            let (nodes, name, id) = (self.cluster.nodes.clone(), self.name.clone(), self.id);
            let news = Arc::clone(&self.news);
            tokio::spawn(async move {
                sleep(world::millis(5..6_000)).await;
                nodes.with(&name, id, |node| {
                    if let Some(flow) = node.targets.get_mut(&key) {
                        flow.in_flight = flow.in_flight.saturating_sub(1);
                    }
                });
                news.notify_one();
            });
        }
    }

    /// Probes all targets now and then.
    async fn probe(&self) -> Infallible {
        loop {
            sleep(PROBE).await;
            let machines = Arc::clone(&self.cluster.machines);
            let changed = self.node(|node| {
                let mut changed = false;
                for ((_, _, port), flow) in node.targets.iter_mut().filter(|(_, f)| !f.leaves) {
                    let found = health(&machines, *port);
                    if flow.health.as_ref().map(|known| known.state) != Some(found.state) {
                        flow.health = Some(found);
                        changed = true;
                    }
                }
                changed
            });
            if changed == Some(true) {
                self.news.notify_one();
            }
        }
    }

    /// Reports what is new at once, and everything now and then.
    async fn report(&self) -> Infallible {
        let mut told: BTreeMap<Key, (Option<Health>, u32)> = BTreeMap::new();
        let (mut server, mut whole_at) = (0_usize, tokio::time::Instant::now());
        loop {
            tokio::select! {
                biased;
                () = self.news.notified() => {}
                () = tokio::time::sleep_until(whole_at) => {}
            }
            if tokio::time::Instant::now() >= whole_at {
                told.clear();
                whole_at = tokio::time::Instant::now() + WHOLE;
            }
            self.life.step().await;
            let began = world::elapsed();
            let Some(report) = self.node(|node| collect(node, &mut told)) else { continue };
            let body = serde_json::to_vec(&report).unwrap_or_default();
            let api = &self.apis[server % self.apis.len()];
            let telling = timeout(TELL, api.operator_with("POST", "balancers/report", body));
            if let Ok(Ok(_)) = telling.await {
                self.node(|node| node.told_at = Some(began));
            } else {
                server += 1;
                told.clear();
                whole_at = tokio::time::Instant::now() + Duration::from_secs(1);
                sleep(world::millis(100..500)).await;
            }
        }
    }
}

fn collect(node: &Node, told: &mut BTreeMap<Key, (Option<Health>, u32)>) -> Report {
    let mut targets = Vec::new();
    for (key, flow) in &node.targets {
        let Some(health) = flow.health.clone() else { continue };
        let mark = (flow.health.clone(), if flow.leaves { flow.in_flight } else { 0 });
        if told.get(key) == Some(&mark) {
            continue;
        }
        told.insert(key.clone(), mark);
        let passed = health.state == HealthState::Healthy;
        let outcome = if passed { Outcome::Passed(Some(200)) } else { Outcome::Refused };
        targets.push(TargetReport {
            group: key.0.clone(),
            id: key.1.clone(),
            port: key.2,
            probe: (!flow.leaves).then_some(Probe { at: health.since, took_ms: 1, outcome }),
            health,
            in_flight: flow.in_flight,
        });
    }
    Report { node: node.id, version: node.version, targets, ..Report::default() }
}

/// Whether anybody listens on a port; ports of different machines differ.
fn health(machines: &[Machine], port: u16) -> Health {
    let mut running = machines.iter().flat_map(Machine::running);
    let listens = running.any(|one| one.ports.iter().any(|bound| bound.host_port == port));
    let (state, reason) = if listens {
        (HealthState::Healthy, None)
    } else {
        (HealthState::Unhealthy, Some(HealthReason::FailedHealthChecks))
    };
    Health { state, reason, description: None, since: world::now() }
}
