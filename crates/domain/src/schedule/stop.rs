//! Which tasks of a service stop first, when it scales in or replaces tasks.
//!
//! In this order: protected tasks never; tasks that do not run yet; unhealthy ones; tasks on
//! instances that take no new tasks; then the one whose stop serves the strategies best, counted
//! anew after each: `spread` takes from the value with the most tasks, `binpack` from the instance
//! that has the most of the resource left, `random` from anywhere. Without a strategy it is the
//! availability zone with the most tasks, then the instance with the most. Ties go to the newest
//! task.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::fleet::{Fleet, Node};
use super::rank;
use super::resource::Amount;
use crate::ids::{InstanceId, TaskId};
use crate::limits::PLACEMENT_STRATEGIES;
use crate::record::{
    HealthStatus, InstanceStatus, PlacementStrategy, Spread, StrategyField, Task, TaskStatus,
};
use crate::time::Timestamp;

/// Tasks of one service, of which some are to stop.
#[derive(Clone, Copy, Debug)]
pub struct StopRequest<'a> {
    /// The candidates: tasks that should run.
    pub tasks: &'a [&'a Task],
    /// How many to stop.
    pub count: usize,
    /// The service's strategies; none means the default.
    pub strategies: &'a [PlacementStrategy],
    /// Now, for protection.
    pub now: Timestamp,
}

/// The tasks to stop, first one first: at most `count`, fewer when the others are protected.
pub fn stop_order(request: &StopRequest<'_>, fleet: &Fleet<'_>) -> Vec<TaskId> {
    let strategies = rank::effective(request.strategies);
    let mut service = Service::new(&strategies);
    for task in request.tasks {
        service.add(task, fleet, request.now);
    }
    service.ready();
    core::iter::from_fn(|| service.stop_one()).take(request.count).collect()
}

/// Not running yet; unhealthy; on an instance that takes no new tasks.
type Urgency = (bool, bool, bool);

/// What tells tasks of a group apart, whatever else stops: random shares, age, id.
type Own = ([u64; PLACEMENT_STRATEGIES], Timestamp, Reverse<TaskId>);

/// Tasks that may stop and that every strategy sees alike: on one instance, with one demand.
struct Group {
    host: usize,
    urgency: Urgency,
    demand: Amount,
    tasks: BinaryHeap<Own>,
    /// Number of times that its instance has changed.
    turn: u32,
}

/// An instance, as the service's tasks see it.
struct Host {
    tasks: u32,
    available: Amount,
    branch: usize,
    takes_tasks: bool,
    groups: Vec<usize>,
}

/// What a strategy makes of the first task of a group: the highest stops first.
type Worth = [u64; PLACEMENT_STRATEGIES];

/// How much the first task of a group should stop. The tasks counted for the values of its branch
/// are not in it.
type Key = (Urgency, Worth, u32, Timestamp, Reverse<TaskId>);

/// Instances that agree on all attributes that the strategies spread over. What is counted for their
/// values adds the same to each of their keys, so it never changes the order inside a branch.
struct Branch {
    /// For each strategy, the tally of the value that the instances have.
    tallies: Vec<Option<usize>>,
    /// Groups with their keys and turns; one whose turn is over is not meant any more.
    groups: BinaryHeap<(Key, u32, usize)>,
}

/// The tasks of the service that are left. One more stop costs a look at each branch, not at each
/// task.
struct Service<'a> {
    strategies: &'a [PlacementStrategy],
    groups: Vec<Group>,
    group_of: BTreeMap<(usize, Urgency, [u32; 3]), usize>,
    hosts: Vec<Host>,
    host_of: BTreeMap<InstanceId, usize>,
    branches: Vec<Branch>,
    branch_of: BTreeMap<Vec<Option<usize>>, usize>,
    /// Tasks for each value of each attribute that is spread over.
    tallies: Vec<u32>,
    tally_of: BTreeMap<(usize, Option<&'a str>), usize>,
}

impl<'a> Service<'a> {
    fn new(strategies: &'a [PlacementStrategy]) -> Self {
        Self {
            strategies,
            groups: Vec::new(),
            group_of: BTreeMap::new(),
            hosts: Vec::new(),
            host_of: BTreeMap::new(),
            branches: Vec::new(),
            branch_of: BTreeMap::new(),
            tallies: Vec::new(),
            tally_of: BTreeMap::new(),
        }
    }

    fn host(&mut self, instance: InstanceId, fleet: &'a Fleet<'_>) -> usize {
        if let Some(host) = self.host_of.get(&instance) {
            return *host;
        }
        let node = fleet.node(instance);
        let mut tallies = Vec::with_capacity(self.strategies.len());
        for (level, strategy) in self.strategies.iter().enumerate() {
            tallies.push(rank::shared_attribute(strategy).map(|name| {
                let value = node.and_then(|n| n.instance.attributes.get(name)?.as_deref());
                let fresh = self.tallies.len();
                let tally = *self.tally_of.entry((level, value)).or_insert(fresh);
                if tally == fresh {
                    self.tallies.push(0);
                }
                tally
            }));
        }
        let branches = &mut self.branches;
        let branch = *self.branch_of.entry(tallies).or_insert_with_key(|tallies| {
            branches.push(Branch { tallies: tallies.clone(), groups: BinaryHeap::new() });
            branches.len() - 1
        });
        let host = self.hosts.len();
        self.host_of.insert(instance, host);
        self.hosts.push(Host {
            tasks: 0,
            available: node.map(Node::available).unwrap_or_default(),
            branch,
            takes_tasks: node.is_some_and(|n| n.instance.status == InstanceStatus::Active),
            groups: Vec::new(),
        });
        host
    }

    fn add(&mut self, task: &Task, fleet: &'a Fleet<'_>, now: Timestamp) {
        let place = self.host(task.instance, fleet);
        let host = &mut self.hosts[place];
        host.tasks += 1;
        for tally in self.branches[host.branch].tallies.iter().flatten() {
            self.tallies[*tally] += 1;
        }
        if task.is_protected(now) {
            return;
        }
        let pending = task.observed.status < TaskStatus::Running;
        let urgency = (pending, is_unhealthy(task), !host.takes_tasks);
        let demand = Amount::of(&task.demand);
        let alike = (place, urgency, [demand.cpu_units, demand.memory_mib, demand.gpus]);
        let fresh = self.groups.len();
        let group = *self.group_of.entry(alike).or_insert(fresh);
        if group == fresh {
            host.groups.push(group);
            let tasks = BinaryHeap::new();
            self.groups.push(Group { host: place, urgency, demand, tasks, turn: 0 });
        }
        let mut shares = [0; PLACEMENT_STRATEGIES];
        for (share, strategy) in shares.iter_mut().zip(self.strategies) {
            if *strategy == PlacementStrategy::Random {
                *share = rank::mix(rank::fold(task.id.bits()));
            }
        }
        self.groups[group].tasks.push((shares, task.created_at, Reverse(task.id)));
    }

    /// All tasks are added.
    fn ready(&mut self) {
        for group in 0..self.groups.len() {
            self.announce(group);
        }
    }

    /// Tells the branch what the group's first task is worth now.
    fn announce(&mut self, place: usize) {
        if let Some(key) = self.key(&self.groups[place]) {
            let group = &mut self.groups[place];
            group.turn += 1;
            let branch = self.hosts[group.host].branch;
            self.branches[branch].groups.push((key, group.turn, place));
        }
    }

    /// The best group of a branch, with the tasks counted for the branch's values.
    fn best_of(&mut self, place: usize) -> Option<(Key, usize)> {
        let branch = &mut self.branches[place];
        while let Some(((urgency, worth, tasks, created_at, id), turn, group)) =
            branch.groups.peek().copied()
        {
            if self.groups[group].turn == turn {
                let mut worth = worth;
                for (worth, tally) in worth.iter_mut().zip(&branch.tallies) {
                    *worth = tally.map_or(*worth, |tally| self.tallies[tally].into());
                }
                return Some(((urgency, worth, tasks, created_at, id), group));
            }
            branch.groups.pop();
        }
        None
    }

    fn stop_one(&mut self) -> Option<TaskId> {
        let best = (0..self.branches.len()).filter_map(|branch| self.best_of(branch)).max()?;
        let group = &mut self.groups[best.1];
        let (_, _, Reverse(task)) = group.tasks.pop()?;
        // Its entry is not meant any more, even if it was its last task.
        group.turn += 1;
        let place = group.host;
        let host = &mut self.hosts[place];
        host.tasks -= 1;
        host.available = host.available.plus(group.demand);
        for tally in self.branches[host.branch].tallies.iter().flatten() {
            self.tallies[*tally] -= 1;
        }
        for n in 0..self.hosts[place].groups.len() {
            self.announce(self.hosts[place].groups[n]);
        }
        Some(task)
    }

    /// How much the first task of a group should stop.
    fn key(&self, group: &Group) -> Option<Key> {
        let (shares, created_at, id) = *group.tasks.peek()?;
        let host = &self.hosts[group.host];
        let after = host.available.plus(group.demand);
        let mut worth = shares;
        for (worth, strategy) in worth.iter_mut().zip(self.strategies) {
            *worth = match strategy {
                PlacementStrategy::Spread(Spread::Attribute(_)) => 0,
                PlacementStrategy::Spread(Spread::InstanceId) => host.tasks.into(),
                PlacementStrategy::Binpack(StrategyField::Cpu) => after.cpu_units.into(),
                PlacementStrategy::Binpack(StrategyField::Memory) => after.memory_mib.into(),
                PlacementStrategy::Random => *worth,
            };
        }
        Some((group.urgency, worth, host.tasks, created_at, id))
    }
}

fn is_unhealthy(task: &Task) -> bool {
    task.observed.containers.iter().any(|c| c.health == HealthStatus::Unhealthy)
}

#[cfg(test)]
mod tests;
