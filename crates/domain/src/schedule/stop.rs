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
}

/// An instance, as the service's tasks see it.
struct Host {
    tasks: u32,
    available: Amount,
    takes_tasks: bool,
    /// For each strategy, the tally of the value that the instance has.
    tallies: Vec<Option<usize>>,
}

/// The tasks of the service that are left. The strategies judge groups, so that one more stop costs
/// a look at each group, not at each task.
struct Service<'a> {
    strategies: &'a [PlacementStrategy],
    groups: Vec<Group>,
    group_of: BTreeMap<(usize, Urgency, [u32; 3]), usize>,
    hosts: Vec<Host>,
    host_of: BTreeMap<InstanceId, usize>,
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
        let host = self.hosts.len();
        self.host_of.insert(instance, host);
        self.hosts.push(Host {
            tasks: 0,
            available: node.map(Node::available).unwrap_or_default(),
            takes_tasks: node.is_some_and(|n| n.instance.status == InstanceStatus::Active),
            tallies,
        });
        host
    }

    fn add(&mut self, task: &Task, fleet: &'a Fleet<'_>, now: Timestamp) {
        let place = self.host(task.instance, fleet);
        let host = &mut self.hosts[place];
        host.tasks += 1;
        for tally in host.tallies.iter().flatten() {
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
            self.groups.push(Group { host: place, urgency, demand, tasks: BinaryHeap::new() });
        }
        let mut shares = [0; PLACEMENT_STRATEGIES];
        for (share, strategy) in shares.iter_mut().zip(self.strategies) {
            if *strategy == PlacementStrategy::Random {
                *share = rank::mix(rank::fold(task.id.bits()));
            }
        }
        self.groups[group].tasks.push((shares, task.created_at, Reverse(task.id)));
    }

    fn stop_one(&mut self) -> Option<TaskId> {
        let groups = self.groups.iter().enumerate();
        let first = groups.filter_map(|(i, group)| Some((self.key(group)?, i)));
        let (_, i) = first.max_by(|(a, _), (b, _)| a.cmp(b))?;
        let group = &mut self.groups[i];
        let (_, _, Reverse(task)) = group.tasks.pop()?;
        let host = &mut self.hosts[group.host];
        host.tasks -= 1;
        host.available = host.available.plus(group.demand);
        for tally in host.tallies.iter().flatten() {
            self.tallies[*tally] -= 1;
        }
        Some(task)
    }

    /// How much the first task of a group should stop; the highest goes first.
    fn key(&self, group: &Group) -> Option<impl Ord + use<>> {
        let (shares, created_at, id) = group.tasks.peek()?;
        let host = &self.hosts[group.host];
        let after = host.available.plus(group.demand);
        let mut worth = *shares;
        for ((worth, strategy), tally) in worth.iter_mut().zip(self.strategies).zip(&host.tallies) {
            *worth = match strategy {
                PlacementStrategy::Spread(Spread::Attribute(_)) => {
                    tally.map_or(0, |tally| self.tallies[tally]).into()
                }
                PlacementStrategy::Spread(Spread::InstanceId) => host.tasks.into(),
                PlacementStrategy::Binpack(StrategyField::Cpu) => after.cpu_units.into(),
                PlacementStrategy::Binpack(StrategyField::Memory) => after.memory_mib.into(),
                PlacementStrategy::Random => *worth,
            };
        }
        Some((group.urgency, worth, host.tasks, *created_at, *id))
    }
}

fn is_unhealthy(task: &Task) -> bool {
    task.observed.containers.iter().any(|c| c.health == HealthStatus::Unhealthy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ContainerInstance, Protection};
    use crate::schedule::testing::{any_cluster, any_strategy, instance, spread, task};
    use alloc::vec;
    use proptest::prelude::*;

    fn order(
        instances: &[ContainerInstance],
        tasks: &[Task],
        strategies: &[PlacementStrategy],
        count: usize,
    ) -> Vec<u128> {
        let fleet = Fleet::new(instances, tasks);
        let refs: Vec<&Task> = tasks.iter().collect();
        let now = Timestamp::from_millis(1000);
        let request = StopRequest { tasks: &refs, count, strategies, now };
        stop_order(&request, &fleet).into_iter().map(TaskId::bits).collect()
    }

    fn zones() -> Vec<ContainerInstance> {
        vec![instance(0, "a"), instance(1, "a"), instance(2, "b")]
    }

    #[test]
    fn the_default_takes_from_the_fullest_zone_then_instance() {
        let tasks = [task(1, 0), task(2, 1), task(3, 1), task(4, 2), task(5, 2)];
        // Zone a; then both zones have two, but one instance has both of zone b's; then zone a.
        assert_eq!(order(&zones(), &tasks, &[], 3), [2, 4, 1]);
    }

    #[test]
    fn protected_never_and_the_unfit_first() {
        let mut tasks = [task(1, 0), task(2, 1), task(3, 2), task(4, 2), task(5, 2)];
        tasks[2].protection = Some(Protection { expires_at: Timestamp::from_millis(1001) });
        tasks[3].protection = Some(Protection { expires_at: Timestamp::from_millis(1000) });
        tasks[0].observed.status = TaskStatus::Pending;
        let mut instances = zones();
        instances[1].status = InstanceStatus::Draining;
        assert_eq!(order(&instances, &tasks, &[], 9), [1, 2, 4, 5]);
    }

    #[test]
    fn binpack_empties_the_emptiest_instance() {
        let tasks = [task(1, 0), task(2, 0), task(3, 1), task(4, 2), task(5, 2), task(6, 2)];
        let pack = [PlacementStrategy::Binpack(StrategyField::Memory)];
        assert_eq!(order(&zones(), &tasks, &pack, 3), [3, 1, 2]);
    }

    #[test]
    fn the_newest_of_equals_goes() {
        let mut tasks = [task(1, 0), task(2, 0)];
        tasks[1].created_at = Timestamp::from_millis(5);
        let host = [PlacementStrategy::Spread(Spread::InstanceId)];
        assert_eq!(order(&zones(), &tasks, &host, 1), [2]);
    }

    proptest! {
        #[test]
        fn every_unprotected_task_goes_once_and_zones_stay_even(
            (instances, tasks) in any_cluster(), count in 0..20_usize,
            strategies in prop::collection::vec(any_strategy(), 0..5),
        ) {
            let stopped = order(&instances, &tasks, &strategies, count);
            prop_assert_eq!(stopped.len(), count.min(tasks.len()));
            let mut unique = stopped.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), stopped.len());
            // The first ones do not depend on how many follow.
            let more = order(&instances, &tasks, &strategies, count + 3);
            prop_assert_eq!(&more[..stopped.len()], &stopped[..]);
        }

        /// Stopping never takes from a zone that has fewer tasks than another.
        #[test]
        fn spread_levels_zones(on in prop::collection::vec(0..3_u128, 1..12)) {
            let instances = zones();
            let tasks: Vec<Task> = (0..).zip(&on).map(|(id, on)| task(id, *on)).collect();
            let zone = |instance: u128| usize::from(instance == 2);
            let mut left = [0_i32; 2];
            for on in &on {
                left[zone(*on)] += 1;
            }
            let strategies = [spread("ecs.availability-zone")];
            for id in order(&instances, &tasks, &strategies, on.len()) {
                let from = zone(on[usize::try_from(id).expect("small")]);
                prop_assert!(left[from] >= left[1 - from], "{:?}", left);
                left[from] -= 1;
            }
        }
    }
}
