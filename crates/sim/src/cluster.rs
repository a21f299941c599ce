//! The cluster of a run: one server at a time, machines with one agent each, and whoever starts
//! them again when they die.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_agent::{AgentError, Config as AgentConfig, Host, api::Api};
use longshore_auth::{Account, Credentials, Open};
use longshore_domain::fidelity::Fidelity;
use longshore_domain::ids::{ClusterName, Scope};
use longshore_server::{Config, start_detached};
use longshore_store::{HistoryLimits, MemoryStore, StoreId};
use tokio::sync::watch;

use crate::images;
use crate::life::Life;
use crate::machine::Machine;
use crate::network::Net;
use crate::store::{Handle, Sabotage};
use crate::story::Story;
use crate::world;

use longshore_agent::runtime::SimulatedRuntime;

/// CPU units and MiB of memory of every machine.
pub const MACHINE: (u32, u32) = (1024, 1024);
/// Where clients find the server.
const ENDPOINT: &str = "http://server";

/// A simulated cluster. Clones are the same cluster.
#[derive(Clone)]
pub struct Cluster {
    /// What is true.
    pub store: Arc<MemoryStore>,
    /// What connects its parts.
    pub net: Net,
    /// What happened.
    pub story: Story,
    /// Its machines.
    pub machines: Arc<Vec<Machine>>,
    lives: Arc<Mutex<BTreeMap<String, Life>>>,
    power: Arc<BTreeMap<String, watch::Sender<bool>>>,
    fidelity: Fidelity,
    sabotage: Option<Sabotage>,
}

/// The account and region of a run.
pub fn scope() -> Scope {
    let (account, region) = ("000000000000", "us-east-1");
    Scope {
        account: account.parse().expect("an account"),
        region: region.parse().expect("a region"),
    }
}

/// The only cluster's name.
pub fn name() -> ClusterName {
    "default".parse().expect("a name")
}

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIDSIMULATED".to_owned(),
        secret_access_key: "secret".to_owned(),
        session_token: None,
    }
}

impl Cluster {
    /// A cluster of `machines` in two availability zones; its processes start now.
    pub fn start(machines: usize, fidelity: Fidelity, sabotage: Option<Sabotage>) -> Self {
        let machine = |number: usize| {
            let zone = if number.is_multiple_of(2) { "us-east-1b" } else { "us-east-1a" };
            let runtime = SimulatedRuntime::new(images::rules());
            Machine::new(&format!("i-{number}"), zone, runtime)
        };
        let machines: Vec<Machine> = (1..=machines).map(machine).collect();
        let power = machines.iter().map(|m| (m.name.clone(), watch::Sender::new(true))).collect();
        let history = HistoryLimits { batches: usize::MAX, bytes: usize::MAX };
        let cluster = Self {
            store: Arc::new(MemoryStore::new(StoreId(1), history)),
            net: Net::default(),
            story: Story::default(),
            machines: Arc::new(machines),
            lives: Arc::default(),
            power: Arc::new(power),
            fidelity,
            sabotage,
        };
        tokio::spawn(cluster.clone().keep_server());
        for machine in cluster.machines.iter() {
            tokio::spawn(cluster.clone().keep_agent(machine.clone()));
        }
        cluster
    }

    /// A client of the API.
    pub fn client(&self) -> Api {
        let leg = Arc::new(self.net.on("client", &Life::default()));
        Api::connect_over(leg, ENDPOINT, "us-east-1", credentials()).expect("a URL")
    }

    /// The life of the process of that name, `server` or a machine's.
    pub fn life(&self, process: &str) -> Option<Life> {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.get(process).cloned()
    }

    /// Switches a machine off or on.
    pub fn set_power(&self, machine: &Machine, on: bool) {
        if let Some(power) = self.power.get(&machine.name) {
            power.send_replace(on);
        }
        if !on {
            if let Some(life) = self.life(&machine.name) {
                life.end();
            }
            machine.lose_power();
        }
    }

    /// Whether a machine is on.
    pub fn has_power(&self, machine: &Machine) -> bool {
        self.power.get(&machine.name).is_some_and(|power| *power.borrow())
    }

    fn born(&self, process: &str) -> Life {
        let life = Life::default();
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.insert(process.to_owned(), life.clone());
        life
    }

    async fn keep_server(self) {
        loop {
            let life = self.born("server");
            let store = Handle::new(Arc::clone(&self.store), life.clone(), self.sabotage);
            let config = Config {
                listen: ([127, 0, 0, 1], 0).into(),
                tls: None,
                region: scope().region,
                identity: Box::new(Open::new(Account::default())),
                open: true,
                retention: longshore_server::Retention::default(),
                fidelity: self.fidelity,
                event_webhook: None,
                throttle: false,
            };
            let started = async {
                let server = start_detached(config, Arc::new(store)).await;
                let server = server.expect("the memory store can be read");
                server.ensure_cluster(&scope(), name()).await.expect("the cluster can be made");
                server
            };
            let server = tokio::select! {
                biased;
                () = life.ended() => None,
                server = started => Some(server),
            };
            if let Some(server) = server {
                self.story.tell("the server answers");
                self.net.set_server(Some((server.clone(), life.clone())));
                life.ended().await;
                self.net.set_server(None);
                server.stop();
            }
            self.story.tell("the server is dead");
            tokio::time::sleep(pause()).await;
        }
    }

    async fn keep_agent(self, machine: Machine) {
        let Some(mut power) = self.power.get(&machine.name).map(watch::Sender::subscribe) else {
            return;
        };
        loop {
            // The sender lives as long as the cluster.
            let _ = power.wait_for(|on| *on).await;
            let life = self.born(&machine.name);
            let host = Host {
                runtime: machine.runtime(&life),
                disk: machine.disk(&life),
                network: Arc::new(self.net.on(&machine.name, &life)),
            };
            let config = agent_config(&machine);
            let agent = longshore_agent::run_on(config, host, life.ended());
            let result = Box::pin(agent).await;
            if let Err(error) = result {
                self.story.tell(format!("the agent of {} gives up: {error}", machine.name));
                if matches!(error, AgentError::Register(_)) {
                    self.story.tell(format!("{} is set up anew", machine.name));
                    machine.set_up_anew();
                }
            } else {
                self.story.tell(format!("the agent of {} is dead", machine.name));
            }
            life.end();
            tokio::time::sleep(pause()).await;
        }
    }
}

/// How long it takes until somebody starts a process again.
fn pause() -> Duration {
    if world::faulty() { world::millis(100..20_000) } else { Duration::from_millis(500) }
}

fn agent_config(machine: &Machine) -> AgentConfig {
    let mut config =
        AgentConfig::new(ENDPOINT, "us-east-1", credentials(), name().as_str(), &machine.name);
    config.name = Some(machine.name.clone());
    config.availability_zone = Some(machine.zone.clone());
    config.cpu_units = Some(MACHINE.0);
    config.memory_mib = Some(MACHINE.1);
    config.endpoints = false;
    config.attributes.insert("machine".to_owned(), machine.name.clone());
    config
}
