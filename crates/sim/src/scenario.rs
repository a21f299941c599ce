//! Scenarios: commands and what came of them, as text.
//!
//! A line that begins with `$` is a command; what happened until the next one stands below it. A line
//! that begins with `#` is for the reader. Nothing is left to chance, and nothing fails by itself.

use std::fmt::Write as _;
use std::time::Duration;

use longshore_domain::fidelity::Fidelity;
use longshore_wire::ecs::op;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::machine::Machine;
use crate::watcher::Watcher;
use crate::workload::User;
use crate::world;

/// Machines of a scenario.
const MACHINES: usize = 3;

/// Plays the commands of `text` and gives it back with what came of them.
///
/// # Panics
/// When a command is unknown, or a checker finds something wrong.
pub fn play(text: &str) -> String {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().start_paused(true);
    runtime.rng_seed(tokio::runtime::RngSeed::from_bytes(b"scenario"));
    let runtime = runtime.build().expect("a runtime of one thread");
    runtime.block_on(async {
        world::begin(1);
        world::calm();
        let servers = text.lines().find_map(|line| line.strip_prefix("$ servers "));
        let servers = servers.map_or(1, |count| count.parse().expect("a number of servers"));
        let cluster = Cluster::start(MACHINES, servers, 0, Fidelity::default(), None);
        let watcher = Watcher::follow(&cluster);
        let user = User::new(&cluster, &watcher);
        user.prepare().await;
        sleep(Duration::from_secs(5).saturating_sub(world::elapsed())).await;
        let stage = Stage { cluster, watcher, user };
        let mut told = stage.cluster.story.lines().len();
        let mut out = String::new();
        for line in text.lines().filter(|line| line.starts_with(['#', '$']) || line.is_empty()) {
            let _ = writeln!(out, "{line}");
            let Some(command) = line.strip_prefix("$ ") else { continue };
            stage.act(command).await;
            let lines = stage.cluster.story.lines();
            for line in lines.iter().skip(told).filter(|line| !line.contains("  > ")) {
                // Milliseconds say nothing to a reader.
                let (time, text) = line.split_once("  ").unwrap_or(("", line));
                let _ = writeln!(out, "  {}  {text}", &time[..5]);
            }
            told = lines.len();
        }
        let violations = stage.watcher.violations();
        assert!(violations.is_empty(), "{violations:?}\n{out}");
        out
    })
}

struct Stage {
    cluster: Cluster,
    watcher: Watcher,
    user: User,
}

impl Stage {
    async fn act(&self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["wait", time] => sleep(seconds(time)).await,
            ["create", service, rest @ ..] => self.create(service, rest).await,
            ["update", service, rest @ ..] => self.update(service, rest).await,
            ["delete", service] => {
                let input = json!({"service": service, "force": true});
                _ = self.user.call::<op::DeleteService>(input).await;
            }
            ["drain", machine] => self.set_state(machine, "DRAINING").await,
            ["activate", machine] => self.set_state(machine, "ACTIVE").await,
            ["deregister", machine] => {
                let input = json!({"containerInstance": self.id(machine), "force": true});
                _ = self.user.call::<op::DeregisterContainerInstance>(input).await;
            }
            ["protect", task, minutes] => {
                let minutes: u32 = minutes.parse().expect("a number of minutes");
                let input = json!({"cluster": "default", "tasks": [self.id(task)],
                    "protectionEnabled": true, "expiresInMinutes": minutes});
                _ = self.user.call::<op::UpdateTaskProtection>(input).await;
            }
            ["stop", task] => {
                _ = self.user.call::<op::StopTask>(json!({"task": self.id(task)})).await;
            }
            // It was read before the beginning.
            ["servers", _] => {}
            ["kill", "leader"] => {
                let leader = self.cluster.leader().expect("somebody leads");
                self.cluster.story.tell(format!("! {leader}, which leads, is killed"));
                self.cluster.life(&leader).expect("a process").end();
            }
            ["kill", process] => self.cluster.life(process).expect("a process").end(),
            ["power", machine, switch] => {
                self.cluster.set_power(self.machine(machine), *switch == "on");
            }
            ["cut", machine] => self.cluster.net.set_cut_off(machine, true),
            ["heal", machine] => self.cluster.net.set_cut_off(machine, false),
            _ => panic!("unknown command: {command}"),
        }
        // What follows at once belongs to the command.
        sleep(Duration::from_millis(100)).await;
    }

    async fn create(&self, service: &str, options: &[&str]) {
        let mut input = json!({"serviceName": service});
        let (mut breaker, mut configuration) =
            (json!({"enable": false, "rollback": false}), json!({}));
        for option in options {
            match option.split_once('=') {
                Some(("count", count)) => input["desiredCount"] = number(count),
                Some(("image", image)) => input["taskDefinition"] = json!(image),
                Some(("min", percent)) => configuration["minimumHealthyPercent"] = number(percent),
                Some(("max", percent)) => configuration["maximumPercent"] = number(percent),
                Some(("strategy", word)) => configuration["strategy"] = json!(word),
                Some(("bake", minutes)) => configuration["bakeTimeInMinutes"] = number(minutes),
                None if *option == "daemon" => input["schedulingStrategy"] = json!("DAEMON"),
                None if *option == "breaker" => breaker["enable"] = json!(true),
                None if *option == "rollback" => breaker["rollback"] = json!(true),
                _ => panic!("unknown option: {option}"),
            }
        }
        if input["schedulingStrategy"].is_null() {
            configuration["deploymentCircuitBreaker"] = breaker;
        }
        input["deploymentConfiguration"] = configuration;
        _ = self.user.call::<op::CreateService>(input).await;
    }

    async fn update(&self, service: &str, options: &[&str]) {
        let mut input = json!({"service": service});
        for option in options {
            match option.split_once('=') {
                Some(("count", count)) => input["desiredCount"] = number(count),
                Some(("image", image)) => input["taskDefinition"] = json!(image),
                None if *option == "force" => input["forceNewDeployment"] = json!(true),
                _ => panic!("unknown option: {option}"),
            }
        }
        _ = self.user.call::<op::UpdateService>(input).await;
    }

    async fn set_state(&self, machine: &str, status: &str) {
        let input = json!({"containerInstances": [self.id(machine)], "status": status});
        _ = self.user.call::<op::UpdateContainerInstancesState>(input).await;
    }

    fn id(&self, name: &str) -> String {
        let names = self.watcher.names();
        names.id_of(name).unwrap_or_else(|| panic!("nothing is called {name}")).to_owned()
    }

    fn machine(&self, name: &str) -> &Machine {
        let found = self.cluster.machines.iter().find(|machine| machine.name == name);
        found.unwrap_or_else(|| panic!("no machine is called {name}"))
    }
}

fn seconds(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number and a unit");
    Duration::from_secs(if unit == "m" { number * 60 } else { number })
}

fn number(text: &str) -> Value {
    json!(text.parse::<u32>().expect("a number"))
}
