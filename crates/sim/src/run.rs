//! One run: a seed, users and faults for the first half, peace for the rest, and the judgement.

use std::time::Duration;

use longshore_domain::fidelity::Fidelity;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::faults;
use crate::store::Sabotage;
use crate::watcher::{Violation, Watcher};
use crate::workload::User;
use crate::world;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How long the run is, in simulated time.
    pub length: Duration,
    /// Machines.
    pub machines: usize,
    /// Servers.
    pub servers: usize,
    /// Nodes of balancers; without any, no service has a balancer.
    pub balancers: usize,
    /// What is done to transactions on their way, to see it caught.
    pub sabotage: Option<Sabotage>,
}

impl Options {
    /// Ten simulated minutes of four machines. Of five seeds one has two servers, and one three.
    pub fn new(seed: u64) -> Self {
        let servers = match seed % 5 {
            3 => 2,
            4 => 3,
            _ => 1,
        };
        // Of four seeds one has a node of balancers, and one two.
        let balancers = match seed % 4 {
            1 => 2,
            2 => 1,
            _ => 0,
        };
        let length = Duration::from_secs(600);
        Self { seed, length, machines: 4, servers, balancers, sabotage: None }
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed that repeats it.
    pub seed: u64,
    /// What was found wrong; nothing in a good run.
    pub violations: Vec<Violation>,
    /// What happened.
    pub story: Vec<String>,
    /// Transactions.
    pub steps: u64,
}

/// Runs a seed on this thread.
///
/// # Panics
/// When the operating system gives no runtime.
pub fn run(options: &Options) -> Outcome {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().start_paused(true);
    // Tokio shuffles whom it wakes first.
    #[cfg(tokio_unstable)]
    runtime.rng_seed(tokio::runtime::RngSeed::from_bytes(&options.seed.to_le_bytes()));
    let runtime = runtime.build().expect("a runtime of one thread");
    runtime.block_on(async {
        world::begin(options.seed);
        let Options { machines, servers, balancers, sabotage, .. } = *options;
        let fidelity = fidelity(options.seed);
        let cluster = Cluster::start(machines, servers, balancers, fidelity, sabotage);
        let watcher = Watcher::follow(&cluster);
        let whole = live(options, &cluster, &watcher);
        tokio::select! {
            biased;
            () = watcher.wrong.notified() => cluster.story.tell("the run ends here"),
            () = whole => {}
        }
        Outcome {
            seed: options.seed,
            violations: watcher.violations(),
            story: cluster.story.lines(),
            steps: watcher.steps(),
        }
    })
}

/// Every third seed runs with every switch on.
fn fidelity(seed: u64) -> Fidelity {
    if !seed.is_multiple_of(3) {
        return Fidelity::default();
    }
    Fidelity {
        consistent_reads: true,
        replace_lost_instances: Some(Duration::from_secs(60)),
        count_crash_loops: true,
        drain_on_stop_task: true,
        history: None,
    }
}

async fn live(options: &Options, cluster: &Cluster, watcher: &Watcher) {
    let user = User::new(cluster, watcher);
    user.prepare().await;
    let storm = options.length.saturating_sub(faults::PEACE);
    let both = async { tokio::join!(user.work(), faults::rage(cluster)) };
    // Neither ends by itself.
    let _ = timeout(storm, both).await;
    faults::heal(cluster, &watcher.view());
    user.tidy().await;
    sleep(options.length.saturating_sub(world::elapsed())).await;
    watcher.end(&cluster.machines, &user.acknowledged());
}
