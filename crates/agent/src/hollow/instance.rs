//! One hollow agent: it registers, keeps its sessions open, and holds what its parts share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use longshore_domain::time::Timestamp;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::network::Own;
use super::task::Task;
use super::telemetry::Published;
use super::{Fleet, count, lock, orders};
use crate::api::Api;
use crate::keys::Keys;
use crate::register::{Identity, register};
use crate::runtime::Description;
use crate::session::acs::{Order, Shared};
use crate::session::{Links, acs, tcs};
use crate::{AgentError, Config, clock, limits, random};

/// What the parts of an agent share.
pub(super) struct Instance {
    pub(super) fleet: Arc<Fleet>,
    pub(super) api: Api,
    pub(super) arn: String,
    /// Bounds the reports in flight.
    pub(super) reports: Semaphore,
    /// Wakes whoever publishes the health of tasks.
    pub(super) health_changed: Notify,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    by_arn: BTreeMap<Arc<str>, Known>,
    /// Those that ended, the first that did first.
    ended: VecDeque<Arc<str>>,
}

/// A task that the agent knows of.
enum Known {
    /// It starts, or runs, or is being stopped.
    Live(Live),
    /// It has ended; who orders it again is not obeyed.
    Ended,
}

/// A task that has not ended.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) task: Arc<Task>,
    /// When it came to run.
    pub(super) running_since: Option<Timestamp>,
    /// Whether somebody wants it to stop.
    pub(super) stopping: bool,
}

impl Instance {
    /// Runs the agent with that number; it ends only when the control plane refuses it.
    pub(super) async fn run(fleet: Arc<Fleet>, number: u32) -> Result<(), AgentError> {
        let config = config(&fleet, number);
        let description = description(&config);
        let network = Arc::new(Own::new(number));
        let over = Arc::clone(&network) as _;
        let keys = Keys::new(config.credentials.clone());
        let api = Api::new(over, &config.endpoint, &config.region, keys, &fleet.tls)?;
        let identity = Identity { known_arn: None, token: random::uuid() };
        let arn = {
            let _turn = fleet.joining.acquire().await;
            register(&api, &config, &description, identity).await?
        };
        count(&fleet.counts.registered);
        lock(&fleet.arns).push(arn.clone());
        let shared = Arc::<Shared>::default();
        lock(&fleet.sessions).push(Arc::clone(&shared));
        let tls = Arc::clone(&fleet.tls);
        let version = &description.version;
        let links = Links::new(api.clone(), network, &tls, &config.cluster, &arn, version);
        let instance = Arc::new(Self {
            fleet,
            api,
            arn,
            reports: Semaphore::new(limits::REPORTS),
            health_changed: Notify::new(),
            tasks: Mutex::default(),
        });
        instance.work(links, shared, &config).await;
        Ok(())
    }

    async fn work(self: &Arc<Self>, links: Links, shared: Arc<Shared>, config: &Config) {
        let links = Arc::new(links);
        let (inactive, is_inactive) = watch::channel(false);
        let (events, mut inbox) = mpsc::channel::<Order>(limits::HOLLOW_ORDERS);
        let mut parts = JoinSet::new();
        if self.fleet.options.telemetry {
            let published = Published::new(Arc::clone(self), links.cluster());
            let period = config.timeouts.metrics;
            let telemetry =
                tcs::run(Arc::clone(&links), published, Arc::clone(&shared), is_inactive, period);
            parts.spawn(telemetry);
        }
        parts.spawn(acs::run(links, events, shared, inactive, config.timeouts.inactive));
        // Tasks end with the agent: nothing of them outlives it.
        let mut lives = JoinSet::new();
        let mut orders = orders::Orders::new(Arc::clone(self));
        loop {
            tokio::select! {
                biased;
                order = inbox.recv() => match order {
                    Some(Order { message, reply }) => {
                        // The session may have ended.
                        drop(reply.send(orders.answer(message, &mut lives)));
                    }
                    None => return,
                },
                Some(_) = lives.join_next(), if !lives.is_empty() => {}
            }
        }
    }

    /// The cluster as the agent was told of it.
    pub(super) fn cluster(&self) -> &str {
        &self.fleet.options.cluster
    }

    /// The tasks that have not ended.
    pub(super) fn live(&self) -> Vec<Live> {
        let tasks = lock(&self.tasks);
        let live = tasks.by_arn.values().filter_map(|known| match known {
            Known::Live(live) => Some(live.clone()),
            Known::Ended => None,
        });
        live.collect()
    }

    /// Whether it has, or has had, a task of that ARN.
    pub(super) fn knows(&self, arn: &str) -> bool {
        lock(&self.tasks).by_arn.contains_key(arn)
    }

    /// Takes a task into care; `false` when it is known already.
    pub(super) fn accept(&self, task: &Arc<Task>) -> bool {
        let mut tasks = lock(&self.tasks);
        if tasks.by_arn.contains_key(&task.arn) {
            return false;
        }
        let live = Live { task: Arc::clone(task), running_since: None, stopping: false };
        tasks.by_arn.insert(Arc::clone(&task.arn), Known::Live(live));
        count(&self.fleet.counts.accepted);
        true
    }

    /// Asks a task to stop; `false` when there is none of that ARN.
    pub(super) fn stop(&self, arn: &str) -> bool {
        match lock(&self.tasks).by_arn.get_mut(arn) {
            Some(Known::Live(live)) => {
                live.stopping = true;
                live.task.stop.notify_one();
                true
            }
            Some(Known::Ended) => true,
            None => false,
        }
    }

    /// A task has come to run.
    pub(super) fn runs(&self, task: &Task) {
        count(&self.fleet.counts.started);
        if let Some(Known::Live(live)) = lock(&self.tasks).by_arn.get_mut(&task.arn) {
            live.running_since = Some(clock::now());
        }
        if task.has_health_check() {
            self.health_changed.notify_one();
        }
    }

    /// A task has ended; what ended long ago is forgotten.
    pub(super) fn ended(&self, task: &Task, ran: bool) {
        count(&self.fleet.counts.stopped);
        if ran {
            count(&self.fleet.counts.ran);
        }
        let mut tasks = lock(&self.tasks);
        tasks.by_arn.insert(Arc::clone(&task.arn), Known::Ended);
        tasks.ended.push_back(Arc::clone(&task.arn));
        if tasks.ended.len() > limits::HOLLOW_ENDED
            && let Some(oldest) = tasks.ended.pop_front()
        {
            tasks.by_arn.remove(&oldest);
        }
    }
}

fn config(fleet: &Fleet, number: u32) -> Config {
    let options = &fleet.options;
    let (endpoint, region) = (options.endpoint.as_str(), options.region.as_str());
    let credentials = options.credentials.clone();
    let mut config = Config::new(endpoint, region, credentials, options.cluster.as_str(), "");
    let zone = u8::try_from(number % options.zones.clamp(1, 26)).unwrap_or_default();
    config.availability_zone = Some(format!("{region}{}", char::from(b'a' + zone)));
    config.cpu_units = Some(options.cpu_units);
    config.memory_mib = Some(options.memory_mib);
    config.attributes.insert("longshore.hollow".to_owned(), "true".to_owned());
    config
}

fn description(config: &Config) -> Description {
    Description {
        version: "hollow".to_owned(),
        cpus: config.cpu_units.unwrap_or_default() / 1024,
        memory_mib: config.memory_mib.map(u64::from).unwrap_or_default(),
        log_drivers: ["json-file", "syslog", "journald", "fluentd"].map(str::to_owned).to_vec(),
        volume_drivers: vec!["local".to_owned()],
        cgroups: None,
        gateway: None,
    }
}
