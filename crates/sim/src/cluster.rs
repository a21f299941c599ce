//! The cluster of a run: servers, machines with one agent each, and whoever starts them again when
//! they die.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use longshore_agent::{AgentError, Config as AgentConfig, Host, api::Api};
use longshore_auth::{Account, Credentials, Open};
use longshore_domain::fidelity::Fidelity;
use longshore_domain::ids::{ClusterName, Scope};
use longshore_server::{Config, Identity, Membership, start_detached};
use longshore_store::{HistoryLimits, MemoryStore, Store, StoreId, StoreRevision};
use tokio::sync::watch;

use crate::balancer::{self, Nodes};
use crate::images;
use crate::life::Life;
use crate::machine::Machine;
use crate::network::Net;
use crate::store::{Handle, Ledger, Process, Sabotage};
use crate::story::Story;
use crate::world;

use longshore_agent::runtime::SimulatedRuntime;

/// CPU units and MiB of memory of every machine.
pub const MACHINE: (u32, u32) = (1024, 1024);

/// Key that says which server leads.
pub const OFFICE: &str = "/longshore/leadership/control-plane";

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
    /// Names of its servers.
    pub servers: Arc<Vec<String>>,
    /// Which process has made which transaction.
    pub ledger: Ledger,
    /// Names of its nodes of balancers.
    pub balancers: Arc<Vec<String>>,
    /// Those of them that live.
    pub nodes: Nodes,
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
    pub fn start(
        machines: usize,
        servers: usize,
        balancers: usize,
        fidelity: Fidelity,
        sabotage: Option<Sabotage>,
    ) -> Self {
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
            servers: Arc::new((1..=servers).map(server_name).collect()),
            ledger: Ledger::default(),
            balancers: Arc::new((1..=balancers).map(|number| format!("lb-{number}")).collect()),
            nodes: Nodes::default(),
            fidelity,
            sabotage,
        };
        for name in cluster.servers.iter() {
            tokio::spawn(cluster.clone().keep_server(name.clone()));
        }
        for machine in cluster.machines.iter() {
            tokio::spawn(cluster.clone().keep_agent(machine.clone()));
        }
        for name in cluster.balancers.iter() {
            tokio::spawn(balancer::keep(cluster.clone(), name.clone()));
        }
        cluster
    }

    /// A client of each server, as a process has it.
    pub(crate) fn each_server(&self, process: &str, life: &Life) -> Vec<Api> {
        let client = |server: &String| {
            let leg = Arc::new(self.net.on(process, life));
            Api::connect_over(leg, &url_of(server), "us-east-1", credentials()).expect("a URL")
        };
        self.servers.iter().map(client).collect()
    }

    /// A client of the API.
    pub fn client(&self) -> Api {
        let leg = Arc::new(self.net.on("client", &Life::default()));
        Api::connect_over(leg, &self.endpoints(), "us-east-1", credentials()).expect("URLs")
    }

    /// Where clients find the servers.
    fn endpoints(&self) -> String {
        self.servers.iter().map(|name| url_of(name)).collect::<Vec<_>>().join(",")
    }

    /// The life of the process of that name, a server's or a machine's.
    pub fn life(&self, process: &str) -> Option<Life> {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.get(process).cloned()
    }

    /// The server that leads, as the store says; it may be dead.
    pub fn leader(&self) -> Option<String> {
        let office = self.store.get(OFFICE).now_or_never()?.ok()??;
        let called = self.author(office.mod_revision)?;
        called.split_once('#').map(|(name, _)| name.to_owned())
    }

    /// The life of a process that made a transaction.
    pub fn author(&self, revision: StoreRevision) -> Option<String> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.get(&revision).cloned()
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

    pub(crate) fn born(&self, process: &str) -> Life {
        let life = Life::default();
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.insert(process.to_owned(), life.clone());
        life
    }

    async fn keep_server(self, name: String) {
        let the = if self.servers.len() == 1 { "the " } else { "" };
        for number in 1.. {
            let life = self.born(&name);
            if self.servers.len() == 1 {
                // As a store does that one process owns, when it is opened.
                self.store.end_leases();
            }
            let process = Process { name: name.clone(), called: format!("{name}#{number}"), life };
            let life = &process.life;
            let handle =
                Handle::new(&self.store, &self.net, process.clone(), &self.ledger, self.sabotage);
            let config = Config {
                listen: ([127, 0, 0, 1], 0).into(),
                tls: longshore_server::Tls::Off,
                region: scope().region,
                identity: Identity::Given(Box::new(Open::new(Account::default()))),
                identity_key: None,
                open: true,
                retention: longshore_server::Retention::default(),
                fidelity: self.fidelity,
                connections: longshore_domain::limits::CONNECTIONS,
                event_webhook: None,
                membership: Membership {
                    name: name.clone(),
                    advertise: Some(url_of(&name)),
                    network: Arc::new(self.net.on(&name, life)),
                },
                throttle: false,
                balancer_addresses: "127.0.2.0/24".parse().expect("a block"),
                role_life: longshore_server::ROLE_LIFE,
                audit: None,
            };
            let started = async {
                let server = start_detached(config, Arc::new(handle)).await.ok()?;
                server.ensure_cluster(&scope(), self::name()).await.ok()?;
                Some(server)
            };
            let server = tokio::select! {
                biased;
                () = life.ended() => None,
                server = started => server,
            };
            if let Some(server) = server {
                self.story.tell(format!("{the}{name} answers"));
                self.net.set_server(&name, Some((server.clone(), life.clone())));
                life.ended().await;
                self.net.set_server(&name, None);
                server.stop();
            }
            // One that found no store gives up.
            life.end();
            self.story.tell(format!("{the}{name} is dead"));
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
            let config = agent_config(&machine, &self.endpoints());
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
pub(crate) fn pause() -> Duration {
    if world::faulty() { world::millis(100..20_000) } else { Duration::from_millis(500) }
}

/// The name of the `number`th server, counted from 1.
fn server_name(number: usize) -> String {
    if number == 1 { "server".to_owned() } else { format!("server-{number}") }
}

fn url_of(server: &str) -> String {
    format!("http://{server}")
}

fn agent_config(machine: &Machine, endpoints: &str) -> AgentConfig {
    let mut config =
        AgentConfig::new(endpoints, "us-east-1", credentials(), name().as_str(), &machine.name);
    config.name = Some(machine.name.clone());
    config.availability_zone = Some(machine.zone.clone());
    config.cpu_units = Some(MACHINE.0);
    config.memory_mib = Some(MACHINE.1);
    config.endpoints = false;
    config.attributes.insert("machine".to_owned(), machine.name.clone());
    config
}
